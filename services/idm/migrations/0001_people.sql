-- People, and by what they prove who they are. Uids sort by age, so text in order of its bytes.

create table people (
    uid           text collate "C" primary key check (uid ~ '^usr-[0-9a-z]{26}$'),
    email         text not null,
    -- The address in lower case: what makes two addresses the same. The service writes it, so that the
    -- database's locale has no say.
    email_key     text not null unique,
    name          text not null,
    locale        text not null check (locale in ('en', 'de')),
    is_staff      boolean not null default false,
    is_suspended  boolean not null default false,
    confirmed_at  timestamptz,
    password_hash text,
    totp_secret   bytea,
    -- The last step whose code was taken: none counts twice.
    totp_step     bigint,
    created_at    timestamptz not null
);

create table recovery_codes (
    person  text collate "C" not null references people on delete cascade,
    digest  bytea not null check (length(digest) = 32),
    used_at timestamptz,
    primary key (person, digest)
);

create table sessions (
    uid          text collate "C" primary key check (uid ~ '^ses-[0-9a-z]{26}$'),
    person       text collate "C" not null references people on delete cascade,
    digest       bytea not null unique check (length(digest) = 32),
    address      text not null,
    user_agent   text not null,
    created_at   timestamptz not null,
    last_seen_at timestamptz not null,
    -- Its end, however busy it is.
    ends_at      timestamptz not null
);
create index sessions_person on sessions (person);
create index sessions_ends_at on sessions (ends_at);

-- Browsers that somebody signed in with before: others' failures do not lock them out.
create table devices (
    person       text collate "C" not null references people on delete cascade,
    digest       bytea not null check (length(digest) = 32),
    last_seen_at timestamptz not null,
    primary key (person, digest)
);
create index devices_last_seen_at on devices (last_seen_at);

-- What was begun and waits for its next page: the second step of a sign-in, a TOTP that is set up, a
-- bootstrap whose code was right.
create table tickets (
    digest      bytea primary key check (length(digest) = 32),
    purpose     text not null check (purpose in ('sign-in', 'totp', 'bootstrap')),
    person      text collate "C" references people on delete cascade,
    totp_secret bytea,
    ends_at     timestamptz not null
);
create index tickets_ends_at on tickets (ends_at);

-- Failures that are remembered, by account, address or device; see src/sign_in/throttle.rs.
create table buckets (
    name     text collate "C" primary key,
    level    double precision not null,
    level_at timestamptz not null,
    -- Whether its being full was told, so that a long attack is one entry of the audit.
    is_told  boolean not null default false
);
create index buckets_level_at on buckets (level_at);

-- One row, once there was a first member of the staff; the bootstrap code is dead from then on.
create table bootstrap (
    is_done boolean primary key default true check (is_done),
    person  text collate "C" not null,
    done_at timestamptz not null
);
