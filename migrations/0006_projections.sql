-- How far the projector has come: a checkpoint for each tenant, and one for a (read model, tenant) only while it
-- is parked.
create table read_models.checkpoints (
  tenant_id uuid primary key,
  position bigint not null
) with (fillfactor = 50);

create table read_models.parked (
  tenant_id uuid not null,
  read_model text not null,
  -- The last position this read model has taken in.
  position bigint not null,
  error text not null,
  attempts int not null default 1,
  retry_at timestamptz not null,
  parked_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, read_model)
);

-- The version whose rows a table holds. A worker of an older version stands down.
create table read_models.versions (
  read_model text primary key,
  version int not null
);

select event_store.read_model('read_models.checkpoints');
select event_store.read_model('read_models.parked');
grant select on read_models.versions to annals_api;
grant select, insert, update on read_models.versions to annals_worker;
