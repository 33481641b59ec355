-- Organizations, who is what in them, and who is invited.

create table organizations (
    uid        text collate "C" primary key check (uid ~ '^org-[0-9a-z]{26}$'),
    -- The name of the Kubernetes object, which is the name of its namespace.
    name       text collate "C" not null unique,
    title      text not null,
    created_at timestamptz not null
);

create table memberships (
    organization text collate "C" not null references organizations on delete cascade,
    person       text collate "C" not null references people on delete cascade,
    role         text not null check (role in ('Member', 'Power User', 'Admin', 'Super Admin')),
    since        timestamptz not null,
    primary key (organization, person)
);
create index memberships_person on memberships (person);

create table invitations (
    uid          text collate "C" primary key check (uid ~ '^inv-[0-9a-z]{26}$'),
    organization text collate "C" not null references organizations on delete cascade,
    email        text not null,
    email_key    text not null,
    role         text not null check (role in ('Member', 'Power User', 'Admin', 'Super Admin')),
    digest       bytea not null unique check (length(digest) = 32),
    invited_by   text collate "C" not null,
    created_at   timestamptz not null,
    ends_at      timestamptz not null,
    accepted_by  text collate "C",
    closed_at    timestamptz
);
-- One that is open for each address in an organization.
create unique index invitations_open on invitations (organization, email_key) where closed_at is null;

-- The apps that an organization runs, as home lists them.
create table instances (
    organization text collate "C" not null references organizations (name) on delete cascade,
    name         text collate "C" not null,
    title        text not null,
    url          text not null,
    primary key (organization, name)
);

-- Mail that is to be delivered, written in the same transaction as its cause.
create table mail_outbox (
    uid        text collate "C" primary key check (uid ~ '^mai-[0-9a-z]{26}$'),
    recipient  text not null,
    locale     text not null,
    subject    text not null,
    body       text not null,
    created_at timestamptz not null
);
