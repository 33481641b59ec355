<?php
/**
 * Plugin Name: Platform
 * Description: What WordPress must know about being hosted: core comes with the image, and the internet may be out of reach.
 */

// The database has answered: short patience with it was set in wp-config.php.
ini_restore( 'default_socket_timeout' );

// Plugins of this kind that a person put on the volume are loaded too; core looks in one folder only.
foreach ( glob( WP_CONTENT_DIR . '/mu-plugins/*.php' ) ?: array() as $platform_file ) {
	require_once $platform_file;
}

// Core cannot be written, so it offers no update of itself and does not ask for one.
add_filter( 'map_meta_cap', fn( $caps, $cap ) => 'update_core' === $cap ? array( 'do_not_allow' ) : $caps, 10, 2 );
add_filter(
	'pre_site_transient_update_core',
	fn() => (object) array(
		'updates'         => array(),
		'version_checked' => get_bloginfo( 'version' ),
		'last_checked'    => time(),
	)
);

// Rewrite rules are in the image's Apache configuration: there is nothing to write into .htaccess and nothing to ask for.
add_filter( 'mod_rewrite_rules', '__return_empty_string' );
add_filter( 'flush_rewrite_rules_hard', '__return_false' );

/** The servers that core asks by itself while a person waits for a page. */
function platform_is_wordpress_org( string $url ): bool {
	return (bool) preg_match( '/(^|\.)wordpress\.org$/', (string) wp_parse_url( $url, PHP_URL_HOST ) );
}

// Short patience while a page is shown (downloads of packages keep theirs), and after a failure none for ten minutes:
// without internet each question would cost seconds.
add_filter(
	'http_request_args',
	function ( $args, $url ) {
		if ( platform_is_wordpress_org( $url ) && empty( $args['stream'] ) && ! wp_doing_cron() ) {
			$args['timeout'] = min( $args['timeout'], 4 );
		}
		return $args;
	},
	100,
	2
);
add_action(
	'http_api_curl',
	function ( $handle ) {
		// Core allows ten seconds.
		curl_setopt( $handle, CURLOPT_CONNECTTIMEOUT, 3 );
	}
);
add_filter(
	'pre_http_request',
	function ( $answer, $args, $url ) {
		if ( false === $answer && platform_is_wordpress_org( $url ) && get_transient( 'platform_no_internet' ) ) {
			return new WP_Error( 'http_request_failed', 'wordpress.org did not answer a moment ago; asking again in some minutes.' );
		}
		return $answer;
	},
	10,
	3
);
add_action(
	'http_api_debug',
	function ( $answer, $context, $class, $args, $url ) {
		if ( is_wp_error( $answer ) && platform_is_wordpress_org( $url ) ) {
			set_transient( 'platform_no_internet', 1, 10 * MINUTE_IN_SECONDS );
		}
	},
	10,
	5
);

// The site calling itself (site health, the file editor): its public name may lead nowhere from inside, the server is right here.
add_filter(
	'pre_http_request',
	function ( $answer, $args, $url ) {
		if ( false !== $answer || ! str_starts_with( $url, WP_HOME . '/' ) ) {
			return $answer;
		}
		$args['headers'] = array_merge(
			is_array( $args['headers'] ) ? $args['headers'] : array(),
			array(
				'Host'              => wp_parse_url( WP_HOME, PHP_URL_HOST ),
				'X-Forwarded-Proto' => wp_parse_url( WP_HOME, PHP_URL_SCHEME ),
			)
		);
		$args['reject_unsafe_urls'] = false;
		return wp_remote_request( 'http://127.0.0.1:8080' . substr( $url, strlen( WP_HOME ) ), $args );
	},
	20,
	3
);
