<?php
/**
 * True when PHP runs, the database answers and WordPress is installed. Does not start WordPress: probes come every few seconds.
 */
require '/usr/share/app/environment.php';

header( 'Content-Type: text/plain' );
header( 'Cache-Control: no-store' );
try {
	$database = connect_database( 2 );
	// The second table stands only while an installation is unfinished.
	$row = $database->query(
		"SELECT (SELECT COUNT(*) FROM wp_options WHERE option_name = 'siteurl'),
		        (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'wp_installation')"
	)->fetch_row();
	$answer = array( '1', '0' ) === array_map( 'strval', $row ) ? 'ok' : 'WordPress is not installed yet';
} catch ( mysqli_sql_exception $exception ) {
	// 1146: there is no such table.
	$answer = 1146 === $exception->getCode() ? 'WordPress is not installed yet' : 'the database does not answer';
}
if ( 'ok' !== $answer ) {
	http_response_code( 503 );
}
echo $answer, "\n";
