-- What happened to items, one row an event.
create table read_models.pipeline_item_history (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  item_id uuid not null,
  position bigint not null,
  kind text not null,
  at timestamptz not null,
  actor_kind text not null,
  actor_id text not null,
  from_pipeline_id uuid,
  from_stage_id uuid,
  to_pipeline_id uuid,
  to_stage_id uuid,
  left_stage_entered_at timestamptz,
  seconds_in_stage bigint,
  assignee_id uuid,
  tag text,
  changed text[] not null,
  activity text,
  lifecycle text,
  note text,
  data text,
  attributes text,
  primary key (tenant_id, item_id, position)
);
-- Who came to a stage, and who left it after how long.
create index pipeline_item_history_to on read_models.pipeline_item_history (tenant_id, to_stage_id, kind) where to_stage_id is not null;
create index pipeline_item_history_from on read_models.pipeline_item_history (tenant_id, from_stage_id, seconds_in_stage)
  where seconds_in_stage is not null;
select event_store.read_model('read_models.pipeline_item_history');
