<?php
/**
 * Brings the image's themes, plugins and translations onto the volume: at the first start all of them, later those that are
 * older there than in the image. What a person installed, updated or deleted stays as it is.
 *
 * The volume's file .bundled.json says what was brought before: what is missing although it was brought has been deleted.
 */
require '/usr/share/app/environment.php';

const SOURCE = '/usr/share/wordpress/wp-content';
const TARGET = '/var/lib/wordpress/wp-content';

/** The version in the head of a theme's style.css or a plugin's main file; empty when there is none. */
function version_of( string $folder ): string {
	foreach ( array_merge( array( "$folder/style.css" ), glob( "$folder/*.php" ) ?: array() ) as $file ) {
		$head = is_file( $file ) ? (string) file_get_contents( $file, false, null, 0, 8192 ) : '';
		if ( preg_match( '/^[ \t\/*#@]*Version:\s*(\S+)/mi', $head, $match ) ) {
			return $match[1];
		}
	}
	return '';
}

function copy_folder( string $from, string $to ): void {
	mkdir( $to, 0755 );
	foreach ( array_diff( scandir( $from ), array( '.', '..' ) ) as $name ) {
		is_dir( "$from/$name" ) ? copy_folder( "$from/$name", "$to/$name" ) : copy( "$from/$name", "$to/$name" );
	}
}

function remove_folder( string $folder ): void {
	foreach ( array_diff( scandir( $folder ), array( '.', '..' ) ) as $name ) {
		$path = "$folder/$name";
		is_dir( $path ) && ! is_link( $path ) ? remove_folder( $path ) : unlink( $path );
	}
	rmdir( $folder );
}

/** Copied beside, then renamed: a start that is cut off leaves no half theme. */
function replace_folder( string $from, string $to ): void {
	$new = dirname( $to ) . '/.new-' . basename( $to );
	$old = dirname( $to ) . '/.old-' . basename( $to );
	copy_folder( $from, $new );
	if ( is_dir( $to ) ) {
		rename( $to, $old );
	}
	rename( $new, $to );
	if ( is_dir( $old ) ) {
		remove_folder( $old );
	}
}

foreach ( array( '', '/plugins', '/themes', '/languages', '/languages/plugins', '/languages/themes', '/uploads', '/upgrade', '/mu-plugins' ) as $folder ) {
	if ( ! is_dir( TARGET . $folder ) && ! mkdir( TARGET . $folder, 0755, true ) ) {
		say( TARGET . $folder . ' cannot be made: is the volume writable?' );
		exit( 1 );
	}
}
foreach ( array( '', '/plugins', '/themes' ) as $folder ) {
	// Keeps folders from being listed by servers that would.
	if ( ! is_file( TARGET . "$folder/index.php" ) ) {
		file_put_contents( TARGET . "$folder/index.php", "<?php\n// Silence is golden.\n" );
	}
}

$list    = TARGET . '/.bundled.json';
$brought = is_file( $list ) ? (array) json_decode( (string) file_get_contents( $list ), true ) : array();
$before  = $brought;
foreach ( array( 'themes', 'plugins' ) as $kind ) {
	// What an interrupted start left behind.
	foreach ( glob( TARGET . "/$kind/.old-*" ) as $old ) {
		$name = TARGET . "/$kind/" . substr( basename( $old ), 5 );
		is_dir( $name ) ? remove_folder( $old ) : rename( $old, $name );
	}
	array_map( 'remove_folder', glob( TARGET . "/$kind/.new-*" ) );

	foreach ( glob( SOURCE . "/$kind/*", GLOB_ONLYDIR ) as $source ) {
		$item   = "$kind/" . basename( $source );
		$target = TARGET . "/$item";
		$offer  = version_of( $source );
		if ( is_dir( $target ) ? version_compare( version_of( $target ), $offer, '<' ) : ! isset( $brought[ $item ] ) ) {
			replace_folder( $source, $target );
			say( "Brought $item $offer to the volume." );
		}
		$brought[ $item ] = $offer;
	}
}
if ( $brought !== $before ) {
	file_put_contents( "$list.new", json_encode( $brought, JSON_PRETTY_PRINT ) );
	rename( "$list.new", $list );
}

// Links, not copies: 30 MB of translations cost nothing and are always the image's. A translation that WordPress itself
// installs takes the link's place and stays.
foreach ( glob( SOURCE . '/languages/*.*' ) as $source ) {
	$target = TARGET . '/languages/' . basename( $source );
	if ( ! is_link( $target ) && ! is_file( $target ) ) {
		symlink( $source, $target );
	}
}
foreach ( glob( TARGET . '/languages/*.*' ) as $target ) {
	if ( is_link( $target ) && ! is_file( $target ) ) {
		unlink( $target );
	}
}
