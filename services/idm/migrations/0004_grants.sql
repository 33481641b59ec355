-- The version of everything that decides who may do what: one more with every change of it, in the
-- transaction of the change. An answer of the authorisation API carries the version that it was read with.

create table grants (
    is_only boolean primary key default true check (is_only),
    version bigint not null
);
insert into grants (version) values (1);

create function count_change_of_grants() returns trigger language plpgsql as $$
begin
    update grants set version = version + 1;
    return null;
end $$;

create trigger memberships_are_grants after insert or update or delete on memberships
    for each statement execute function count_change_of_grants();
create trigger organizations_are_grants after insert or delete on organizations
    for each statement execute function count_change_of_grants();
create trigger invitations_are_grants after insert or update or delete on invitations
    for each statement execute function count_change_of_grants();
create trigger people_are_grants after delete or update of is_staff, is_suspended on people
    for each statement execute function count_change_of_grants();
create trigger sessions_are_grants after delete on sessions
    for each statement execute function count_change_of_grants();
