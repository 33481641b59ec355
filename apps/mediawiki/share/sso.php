<?php
/**
 * People sign in and out at the platform. MediaWiki's own form stays for when nobody can, where a setting says so.
 * Read by LocalSettings.php.
 */

use MediaWiki\Auth\AbstractPreAuthenticationProvider;
use MediaWiki\Auth\AuthenticationRequest;
use MediaWiki\Auth\LocalPasswordPrimaryAuthenticationProvider;
use MediaWiki\Auth\TemporaryPasswordPrimaryAuthenticationProvider;
use MediaWiki\Context\RequestContext;
use MediaWiki\MediaWikiServices;
use MediaWiki\Request\WebRequest;
use MediaWiki\SpecialPage\SpecialPage;
use MediaWiki\Title\Title;

/** The table that says which user a person is, by the person's identifier (`sub`). MediaWiki knows nothing of it. */
const SSO_TABLE = 'sso_person';
/** What a session knows of a sign-in: the token by which it began, and when it ends. */
const SSO_TOKEN = 'sso:idToken';
const SSO_UNTIL = 'sso:until';
/** Carries the token from the end of a session to the page after it. */
const SSO_LEAVING = '__Host-sso-leaving';
/** The longest address to come back to; it goes along in a cookie. */
const SSO_LONGEST_TARGET = 1000;

function sso_has_local_login(): bool {
	return 'on' === environment( 'MEDIAWIKI_LOCAL_LOGIN', 'off' );
}

/** Whether a request is for MediaWiki's own form, and may be. */
function sso_is_local( WebRequest $request ): bool {
	return sso_has_local_login() && '1' === $request->getVal( 'local' );
}

/** A cookie for this host alone, over TLS, for no script; it ends at once without a value. */
function sso_cookie( string $name, string $value = '' ): void {
	$options = [ 'path' => '/', 'secure' => true, 'httponly' => true, 'samesite' => 'Lax' ];
	setcookie( $name, $value, $options + [ 'expires' => '' === $value ? 1 : time() + 60 ] );
}

/** Whether a user comes from the platform. */
function sso_is_person( string $user_name ): bool {
	$user     = MediaWikiServices::getInstance()->getUserIdentityLookup()->getUserIdentityByName( $user_name );
	$database = MediaWikiServices::getInstance()->getConnectionProvider()->getPrimaryDatabase();
	if ( !$user || !$user->isRegistered() || !$database->tableExists( SSO_TABLE, __METHOD__ ) ) {
		return false;
	}
	$query = $database->newSelectQueryBuilder()->select( 'user_id' )->from( SSO_TABLE );
	return false !== $query->where( [ 'user_id' => $user->getId() ] )->caller( __METHOD__ )->fetchField();
}

/**
 * Where the form is open, it is not for people of the platform: a password that they give themselves would outlive their
 * place in the organization. Passwords of bots are for programs, and are not asked here.
 */
class SsoNoPasswordOfPeople extends AbstractPreAuthenticationProvider {
	/** @inheritDoc */
	public function testForAuthentication( array $reqs ) {
		$name = AuthenticationRequest::getUsernameFromRequests( $reqs );
		$name = null === $name ? false : MediaWikiServices::getInstance()->getUserNameUtils()->getCanonical( $name );
		return false !== $name && sso_is_person( $name ) ? StatusValue::newFatal( 'wrongpassword' ) : StatusValue::newGood();
	}
}

$wgAuthManagerAutoConfig['preauth'][SsoNoPasswordOfPeople::class] = [ 'class' => SsoNoPasswordOfPeople::class ];
if ( !sso_has_local_login() ) {
	unset( $wgAuthManagerAutoConfig['primaryauth'][LocalPasswordPrimaryAuthenticationProvider::class] );
	unset( $wgAuthManagerAutoConfig['primaryauth'][TemporaryPasswordPrimaryAuthenticationProvider::class] );
}

// What a Power User may more than others. Administrators may give it to others, too.
$wgGroupPermissions['editor'] = array_fill_keys(
	[
		'autopatrol', 'browsearchive', 'delete', 'deletedhistory', 'deletedtext', 'editprotected', 'mergehistory', 'movefile',
		'patrol', 'protect', 'rollback', 'suppressredirect', 'undelete',
	],
	true
);

/** The path that somebody wanted to go to, with its query; empty for the front page. */
function sso_target( WebRequest $request ): string {
	$title = Title::newFromText( $request->getText( 'returnto' ) );
	if ( !$title || !$title->isLocal() || $title->isSpecial( 'Userlogin' ) || $title->isSpecial( 'Userlogout' ) ) {
		return '';
	}
	$target = $title->getLocalURL( wfCgiToArray( $request->getText( 'returntoquery' ) ) );
	return strlen( $target ) > SSO_LONGEST_TARGET ? '' : $target;
}

/** Where the platform ends sessions, as it says; empty when it does not answer. */
function sso_end_session_endpoint(): string {
	$services = MediaWikiServices::getInstance();
	$cache    = $services->getMainWANObjectCache();
	$ask      = function ( $known, &$ttl ) use ( $services, $cache ) {
		$address  = environment( 'OIDC_BACKCHANNEL' ) . '/.well-known/openid-configuration';
		$document = json_decode( (string)$services->getHttpRequestFactory()->get( $address, [ 'timeout' => 5 ], 'sso' ), true );
		$endpoint = (string)( $document['end_session_endpoint'] ?? '' );
		$ttl      = '' === $endpoint ? $cache::TTL_UNCACHEABLE : $cache::TTL_HOUR;
		return $endpoint;
	};
	return $cache->getWithSetCallback( $cache->makeKey( 'sso', environment( 'OIDC_ISSUER' ) ), $cache::TTL_HOUR, $ask );
}

/** Where the session at the platform ends that began with a token; it leads back to the front page. */
function sso_sign_out_url( string $id_token ): string {
	$front    = rtrim( $GLOBALS['wgServer'], '/' ) . '/';
	$endpoint = '' === $id_token ? '' : sso_end_session_endpoint();
	if ( '' === $endpoint ) {
		return $front;
	}
	return wfAppendQuery(
		$endpoint,
		[
			'id_token_hint'            => $id_token,
			'client_id'                => environment( 'OIDC_CLIENT_ID' ),
			'post_logout_redirect_uri' => $front,
		]
	);
}

// A session is no longer than a working day, since groups are read at a sign-in.
$wgHooks['SessionCheckInfo'][] = function ( &$reason, $info, $request, $metadata, $data ) {
	$until = is_array( $data ) ? ( $data[SSO_UNTIL] ?? null ) : null;
	if ( null !== $until && $until < time() ) {
		$reason = 'the sign-in at the platform is too long ago';
		return false;
	}
};

// "Log in" leads to the platform and back to share/sign-in.php; after "Log out" it leads there, too.
$wgHooks['SpecialPageBeforeExecute'][] = function ( SpecialPage $page ) {
	$request = $page->getRequest();
	if ( 'Userlogin' === $page->getName() && !sso_is_local( $request ) ) {
		$target = sso_target( $request );
		$page->getOutput()->redirect( wfAppendQuery( $GLOBALS['wgServer'] . '/sso/sign-in', '' === $target ? [] : [ 'redirect_to' => $target ] ) );
		return false;
	}
	$id_token = $_COOKIE[SSO_LEAVING] ?? '';
	if ( 'Userlogout' === $page->getName() && '' !== $id_token && !$page->getUser()->isRegistered() ) {
		sso_cookie( SSO_LEAVING );
		$page->getOutput()->redirect( sso_sign_out_url( $id_token ) );
		return false;
	}
};
// The form sends itself to an address of its own.
$wgHooks['AuthPreserveQueryParams'][] = function ( array &$params ) {
	if ( sso_is_local( RequestContext::getMain()->getRequest() ) ) {
		$params['local'] = '1';
	}
};

// Who signs out here signs out of the platform, if they came from there. The session knows by which token, and is gone
// afterwards. A script signs out and opens the page then; without one the page itself does it.
$wgHooks['UserLogout'][] = function ( $user ) {
	$id_token = (string)$user->getRequest()->getSession()->get( SSO_TOKEN, '' );
	if ( '' !== $id_token ) {
		$_COOKIE[SSO_LEAVING] = $id_token;
		sso_cookie( SSO_LEAVING, $id_token );
	}
};
$wgHooks['UserLogoutComplete'][] = function () {
	$id_token = $_COOKIE[SSO_LEAVING] ?? '';
	if ( '' !== $id_token && !defined( 'MW_API' ) ) {
		sso_cookie( SSO_LEAVING );
		RequestContext::getMain()->getOutput()->redirect( sso_sign_out_url( $id_token ) );
	}
};
