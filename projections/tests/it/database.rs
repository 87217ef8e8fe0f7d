//! A migrated database for one test, dropped at its end however that comes.

use event_store::MasterKey;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Executor};
use std::sync::atomic::{AtomicU32, Ordering};

/// Migrations meet in the roles, which all databases of a server share: one at a time.
const ONE_AT_A_TIME: i64 = 4_111_802;

pub(crate) struct Database {
    name: String,
    server: PgConnectOptions,
}

/// All tests have the same: the roles' passwords derive from it, and roles belong to the server.
pub(crate) fn master() -> MasterKey {
    MasterKey::new([7; 32])
}

impl Database {
    pub(crate) async fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let url = std::env::var("TEST_DATABASE_URL").unwrap_or_else(|_| {
            panic!(
                "TEST_DATABASE_URL is not set. Run `make test`, which starts a server and sets it, or set it to the URL of a superuser of a \
                 server that may be played with: TEST_DATABASE_URL=postgres://postgres@127.0.0.1:5432/postgres"
            )
        });
        let server: PgConnectOptions = url.parse().unwrap_or_else(|error| panic!("TEST_DATABASE_URL: {error}"));
        let database = Self { name: format!("projections_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)), server };
        let mut connection = database.server.connect().await.unwrap();
        connection.execute(format!("drop database if exists {} with (force)", database.name).as_str()).await.unwrap();
        connection.execute(format!("create database {}", database.name).as_str()).await.unwrap();
        sqlx::query("select pg_advisory_lock($1)").bind(ONE_AT_A_TIME).execute(&mut connection).await.unwrap();
        event_store::migrate(&database.options(), &master()).await.unwrap();
        connection.close().await.unwrap();
        database
    }

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
            });
        });
        if dropped.join().is_err() {
            eprintln!("could not drop the database {}", self.name);
        }
    }
}
