<?php
/**
 * Runs WordPress' due events by asking the site itself: they need the plugins, and those lie on a volume that only the
 * site's own pod mounts. The answer comes when all events have run.
 */
require '/usr/share/app/environment.php';

$url     = environment( 'WORDPRESS_URL' );
$port    = parse_url( $url, PHP_URL_PORT );
$host    = parse_url( $url, PHP_URL_HOST ) . ( $port ? ":$port" : '' );
$request = curl_init( 'http://' . environment( 'WORDPRESS_SERVICE' ) . '/wp-cron.php' );
curl_setopt_array(
	$request,
	array(
		CURLOPT_HTTPHEADER     => array( "Host: $host", 'X-Forwarded-Proto: ' . parse_url( $url, PHP_URL_SCHEME ) ),
		CURLOPT_CONNECTTIMEOUT => 10,
		CURLOPT_TIMEOUT        => 220,
		CURLOPT_RETURNTRANSFER => true,
		CURLOPT_PROXY          => '',
	)
);
// A pod that is just being replaced refuses for some seconds.
for ( $attempt = 1; ; $attempt++ ) {
	curl_exec( $request );
	$status = curl_getinfo( $request, CURLINFO_RESPONSE_CODE );
	if ( 0 !== $status || $attempt >= 5 ) {
		break;
	}
	sleep( 3 );
}
if ( 200 !== $status ) {
	say( 'wp-cron.php ' . ( 0 === $status ? 'could not be called: ' . curl_error( $request ) : "answered $status" ) );
	exit( 1 );
}
