#!/bin/bash
# Starts MariaDB: makes the system tables once (crash-safe), upgrades them when the image is newer than the data, aligns
# the accounts with the environment at every start, then becomes the server.
#
# In: MARIADB_DATABASE, MARIADB_USER, MARIADB_PASSWORD, optionally MARIADB_ROOT_PASSWORD (names of the official image) and
#     MARIADB_INNODB_BUFFER_POOL_SIZE; arguments are passed to mariadbd. Out: a server on 3306.
set -eu
umask 077

data=/var/lib/mysql
# Exists from before the first file of a new database until after the last one is on the disk.
unfinished="$data/.initialising"

log() { printf '%s [entrypoint] %s\n' "$(date -u +%FT%TZ)" "$*" >&2; }
die() { log "$*"; exit 1; }

# As process 1 this shell would ignore the signal while it prepares.
trap 'exit 143' TERM INT

# Other commands (a shell, mariadb-dump) run as they are; flags are for the server.
if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
  [ "$1" = mariadbd ] || [ "$1" = mysqld ] || exec "$@"
  shift
fi

for name in MARIADB_DATABASE MARIADB_USER MARIADB_PASSWORD; do
  [ -n "${!name:-}" ] || die "$name is empty: it must be set."
done
# These two become identifiers in SQL and in grants; anything else is a mistake, and refusing is safer than quoting.
[[ $MARIADB_DATABASE =~ ^[A-Za-z0-9_-]{1,64}$ ]] || die "MARIADB_DATABASE may hold letters, digits, _ and - only."
[[ $MARIADB_USER =~ ^[A-Za-z0-9_-]{1,80}$ ]] || die "MARIADB_USER may hold letters, digits, _ and - only."
case $MARIADB_USER in root|mysql|mariadb.sys) die "MARIADB_USER may not be $MARIADB_USER: that account is the server's own." ;; esac

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

# A third of the limit: the rest is for connections, temporary tables and the page cache of the kernel.
buffer_pool_size() {
  local limit mib
  if [ -n "${MARIADB_INNODB_BUFFER_POOL_SIZE:-}" ]; then echo "$MARIADB_INNODB_BUFFER_POOL_SIZE"; return; fi
  limit=$(memory_limit)
  [ -n "$limit" ] || { echo 128M; return; }
  mib=$((limit / 1048576 / 3))
  [ "$mib" -ge 32 ] || mib=32
  echo "${mib}M"
}

pool=$(buffer_pool_size)

# What lies on the volume, without our own marks and what file systems and storage drivers leave in a new volume.
contents() {
  find "$data" -mindepth 1 -maxdepth 1 ! -name lost+found ! -name .snapshot ! -name .initialising ! -name .lock "$@"
}

is_volume_empty() {
  [ -z "$(contents -print -quit)" ]
}

initialise() {
  log "Making a new database."
  : > "$unfinished"
  sync "$unfinished" "$data"
  # An empty database made with the image: unpacking takes a moment, making one takes seconds.
  tar --extract --gzip --no-same-owner --file /usr/share/mariadb/empty-database.tar.gz --directory "$data"
  sync --file-system "$data"
  rm "$unfinished"
  sync "$data"
  log "New database made."
}

# Major and minor number: system tables change with these only.
server_version() { mariadbd --no-defaults --version | sed -E 's/.* Ver ([0-9]+\.[0-9]+)\..*/\1/'; }

# System tables of an older server get the columns of this one. The temporary server has no TCP port.
upgrade_if_needed() {
  local have want server tries=0
  have=$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/' "$data/mariadb_upgrade_info" 2>/dev/null || true)
  want=$(server_version)
  [ "$have" != "$want" ] || return 0
  [ "$(printf '%s\n' "$have" "$want" | sort --version-sort | tail -n 1)" = "$want" ] \
    || die "The data is of MariaDB $have, newer than this server ($want). Going back is not possible; not touching it."
  log "System tables are of ${have:-an unknown version}, the server is $want: running mariadb-upgrade."
  mariadbd --datadir="$data" --skip-networking --skip-grant-tables --innodb-buffer-pool-size="$pool" &
  server=$!
  until mariadb --batch --execute='SELECT 1' >/dev/null 2>&1; do
    kill -0 "$server" 2>/dev/null || die "The server ended before its tables could be upgraded."
    tries=$((tries + 1))
    [ "$tries" -le 600 ] || die "The server did not answer within 5 minutes; its tables are not upgraded."
    sleep 0.5
  done
  # Also writes mariadb_upgrade_info; killed half way it simply runs again at the next start.
  mariadb-upgrade --silent
  kill "$server"
  wait "$server" || true
  log "System tables upgraded."
}

quote() { local s=${1//\\/\\\\}; printf "'%s'" "${s//\'/\'\'}"; }

# The accounts as the environment wants them, at every start: a replaced Secret works after a restart.
accounts() {
  local user database_pattern
  user="$(quote "$MARIADB_USER")@'%'"
  # In a grant, _ stands for any letter unless escaped.
  database_pattern=${MARIADB_DATABASE//_/\\_}
  # For maintenance inside the container, by the system's user, without a password. Not reachable over the network.
  echo "CREATE USER IF NOT EXISTS 'mysql'@'localhost' IDENTIFIED VIA unix_socket;"
  echo "GRANT ALL PRIVILEGES ON *.* TO 'mysql'@'localhost' WITH GRANT OPTION;"
  echo "CREATE USER IF NOT EXISTS 'root'@'localhost' IDENTIFIED VIA unix_socket;"
  echo "GRANT ALL PRIVILEGES ON *.* TO 'root'@'localhost' WITH GRANT OPTION;"
  if [ -n "${MARIADB_ROOT_PASSWORD:-}" ]; then
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY $(quote "$MARIADB_ROOT_PASSWORD");"
  else
    echo "ALTER USER 'root'@'localhost' IDENTIFIED VIA unix_socket;"
  fi
  echo "CREATE DATABASE IF NOT EXISTS \`$MARIADB_DATABASE\`;"
  echo "CREATE USER IF NOT EXISTS $user;"
  echo "ALTER USER $user IDENTIFIED BY $(quote "$MARIADB_PASSWORD") ACCOUNT UNLOCK;"
  echo "GRANT ALL PRIVILEGES ON \`$database_pattern\`.* TO $user;"
}

[ -w "$data" ] || die "$data cannot be written by user $(id -u)."
mkdir -p /run/mysqld

# One server per volume, across containers too: a successor that starts early waits until its predecessor has ended.
# The server inherits the lock and holds it as long as it lives.
exec 9>"$data/.lock"
flock --timeout 120 9 || die "Another server still uses this volume."

if [ -e "$unfinished" ]; then
  log "An earlier initialisation was cut off: starting it over from empty."
  contents -exec rm -rf {} +
fi
if is_volume_empty; then
  initialise
elif [ ! -d "$data/mysql" ]; then
  die "$data holds files but no MariaDB database; not touching it."
fi
upgrade_if_needed

# TLS for clients that ask for it. Made here because the server's own (RSA) takes two seconds of every start; clients
# prove it by the password, so it need not be known to anyone or kept.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=mariadb \
  -keyout /run/mysqld/tls.key -out /run/mysqld/tls.crt 2>/dev/null || die "No TLS key could be made."

# Through a pipe, so that the passwords are never in a file. The server reads it before it takes the first connection.
exec 3< <(accounts)
unset MARIADB_ROOT_PASSWORD
log "Starting the server with a buffer pool of $pool."
exec mariadbd --datadir="$data" --innodb-buffer-pool-size="$pool" --init-file=/proc/self/fd/3 "$@"
