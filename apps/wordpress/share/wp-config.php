<?php
/**
 * WordPress' settings, all from the environment. Nothing is kept on disk, so a replaced Secret works after a restart.
 */
require_once '/usr/share/app/environment.php';

define( 'DB_NAME', environment( 'DATABASE_NAME' ) );
define( 'DB_USER', environment( 'DATABASE_USER' ) );
define( 'DB_PASSWORD', environment( 'DATABASE_PASSWORD' ) );
define( 'DB_HOST', environment( 'DATABASE_HOST' ) . ':' . environment( 'DATABASE_PORT', '3306' ) );
define( 'DB_CHARSET', 'utf8mb4' );
define( 'DB_COLLATE', '' );
$table_prefix = 'wp_';

// One secret, eight independent keys.
foreach ( array( 'AUTH', 'SECURE_AUTH', 'LOGGED_IN', 'NONCE' ) as $name ) {
	define( $name . '_KEY', hash_hmac( 'sha256', $name . '_KEY', environment( 'WORDPRESS_SALT' ) ) );
	define( $name . '_SALT', hash_hmac( 'sha256', $name . '_SALT', environment( 'WORDPRESS_SALT' ) ) );
}

define( 'WP_HOME', visitors_url( environment( 'WORDPRESS_URL' ) ) );
define( 'WP_SITEURL', WP_HOME );
define( 'FORCE_SSL_ADMIN', str_starts_with( WP_HOME, 'https://' ) );
// TLS ends at the gateway, and nobody but the gateway can connect, so its word is enough.
if ( 'https' === ( $_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '' ) ) {
	$_SERVER['HTTPS']       = 'on';
	$_SERVER['SERVER_PORT'] = '443';
}

define( 'WP_CONTENT_DIR', '/var/lib/wordpress/wp-content' );
define( 'WP_CONTENT_URL', WP_HOME . '/wp-content' );
define( 'WPMU_PLUGIN_DIR', '/usr/share/app/mu-plugins' );
define( 'WP_TEMP_DIR', '/tmp' );

// Plugins and themes are written by the server itself; core comes with the image and cannot be written.
define( 'FS_METHOD', 'direct' );
define( 'WP_AUTO_UPDATE_CORE', false );
// A periodic job calls wp-cron.php, so that no visitor waits for it.
define( 'DISABLE_WP_CRON', true );
define( 'WP_DEBUG', false );
define( 'WP_DEBUG_DISPLAY', false );

// A visitor of a site without a database is told so soon. What WordPress asks of others has its usual patience again
// when the database has answered (mu-plugins/platform.php).
ini_set( 'default_socket_timeout', '3' );

if ( ! defined( 'ABSPATH' ) ) {
	define( 'ABSPATH', '/usr/share/wordpress/' );
}
require_once ABSPATH . 'wp-settings.php';
