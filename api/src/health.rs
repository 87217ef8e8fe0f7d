//! Whether the process can do its work. Asked at most once a second, however many ask.

use event_store::Pools;
use projections::{ReadModelStatus, Standing};
use sqlx::PgPool;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

/// How long an answer is good: no query over all tenants more often than this.
const KEPT: Duration = Duration::from_secs(1);
/// How long the database has to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// How old the oldest event that is not taken in may be (`spec/ops.md`).
const LAG: Duration = Duration::from_secs(60);

/// How far the projectors of all processes have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Events of all tenants that are not taken in.
    pub lag_events: i64,
    /// Age of the oldest of them.
    pub lag: Duration,
    /// Read models of a tenant that stand still because of an error.
    pub parked: i64,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Why the process is not ready; empty when it is. For the public: no names of hosts, no texts of errors.
    pub reasons: Vec<String>,
    /// How far read models have come, if that could be asked.
    pub progress: Option<Progress>,
    /// How each read model stands, if that could be asked.
    pub read_models: Vec<ReadModelStatus>,
}

impl Report {
    /// True when work may be sent here.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }

    /// The report as lines.
    #[must_use]
    pub fn text(&self) -> String {
        if self.is_ready() {
            return "ready\n".to_owned();
        }
        self.reasons.iter().fold(String::from("not ready\n"), |mut text, reason| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{reason}");
            text
        })
    }
}

/// Looks after one process.
#[derive(Clone, Debug)]
pub struct Health {
    pools: Pools,
    projects: Option<Standing>,
    last: Arc<Mutex<Option<(Instant, Report)>>>,
}

impl Health {
    /// The health of a process with these pools; one that `projects` answers for its projector and the lag too.
    #[must_use]
    pub fn new(pools: &Pools, projects: Option<Standing>) -> Self {
        Self { pools: pools.clone(), projects, last: Arc::default() }
    }

    /// The present state, or that of less than a second ago.
    pub async fn report(&self) -> Report {
        // Held while looking, so that many who ask at once are answered by one look.
        let mut last = self.last.lock().await;
        if let Some((at, report)) = &*last
            && at.elapsed() < KEPT
        {
            return report.clone();
        }
        let report = self.look().await;
        *last = Some((Instant::now(), report.clone()));
        report
    }

    async fn look(&self) -> Report {
        let mut report = Report::default();
        let pools = [("queries", &self.pools.api), ("loading", &self.pools.loader), ("projector", &self.pools.worker)];
        let answers = futures::future::join_all(pools.map(|(name, pool)| async move { (name, answers(pool).await) })).await;
        for (name, _) in answers.iter().filter(|(_, answers)| !answers) {
            report.reasons.push(format!("the database does not answer the connections for {name}"));
        }
        if !report.is_ready() {
            return report;
        }
        match timeout(PATIENCE, event_store::pending(&self.pools.worker)).await {
            Ok(Ok(0)) => {}
            Ok(Ok(missing)) => report.reasons.push(format!("{missing} migrations are pending: run `annals migrate`")),
            Ok(Err(error)) => {
                tracing::warn!(%error, "asking for pending migrations");
                report.reasons.push("the database could not tell its migrations".to_owned());
            }
            Err(_) => report.reasons.push("the database is too slow".to_owned()),
        }
        if !report.is_ready() {
            return report;
        }
        match timeout(PATIENCE, progress(&self.pools.worker)).await {
            Ok(Ok(progress)) => {
                report.progress = Some(progress);
                if let Some(reason) = self.projects.as_ref().and_then(Standing::down) {
                    report.reasons.push(reason);
                }
                if self.projects.is_some() && progress.lag > LAG {
                    report.reasons.push(format!("read models are {} s and {} events behind", progress.lag.as_secs(), progress.lag_events));
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "asking for the projector's progress");
                report.reasons.push("the progress of read models could not be asked".to_owned());
            }
            Err(_) => report.reasons.push("the database is too slow".to_owned()),
        }
        match timeout(PATIENCE, projections::read_models(&self.pools.worker)).await {
            Ok(Ok(read_models)) => report.read_models = read_models,
            Ok(Err(error)) => tracing::warn!(%error, "asking how the read models stand"),
            Err(_) => tracing::warn!("the database is too slow to tell how the read models stand"),
        }
        report
    }
}

async fn answers(pool: &PgPool) -> bool {
    match timeout(PATIENCE, sqlx::query("select 1").execute(pool)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database does not answer");
            false
        }
        Err(_) => {
            tracing::warn!("the database does not answer in {} s, or every connection is taken", PATIENCE.as_secs());
            false
        }
    }
}

/// Asks the log and the checkpoints. The cost follows the tenants that are behind.
async fn progress(pool: &PgPool) -> Result<Progress, sqlx::Error> {
    let (lag_events, lag_seconds, parked): (i64, f64, i64) = sqlx::query_as(
        "with behind as (
           select h.tenant_id, coalesce(c.position, 0) as reached, h.position - coalesce(c.position, 0) as events
           from event_store.heads h left join read_models.checkpoints c on c.tenant_id = h.tenant_id
           where h.position > coalesce(c.position, 0)
         )
         select coalesce((select sum(events) from behind), 0)::bigint,
                coalesce((select extract(epoch from clock_timestamp() - min(e.recorded_at)) from behind b
                          join event_store.events e on e.tenant_id = b.tenant_id and e.position = b.reached + 1), 0)::float8,
                (select count(*) from read_models.parked)",
    )
    .fetch_one(pool)
    .await?;
    Ok(Progress { lag_events, lag: Duration::try_from_secs_f64(lag_seconds).unwrap_or_default(), parked })
}

#[cfg(test)]
mod tests {
    use super::*;
    use event_store::{MasterKey, PoolSizes};

    #[tokio::test]
    async fn a_process_without_its_database_is_not_ready_and_says_why_without_names() {
        let base = "postgres://nobody@127.0.0.1:1/none".parse().unwrap();
        let health = Health::new(&Pools::new(&base, &MasterKey::new([7; 32]), PoolSizes::default()), None);
        let report = health.report().await;
        assert!(!report.is_ready());
        let text = report.text();
        assert!(text.starts_with("not ready\nthe database does not answer") && !text.contains("127.0.0.1"), "{text}");
        let again = Instant::now();
        health.report().await;
        assert!(again.elapsed() < Duration::from_millis(500), "the second answer should be the first one's");
    }
}
