<?php
/**
 * Reading the environment, and waiting for the database: for MediaWiki's settings, the health page and the jobs.
 */

/** A variable that must be there unless it has a default. */
function environment( string $name, ?string $default = null ): string {
	$value = getenv( $name );
	if ( false !== $value && '' !== $value ) {
		return $value;
	}
	if ( null !== $default ) {
		return $default;
	}
	if ( 'cli' !== PHP_SAPI ) {
		http_response_code( 503 );
	}
	error_log( "The environment variable $name is empty: it must be set." );
	exit( 1 );
}

/**
 * The address that the visitor has typed: customers lead names of their own here. Only the gateway can connect, and it
 * lets in nobody under a name that is not proven. Who comes by another way (probes, jobs) is given the usual one.
 */
function visitors_url( string $usual ): string {
	$host   = $_SERVER['HTTP_HOST'] ?? '';
	$scheme = $_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '';
	$is_one = 1 === preg_match( '/^[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?$/i', $host );
	return $is_one && 'https' === $scheme ? 'https://' . strtolower( $host ) : rtrim( $usual, '/' );
}

/** A connection of its own, without MediaWiki. Null when there is none; the reason is then in $reason. */
function connect_database( int $seconds, string &$reason = '' ): ?\PgSql\Connection {
	$quote   = fn( string $value ) => "'" . addcslashes( $value, "'\\" ) . "'";
	$options = array(
		'host'            => environment( 'DATABASE_HOST' ),
		'port'            => environment( 'DATABASE_PORT', '5432' ),
		'dbname'          => environment( 'DATABASE_NAME' ),
		'user'            => environment( 'DATABASE_USER' ),
		'password'        => environment( 'DATABASE_PASSWORD' ),
		'connect_timeout' => (string) $seconds,
		// A server that has gone without a word is noticed.
		'tcp_user_timeout' => (string) ( $seconds * 1000 ),
	);
	$text = implode( ' ', array_map( fn( $key ) => $key . '=' . $quote( $options[ $key ] ), array_keys( $options ) ) );
	set_error_handler(
		function ( int $level, string $message ) use ( &$reason ): bool {
			$reason = trim( preg_replace( '/^.*?:\s*/', '', strtok( $message, "\n" ) ) );
			return true;
		}
	);
	$database = pg_connect( $text, PGSQL_CONNECT_FORCE_NEW );
	restore_error_handler();
	return $database ?: null;
}

function say( string $line ): void {
	fwrite( STDERR, gmdate( 'Y-m-d\TH:i:s\Z' ) . " [app] $line\n" );
}

/** Returns when the database answers; false when it has not within the given time. One line at the start, one per reason, one at the end. */
function wait_for_database( int $seconds ): bool {
	$where = environment( 'DATABASE_HOST' ) . ':' . environment( 'DATABASE_PORT', '5432' );
	$until = time() + $seconds;
	$told  = '';
	for ( ;; ) {
		$reason   = '';
		$database = connect_database( 5, $reason );
		if ( $database ) {
			pg_close( $database );
			if ( '' !== $told ) {
				say( "The database at $where answers." );
			}
			return true;
		}
		if ( $reason !== $told ) {
			$told = $reason;
			say( "Waiting for the database at $where: $told" );
		}
		if ( time() >= $until ) {
			say( "The database at $where did not answer within $seconds seconds." );
			return false;
		}
		usleep( 500000 );
	}
}
