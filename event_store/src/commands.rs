//! What one command does: authorise, look up its key, load, decide, append; and again where the log has moved.

use crate::append::{Append, Appender, Claim, ClaimStep, Key, NewEvent, Verdict};
use crate::load::{LoadError, Loaded, Loader};
use crate::metadata::Metadata;
use crate::{AccessCache, AppenderConfig, Pools, StoreError, Vault, Wake, locks::Locks};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use cqrs_es::{Aggregate, DomainEvent};
use domain::roles::{CATALOGUE_VERSION, GrantSet};
use domain::{
    Authority, Caller, ClaimOp, ClientInfo, Decider, Denied, Envelope, FactRef, Facts, Guarded, Principal, Refusal, Rejection, Root, SessionId,
    TenantId, UserId, authorise, canonical_json, for_each_aggregate, for_the_store,
};
use serde::Deserialize;
use std::sync::Arc;
use thiserror::Error;
use uuid::Uuid;

/// How often a command is decided anew because the log has moved under it.
const ATTEMPTS: u32 = 20;
/// How long a key is remembered.
const KEY_MEMORY: TimeDelta = TimeDelta::days(30);

/// Everything about a command that is not the command.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who sends it.
    pub principal: Principal,
    /// To which log.
    pub tenant: TenantId,
    /// For whom, when the program acts for a user.
    pub on_behalf_of: Option<UserId>,
    /// The session of a signed-in user.
    pub session: Option<SessionId>,
    /// What this command and others have come from: one request of a client.
    pub correlation_id: Uuid,
    /// The event or command that made the program send this one.
    pub causation_id: Option<Uuid>,
    /// Where the request came from.
    pub client: Option<ClientInfo>,
    /// When it happened in the world, if not now.
    pub occurred_at: Option<DateTime<Utc>>,
    /// True for what an import carries over.
    pub imported: bool,
    /// Makes the command happen once, however often it is sent. At most 200 bytes.
    pub key: Option<String>,
    /// Remember the key for ever: imports and reactors.
    pub keep_key: bool,
    /// What the client said, where the command holds what was worked out from it and may come out differently the
    /// next time: it is this that a repeat is recognised by.
    pub said: Option<String>,
    /// The clock.
    pub now: DateTime<Utc>,
    /// Names the command: a new UUIDv7.
    pub command_id: Uuid,
}

/// Whom a command is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An aggregate that may exist.
    Existing(Uuid),
    /// A new aggregate under an id that was just made and that nobody else can have.
    New(Uuid),
}

impl Target {
    fn id(self) -> Uuid {
        match self {
            Self::Existing(id) | Self::New(id) => id,
        }
    }
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Committed {
    /// The aggregate: for a repeated creation, the one that was made the first time.
    pub aggregate_id: Uuid,
    /// The position of its first event.
    pub first_position: i64,
    /// How many events it had; none when nothing changed.
    pub events: i64,
    /// The sequence of the aggregate afterwards.
    pub sequence: i64,
    /// True when this is the first outcome of a key that was used before.
    #[serde(skip, default = "yes")]
    pub replayed: bool,
}

/// Outcomes are only read back from where keys are kept.
fn yes() -> bool {
    true
}

impl Committed {
    /// The position of the last event, for those who want to read what was written.
    #[must_use]
    pub fn position(&self) -> i64 {
        self.first_position + self.events - 1
    }
}

/// Why a command did nothing.
#[derive(Debug, Error)]
pub enum ExecuteError<E: Refusal> {
    /// The caller may not.
    #[error(transparent)]
    Denied(Denied),
    /// A business rule stands against it.
    #[error(transparent)]
    Refused(E),
    /// The id is taken, by something of which no more is said.
    #[error("this id is taken; make a new one")]
    IdTaken,
    /// The key was used for another command.
    #[error("this Idempotency-Key was used for another command; use a new key for a new command")]
    KeyMisused,
    /// The aggregate changes faster than this command can be decided.
    #[error("this changes too fast just now; try again")]
    Contended,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Executes commands against one database.
pub struct Commands {
    loader: Loader,
    vault: Vault,
    access: AccessCache,
    appender: Appender,
    locks: Locks,
    keys: sqlx::PgPool,
}

impl std::fmt::Debug for Commands {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Commands")
    }
}

/// One decision, ready to be written.
struct Decision<D: Decider> {
    append: Append,
    state: D,
    events: usize,
}

impl Commands {
    /// Commands through these pools. Tells `wake` what it has written.
    #[must_use]
    pub fn new(pools: &Pools, vault: Vault, access: AccessCache, wake: &Wake, config: AppenderConfig) -> Self {
        Self {
            loader: Loader::new(pools.loader.clone(), vault.clone(), 50_000),
            vault,
            access,
            appender: Appender::start(pools, wake, config),
            locks: Locks::default(),
            keys: pools.loader.clone(),
        }
    }

    /// Executes one command.
    ///
    /// # Errors
    /// Why nothing was written. [`StoreError::Unavailable`] alone leaves it open whether something was.
    pub async fn execute<D: Decider>(&self, request: &Request, target: Target, command: D::Command) -> Result<Committed, ExecuteError<D::Error>> {
        let id = target.id();
        let _turn = match target {
            Target::Existing(_) => Some(self.locks.turn(id).await),
            Target::New(_) => None,
        };
        let fingerprint = request.key.as_ref().map(|_| self.fingerprint::<D>(request, target, &command)).transpose()?;
        let mut target = target;
        for attempt in 0..ATTEMPTS {
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
            let decision = match self.decide::<D>(request, id, loaded, command.clone(), caller, authority, facts, guards, fingerprint.as_deref()).await {
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
                    if events > 0 {
                        self.loader.keep(request.tenant, id, sequence, decision.state).await?;
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

    async fn caller(&self, request: &Request, afresh: bool) -> Result<Caller, StoreError> {
        let (grants, grants_position) = match request.principal.user() {
            Some(user) => {
                let access = if afresh { self.access.fresh(request.tenant).await? } else { self.access.folded(request.tenant).await? };
                (access.grants(user), access.position())
            }
            None => (GrantSet::EMPTY, 0),
        };
        Ok(Caller {
            principal: request.principal,
            tenant: request.tenant,
            grants,
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
        // Another process may have written since it was cached.
        self.loader.forget(id);
        match self.loader.load::<D>(tenant, id).await {
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

    #[expect(clippy::too_many_arguments, reason = "the steps of one command, each with what it needs")]
    async fn decide<D: Decider>(
        &self,
        request: &Request,
        id: Uuid,
        loaded: Loaded<D>,
        command: D::Command,
        caller: Caller,
        authority: Authority,
        facts: Facts,
        guards: Vec<(Uuid, i64)>,
        fingerprint: Option<&[u8]>,
    ) -> Result<Decision<D>, ExecuteError<D::Error>> {
        let metadata = self.metadata(request, command.name(), &caller, authority).await?;
        let fence = matches!(authority, Authority::Permission(..)).then_some(caller.grants_position);
        let mut root = Root(loaded.state);
        let sink = cqrs_es::event_sink::EventSink::default();
        root.handle(Envelope::new(command, caller, id, facts), &(), &sink).await.map_err(|rejection| match rejection {
            Rejection::Denied(denied) => ExecuteError::Denied(denied),
            Rejection::Refused(error) => ExecuteError::Refused(error),
        })?;
        let events = sink.collect().await;
        let claims = self.claims::<D>(request.tenant, id, &events);
        let key = request.key.as_ref().zip(fingerprint).map(|(key, fingerprint)| Key {
            actor: key_actor(request),
            key: key.clone(),
            fingerprint: fingerprint.to_vec(),
            expires_at: (!request.keep_key).then(|| request.now + KEY_MEMORY),
        });
        let count = events.len();
        let append = Append {
            tenant: request.tenant,
            aggregate_type: D::TYPE,
            aggregate_id: id,
            expected: loaded.sequence,
            command_id: request.command_id,
            fence,
            key,
            events: self.seal::<D>(request.tenant, &events, &metadata).await?,
            guards,
            claims,
        };
        Ok(Decision { append, state: root.0, events: count })
    }

    /// Events as the log keeps them: canonical, personal data sealed under keys that are durable by now.
    async fn seal<D: Decider>(&self, tenant: TenantId, events: &[D::Event], metadata: &str) -> Result<Vec<NewEvent>, StoreError> {
        let mut payloads = Vec::with_capacity(events.len());
        let mut subjects = Vec::new();
        for event in events {
            let payload = for_the_store(|| serde_json::to_value(event)).map_err(|error| StoreError::data(event.event_type(), error))?;
            crate::seal::subjects(&payload, &mut subjects);
            payloads.push(payload);
        }
        let ciphers = if subjects.is_empty() { None } else { Some(self.vault.ciphers(tenant, &subjects, true).await?) };
        let mut sealed = Vec::with_capacity(events.len());
        for (event, mut payload) in events.iter().zip(payloads) {
            if let Some(ciphers) = &ciphers {
                ciphers.seal(&mut payload)?;
            }
            sealed.push(NewEvent {
                event_type: event.event_type(),
                event_version: event.event_version(),
                payload: canonical_json(&payload).map_err(|error| StoreError::data(event.event_type(), error))?,
                metadata: metadata.to_owned(),
                access: D::access(event).is_some(),
            });
        }
        Ok(sealed)
    }

    /// What a command's events do to claims, the last word on each counting.
    fn claims<D: Decider>(&self, tenant: TenantId, id: Uuid, events: &[D::Event]) -> Vec<Claim> {
        let mut claims: Vec<Claim> = Vec::new();
        for change in events.iter().flat_map(|event| D::claims(event, id)) {
            let step = match change.op {
                ClaimOp::Take { capacity } => ClaimStep::Take { capacity },
                ClaimOp::Release => ClaimStep::Release,
                ClaimOp::RequireNone => ClaimStep::RequireNone,
            };
            let claim = Claim { name: self.vault.claim(tenant, &change.name), holder: id.to_string(), step };
            let requires = |claim: &Claim| claim.step == ClaimStep::RequireNone;
            match claims.iter_mut().find(|known| known.name == claim.name && requires(known) == requires(&claim)) {
                Some(known) => *known = claim,
                None => claims.push(claim),
            }
        }
        claims
    }

    async fn metadata(&self, request: &Request, command: &'static str, caller: &Caller, authority: Authority) -> Result<String, StoreError> {
        let client = self.sealed_client(request).await?;
        let scope = authority.scope();
        let mut metadata = Metadata::new();
        metadata.put("actor_id", request.principal.id());
        metadata.put("actor_kind", request.principal.kind());
        metadata.put("catalogue", CATALOGUE_VERSION);
        request.causation_id.iter().for_each(|id| metadata.put("causation_id", id));
        metadata.put("command", command);
        metadata.put("command_id", request.command_id);
        metadata.put("correlation_id", request.correlation_id);
        scope.iter().for_each(|_| metadata.put("grants_position", caller.grants_position));
        scope.iter().for_each(|_| metadata.put("grants_tenant", caller.tenant));
        request.imported.then(|| metadata.put("imported", true));
        request.occurred_at.iter().for_each(|at| metadata.put("occurred_at", at.trunc_subsecs(6).to_rfc3339_opts(chrono::SecondsFormat::Micros, true)));
        request.on_behalf_of.iter().for_each(|user| metadata.put("on_behalf_of", user));
        metadata.put("permission", authority.name());
        client.iter().for_each(|client| metadata.put("request", client));
        scope.iter().for_each(|scope| metadata.put("scope", scope.name()));
        request.session.iter().for_each(|id| metadata.put("session_id", id));
        metadata.put("tenant_id", request.tenant);
        Ok(metadata.end())
    }

    /// Where the request came from, under a key of the month that can be destroyed on its own.
    async fn sealed_client(&self, request: &Request) -> Result<Option<String>, StoreError> {
        let Some(client) = &request.client else { return Ok(None) };
        let month = Uuid::new_v5(&request.tenant.0, request.now.format("request-%Y-%m").to_string().as_bytes());
        let ciphers = self.vault.ciphers(request.tenant, &[month], true).await?;
        let open = serde_json::json!({ "ip": client.ip, "user_agent": client.user_agent }).to_string();
        ciphers.seal_bytes(month, open.as_bytes()).map(Some)
    }

    fn fingerprint<D: Decider>(&self, request: &Request, target: Target, command: &D::Command) -> Result<Vec<u8>, StoreError> {
        let text = match &request.said {
            Some(said) => [command.name().as_bytes(), said.as_bytes()].concat(),
            None => serde_json::to_vec(command).map_err(|error| StoreError::data("command", error))?,
        };
        let id = match target {
            Target::Existing(id) => id,
            // A repeated creation comes under a new id; it is the same command.
            Target::New(_) => Uuid::nil(),
        };
        Ok(self.vault.fingerprint(&[D::TYPE.as_bytes(), id.as_bytes(), &text]))
    }

    async fn first_outcome<D: Decider>(&self, request: &Request, key: &str, fingerprint: &[u8]) -> Result<Option<Committed>, ExecuteError<D::Error>> {
        let row = sqlx::query!(
            "select fingerprint, outcome from event_store.idempotency
             where tenant_id = $1 and actor = $2 and key = $3 and (expires_at is null or expires_at > $4)",
            request.tenant.0,
            key_actor(request),
            key,
            request.now
        )
        .fetch_optional(&self.keys)
        .await
        .map_err(StoreError::from)?;
        match row {
            None => Ok(None),
            Some(row) if row.fingerprint != fingerprint => Err(ExecuteError::KeyMisused),
            Some(row) => serde_json::from_str(&row.outcome).map(Some).map_err(|error| StoreError::data("idempotency outcome", error).into()),
        }
    }

    /// Where the events of an attempt stand whose answer was lost.
    async fn written_before<D: Decider>(&self, request: &Request, id: Uuid, sequence: i64, events: i64) -> Result<Committed, ExecuteError<D::Error>> {
        let first_position = sqlx::query_scalar!(
            "select position from event_store.events where aggregate_id = $1 and sequence = $2 and tenant_id = $3",
            id.to_string(),
            sequence,
            request.tenant.0
        )
        .fetch_one(&self.keys)
        .await
        .map_err(StoreError::from)?;
        Ok(Committed { aggregate_id: id, first_position, events, sequence: sequence + events - 1, replayed: false })
    }

    /// Who holds a claim: the way to a user by their e-mail, to a workspace by its slug.
    ///
    /// # Errors
    /// The database.
    pub async fn claim_holder(&self, tenant: TenantId, name: &domain::ClaimName) -> Result<Option<Uuid>, StoreError> {
        let holder = sqlx::query_scalar!("select holder from event_store.claims where tenant_id = $1 and name = $2 limit 1", tenant.0, self.vault.claim(tenant, name))
            .fetch_optional(&self.keys)
            .await?;
        holder.map(|holder| holder.parse().map_err(|error| StoreError::data("claim", error))).transpose()
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

fn key_actor(request: &Request) -> String {
    format!("{}:{}", request.principal.kind(), request.principal.id())
}

fn refused_claim<D: Decider>(name: &str) -> ExecuteError<D::Error> {
    let kind = name.split(':').next().unwrap_or_default();
    match D::claim_refused(kind) {
        Some(error) => ExecuteError::Refused(error),
        None => ExecuteError::Store(StoreError::data(D::TYPE, format!("claims of kind {kind} have no refusal"))),
    }
}
