<?php
/**
 * Reading the environment, and waiting for the database: for WordPress' settings, the health page and the jobs.
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

/** A connection of its own, without WordPress. Throws mysqli_sql_exception. */
function connect_database( int $seconds ): mysqli {
	mysqli_report( MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT );
	$database = mysqli_init();
	$database->options( MYSQLI_OPT_CONNECT_TIMEOUT, $seconds );
	$database->options( MYSQLI_OPT_READ_TIMEOUT, $seconds );
	// Port and database as WordPress uses them. Warnings of the socket are told by the exception already.
	@$database->real_connect(
		environment( 'DATABASE_HOST' ),
		environment( 'DATABASE_USER' ),
		environment( 'DATABASE_PASSWORD' ),
		environment( 'DATABASE_NAME' ),
		(int) environment( 'DATABASE_PORT', '3306' )
	);
	return $database;
}

function say( string $line ): void {
	fwrite( STDERR, gmdate( 'Y-m-d\TH:i:s\Z' ) . " [app] $line\n" );
}

/** Returns when the database answers; false when it has not within the given time. One line at the start, one per reason, one at the end. */
function wait_for_database( int $seconds ): bool {
	$where = environment( 'DATABASE_HOST' ) . ':' . environment( 'DATABASE_PORT', '3306' );
	$until = time() + $seconds;
	$told  = '';
	for ( ;; ) {
		try {
			connect_database( 5 )->close();
			if ( '' !== $told ) {
				say( "The database at $where answers." );
			}
			return true;
		} catch ( mysqli_sql_exception $exception ) {
			if ( $exception->getMessage() !== $told ) {
				$told = $exception->getMessage();
				say( "Waiting for the database at $where: $told" );
			}
		}
		if ( time() >= $until ) {
			say( "The database at $where did not answer within $seconds seconds." );
			return false;
		}
		usleep( 500000 );
	}
}
