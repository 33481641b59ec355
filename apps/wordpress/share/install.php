<?php
/**
 * Makes the tables and the first administrator. May run any number of times: an installed site is left alone, an
 * installation that was cut off starts over. Prints nothing secret.
 */
require '/usr/share/app/environment.php';

/** Core would mail the address of the new site; there is no mail server, and the platform tells it. */
function wp_new_blog_notification() {}

// A list of statements, not a transaction: MariaDB commits at each CREATE TABLE. So a table marks the time in between.
$marker = 'wp_installation';

wait_for_database( 240 ) || exit( 1 );
$database = connect_database( 60 );
// Two jobs at once: the second waits for the first. Freed when this process ends.
if ( '1' !== (string) $database->query( "SELECT GET_LOCK('wordpress installation', 60)" )->fetch_row()[0] ) {
	say( 'Another installation is still running.' );
	exit( 1 );
}

$tables = array_column( $database->query( "SHOW TABLES LIKE 'wp\\_%'" )->fetch_all(), 0 );
if ( in_array( $marker, $tables, true ) ) {
	say( 'An earlier installation was cut off: starting it over from empty.' );
	foreach ( $tables as $table ) {
		if ( $table !== $marker ) {
			$database->query( "DROP TABLE `$table`" );
		}
	}
} elseif ( in_array( 'wp_options', $tables, true ) ) {
	say( 'WordPress is installed already.' );
	exit( 0 );
}
$database->query( "CREATE TABLE IF NOT EXISTS `$marker` (begun TIMESTAMP DEFAULT CURRENT_TIMESTAMP)" );

define( 'WP_INSTALLING', true );
$_SERVER['HTTP_HOST'] = parse_url( environment( 'WORDPRESS_URL' ), PHP_URL_HOST );
require '/usr/share/wordpress/wp-load.php';
require_once ABSPATH . 'wp-admin/includes/upgrade.php';
require_once ABSPATH . 'wp-admin/includes/translation-install.php';

$language = environment( 'WORDPRESS_LANGUAGE', 'en_US' );
if ( 'en_US' !== $language && ! in_array( $language, get_available_languages(), true ) ) {
	say( "There is no translation for $language; the site starts in English." );
	$language = 'en_US';
}
load_default_textdomain( $language );
$GLOBALS['wp_locale'] = new WP_Locale();

// Core would find out by calling the site over the network whether permalinks work; they do, the image is made for them.
$permalinks = '/%postname%/';
add_filter( 'pre_option_permalink_structure', fn() => $permalinks );

wp_install(
	environment( 'WORDPRESS_TITLE', environment( 'ORGANIZATION_NAME', 'WordPress' ) ),
	environment( 'ADMIN_USER', 'admin' ),
	environment( 'ADMIN_EMAIL', 'admin@' . $_SERVER['HTTP_HOST'] ),
	true,
	'',
	wp_slash( environment( 'ADMIN_PASSWORD' ) ),
	'en_US' === $language ? '' : $language
);
remove_all_filters( 'pre_option_permalink_structure' );
$GLOBALS['wp_rewrite']->set_permalink_structure( $permalinks );
$GLOBALS['wp_rewrite']->flush_rules( false );
if ( ! username_exists( environment( 'ADMIN_USER', 'admin' ) ) ) {
	say( 'The administrator could not be made.' );
	exit( 1 );
}

$database->query( "DROP TABLE `$marker`" );
say( 'WordPress ' . $GLOBALS['wp_version'] . ' is installed.' );
