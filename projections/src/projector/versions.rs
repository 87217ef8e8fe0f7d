//! The version whose rows each table holds. Invariant: a program writes rows only into tables of its own version; one
//! that finds those of a newer program stands down.

use super::{ProjectError, Projector};
use crate::rebuild::Pace;
use event_store::begin;
use sqlx::postgres::PgConnection;
use sqlx::{Executor, Postgres};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use uuid::Uuid;

impl Projector {
    /// Refuses to begin over tables of a newer program. Where nothing was ever projected, the tables are this program's.
    pub(super) async fn claim_versions(&self) -> Result<(), ProjectError> {
        let outdated = self.outdated(&self.pool).await?;
        if outdated.is_empty() {
            return Ok(());
        }
        let mut transaction = begin(&self.pool).await?;
        for read_model in outdated {
            self.set_version(&mut transaction, read_model).await?;
        }
        // Nobody projects while this is looked at.
        sqlx::query("lock table read_models.checkpoints in exclusive mode").execute(&mut *transaction).await?;
        let begun: bool = sqlx::query_scalar("select exists (select from read_models.checkpoints where position > 0)")
            .fetch_one(&mut *transaction)
            .await?;
        if begun { Ok(transaction.rollback().await?) } else { Ok(transaction.commit().await?) }
    }

    /// Makes anew what an older program has left, however often that has to be tried.
    pub(super) async fn renewed(&self) {
        let mut pause = Duration::from_millis(100);
        loop {
            match self.renew().await {
                // Of a newer program: the leases say so, and have this one stand down.
                Ok(()) | Err(ProjectError::Newer { .. } | ProjectError::Unknown { .. }) => return,
                Err(error) => tracing::error!(%error, "making read models anew; trying again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(10));
        }
    }

    /// Makes anew what an older program has left, or what it did not have.
    pub(super) async fn renew(&self) -> Result<(), ProjectError> {
        let outdated = self.outdated(&self.pool).await?;
        if outdated.is_empty() {
            return Ok(());
        }
        tracing::info!(read_models = outdated.join(", "), "these read models are not those of this program; making them anew");
        // All of the time: this program projects nothing before it is done, and there may be no other that does.
        self.rebuild(&outdated, Pace::FULL, &mut |now| tracing::info!("{now}")).await.map(drop)
    }

    /// That the tables are this program's. Asked in every transaction that writes, behind the lock of the checkpoints:
    /// a rebuild may have put others in their place.
    /// Answers with it what is parked of these tenants: tenant and read model.
    pub(super) async fn check_fit(&self, connection: &mut PgConnection, tenants: &[Uuid]) -> Result<HashSet<(Uuid, String)>, ProjectError> {
        let rows: Vec<(String, Option<i32>, Option<Uuid>)> = sqlx::query_as(
            "select read_model, version, null::uuid from read_models.versions
             union all select read_model, null, tenant_id from read_models.parked where tenant_id = any ($1)",
        )
        .bind(tenants)
        .fetch_all(connection)
        .await?;
        let (mut found, mut parked) = (HashMap::new(), HashSet::new());
        for (read_model, version, tenant) in rows {
            match (version, tenant) {
                (Some(version), _) => drop(found.insert(read_model, version)),
                (None, Some(tenant)) => drop(parked.insert((tenant, read_model))),
                (None, None) => {}
            }
        }
        match self.judge(found)?.first() {
            Some(read_model) => Err(ProjectError::Outdated { read_model }),
            None => Ok(parked),
        }
    }

    /// The read models whose tables hold the rows of an older program.
    async fn outdated<'e>(&self, executor: impl Executor<'e, Database = Postgres>) -> Result<Vec<&'static str>, ProjectError> {
        self.judge(sqlx::query_as("select read_model, version from read_models.versions").fetch_all(executor).await?.into_iter().collect())
    }

    /// The same of what was found.
    fn judge(&self, mut found: HashMap<String, i32>) -> Result<Vec<&'static str>, ProjectError> {
        let mut outdated = Vec::new();
        for model in self.models.iter() {
            match found.remove(model.table()) {
                Some(found) if found > model.version() => {
                    return Err(ProjectError::Newer { read_model: model.table(), found, known: model.version() });
                }
                Some(found) if found == model.version() => {}
                _ => outdated.push(model.table()),
            }
        }
        // Else its rows would miss what this program takes in.
        match found.into_keys().next() {
            Some(read_model) => Err(ProjectError::Unknown { read_model }),
            None => Ok(outdated),
        }
    }

    /// From now on the table holds this program's rows. Before anything else is locked: a version that moves takes the
    /// leases from all workers.
    pub(crate) async fn set_version(&self, connection: &mut PgConnection, read_model: &str) -> Result<(), sqlx::Error> {
        let Some(model) = self.models.named(read_model) else { return Ok(()) };
        let stored: Option<i32> = sqlx::query_scalar("select version from read_models.versions where read_model = $1")
            .bind(read_model)
            .fetch_optional(&mut *connection)
            .await?;
        if stored == Some(model.version()) {
            return Ok(());
        }
        sqlx::query(
            "insert into read_models.versions (read_model, version) values ($1, $2) on conflict (read_model) do update set version = excluded.version",
        )
        .bind(model.table())
        .bind(model.version())
        .execute(connection)
        .await?;
        Ok(())
    }
}
