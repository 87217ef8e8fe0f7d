//! Wake-up calls to and from the other processes of the database. All is right without them, somewhat later.

use crate::app::App;
use event_store::Woken;
use event_store::notify::{self, Heard};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long the last ones may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// This process' notifier and listener; they end when it is dropped.
#[derive(Debug)]
pub(crate) struct Notifications {
    stop: CancellationToken,
    telling: JoinHandle<()>,
    listening: JoinHandle<()>,
}

impl Notifications {
    /// Starts to tell and to listen.
    pub(crate) fn start(app: &App) -> Self {
        let stop = CancellationToken::new();
        let telling = tokio::spawn(notify::tell(app.pools.clone(), app.wake.clone(), stop.clone().cancelled_owned()));
        let (wake, freshness) = (app.wake.clone(), app.freshness.clone());
        let hear = move |heard| match heard {
            Heard::Log(logs) => logs.into_iter().for_each(|(tenant, position)| wake.hear(Woken::Log(tenant, position))),
            Heard::ReadModels(reached) => freshness.hear(reached),
            Heard::Everything => {
                wake.hear(Woken::Everything);
                freshness.told(true);
            }
            Heard::Nothing => freshness.told(false),
        };
        let listening = tokio::spawn(notify::listen(app.pools.clone(), hear, stop.clone().cancelled_owned()));
        Self { stop, telling, listening }
    }

    /// Tells what is left to tell, and ends.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let ended = async { tokio::join!(&mut self.telling, &mut self.listening) };
        if tokio::time::timeout(PATIENCE, ended).await.is_err() {
            tracing::debug!("the last notifications were not sent, or the listener's connection was not given up");
        }
    }
}

impl Drop for Notifications {
    fn drop(&mut self) {
        self.telling.abort();
        self.listening.abort();
    }
}
