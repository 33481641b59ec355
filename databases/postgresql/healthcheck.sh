#!/bin/bash
# True only when the final server answers a query of the app's user over TCP. During initialisation and while passwords are
# aligned there is no TCP port, so those states are never taken for health.
set -eu
# In the environment, not in the arguments: arguments can be seen in the process list. No TLS on the loopback.
PGPASSWORD=$POSTGRES_PASSWORD PGCONNECT_TIMEOUT=3 PGSSLMODE=disable \
  exec timeout 5 psql --no-psqlrc --quiet --tuples-only --host=127.0.0.1 --username="$POSTGRES_USER" \
    --dbname="${POSTGRES_DB:-$POSTGRES_USER}" --command='SELECT 1' >/dev/null
