<?php
/**
 * True when PHP runs, the database answers and MediaWiki is installed. Does not start MediaWiki: probes come every few seconds.
 */
require '/usr/share/app/environment.php';

header( 'Content-Type: text/plain' );
header( 'Cache-Control: no-store' );
$answer   = 'the database does not answer';
$database = connect_database( 2 );
if ( $database ) {
	// The second table stands only while an installation is unfinished.
	$result = @pg_query( $database, "SELECT to_regclass('mediawiki.page') IS NOT NULL AND to_regclass('public.mediawiki_installation') IS NULL" );
	if ( $result ) {
		$answer = 't' === pg_fetch_result( $result, 0 ) ? 'ok' : 'MediaWiki is not installed yet';
	}
}
if ( 'ok' !== $answer ) {
	http_response_code( 503 );
}
echo $answer, "\n";
