<?php
/**
 * Somebody comes from the platform's sign-in: the person becomes a user of WordPress, with the role that they have in the
 * organization, and is signed in. mod_auth_openidc lets nobody else in here. What it passes on is the ID token that it has
 * verified, in a variable of the server; no header of a visitor comes under such a name.
 */
require '/usr/share/wordpress/wp-load.php';

define( 'SSO_ID_TOKEN', (string) ( $_SERVER['OIDC_id_token'] ?? '' ) );

/** WordPress' role for a role in the organization. */
const SSO_ROLES = array(
	'Member'      => 'author',
	'Power User'  => 'editor',
	'Admin'       => 'administrator',
	'Super Admin' => 'administrator',
);

/** Roles are read at a sign-in, so a session is no longer than a working day. Renewing it asks nobody for anything. */
const SSO_SESSION = 12 * HOUR_IN_SECONDS;

/** Text that the ID token says of the person; empty when it does not. */
function sso_claim( string $name ): string {
	static $claims = null;
	if ( null === $claims ) {
		$payload = explode( '.', SSO_ID_TOKEN )[1] ?? '';
		$claims  = (array) json_decode( (string) base64_decode( strtr( $payload, '-_', '+/' ) ), true );
	}
	$value = $claims[ $name ] ?? '';
	return is_string( $value ) || is_bool( $value ) ? trim( (string) $value ) : '';
}

/** Says what is wrong and what to do, and ends. */
function sso_refuse( string $why, int $status = 403 ): void {
	error_log( 'sign-in of ' . sso_claim( 'sub' ) . ": $why" );
	wp_die(
		esc_html( $why ) . '<p>' . sprintf( 'You can <a href="%s">try again</a> or go <a href="%s">back to the site</a>.', esc_url( wp_login_url() ), esc_url( home_url( '/' ) ) ) . '</p>',
		'You are not signed in',
		array( 'response' => $status )
	);
}

/** WordPress' name of a language that people are told to like: `de` is de_DE where that is installed. Empty when there is none. */
function sso_locale( string $language ): string {
	if ( 'en' === $language ) {
		return 'en_US';
	}
	$installed = get_available_languages();
	$likely    = array( $language, $language . '_' . strtoupper( $language ) );
	$fitting   = preg_grep( '/^' . preg_quote( $language, '/' ) . '(_|$)/', $installed );
	return (string) current( array_merge( array_intersect( $likely, $installed ), $fitting ) );
}

/** The user of a person. The database compares without regard to case, so the answer is compared once more. */
function sso_user_of( string $subject ): ?WP_User {
	$found = get_users(
		array(
			'meta_key'   => SSO_SUBJECT,
			'meta_value' => $subject,
		)
	);
	foreach ( $found as $user ) {
		if ( $subject === get_user_meta( $user->ID, SSO_SUBJECT, true ) ) {
			return $user;
		}
	}
	return null;
}

/** A user name that nobody has; it is seen in addresses of pages, so it is made of the name and not of the e-mail address. */
function sso_free_login( string $name ): string {
	$base  = substr( sanitize_title( remove_accents( $name ) ), 0, 40 );
	$base  = 1 === preg_match( '/^[a-z0-9-]+$/', $base ) ? $base : 'person';
	$login = $base;
	for ( $number = 2; username_exists( $login ); $number++ ) {
		$login = "$base-$number";
	}
	return $login;
}

/**
 * An account that somebody had here before people came from the platform becomes theirs by their confirmed e-mail address:
 * who reads the mail of an account could always set its password. Never so
 * - an account that belongs to another person: an address that is given to somebody else takes nothing along;
 * - the administrator of the installation, which is for when nobody can sign in, and nobody's.
 * Who made it may have known the victim's address and be waiting for it to be worth something: so its password, its
 * sessions and its application passwords end. The role comes from the organization, as always.
 */
function sso_adopt( string $email ): ?WP_User {
	$user = get_user_by( 'email', $email );
	if ( ! $user || sso_is_person( $user->ID ) || environment( 'ADMIN_USER', 'admin' ) === $user->user_login ) {
		return null;
	}
	wp_set_password( wp_generate_password( 64 ), $user->ID );
	WP_Session_Tokens::get_instance( $user->ID )->destroy_all();
	WP_Application_Passwords::delete_all_application_passwords( $user->ID );
	return $user;
}

/** Addresses are the platform's to give: whoever else has this one here has it no more. */
function sso_free_email( string $email, int $keeper ): void {
	$holder = get_user_by( 'email', $email );
	if ( $holder && $holder->ID !== $keeper ) {
		$GLOBALS['wpdb']->update( $GLOBALS['wpdb']->users, array( 'user_email' => '' ), array( 'ID' => $holder->ID ) );
		clean_user_cache( $holder );
	}
}

/** Finds, adopts or makes the user of a person, and brings it to what the platform says of them. */
function sso_user( string $subject, string $role ): WP_User|WP_Error {
	$email = '1' === sso_claim( 'email_verified' ) && is_email( sso_claim( 'email' ) ) ? sso_claim( 'email' ) : '';
	$name  = sso_claim( 'name' );
	$user  = sso_user_of( $subject ) ?? ( '' === $email ? null : sso_adopt( $email ) );
	if ( '' !== $email ) {
		sso_free_email( $email, $user ? $user->ID : 0 );
	}
	// Before all else: whatever comes between, the account stays this person's.
	if ( $user ) {
		update_user_meta( $user->ID, SSO_SUBJECT, $subject );
	}
	$wanted = array_filter(
		array(
			'user_email'   => $email,
			'display_name' => $name,
			'nickname'     => $name,
			'locale'       => sso_locale( sso_claim( 'locale' ) ),
			'role'         => $role,
		)
	);
	$has    = fn( $field ) => 'role' === $field ? implode( ' ', $user->roles ) : (string) $user->get( $field );
	if ( $user && ! array_filter( $wanted, fn( $value, $field ) => $has( $field ) !== $value, ARRAY_FILTER_USE_BOTH ) ) {
		return $user;
	}
	// The platform has told them of their new address already.
	add_filter( 'send_email_change_email', '__return_false' );
	$given = $user ? array( 'ID' => $user->ID ) : array(
		'user_login' => sso_free_login( $name ),
		'user_pass'  => wp_generate_password( 64 ),
		'meta_input' => array( SSO_SUBJECT => $subject ),
	);
	$saved = $user ? wp_update_user( wp_slash( $given + $wanted ) ) : wp_insert_user( wp_slash( $given + $wanted ) );
	if ( is_wp_error( $saved ) ) {
		return $saved;
	}
	return get_user_by( 'id', $saved );
}

$sso_subject = sso_claim( 'sub' );
$sso_role    = SSO_ROLES[ sso_claim( 'role' ) ] ?? '';
if ( '' === $sso_subject || '' === $sso_role ) {
	sso_refuse( 'The platform does not say which role you have here. Ask an administrator of your organization to look at your role.' );
}

// Two tabs of somebody who comes for the first time make one user. Freed with the connection.
$wpdb->get_var( "SELECT GET_LOCK('sign-in', 10)" );
$sso_user = sso_user( $sso_subject, $sso_role );
$wpdb->get_var( "SELECT RELEASE_LOCK('sign-in')" );
if ( is_wp_error( $sso_user ) ) {
	sso_refuse( 'WordPress could not make your account: ' . $sso_user->get_error_message(), 500 );
}

// A session that this browser had is replaced, whoever's it was. The new one knows what it takes to sign out.
wp_destroy_current_session();
add_filter( 'attach_session_information', fn( $session ) => $session + array( 'id_token' => SSO_ID_TOKEN ) );
add_filter( 'auth_cookie_expiration', fn() => SSO_SESSION );
wp_set_current_user( $sso_user->ID );
wp_set_auth_cookie( $sso_user->ID );
do_action( 'wp_login', $sso_user->user_login, $sso_user );

// The next sign-in asks the platform anew.
setcookie( '__Host-sso', '', array( 'expires' => 1, 'path' => '/', 'secure' => true, 'httponly' => true, 'samesite' => 'Lax' ) );
nocache_headers();
$sso_target = $_GET['redirect_to'] ?? '';
wp_safe_redirect( is_string( $sso_target ) && '' !== $sso_target ? wp_validate_redirect( wp_unslash( $sso_target ), admin_url() ) : admin_url() );
