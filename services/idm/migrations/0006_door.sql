-- The gateway's door: keys that sign tokens, which hostname leads to which app, tickets that were used, and
-- news of the version.

-- The set of signing keys, encrypted with a key that the database does not have; src/keys/. It is changed as a
-- whole, by whoever holds the table.
create table signing_keys (
    is_only    boolean primary key default true check (is_only),
    -- A mark of the encryption key, so that another key is told from damage.
    sealed_by  bytea not null check (length(sealed_by) = 16),
    sealed     bytea not null,
    changed_at timestamptz not null
);

-- Hostnames of apps, as Routes have them; `*.acme.example` is for all directly below it.
create table hostnames (
    hostname     text collate "C" primary key,
    organization text collate "C" not null references organizations (name) on delete cascade,
    instance     text collate "C" not null
);

-- Ids of the gateway's tickets that were redeemed, until nobody would take them anyway.
create table redeemed_tickets (
    id      text collate "C" primary key,
    ends_at timestamptz not null
);
create index redeemed_tickets_ends_at on redeemed_tickets (ends_at);

-- Whoever waits for a change hears of it when it is committed.
create or replace function count_change_of_grants() returns trigger language plpgsql as $$
begin
    update grants set version = version + 1;
    notify grants;
    return null;
end $$;

-- Whoever passed to an app by a hostname that leads elsewhere now has to be asked about anew.
create trigger hostnames_are_grants after update or delete on hostnames
    for each statement execute function count_change_of_grants();
