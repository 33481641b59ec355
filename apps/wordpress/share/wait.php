<?php
/** Tells in the log when the database is awaited and when it answers. Argument: for how many seconds at most. */
require '/usr/share/app/environment.php';
exit( wait_for_database( (int) $argv[1] ) ? 0 : 1 );
