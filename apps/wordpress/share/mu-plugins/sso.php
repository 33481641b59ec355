<?php
/**
 * Plugin Name: Sign-in
 * Description: People sign in and out at the platform. WordPress' own form stays for when nobody can, where a setting says so.
 */

if ( '' === environment( 'OIDC_ISSUER', '' ) ) {
	return;
}

/** The user meta that holds a person's identifier (`sub`). */
const SSO_SUBJECT = 'tutti_subject';

/** The longest address to come back to; it goes along in a cookie. */
const SSO_LONGEST_TARGET = 1000;

function sso_has_local_login(): bool {
	return 'on' === environment( 'WORDPRESS_LOCAL_LOGIN', 'off' );
}

/** Whether this request is for WordPress' own form, and may be. */
function sso_is_local(): bool {
	return sso_has_local_login() && '1' === ( $_REQUEST['local'] ?? '' );
}

/** To the platform and back to share/sign-in.php, which signs in; it looks at `redirect_to`. */
function sso_lead_to_sign_in(): void {
	$target = wp_unslash( $_REQUEST['redirect_to'] ?? '' );
	$query  = ! is_string( $target ) || '' === $target || strlen( $target ) > SSO_LONGEST_TARGET ? '' : '?redirect_to=' . rawurlencode( $target );
	wp_safe_redirect( home_url( "/sso/sign-in$query" ) );
	exit;
}

// Both end at the form.
foreach ( array( 'login', WP_Recovery_Mode_Link_Service::LOGIN_ACTION_ENTERED ) as $sso_action ) {
	add_action( "login_form_$sso_action", fn() => sso_is_local() || sso_lead_to_sign_in() );
}
// Passwords are the platform's: there is none to set here, and nobody registers.
foreach ( array( 'register', 'lostpassword', 'retrievepassword', 'resetpass', 'rp', 'checkemail' ) as $sso_action ) {
	add_action( "login_form_$sso_action", fn() => sso_has_local_login() || sso_lead_to_sign_in() );
}
// The form sends itself to an address of its own.
add_action(
	'login_form',
	function () {
		if ( sso_is_local() ) {
			echo '<input type="hidden" name="local" value="1">';
		}
	}
);
/** Whether a user comes from the platform. */
function sso_is_person( int $user_id ): bool {
	return '' !== (string) get_user_meta( $user_id, SSO_SUBJECT, true );
}
/** What is said to a password that does not count. */
function sso_password_refused(): WP_Error {
	return new WP_Error( 'sso_password', 'People sign in at the platform: no password counts here.' );
}
// They can give themselves a password by REST. It would outlive their place in the organization, so it opens nothing:
// no form of a plugin, and not XML-RPC. Application passwords, which are for programs, are not asked here.
add_filter( 'wp_authenticate_user', fn( $user ) => $user instanceof WP_User && sso_is_person( $user->ID ) ? sso_password_refused() : $user, 100 );
// Whatever leads to the form that is closed, such as an action of a plugin's.
add_filter( 'authenticate', fn( $user ) => $user instanceof WP_User && did_action( 'login_init' ) && ! sso_is_local() ? sso_password_refused() : $user, 100 );
add_filter( 'show_password_fields', fn( $show, $user ) => $show && ! sso_is_person( $user->ID ), 10, 2 );
add_filter( 'allow_password_reset', fn( $allow, $user_id ) => $allow && ! sso_is_person( $user_id ), 10, 2 );
// A session that has ended shows a link to the sign-in; the platform's page opens in no frame.
add_filter( 'wp_auth_check_same_domain', '__return_false' );

/** Where the platform ends sessions, as it says; empty when it does not answer. */
function sso_end_session_endpoint(): string {
	// A site may move to another platform, with what its database keeps.
	$name = 'sso_end_session_' . md5( environment( 'OIDC_ISSUER' ) );
	$kept = get_transient( $name );
	if ( is_string( $kept ) ) {
		return $kept;
	}
	$answer   = wp_remote_get( environment( 'OIDC_BACKCHANNEL' ) . '/.well-known/openid-configuration', array( 'timeout' => 5 ) );
	$document = json_decode( wp_remote_retrieve_body( $answer ), true );
	$endpoint = (string) ( $document['end_session_endpoint'] ?? '' );
	if ( '' !== $endpoint ) {
		set_transient( $name, $endpoint, HOUR_IN_SECONDS );
	}
	return $endpoint;
}

/** What a browser's session knows of a sign-in: the token by which it began. Nothing when it began otherwise. */
function sso_session_knows( int $user_id ): array {
	$session = WP_Session_Tokens::get_instance( $user_id )->get( wp_get_session_token() );
	return array_intersect_key( (array) $session, array( 'id_token' => true ) );
}
// Core begins another session when somebody changes their account.
add_filter( 'attach_session_information', fn( $session, $user_id ) => $session + sso_session_knows( $user_id ), 10, 2 );

// Who signs out here signs out of the platform, if they came from there, and stands before the site. The session knows
// by which token, and is gone when WordPress asks where to go.
add_action(
	'login_form_logout',
	function () {
		$id_token = (string) ( sso_session_knows( get_current_user_id() )['id_token'] ?? '' );
		add_filter(
			'logout_redirect',
			function () use ( $id_token ) {
				$endpoint = '' === $id_token ? '' : sso_end_session_endpoint();
				if ( '' === $endpoint ) {
					return home_url( '/' );
				}
				add_filter( 'allowed_redirect_hosts', fn( $hosts ) => array_merge( $hosts, array( wp_parse_url( $endpoint, PHP_URL_HOST ) ) ) );
				$query = http_build_query(
					array(
						'id_token_hint'            => $id_token,
						'client_id'                => environment( 'OIDC_CLIENT_ID' ),
						'post_logout_redirect_uri' => home_url( '/' ),
					)
				);
				return $endpoint . ( str_contains( $endpoint, '?' ) ? '&' : '?' ) . $query;
			}
		);
	}
);
