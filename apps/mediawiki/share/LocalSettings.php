<?php
/**
 * MediaWiki's settings, all from the environment. Nothing is kept on disk, so a replaced Secret works after a restart.
 */
if ( !defined( 'MEDIAWIKI' ) ) {
	exit;
}
require_once '/usr/share/app/environment.php';

// The address. TLS ends at the gateway; MediaWiki honours its X-Forwarded-Proto by itself.
$wgServer = visitors_url( environment( 'MEDIAWIKI_URL' ) );
// What is not for a visitor, such as a mail, names the usual one.
$wgCanonicalServer = rtrim( environment( 'MEDIAWIKI_URL' ), '/' );
$wgForceHTTPS = str_starts_with( $wgServer, 'https://' );
$wgScriptPath = '';
$wgArticlePath = '/wiki/$1';
$wgUsePathInfo = true;

$wgSitename = environment( 'MEDIAWIKI_TITLE', environment( 'ORGANIZATION_NAME', 'Wiki' ) );
// Not from the title: titles of pages would change with it.
$wgMetaNamespace = 'Project';
$wgLanguageCode = environment( 'MEDIAWIKI_LANGUAGE', 'en' );
$wgLocaltimezone = 'UTC';

$wgDBtype = 'postgres';
$wgDBserver = environment( 'DATABASE_HOST' );
$wgDBport = (int)environment( 'DATABASE_PORT', '5432' );
$wgDBname = environment( 'DATABASE_NAME' );
$wgDBuser = environment( 'DATABASE_USER' );
$wgDBpassword = environment( 'DATABASE_PASSWORD' );
$wgDBmwschema = 'mediawiki';
$wgSecretKey = environment( 'MEDIAWIKI_SECRET' );
$wgAuthenticationTokenVersion = '1';

// Shared memory for what is computed often; what must survive a restart (sign-ins, parsed pages) is in the database.
$wgMainCacheType = PHP_SAPI === 'cli' ? CACHE_NONE : CACHE_ACCEL;
$wgParserCacheType = CACHE_DB;
$wgSessionCacheType = CACHE_DB;
$wgMessageCacheType = $wgMainCacheType;
$wgLocalisationCacheConf['store'] = 'array';
$wgLocalisationCacheConf['storeDirectory'] = environment( 'MEDIAWIKI_TEXTS', '/tmp/mediawiki-texts' );
// A periodic job runs what is due, so that no visitor waits for it.
$wgJobRunRate = 0;
$wgTmpDirectory = '/tmp';

$wgEnableUploads = true;
$wgUploadDirectory = '/var/lib/mediawiki/images';
$wgUploadPath = '/images';
$wgFileExtensions = array_merge( $wgFileExtensions, [ 'pdf', 'odt', 'ods', 'odp', 'docx', 'xlsx', 'pptx', 'txt', 'csv' ] );
$wgMaxUploadSize = 64 * 1024 * 1024;
$wgUseImageMagick = false;
$wgMaxImageArea = 25e6;
$wgDiff3 = '/usr/bin/diff3';

// Everybody reads; who writes has an account, and administrators give those out. Open wikis are filled with spam in days.
$wgGroupPermissions['*']['edit'] = false;
$wgGroupPermissions['*']['createaccount'] = false;

// There is no mail server.
$wgEnableEmail = false;
$wgShowExceptionDetails = false;
$wgPingback = false;

$wgDefaultSkin = 'vector-2022';
wfLoadSkins( [ 'Vector', 'MonoBook', 'Timeless', 'MinervaNeue' ] );
// Those that need nothing from outside and no tables of their own.
wfLoadExtensions( [
	'CategoryTree', 'Cite', 'CodeEditor', 'Gadgets', 'ImageMap', 'InputBox', 'MultimediaViewer', 'Nuke', 'PageImages',
	'ParserFunctions', 'Poem', 'ReplaceText', 'Scribunto', 'TemplateData', 'TextExtracts', 'VisualEditor', 'WikiEditor',
] );
$wgScribuntoDefaultEngine = 'luasandbox';

if ( '' !== environment( 'OIDC_ISSUER', '' ) ) {
	require_once '/usr/share/app/sso.php';
}
