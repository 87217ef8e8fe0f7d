-- The stages of pipelines, removed ones included. Their order stands in pipeline_pipelines.stage_ids.
create table read_models.pipeline_stages (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  pipeline_id uuid not null,
  key text not null,
  name text not null,
  is_terminal boolean not null,
  color text,
  wip_limit int,
  deleted_at timestamptz,
  primary key (tenant_id, id)
);
create index pipeline_stages_pipeline on read_models.pipeline_stages (tenant_id, pipeline_id);
select event_store.read_model('read_models.pipeline_stages');
