-- Teams: people of an organization, and the apps that were given to them together.

create table teams (
    uid          text collate "C" primary key check (uid ~ '^tea-[0-9a-z]{26}$'),
    organization text collate "C" not null references organizations on delete cascade,
    name         text not null,
    -- The name in lower case: what makes two names the same. The service writes it, so that the database's
    -- locale has no say.
    name_key     text collate "C" not null,
    created_at   timestamptz not null,
    unique (organization, name_key),
    -- For the reference of its people.
    unique (uid, organization)
);

-- People of the team's organization only; who leaves the organization leaves its teams.
create table team_members (
    team         text collate "C" not null,
    organization text collate "C" not null,
    person       text collate "C" not null,
    primary key (team, person),
    foreign key (team, organization) references teams (uid, organization) on delete cascade,
    foreign key (organization, person) references memberships (organization, person) on delete cascade
);
create index team_members_membership on team_members (organization, person);

-- What a team was given: the name of an instance in the team's organization, so that no other organization's can
-- stand here.
--
-- It refers to no row of `instances` on purpose. Those mirror the cluster, and one goes whenever its object has no
-- address for a moment, or is made anew from a backup. A reference would refuse that to the mirror, or take the gift
-- away without anybody having done so and without an entry in the audit trail. So a gift stands until somebody takes
-- it away or the team is deleted. What follows: an instance that is made later under the name of one that is gone
-- is open to the teams that were given that one. Only admins of the same organization order instances, and the
-- team's page shows gifts whose instance is not there.
create table team_instances (
    team     text collate "C" not null references teams on delete cascade,
    instance text collate "C" not null,
    primary key (team, instance)
);

-- That a team is made or renamed changes nothing of what somebody may do.
create trigger teams_are_grants after delete on teams
    for each statement execute function count_change_of_grants();
create trigger team_members_are_grants after insert or update or delete on team_members
    for each statement execute function count_change_of_grants();
create trigger team_instances_are_grants after insert or update or delete on team_instances
    for each statement execute function count_change_of_grants();
