<?php
/**
 * Somebody comes from the platform's sign-in: the person becomes a user of MediaWiki, in the groups that follow from their
 * role in the organization, and is signed in. mod_auth_openidc lets nobody else in here. What it passes on is the ID token
 * that it has verified, in a variable of the server; no header of a visitor comes under such a name.
 */

use MediaWiki\Auth\AuthManager;
use MediaWiki\Context\RequestContext;
use MediaWiki\EntryPointEnvironment;
use MediaWiki\MediaWikiEntryPoint;
use MediaWiki\MediaWikiServices;
use MediaWiki\User\User;
use MediaWiki\User\UserRigorOptions;
use Wikimedia\Rdbms\IDatabase;

define( 'MW_ENTRY_POINT', 'sign-in' );
require '/usr/share/mediawiki/includes/WebStart.php';

/** Groups for a role in the organization. Those that stand nowhere here are MediaWiki's to give. */
const SSO_GROUPS = [
	'Member'      => [],
	'Power User'  => [ 'editor' ],
	'Admin'       => [ 'sysop', 'bureaucrat', 'interface-admin' ],
	'Super Admin' => [ 'sysop', 'bureaucrat', 'interface-admin' ],
];

/** Groups are read at a sign-in, so a session is no longer than a working day. Renewing it asks nobody for anything. */
const SSO_SESSION = 12 * 3600;

/** Why somebody is not signed in, for them to read. */
class SsoRefusal extends Exception {
}

class SsoEntryPoint extends MediaWikiEntryPoint {
	private string $id_token;
	private array $claims;

	/** @inheritDoc */
	protected function execute() {
		$this->id_token = (string)( $_SERVER['OIDC_id_token'] ?? '' );
		$payload        = explode( '.', $this->id_token )[1] ?? '';
		$this->claims   = (array)json_decode( (string)base64_decode( strtr( $payload, '-_', '+/' ) ), true );
		// The next sign-in asks the platform anew.
		setcookie( '__Host-sso', '', [ 'expires' => 1, 'path' => '/', 'secure' => true, 'httponly' => true, 'samesite' => 'Lax' ] );
		$this->header( 'Cache-Control: no-store' );
		try {
			$this->begin_session( $this->user() );
			$this->header( 'Location: ' . rtrim( $GLOBALS['wgServer'], '/' ) . $this->target(), true, 302 );
		} catch ( SsoRefusal $refusal ) {
			$this->refuse( $refusal->getMessage() );
		}
	}

	/** Text that the ID token says of the person; empty when it does not. */
	private function claim( string $name ): string {
		$value = $this->claims[$name] ?? '';
		return is_string( $value ) || is_bool( $value ) ? trim( (string)$value ) : '';
	}

	/** The path to go to; whatever could be another host is none. */
	private function target(): string {
		$target = $this->getRequest()->getText( 'redirect_to' );
		return 1 === preg_match( '#^/(?![/\\\\])[^\x00-\x20\x7f]*$#', $target ) ? $target : '/';
	}

	/** Finds or makes the user of a person, and brings it to what the platform says of them. */
	private function user(): User {
		$subject = $this->claim( 'sub' );
		$groups  = SSO_GROUPS[$this->claim( 'role' )] ?? null;
		if ( '' === $subject || null === $groups ) {
			throw new SsoRefusal( 'The platform does not say which role you have here. Ask an administrator of your organization to look at your role.' );
		}
		$database = $this->getServiceContainer()->getConnectionProvider()->getPrimaryDatabase();
		// Two windows of somebody who comes for the first time make one user. Freed with the connection.
		if ( !$database->lock( 'sso', __METHOD__, 10 ) ) {
			throw new SsoRefusal( 'Too many people sign in at once.' );
		}
		$user = $this->known( $database, $subject ) ?? $this->newcomer( $database, $subject );
		$this->bring_up_to_date( $user, $groups );
		$this->getDBLoadBalancerFactory()->commitPrimaryChanges( __METHOD__ );
		$database->unlock( 'sso', __METHOD__ );
		return $user;
	}

	private function known( IDatabase $database, string $subject ): ?User {
		$database->query( 'CREATE TABLE IF NOT EXISTS ' . $database->tableName( SSO_TABLE ) . ' (subject text PRIMARY KEY, user_id integer NOT NULL UNIQUE)', __METHOD__ );
		$query = $database->newSelectQueryBuilder()->select( 'user_id' )->from( SSO_TABLE );
		$id    = $query->where( [ 'subject' => $subject ] )->caller( __METHOD__ )->fetchField();
		$user  = false === $id ? null : $this->getServiceContainer()->getUserFactory()->newFromId( (int)$id );
		return $user && $user->isRegistered() && $user->loadFromDatabase() ? $user : null;
	}

	/** An account that has the name already is somebody else's: names are no proof. */
	private function newcomer( IDatabase $database, string $subject ): User {
		$user   = $this->getServiceContainer()->getUserFactory()->newFromName( $this->free_name(), UserRigorOptions::RIGOR_CREATABLE );
		$status = $user ? $this->getServiceContainer()->getAuthManager()->autoCreateUser( $user, AuthManager::AUTOCREATE_SOURCE_MAINT, false ) : null;
		if ( !$status || !$status->isGood() ) {
			throw new SsoRefusal( 'MediaWiki could not make your account' . ( $status ? ': ' . $status->getWikiText( false, false, 'en' ) : '' ) . '.' );
		}
		$row = [ 'subject' => $subject, 'user_id' => $user->getId() ];
		$database->newReplaceQueryBuilder()->replaceInto( SSO_TABLE )->uniqueIndexFields( 'subject' )->row( $row )->caller( __METHOD__ )->execute();
		return $user;
	}

	/** A user name that nobody has, made of the person's name: it is seen by everybody, the e-mail address is not. */
	private function free_name(): string {
		$names  = $this->getServiceContainer()->getUserNameUtils();
		$users  = $this->getServiceContainer()->getUserIdentityLookup();
		$wanted = trim( preg_replace( '/[^\p{L}\p{M}\p{N} .\'-]+/u', ' ', mb_substr( $this->claim( 'name' ), 0, 60 ) ) ?? '' );
		foreach ( [ $wanted, 'Person' ] as $base ) {
			for ( $number = 1; $number < 1000; $number++ ) {
				$name = $names->getCanonical( 1 === $number ? $base : "$base $number", UserRigorOptions::RIGOR_CREATABLE );
				if ( false === $name ) {
					// Not a name for MediaWiki, such as an address; with a number it may be one.
					continue;
				}
				$there = $users->getUserIdentityByName( $name );
				if ( !$there || !$there->isRegistered() ) {
					return $name;
				}
			}
		}
		throw new SsoRefusal( 'There is no free user name like yours.' );
	}

	private function bring_up_to_date( User $user, array $groups ): void {
		$is_changed = false;
		if ( '' !== $this->claim( 'name' ) && $user->getRealName() !== $this->claim( 'name' ) ) {
			$user->setRealName( $this->claim( 'name' ) );
			$is_changed = true;
		}
		$email = '1' === $this->claim( 'email_verified' ) ? $this->claim( 'email' ) : '';
		if ( '' !== $email && $user->getEmail() !== $email ) {
			$user->setEmail( $email );
			$user->setEmailAuthenticationTimestamp( wfTimestampNow() );
			$is_changed = true;
		}
		$services = $this->getServiceContainer();
		$language = $this->claim( 'locale' );
		$options  = $services->getUserOptionsManager();
		if ( $services->getLanguageNameUtils()->isSupportedLanguage( $language ) && $options->getOption( $user, 'language' ) !== $language ) {
			$options->setOption( $user, 'language', $language );
			$is_changed = true;
		}
		if ( $is_changed ) {
			$user->saveSettings();
		}
		$manager = $services->getUserGroupManager();
		$present = $manager->getUserGroups( $user );
		$ours    = array_unique( array_merge( ...array_values( SSO_GROUPS ) ) );
		foreach ( array_diff( $groups, $present ) as $group ) {
			$manager->addUserToGroup( $user, $group );
		}
		foreach ( array_diff( array_intersect( $present, $ours ), $groups ) as $group ) {
			$manager->removeUserFromGroup( $user, $group );
		}
	}

	/** A session that this browser had is replaced, whoever's it was. */
	private function begin_session( User $user ): void {
		$session = $this->getRequest()->getSession();
		if ( !$session->canSetUser() ) {
			throw new SsoRefusal( 'You are signed in in another way, which cannot be changed here.' );
		}
		$session->clear();
		$session->resetId();
		$session->resetAllTokens();
		$session->setUser( $user );
		$session->setRememberUser( false );
		// What wants a sign-in of a moment ago takes this one.
		$session->set( 'AuthManager:lastAuthId', $user->getId() );
		$session->set( 'AuthManager:lastAuthTimestamp', time() );
		$session->set( SSO_TOKEN, $this->id_token );
		$session->set( SSO_UNTIL, time() + SSO_SESSION );
		$session->persist();
		$session->save();
	}

	/** Says what is wrong and what to do. */
	private function refuse( string $why ): void {
		error_log( 'sign-in of ' . $this->claim( 'sub' ) . ": $why" );
		$this->status( 403 );
		$this->header( 'Content-Type: text/html; charset=utf-8' );
		$this->print( '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>You are not signed in</title><p>' . htmlspecialchars( $why )
			. '</p><p>You can <a href="/wiki/Special:UserLogin">try again</a> or go <a href="/">back to the wiki</a>.</p></html>' );
	}
}

( new SsoEntryPoint( RequestContext::getMain(), new EntryPointEnvironment(), MediaWikiServices::getInstance() ) )->run();
