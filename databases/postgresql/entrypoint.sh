#!/bin/bash
# Starts PostgreSQL: makes the cluster once (crash-safe), aligns the app's password with the environment at every start,
# then runs the server and ends it quickly and cleanly when asked to.
#
# In: POSTGRES_USER, POSTGRES_PASSWORD, optionally POSTGRES_DB and PGDATA (names of the official image), and
#     POSTGRES_SHARED_BUFFERS; arguments are passed to postgres. Out: a server on 5432.
# Unlike in the official image POSTGRES_USER is no superuser: it owns its database. The superuser, postgres, comes over
# the socket only and has no password.
set -eu
umask 077

log() { printf '%s [entrypoint] %s\n' "$(date -u +%FT%TZ)" "$*" >&2; }
die() { log "$*"; exit 1; }

# As process 1 this shell would ignore the signal while it prepares.
trap 'exit 143' TERM INT

# Other commands (a shell, pg_dump) run as they are; flags are for the server.
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  [ "$1" = postgres ] || exec "$@"
  shift
fi

for name in POSTGRES_USER POSTGRES_PASSWORD; do
  [ -n "${!name:-}" ] || die "$name is empty: it must be set."
done
POSTGRES_DB=${POSTGRES_DB:-$POSTGRES_USER}
# These two become identifiers in SQL; anything else is a mistake, and refusing is safer than quoting.
[[ $POSTGRES_DB =~ ^[A-Za-z0-9_-]{1,63}$ ]] || die "POSTGRES_DB may hold letters, digits, _ and - only."
[[ $POSTGRES_USER =~ ^[A-Za-z0-9_-]{1,63}$ ]] || die "POSTGRES_USER may hold letters, digits, _ and - only."
[ "$POSTGRES_USER" != postgres ] || die "POSTGRES_USER may not be postgres: that account is the server's own."
case $POSTGRES_DB in postgres|template0|template1) die "POSTGRES_DB may not be $POSTGRES_DB: it is the server's own." ;; esac

volume=$(dirname "$PGDATA")
unfinished="$PGDATA.initialising"
version=$(postgres --version | sed -E 's/.*\) ([0-9]+).*/\1/')

# The container's memory limit in bytes, or nothing: cgroup v2, then v1 (where "no limit" is a huge number).
memory_limit() {
  local file value
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    [ -r "$file" ] || continue
    value=$(cat "$file")
    if [[ $value =~ ^[0-9]{1,13}$ ]]; then echo "$value"; fi
    return
  done
}

# A quarter of the limit, as PostgreSQL's manual advises: it relies on the page cache of the kernel for the rest.
shared_buffers() {
  local limit mib
  if [ -n "${POSTGRES_SHARED_BUFFERS:-}" ]; then echo "$POSTGRES_SHARED_BUFFERS"; return; fi
  limit=$(memory_limit)
  [ -n "$limit" ] || { echo 128MB; return; }
  mib=$((limit / 1048576 / 4))
  [ "$mib" -ge 16 ] || mib=16
  echo "${mib}MB"
}

quote() { printf "'%s'" "${1//\'/\'\'}"; }

# A server for one session, without any port. Its errors must not repeat a statement: it may hold a password.
single() {
  postgres --single -D "$1" -j -c config_file=/etc/postgresql/postgresql.conf -c log_min_error_statement=panic \
    -c log_min_messages=error -c exit_on_error=on -c shared_buffers=16MB "${@:3}" "$2" >/dev/null
}

initialise() {
  log "Making a new cluster."
  rm -rf "$unfinished"
  # Nothing is synced while writing: until the folder has its final name it is worthless anyway, and one sync at the end is
  # several times quicker.
  initdb --pgdata="$unfinished" --username=postgres --encoding=UTF8 --locale=C.UTF-8 --locale-provider=builtin \
    --builtin-locale=C.UTF-8 --auth=reject --no-sync --no-instructions --data-checksums \
    --set=shared_buffers=16MB --set=max_connections=20 >/dev/null
  # Between statements an empty line (-j).
  single "$unfinished" postgres -c fsync=off <<SQL
CREATE ROLE "$POSTGRES_USER" LOGIN;

CREATE DATABASE "$POSTGRES_DB" OWNER "$POSTGRES_USER";

REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;

SQL
  sync --file-system "$volume"
  mv --no-target-directory "$unfinished" "$PGDATA"
  sync "$volume"
  log "New cluster made."
}

# The password as the environment wants it, at every start: a replaced Secret works after a restart.
align_password() {
  single "$PGDATA" postgres <<SQL
ALTER ROLE "$POSTGRES_USER" LOGIN PASSWORD $(quote "$POSTGRES_PASSWORD");

SQL
}

[ -w "$volume" ] || die "$volume cannot be written by user $(id -u)."
mkdir -p /run/postgresql

# One server per volume, across containers too: a successor that starts early waits until its predecessor has ended. The
# server inherits the lock and holds it as long as it lives, so a pid file that is found here is a leftover.
exec 9>"$volume/.lock"
flock --timeout 120 9 || die "Another server still uses this volume."

[ -e "$PGDATA/PG_VERSION" ] || [ ! -e "$PGDATA" ] || rmdir "$PGDATA" 2>/dev/null || die "$PGDATA holds files but no PostgreSQL cluster; not touching it."
[ ! -e "$unfinished" ] || log "An earlier initialisation was cut off: starting it over from empty."
[ -e "$PGDATA" ] || initialise
[ "$(cat "$PGDATA/PG_VERSION")" = "$version" ] \
  || die "The data is of PostgreSQL $(cat "$PGDATA/PG_VERSION"), the server is $version: it must be carried over by dump and restore."

rm -f "$PGDATA/postmaster.pid"
# Storage drivers that give the volume to a group open this up; the server refuses to run then.
chmod 0700 "$PGDATA"
align_password

# SIGTERM would mean "wait until every client has gone"; SIGINT means: end now, cleanly. So this shell stays in front.
buffers=$(shared_buffers)
log "Starting the server with shared buffers of $buffers."
postgres -D "$PGDATA" -c config_file=/etc/postgresql/postgresql.conf -c shared_buffers="$buffers" "$@" &
server=$!
trap 'kill -INT "$server" 2>/dev/null || true' TERM INT
trap 'kill -HUP "$server" 2>/dev/null || true' HUP
status=0
wait "$server" || status=$?
# A signal ends the first wait early; the second gets the server's own status.
while kill -0 "$server" 2>/dev/null; do status=0; wait "$server" || status=$?; done
exit "$status"
