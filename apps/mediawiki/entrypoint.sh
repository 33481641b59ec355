#!/bin/sh
# One word says what to do: serve (default), install, upgrade, cron; anything else is run as it is.
# Everything is read from the environment (see README.md); nothing but uploads is kept.
set -eu

# The texts of the interface; they can be made again at any time.
export MEDIAWIKI_TEXTS=/tmp/mediawiki-texts

# The container's memory limit in MiB, or nothing: cgroup v2, then v1 (where "no limit" is a huge number).
memory_limit() {
  for file in /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes; do
    [ -r "$file" ] || continue
    value=$(cat "$file")
    case $value in *[!0-9]*|??????????????*) ;; *) echo $((value / 1048576)) ;; esac
    return
  done
}

# A worker's PHP takes about 40 MiB of its own; 200 are for the shared caches and the server.
workers() {
  limit=$(memory_limit)
  count=$(( (${limit:-1024} - 200) / 40 ))
  [ "$count" -ge 4 ] || count=4
  [ "$count" -le 48 ] || count=48
  echo "$count"
}

# What Apache is started with so that people sign in at the platform; nothing when it gave no credentials. Half of them is a
# mistake: MediaWiki's own form in place of the platform's must be somebody's wish.
sso_define() {
  given= missing=
  for name in OIDC_ISSUER OIDC_BACKCHANNEL OIDC_CLIENT_ID OIDC_CLIENT_SECRET; do
    eval "value=\${$name:-}"
    if [ -n "$value" ]; then given=$name; else missing=$name; fi
  done
  [ -n "$given" ] || return 0
  if [ -n "$missing" ]; then
    echo "The environment variable $missing is empty, and $given is not: people sign in by all four OIDC_ variables, or by none." >&2
    return 1
  fi
  echo "-D SSO"
}

case ${1:-serve} in
  serve)
    mkdir -p /var/lib/mediawiki/images /run/apache2
    # Made with the image; here MediaWiki can add to them.
    cp -r /usr/share/app/texts "$MEDIAWIKI_TEXTS.new"
    rm -rf "$MEDIAWIKI_TEXTS"
    mv "$MEDIAWIKI_TEXTS.new" "$MEDIAWIKI_TEXTS"
    # Only the installation needs it.
    unset ADMIN_PASSWORD
    rm -f /run/apache2/apache2.pid
    sso=$(sso_define)
    if [ -n "$sso" ]; then
      # Of the state that a browser carries through a sign-in.
      SSO_PASSPHRASE=$(php -r 'require "/usr/share/app/environment.php"; echo hash_hmac("sha256", "SSO_PASSPHRASE", environment("MEDIAWIKI_SECRET"));')
      export SSO_PASSPHRASE
    fi
    # Seconds: a visitor of a site without a database is told so soon.
    export PGCONNECT_TIMEOUT=3
    APACHE_WORKERS=${APACHE_WORKERS:-$(workers)}
    export APACHE_WORKERS
    # The server starts at once and its health is false until the database answers; this only tells why in the log.
    php /usr/share/app/wait.php 86400 &
    # Two words, or none.
    # shellcheck disable=SC2086
    exec apache2 -D FOREGROUND $sso
    ;;
  install)
    exec php /usr/share/app/install.php
    ;;
  upgrade)
    php /usr/share/app/wait.php 240
    mkdir -p "$MEDIAWIKI_TEXTS"
    exec php /usr/share/mediawiki/maintenance/run.php update --quick
    ;;
  cron)
    php /usr/share/app/wait.php 60
    mkdir -p "$MEDIAWIKI_TEXTS"
    cp -r /usr/share/app/texts/. "$MEDIAWIKI_TEXTS"
    exec php /usr/share/mediawiki/maintenance/run.php runJobs --maxtime 200 --memory-limit 200M
    ;;
  *)
    exec "$@"
    ;;
esac
