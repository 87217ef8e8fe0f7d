//! What one command does: authorise, look up its key, load, decide, append; and again where the log has moved.

mod decision;
mod keys;
mod types;

pub use types::{Committed, ExecuteError, Request, Target};

use crate::append::{AppendCounts, Appender, Verdict};
use crate::load::{LoadError, Loaded, Loader};
use crate::locks::Locks;
use crate::{AccessCache, AppenderConfig, Pools, StoreError, Vault, Wake};
use domain::roles::PermissionSet;
use domain::{Caller, Decider, FactRef, Facts, Guarded, TenantId, authorise, for_each_aggregate};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// How often a command is decided anew because the log has moved under it.
const ATTEMPTS: u32 = 20;

/// Executes commands against one database.
pub struct Commands {
    loader: Loader,
    vault: Vault,
    access: AccessCache,
    appender: Appender,
    locks: Locks,
    keys: sqlx::PgPool,
    /// The losses of the database after which the grants were forgotten.
    losses_seen: AtomicU64,
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Commands")
    }
}

impl Commands {
    /// Commands through these pools. Tells `wake` what it has written.
    #[must_use]
    pub fn new(pools: &Pools, vault: Vault, access: AccessCache, wake: &Wake, config: AppenderConfig) -> Self {
        let appender = Appender::start(pools, wake, config);
        Self {
            loader: Loader::new(pools.loader.clone(), vault.clone(), 50_000, appender.counts().clone()),
            vault,
            access,
            appender,
            locks: Locks::default(),
            keys: pools.loader.clone(),
            losses_seen: AtomicU64::new(0),
        }
    }

    /// Executes one command.
    ///
    /// # Errors
    /// Why nothing was written. [`StoreError::Unavailable`] alone leaves it open whether something was.
    pub async fn execute<D: Decider>(
        &self,
        request: &Request,
        target: Target,
        command: D::Command,
    ) -> Result<Committed, ExecuteError<D::Error>> {
        let id = target.id();
        let _turn = match target {
            Target::Existing(_) => Some(self.locks.turn(id).await),
            Target::New(_) => None,
        };
        let fingerprint = request.key.as_ref().map(|_| self.fingerprint::<D>(request, target, &command)).transpose()?;
        let mut target = target;
        for attempt in 0..ATTEMPTS {
            let lost = self.lost();
            let caller = self.caller(request, attempt > 0).await?;
            let (loaded, taken) = self.load::<D>(request, target).await?;
            let mut basis = if taken { vec![] } else { vec![(id, loaded.sequence)] };
            let authority = match authorise(&command, &loaded.state, &caller) {
                Ok(authority) => authority,
                // The fold may be behind a grant: looked at afresh once before saying no.
                Err(_) if attempt == 0 => continue,
                Err(_) if !self.still_so(request.tenant, &basis).await? => continue,
                Err(denied) => return Err(ExecuteError::Denied(denied)),
            };
            if let (Some(key), Some(fingerprint)) = (&request.key, &fingerprint)
                && let Some(committed) = self.first_outcome::<D>(request, key, fingerprint).await?
            {
                return Ok(committed);
            }
            let (facts, guards) = self.facts(request.tenant, &command.facts(&loaded.state, &caller)).await?;
            basis.extend_from_slice(&guards);
            let sequence = loaded.sequence;
            let decision = match self
                .decide::<D>(request, id, loaded, command.clone(), caller, authority, facts, guards, fingerprint.as_deref(), lost)
                .await
            {
                // What is appended is checked there; what is not, here.
                Err(ExecuteError::Refused(_)) if !self.still_so(request.tenant, &basis).await? => continue,
                decision => decision?,
            };
            if taken {
                return if decision.events == 0 { Ok(unchanged(id, sequence)) } else { Err(ExecuteError::IdTaken) };
            }
            if decision.events == 0 && request.key.is_none() {
                if !self.still_so(request.tenant, &basis).await? {
                    continue;
                }
                return Ok(unchanged(id, sequence));
            }
            let events = i64::try_from(decision.events).unwrap_or(i64::MAX);
            let guards: Vec<Uuid> = decision.append.guards.iter().map(|(id, _)| *id).collect();
            match self.appender.append(decision.append).await? {
                Verdict::Written { first_position } => {
                    let sequence = sequence + events;
                    // It stands, whatever becomes of the cache.
                    if events > 0
                        && let Err(error) = self.loader.keep(request.tenant, id, sequence, decision.state, lost).await
                    {
                        tracing::warn!(%error, aggregate = %id, "an aggregate could not be kept for the next command");
                        self.loader.forget(id);
                    }
                    return Ok(Committed { aggregate_id: id, first_position, events, sequence, replayed: false });
                }
                Verdict::WrittenBefore => {
                    self.loader.forget(id);
                    return self.written_before::<D>(request, id, sequence + 1, events).await;
                }
                Verdict::KeyUsed { outcome } => {
                    self.loader.forget(id);
                    return serde_json::from_str(&outcome).map_err(|error| StoreError::data("idempotency outcome", error).into());
                }
                Verdict::KeyMisused => return Err(ExecuteError::KeyMisused),
                Verdict::ClaimRefused { name } => return Err(refused_claim::<D>(&name)),
                Verdict::AccessMoved => {}
                Verdict::StreamMoved => {
                    self.loader.forget(id);
                    target = Target::Existing(id);
                }
                Verdict::GuardMoved => guards.into_iter().for_each(|id| self.loader.forget(id)),
            }
        }
        Err(ExecuteError::Contended)
    }

    /// How often the database has been lost. After each time the grants are folded anew: the server that answers next
    /// may be another, promoted or restored, whose log does not reach as far as the first one's.
    fn lost(&self) -> u64 {
        let lost = self.append_counts().lost;
        if self.losses_seen.load(Ordering::Acquire) != lost {
            self.access.forget_all();
            self.losses_seen.store(lost, Ordering::Release);
        }
        lost
    }

    async fn caller(&self, request: &Request, afresh: bool) -> Result<Caller, StoreError> {
        let (held, grants_position) = match request.principal.user() {
            Some(user) => {
                let access = if afresh { self.access.fresh(request.tenant).await? } else { self.access.folded(request.tenant).await? };
                (access.effective(user), access.position())
            }
            None => (PermissionSet::default(), 0),
        };
        Ok(Caller {
            principal: request.principal,
            tenant: request.tenant,
            grants: held.catalogue,
            custom: held.custom,
            grants_position,
            on_behalf_of: request.on_behalf_of,
            session: request.session,
            occurred_at: request.occurred_at,
            now: request.now,
            command_id: request.command_id,
        })
    }

    /// Whether the log still has what was decided upon as it was loaded; what it has not is forgotten, since
    /// another process may have written after it came into the cache.
    async fn still_so(&self, tenant: TenantId, basis: &[(Uuid, i64)]) -> Result<bool, StoreError> {
        let (ids, sequences): (Vec<String>, Vec<i64>) = basis.iter().map(|(id, sequence)| (id.to_string(), *sequence)).unzip();
        let moved: Vec<String> = sqlx::query_scalar(
            "select b.id from unnest($2::text[], $3::bigint[]) as b (id, sequence)
             where b.sequence <> coalesce((select max(e.sequence) from event_store.events e where e.aggregate_id = b.id and e.tenant_id = $1), 0)",
        )
        .bind(tenant.0)
        .bind(ids)
        .bind(sequences)
        .fetch_all(&self.keys)
        .await?;
        basis.iter().filter(|(id, _)| moved.contains(&id.to_string())).for_each(|(id, _)| self.loader.forget(*id));
        Ok(moved.is_empty())
    }

    /// The aggregate, and whether its id is taken by something else: then it is nothing here, and, if it is another
    /// tenant's, an incident.
    async fn load<D: Decider>(&self, request: &Request, target: Target) -> Result<(Loaded<D>, bool), StoreError> {
        let nothing = Loaded { sequence: 0, state: D::default() };
        let Target::Existing(id) = target else { return Ok((nothing, false)) };
        match self.loader.load(request.tenant, id).await {
            Ok(loaded) => Ok((loaded, false)),
            Err(LoadError::Foreign) => {
                tracing::warn!(
                    target: "security", kind = "CROSS_WORKSPACE_ACCESS", tenant = %request.tenant, actor = %request.principal.id(), aggregate = %id,
                    "a command named another tenant's aggregate"
                );
                Ok((nothing, true))
            }
            Err(LoadError::OtherType) => Ok((nothing, true)),
            Err(LoadError::Store(error)) => Err(error),
        }
    }

    /// The state of an aggregate as of now, for parts of the program that act on it; `Default` where there is
    /// none, or none of this tenant's.
    ///
    /// # Errors
    /// The store.
    pub async fn state<D: Decider>(&self, tenant: TenantId, id: Uuid) -> Result<D, StoreError> {
        let sequence = self.access.looks().stream(tenant, id).await?;
        self.state_at(tenant, id, sequence).await
    }

    /// The state of the aggregate that holds a claim, as of now: the way to a user by their e-mail, to a workspace by its
    /// slug; nothing where nobody holds it.
    ///
    /// # Errors
    /// The store.
    pub async fn holder<D: Decider>(&self, tenant: TenantId, name: &domain::ClaimName) -> Result<Option<D>, StoreError> {
        match self.access.looks().holder(tenant, self.vault.claim(tenant, name)).await? {
            Some((id, sequence)) => self.state_at(tenant, id, sequence).await.map(Some),
            None => Ok(None),
        }
    }

    /// The state of an aggregate whose stream was just seen to end here.
    async fn state_at<D: Decider>(&self, tenant: TenantId, id: Uuid, sequence: i64) -> Result<D, StoreError> {
        if sequence == 0 {
            return Ok(D::default());
        }
        match self.loader.load_at::<D>(tenant, id, sequence).await {
            Ok(loaded) => Ok(loaded.state),
            Err(LoadError::Foreign | LoadError::OtherType) => Ok(D::default()),
            Err(LoadError::Store(error)) => Err(error),
        }
    }

    async fn facts(&self, tenant: TenantId, wanted: &[FactRef]) -> Result<(Facts, Vec<(Uuid, i64)>), StoreError> {
        macro_rules! load_fact {
            ($fact:ident, $facts:ident, $guards:ident; $($decider:ty,)*) => {
                match $fact.aggregate_type {
                    $(kind if kind == <$decider as Decider>::TYPE => {
                        let state = match self.loader.fact::<$decider>(tenant, $fact.id).await {
                            Ok((sequence, state)) => {
                                $guards.push(($fact.id, sequence));
                                state
                            }
                            // What has this id is and stays something else: there is nothing to guard.
                            Err(LoadError::Foreign | LoadError::OtherType) => Arc::new(<$decider>::default()),
                            Err(LoadError::Store(error)) => return Err(error),
                        };
                        $facts.insert($fact.id, state);
                    })*
                    other => return Err(StoreError::data(other, "no such aggregate")),
                }
            };
        }
        let (mut facts, mut guards) = (Facts::default(), Vec::new());
        for fact in wanted {
            for_each_aggregate!(load_fact!(fact, facts, guards;));
        }
        Ok((facts, guards))
    }

    /// Who holds a claim.
    ///
    /// # Errors
    /// The database.
    pub async fn claim_holder(&self, tenant: TenantId, name: &domain::ClaimName) -> Result<Option<Uuid>, StoreError> {
        let held = self.access.looks().holder(tenant, self.vault.claim(tenant, name)).await?;
        Ok(held.map(|(holder, _)| holder))
    }

    /// What the appender of this process has done since it started.
    #[must_use]
    pub fn append_counts(&self) -> AppendCounts {
        self.appender.counts().now()
    }

    /// The access of tenants.
    #[must_use]
    pub fn access(&self) -> &AccessCache {
        &self.access
    }

    /// The secrets.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }
}

fn unchanged(id: Uuid, sequence: i64) -> Committed {
    Committed { aggregate_id: id, first_position: 1, events: 0, sequence, replayed: false }
}

fn refused_claim<D: Decider>(name: &str) -> ExecuteError<D::Error> {
    let kind = name.split(':').next().unwrap_or_default();
    match D::claim_refused(kind) {
        Some(error) => ExecuteError::Refused(error),
        None => ExecuteError::Store(StoreError::data(D::TYPE, format!("claims of kind {kind} have no refusal"))),
    }
}
