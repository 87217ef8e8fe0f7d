-- How many items entered a stage on a day (UTC), how many left it, and how long these had stood there.
create table read_models.pipeline_metrics (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  stage_id uuid not null,
  day date not null,
  entered bigint not null,
  departed bigint not null,
  seconds bigint not null,
  primary key (tenant_id, stage_id, day)
);
select event_store.read_model('read_models.pipeline_metrics');
