-- How far each mail is. A mail that was delivered is gone.

alter table mail_outbox
    -- Tries so far.
    add tries       integer     not null default 0,
    -- Not before this; whoever tries holds it back for the time that a try may take.
    add next_try_at timestamptz not null default '-infinity',
    -- What the server said against it.
    add problem     text,
    -- No more tries: the server will not take it.
    add refused_at  timestamptz;

create index mail_outbox_due on mail_outbox (next_try_at) where refused_at is null;
