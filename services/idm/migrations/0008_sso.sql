-- Applications that people sign in to by us, as SsoClients have them, and what each was given; src/clients/,
-- src/oidc/.

-- How somebody proved who they are: what an application is told by `amr`.
alter table sessions add ways text not null default 'password';

create table clients (
    uid                       text collate "C" primary key check (uid ~ '^cli-[0-9a-z]{26}$'),
    organization              text collate "C" not null references organizations (name) on delete cascade,
    -- The name of the object, and its uid: another object of the name is another application.
    name                      text collate "C" not null,
    object                    text collate "C" not null,
    -- It is for this instance; for none, it is an application elsewhere.
    instance                  text collate "C",
    redirect_uris             text[] not null,
    post_logout_redirect_uris text[] not null,
    -- Of the client secret; none until there is one.
    digest                    bytea check (length(digest) = 32),
    -- Of the one before, which is good for a while: the application has to hear of the new one.
    old_digest                bytea check (length(old_digest) = 32),
    old_ends_at               timestamptz,
    -- The annotation that the secret was replaced for.
    rotated_for               text,
    created_at                timestamptz not null,
    unique (organization, name)
);

-- What an application was given for a session of somebody's: one row, however often it is renewed. It goes with
-- the session.
create table connections (
    uid            text collate "C" primary key check (uid ~ '^con-[0-9a-z]{26}$'),
    client         text collate "C" not null references clients on delete cascade,
    session        text collate "C" not null references sessions on delete cascade,
    redirect_uri   text not null,
    challenge      text not null,
    nonce          text,
    scope          text not null,
    code_digest    bytea not null unique check (length(code_digest) = 32),
    code_ends_at   timestamptz not null,
    -- A code that comes a second time was stolen, and all goes that it gave.
    is_redeemed    boolean not null default false,
    -- Of the half of a refresh token that stays, and of the half that is another one each time.
    handle_digest  bytea unique check (length(handle_digest) = 32),
    refresh_digest bytea check (length(refresh_digest) = 32),
    access_digest  bytea unique check (length(access_digest) = 32),
    access_ends_at timestamptz,
    created_at     timestamptz not null
);
create index connections_session on connections (session, client);
create index connections_client on connections (client);
create index connections_code_ends_at on connections (code_ends_at) where not is_redeemed;
