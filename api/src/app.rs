//! The program's parts, put together once and shared by everything that serves.

use crate::passwords::Passwords;
use crate::tokens::Tokens;
use domain::{ClientInfo, Principal, SystemCaller, TenantId, UserId};
use event_store::{AccessCache, AppenderConfig, Commands, MasterKey, Pools, Request, Vault, Wake};
use projections::Freshness;
use std::sync::Arc;
use uuid::Uuid;

/// Everything a request needs.
#[derive(Clone, Debug)]
pub struct App {
    /// Connections, one pool a role.
    pub pools: Pools,
    /// Executes commands.
    pub commands: Arc<Commands>,
    /// How far read models have come, and waiting for them.
    pub freshness: Freshness,
    /// Who is told that a log has grown.
    pub wake: Wake,
    /// Access tokens.
    pub tokens: Tokens,
    /// Password hashing.
    pub passwords: Passwords,
}

impl App {
    /// Puts the parts together. Starts the appender's queues, nothing else.
    #[must_use]
    pub fn new(pools: Pools, master: &MasterKey, config: AppenderConfig) -> Self {
        let wake = Wake::default();
        let vault = Vault::new(pools.api.clone(), master);
        let access = AccessCache::new(pools.loader.clone(), 20_000);
        let commands = Arc::new(Commands::new(&pools, vault, access, &wake, config));
        Self {
            freshness: Freshness::new(pools.worker.clone()),
            tokens: Tokens::new(master),
            passwords: Passwords::default(),
            commands,
            wake,
            pools,
        }
    }
}

/// A request to a tenant's log with nothing special about it; set the fields that are.
#[must_use]
pub fn request(principal: Principal, tenant: TenantId) -> Request {
    Request::new(principal, tenant, crate::clock::now(), crate::clock::new_uuid(), crate::clock::new_uuid())
}

/// A request of the program itself, for a user and in the course of what they asked for.
#[must_use]
pub fn system_request(
    caller: &'static SystemCaller,
    tenant: TenantId,
    user: Option<UserId>,
    correlation_id: Uuid,
    client: Option<ClientInfo>,
) -> Request {
    Request { on_behalf_of: user, correlation_id, client, ..request(Principal::System(caller), tenant) }
}
