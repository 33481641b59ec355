#!/bin/bash
# True only when the final server answers a query of the app's user over TCP. During initialisation and upgrade the
# server has no TCP port, so those states are never taken for health.
set -eu
# In the environment, not in the arguments: arguments can be seen in the process list.
export MYSQL_PWD="$MARIADB_PASSWORD"
# No TLS on the loopback: a handshake for each probe would cost more than the probe.
exec timeout 5 mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --skip-ssl --connect-timeout=3 \
  --user="$MARIADB_USER" --skip-column-names --batch --execute='SELECT 1' "$MARIADB_DATABASE" >/dev/null
