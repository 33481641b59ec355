//! Database engines: what the operator has to know of each to run it.
//!
//! The images are interchangeable with the official ones as far as environment and data folder
//! go; the health command is the one of `databases/<engine>/`.

use crds::app_definition::Engine;

/// How an engine is run.
#[derive(Clone, Copy, Debug)]
pub struct EngineFacts {
    /// Its name, as in the definition.
    pub name: &'static str,
    /// The port it listens on.
    pub port: i32,
    /// The user and group it runs as, in our images and in the official ones.
    pub user: i64,
    /// Where its volume is mounted.
    pub data_path: &'static str,
    /// Variable that names the database.
    pub database_variable: &'static str,
    /// Variable that names the user.
    pub user_variable: &'static str,
    /// Variable that holds the user's password.
    pub password_variable: &'static str,
    /// Variable for the superuser's password, where the engine wants one.
    pub root_password_variable: Option<&'static str>,
    /// Further variables: name and value. The engine's cache is sized by [`cache_variable`].
    ///
    /// [`cache_variable`]: Self::cache_variable
    pub variables: &'static [(&'static str, &'static str)],
    /// Variable for the size of the engine's cache, in mebibytes with this suffix.
    pub cache_variable: (&'static str, &'static str),
}

/// Name of the database and of its user in every instance: each instance has an engine of its
/// own, so that nothing is gained by telling them apart.
pub const DATABASE: &str = "app";

/// Exits with 0 once the engine answers a query as the app's user.
pub const HEALTH_COMMAND: &str = "/usr/local/bin/healthcheck";

const MARIADB: EngineFacts = EngineFacts {
    name: "mariadb",
    port: 3306,
    user: 999,
    data_path: "/var/lib/mysql",
    database_variable: "MARIADB_DATABASE",
    user_variable: "MARIADB_USER",
    password_variable: "MARIADB_PASSWORD",
    root_password_variable: Some("MARIADB_ROOT_PASSWORD"),
    variables: &[],
    cache_variable: ("MARIADB_INNODB_BUFFER_POOL_SIZE", "M"),
};

const POSTGRESQL: EngineFacts = EngineFacts {
    name: "postgresql",
    port: 5432,
    user: 999,
    data_path: "/var/lib/postgresql/data",
    database_variable: "POSTGRES_DB",
    user_variable: "POSTGRES_USER",
    password_variable: "POSTGRES_PASSWORD",
    root_password_variable: None,
    // A sub-folder: a fresh volume may hold lost+found, which initdb refuses.
    variables: &[("PGDATA", "/var/lib/postgresql/data/pgdata")],
    cache_variable: ("POSTGRES_SHARED_BUFFERS", "MB"),
};

/// How this engine is run; `None` for apps without a database.
#[must_use]
pub fn facts(engine: Engine) -> Option<&'static EngineFacts> {
    match engine {
        Engine::Mariadb => Some(&MARIADB),
        Engine::Postgresql => Some(&POSTGRESQL),
        Engine::None => None,
    }
}
