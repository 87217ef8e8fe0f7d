-- The log: one dense sequence of events for each tenant. The columns from aggregate_type to metadata are those
-- of postgres-es, so that its stock repository reads this table.
create table event_store.events (
  tenant_id uuid not null,
  position bigint not null check (position > 0),
  sequence bigint not null check (sequence > 0),
  recorded_at timestamptz not null,
  -- Does this event change who may do what?
  access boolean not null,
  aggregate_type text not null check (octet_length(aggregate_type) <= 50),
  aggregate_id text not null check (octet_length(aggregate_id) <= 50),
  event_type text not null check (octet_length(event_type) <= 100),
  event_version text not null check (octet_length(event_version) <= 10),
  -- json, never jsonb: the text that was hashed is the text that is kept.
  payload json not null,
  metadata json not null,
  primary key (tenant_id, position),
  -- A stream is found with or without its tenant.
  unique (aggregate_id, sequence, tenant_id)
);
create index events_access on event_store.events (tenant_id, position) where access;

-- How far each log has come. The row is the lock of its log.
create table event_store.heads (
  tenant_id uuid primary key,
  position bigint not null default 0,
  -- The last event that changed who may do what.
  access_position bigint not null default 0,
  recorded_at timestamptz not null default '-infinity'
) with (fillfactor = 50);

-- Unique names (sets of one holder), limited counters (at most n) and references (a deletion wants none).
create table event_store.claims (
  tenant_id uuid not null,
  name text not null check (octet_length(name) <= 500),
  holder text not null check (octet_length(holder) <= 50),
  primary key (tenant_id, name, holder)
);

-- The first outcome of each keyed command. Without an expiry it is kept for ever.
create table event_store.idempotency (
  tenant_id uuid not null,
  actor text not null check (octet_length(actor) <= 100),
  key text not null check (octet_length(key) <= 300),
  fingerprint bytea not null,
  outcome text not null,
  expires_at timestamptz,
  primary key (tenant_id, actor, key)
);
create index idempotency_expiry on event_store.idempotency (expires_at) where expires_at is not null;

-- Nobody changes an event, whatever they were granted.
create function event_store.refuse_change() returns trigger
  language plpgsql
  set search_path = pg_catalog
as $$
begin
  raise exception 'the log is append-only: % on % is refused', tg_op, tg_table_name using errcode = 'insufficient_privilege';
end
$$;
create trigger append_only before update or delete on event_store.events for each row execute function event_store.refuse_change();
create trigger append_only_truncate before truncate on event_store.events for each statement execute function event_store.refuse_change();
revoke update, delete, truncate on event_store.events from annals_owner;

select event_store.protect('event_store.events');
select event_store.protect('event_store.heads');
select event_store.protect('event_store.claims');
select event_store.protect('event_store.idempotency');

create policy append on event_store.events to annals_append using (true) with check (true);
create policy append on event_store.heads to annals_append using (true) with check (true);
create policy append on event_store.claims to annals_append using (true) with check (true);
create policy append on event_store.idempotency to annals_append using (true) with check (true);
create policy loader on event_store.events for select to annals_loader using (true);
create policy loader on event_store.heads for select to annals_loader using (true);
create policy loader on event_store.claims for select to annals_loader using (true);
create policy loader on event_store.idempotency for select to annals_loader using (true);

grant select, insert on event_store.events to annals_append;
grant select, insert, update on event_store.heads to annals_append;
grant select, insert, delete on event_store.claims to annals_append;
grant select, insert, delete on event_store.idempotency to annals_append;
grant select on event_store.events, event_store.heads, event_store.claims, event_store.idempotency to annals_loader;
grant select on event_store.events, event_store.heads to annals_api, annals_worker;
