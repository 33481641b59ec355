-- The audit trail: append only, each row chained to the one before by its digest; src/audit/.

create table audit (
    sequence     bigint primary key,
    at           timestamptz not null,
    actor        text not null,
    deed         text not null,
    subject      text,
    organization text collate "C",
    address      text,
    request      text,
    details      jsonb not null,
    previous     bytea not null check (length(previous) = 32),
    digest       bytea not null check (length(digest) = 32)
);
create index audit_organization on audit (organization, sequence);

-- The end of the chain. Whoever appends holds this row, so that there is one order.
create table audit_head (
    is_head  boolean primary key default true check (is_head),
    sequence bigint not null,
    digest   bytea not null
);
insert into audit_head (sequence, digest) values (0, decode(repeat('00', 32), 'hex'));

create function refuse_change_of_audit() returns trigger language plpgsql as $$
begin
    raise exception 'the audit trail is append only';
end $$;

create trigger audit_is_append_only before update or delete on audit
    for each row execute function refuse_change_of_audit();
create trigger audit_is_not_truncated before truncate on audit
    for each statement execute function refuse_change_of_audit();
create trigger audit_head_is_not_removed before delete or truncate on audit_head
    for each statement execute function refuse_change_of_audit();
