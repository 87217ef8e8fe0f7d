//! A database for each test, copied from a template that is migrated once per server and set of migrations.
//! Dropped with the test, also when it fails.

use event_store::MasterKey;
use sha2::{Digest, Sha256};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::sync::atomic::{AtomicU32, Ordering};

/// The master key of all tests: the roles of a server, and so their passwords, are shared by its databases.
pub(crate) const MASTER: [u8; 32] = [7; 32];

/// Two test processes must not make the template at once.
const TEMPLATE_LOCK: i64 = 4_111_802;

/// A migrated database that is dropped at the end.
pub(crate) struct Database {
    name: String,
    server: PgConnectOptions,
}

impl Database {
    /// One with nothing in it on this server, which must be there until it is dropped; and the superuser's connection that
    /// made it.
    async fn named(server: PgConnectOptions) -> (Self, PgConnection) {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("it_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Self { name, server };
        let mut connection = database.server.clone().connect().await.unwrap();
        // A killed run may have left one of this name behind.
        connection.execute(format!("drop database if exists {} with (force)", database.name).as_str()).await.unwrap();
        (database, connection)
    }

    /// A database in which nothing ever was.
    pub(crate) async fn empty() -> Self {
        let (database, mut connection) = Self::named(server()).await;
        connection.execute(format!("create database {}", database.name).as_str()).await.unwrap();
        connection.close().await.unwrap();
        database
    }

    /// A fresh copy of the template.
    pub(crate) async fn new() -> Self {
        Self::on(server()).await
    }

    /// The same on this server, where the template is made first.
    pub(crate) async fn on(server: PgConnectOptions) -> Self {
        let (database, connection) = Self::named(server).await;
        let template = template(&database.server).await;
        let create = format!("create database {} template {template}", database.name);
        super::eventually("the template to be free", || {
            // Another copy of the template is being made: object_in_use (PostgreSQL, appendix A).
            let (server, create) = (database.server.clone(), create.clone());
            async move {
                match server.connect().await.unwrap().execute(create.as_str()).await {
                    Ok(_) => Some(()),
                    Err(error) if code(&error).as_deref() == Some("55006") => None,
                    Err(error) => panic!("{create}: {error}"),
                }
            }
        })
        .await;
        connection.close().await.unwrap();
        database
    }

    /// The superuser's way in.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.server.clone().database(&self.name)
    }

    /// A connection of the superuser.
    pub(crate) async fn admin(&self) -> PgConnection {
        self.options().connect().await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Nothing can be awaited here, and the test's own runtime may be the one that waits for us.
        let (name, server) = (self.name.clone(), self.server.clone());
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut connection = server.connect().await.unwrap();
                connection.execute(format!("drop database if exists {name} with (force)").as_str()).await.unwrap();
                connection.close().await.unwrap();
            });
        });
        if dropped.join().is_err() {
            eprintln!("could not drop the database {}", self.name);
        }
    }
}

/// The `SQLSTATE` of what the database refused.
pub(crate) fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(|error| error.code()).map(Into::into)
}

fn server() -> PgConnectOptions {
    let url = std::env::var("TEST_DATABASE_URL").unwrap_or_else(|_| {
        panic!(
            "TEST_DATABASE_URL is not set. Run `make test`, which starts a server and sets it, or set it to the URL of a superuser of a \
             server that may be played with: TEST_DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres"
        )
    });
    url.parse().unwrap_or_else(|error| panic!("TEST_DATABASE_URL: {error}"))
}

/// The name of the template, made first where there is none for these migrations yet.
async fn template(server: &PgConnectOptions) -> String {
    let name = format!("it_template_{}", fingerprint());
    let mut connection = server.clone().connect().await.unwrap();
    sqlx::query("select pg_advisory_lock($1)").bind(TEMPLATE_LOCK).execute(&mut connection).await.unwrap();
    let exists = "select exists (select from pg_database where datname = $1 and datistemplate)";
    if !sqlx::query_scalar::<_, bool>(exists).bind(&name).fetch_one(&mut connection).await.unwrap() {
        connection.execute(format!("drop database if exists {name} with (force)").as_str()).await.unwrap();
        connection.execute(format!("create database {name}").as_str()).await.unwrap();
        event_store::migrate(&server.clone().database(&name), &MasterKey::new(MASTER)).await.unwrap();
        // Only a finished template is marked as one; nobody signs in to it, or it could not be copied.
        connection.execute(format!("alter database {name} with is_template true allow_connections false").as_str()).await.unwrap();
    }
    connection.close().await.unwrap();
    name
}

/// Of all migrations, roles included, as they were when this was compiled: those that the template is made with.
fn fingerprint() -> String {
    let migrations = sqlx::migrate!("../migrations");
    let mut hash = Sha256::new_with_prefix(include_bytes!("../../../migrations/roles/roles.sql"));
    migrations.iter().for_each(|migration| hash.update(&migration.checksum));
    hex::encode(&hash.finalize()[..8])
}
