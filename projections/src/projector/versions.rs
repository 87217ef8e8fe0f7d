//! The version whose rows each table holds. Invariant: a program never writes rows over those of a newer one.

use super::{ProjectError, Projector};
use std::collections::HashMap;

impl Projector {
    /// Refuses tables of a newer program; makes those of an older one anew.
    pub(super) async fn check_versions(&self) -> Result<(), ProjectError> {
        let known: HashMap<String, i32> =
            sqlx::query_as("select read_model, version from read_models.versions").fetch_all(&self.pool).await?.into_iter().collect();
        for model in self.models.iter() {
            match known.get(model.table()) {
                Some(found) if *found > model.version() => {
                    return Err(ProjectError::Newer { read_model: model.table(), found: *found, known: model.version() });
                }
                Some(found) if *found < model.version() => {
                    tracing::info!(
                        read_model = model.table(),
                        from = found,
                        to = model.version(),
                        "the read model has changed; making it anew"
                    );
                    self.rebuild(&[model.table()], &mut |_| {}).await?;
                }
                Some(_) => continue,
                // A read model that came with a new program, to a log that is older. On a new database it is done at once.
                None => self.rebuild(&[model.table()], &mut |_| {}).await?,
            }
            sqlx::query("insert into read_models.versions (read_model, version) values ($1, $2) on conflict (read_model) do update set version = excluded.version")
                .bind(model.table())
                .bind(model.version())
                .execute(&self.pool)
                .await?;
        }
        Ok(())
    }
}
