#!/bin/bash
# Runs while the image is built: makes an empty database and packs it, so that a first start unpacks a file in a moment
# instead of running some thousand statements for seconds. Nothing in it is secret or unique; there are no accounts
# except root and mariadb.sys on the socket.
set -eu
data=$(mktemp -d)
chown mysql:mysql "$data"
{
  # Bootstrap reads one statement per line. The help texts are left out: 2 MB of SQL nobody reads.
  printf '%s\n' 'CREATE DATABASE mysql;' 'USE mysql;'
  cat /usr/share/mariadb/mariadb_system_tables.sql /usr/share/mariadb/mariadb_performance_tables.sql \
      /usr/share/mariadb/mariadb_system_tables_data.sql /usr/share/mariadb/maria_add_gis_sp_bootstrap.sql \
      /usr/share/mariadb/mariadb_sys_schema.sql
  # The builder's host name, and accounts without a name.
  printf '%s\n' "DELETE FROM mysql.global_priv WHERE Host <> 'localhost' OR User = '';" \
                "DELETE FROM mysql.proxies_priv WHERE Host <> 'localhost';" \
                "DELETE FROM mysql.db;"
} | mariadbd --bootstrap --user=mysql --datadir="$data" --innodb-flush-method=nosync --log-warnings=0 \
             --max-allowed-packet=8M --net-buffer-length=16K
[ -d "$data/mysql" ]
mariadbd --no-defaults --version | sed -E 's/.* Ver ([0-9.]+-MariaDB).*/\1/' | tr -d '\n' > "$data/mariadb_upgrade_info"
# The buffer pool's dump is of no use, and logs of a clean shutdown hold nothing but their size.
rm -f "$data/ib_buffer_pool"
# MariaDB writes its files full of zeros; as holes they unpack in a tenth of the time. The folder itself is left out of
# the archive: the volume's root is not ours to change.
cp --archive --sparse=always "$data" "$data.sparse"
cd "$data.sparse"
find . -mindepth 1 -maxdepth 1 -print0 \
  | tar --create --sparse --gzip --file /usr/share/mariadb/empty-database.tar.gz --null --files-from -
cd /
rm -rf "$data" "$data.sparse"
