<?php
/**
 * Makes the tables and the first administrator. May run any number of times: an installed wiki is left alone, an
 * installation that was cut off starts over. Prints nothing secret.
 */
require '/usr/share/app/environment.php';

wait_for_database( 240 ) || exit( 1 );
$database = connect_database( 10 ) ?? exit( 1 );
$ask = fn( string $query ) => pg_fetch_result( pg_query( $database, $query ), 0 );

// Two jobs at once: the second waits for the first. Freed when this process ends.
pg_query( $database, "SET statement_timeout = '120s'" );
$ask( "SELECT pg_advisory_lock(hashtext('mediawiki installation'))" );

// The installer is not one transaction, so a table marks the time in between.
if ( 't' === $ask( "SELECT to_regclass('public.mediawiki_installation') IS NOT NULL" ) ) {
	say( 'An earlier installation was cut off: starting it over from empty.' );
	pg_query( $database, "SET client_min_messages = warning; DROP SCHEMA IF EXISTS mediawiki CASCADE" );
} elseif ( 't' === $ask( "SELECT to_regclass('mediawiki.page') IS NOT NULL" ) ) {
	say( 'MediaWiki is installed already.' );
	exit( 0 );
}
pg_query( $database, 'CREATE TABLE IF NOT EXISTS public.mediawiki_installation (begun timestamptz DEFAULT now())' );

// Passwords go through files of this job, not through arguments: those can be seen in the process list.
umask( 0077 );
$folder = '/tmp/installation';
is_dir( $folder ) || mkdir( $folder );
file_put_contents( "$folder/database", environment( 'DATABASE_PASSWORD' ) );
file_put_contents( "$folder/administrator", environment( 'ADMIN_PASSWORD' ) );

$command = array(
	// The installer refuses where settings exist; the ones it writes are thrown away.
	'env', '--unset=MW_CONFIG_FILE',
	'php', '/usr/share/mediawiki/maintenance/run.php', 'install',
	'--dbtype=postgres',
	'--dbserver=' . environment( 'DATABASE_HOST' ),
	'--dbport=' . environment( 'DATABASE_PORT', '5432' ),
	'--dbname=' . environment( 'DATABASE_NAME' ),
	'--dbuser=' . environment( 'DATABASE_USER' ),
	"--dbpassfile=$folder/database",
	'--dbschema=mediawiki',
	'--server=' . rtrim( environment( 'MEDIAWIKI_URL' ), '/' ),
	'--scriptpath=',
	'--lang=' . environment( 'MEDIAWIKI_LANGUAGE', 'en' ),
	"--passfile=$folder/administrator",
	"--confpath=$folder",
	environment( 'MEDIAWIKI_TITLE', environment( 'ORGANIZATION_NAME', 'Wiki' ) ),
	environment( 'ADMIN_USER', 'Admin' ),
);
// Quiet unless it fails.
$process = proc_open( $command, array( 1 => array( 'file', "$folder/log", 'w' ), 2 => array( 'redirect', 1 ) ), $pipes );
$status  = proc_close( $process );
if ( 0 !== $status ) {
	say( "The installer ended with $status:" );
	fwrite( STDERR, str_replace( array( environment( 'DATABASE_PASSWORD' ), environment( 'ADMIN_PASSWORD' ) ), '***', file_get_contents( "$folder/log" ) ) );
}
array_map( 'unlink', glob( "$folder/*" ) );
if ( 0 !== $status ) {
	exit( 1 );
}

pg_query( $database, 'DROP TABLE public.mediawiki_installation' );
say( 'MediaWiki is installed.' );
