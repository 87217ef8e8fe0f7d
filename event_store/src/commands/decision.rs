//! From a loaded aggregate and a command to events that are ready to be written: decided, sealed, with the claims
//! they make and the metadata they carry.

use super::keys::key_actor;
use super::{Commands, ExecuteError, Request};
use crate::StoreError;
use crate::append::{Append, Claim, ClaimStep, Key, NewEvent};
use crate::load::Loaded;
use crate::metadata::Metadata;
use chrono::{SubsecRound, TimeDelta};
use cqrs_es::{Aggregate, DomainEvent};
use domain::roles::CATALOGUE_VERSION;
use domain::{Authority, Caller, ClaimOp, Decider, Envelope, Facts, Guarded, Rejection, Root, TenantId, canonical_json, for_the_store};
use uuid::Uuid;

/// How long a key is remembered.
const KEY_MEMORY: TimeDelta = TimeDelta::days(30);

/// One decision, ready to be written.
pub(super) struct Decision<D: Decider> {
    pub(super) append: Append,
    pub(super) state: D,
    pub(super) events: usize,
}

impl Commands {
    #[expect(clippy::too_many_arguments, reason = "the steps of one command, each with what it needs")]
    pub(super) async fn decide<D: Decider>(
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
        lost: u64,
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
            events: self.seal::<D>(request.tenant, id, &events, &metadata).await?,
            guards,
            claims,
            lost,
        };
        Ok(Decision { append, state: root.0, events: count })
    }

    /// Events as the log keeps them: canonical, personal data sealed under keys that are durable by now.
    pub(super) async fn seal<D: Decider>(
        &self,
        tenant: TenantId,
        id: Uuid,
        events: &[D::Event],
        metadata: &str,
    ) -> Result<Vec<NewEvent>, StoreError> {
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
                access: D::access(event, id).is_some(),
            });
        }
        Ok(sealed)
    }

    /// What a command's events do to claims, the last word on each counting.
    pub(super) fn claims<D: Decider>(&self, tenant: TenantId, id: Uuid, events: &[D::Event]) -> Vec<Claim> {
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

    pub(super) async fn metadata(
        &self,
        request: &Request,
        command: &'static str,
        caller: &Caller,
        authority: Authority,
    ) -> Result<String, StoreError> {
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
        request
            .occurred_at
            .iter()
            .for_each(|at| metadata.put("occurred_at", at.trunc_subsecs(6).to_rfc3339_opts(chrono::SecondsFormat::Micros, true)));
        request.on_behalf_of.iter().for_each(|user| metadata.put("on_behalf_of", user));
        metadata.put("permission", authority.name());
        client.iter().for_each(|client| metadata.put("request", client));
        scope.iter().for_each(|scope| metadata.put("scope", scope.name()));
        request.session.iter().for_each(|id| metadata.put("session_id", id));
        metadata.put("tenant_id", request.tenant);
        Ok(metadata.end())
    }

    /// Where the request came from, under a key of the month that can be destroyed on its own.
    pub(super) async fn sealed_client(&self, request: &Request) -> Result<Option<String>, StoreError> {
        let Some(client) = &request.client else { return Ok(None) };
        let month = Uuid::new_v5(&request.tenant.0, request.now.format("request-%Y-%m").to_string().as_bytes());
        let ciphers = self.vault.ciphers(request.tenant, &[month], true).await?;
        let open = serde_json::json!({ "ip": client.ip, "user_agent": client.user_agent }).to_string();
        ciphers.seal_bytes(month, open.as_bytes()).map(Some)
    }
}
