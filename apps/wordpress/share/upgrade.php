<?php
/**
 * Brings the tables to the form that the image's WordPress wants. Does nothing when they have it already.
 */
require '/usr/share/app/environment.php';

wait_for_database( 240 ) || exit( 1 );

// Plugins are not loaded then: a broken one cannot stop the upgrade.
define( 'WP_INSTALLING', true );
$_SERVER['HTTP_HOST'] = parse_url( environment( 'WORDPRESS_URL' ), PHP_URL_HOST );
require '/usr/share/wordpress/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';

if ( ! is_blog_installed() ) {
	say( 'WordPress is not installed: nothing to upgrade.' );
	exit( 0 );
}
$before = (int) get_option( 'db_version' );
if ( $before > (int) $GLOBALS['wp_db_version'] ) {
	say( "The tables are of a newer WordPress ($before) than the image ({$GLOBALS['wp_db_version']})." );
	exit( 1 );
}
wp_upgrade();
wp_cache_flush();
$after = (int) get_option( 'db_version' );
say( $before === $after ? "The tables are up to date ($after)." : "Tables upgraded from $before to $after, for WordPress {$GLOBALS['wp_version']}." );
exit( $after === (int) $GLOBALS['wp_db_version'] ? 0 : 1 );
