//! Who wants to know that a log has grown. A hint only: all is right without it, somewhat later.

use domain::TenantId;
use tokio::sync::broadcast;

/// The wake-up calls of one process.
#[derive(Clone, Debug)]
pub struct Wake(broadcast::Sender<(TenantId, i64)>);

impl Default for Wake {
    fn default() -> Self {
        Self(broadcast::channel(4096).0)
    }
}

impl Wake {
    /// A tenant's log has come to this position.
    pub fn note(&self, tenant: TenantId, position: i64) {
        // Nobody listening is no error.
        let _ = self.0.send((tenant, position));
    }

    /// Listens from now on. A listener that falls behind is told so and must look for itself.
    #[must_use]
    pub fn listen(&self) -> broadcast::Receiver<(TenantId, i64)> {
        self.0.subscribe()
    }
}
