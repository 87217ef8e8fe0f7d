-- What operators need to see, and the skips that every replay has to honour.

-- The event that a parked read model cannot take in, once that is known: a refused write is narrowed down by retries.
alter table read_models.parked add column failing bigint;

-- Logs that cannot be read at all: none of their read models goes on. A row means nothing once the checkpoint has
-- left its position.
create table read_models.troubles (
  tenant_id uuid primary key,
  -- The checkpoint behind which it happened.
  position bigint not null,
  error text not null,
  attempts int not null default 1,
  retry_at timestamptz not null,
  since timestamptz not null default clock_timestamp()
);
select event_store.read_model('read_models.troubles');

-- All skips there are, found without a look at anything else: a handful among millions of events.
create index events_skips on event_store.events (tenant_id, position) where event_type = 'ProjectionEventSkipped';
