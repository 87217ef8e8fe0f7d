//! Who wants to know that a log has grown: the readers of this process by a channel, those of other processes by way
//! of an outbox. A hint only: all is right without it, somewhat later. Invariant: what was heard from another process
//! is never told on.

use crate::notify::Outbox;
use domain::TenantId;
use std::sync::Arc;
use tokio::sync::broadcast;

/// A reason to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// This log has come to this position.
    Log(TenantId, i64),
    /// Something has, and it is not known what.
    Everything,
}

/// The wake-up calls of one process.
#[derive(Clone, Debug)]
pub struct Wake {
    calls: broadcast::Sender<Woken>,
    pub(crate) outbox: Arc<Outbox>,
}

impl Default for Wake {
    fn default() -> Self {
        Self { calls: broadcast::channel(4096).0, outbox: Arc::default() }
    }
}

impl Wake {
    /// A tenant's log has come to this position, by this process' own doing.
    pub fn note(&self, tenant: TenantId, position: i64) {
        self.hear(Woken::Log(tenant, position));
        self.outbox.log(tenant, position);
    }

    /// The read models of these tenants have come so far, by this process' own doing; 0 says only that something has
    /// changed there. For other processes.
    pub fn projected(&self, reached: impl IntoIterator<Item = (TenantId, i64)>) {
        self.outbox.read_models(reached);
    }

    /// Another process has said so.
    pub fn hear(&self, woken: Woken) {
        // Nobody listening is no error.
        let _ = self.calls.send(woken);
    }

    /// Listens from now on. A listener that falls behind is told so and must look for itself.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<Woken> {
        self.calls.subscribe()
    }
}
