-- Pipelines, each with its stages in order.
create table read_models.pipeline_pipelines (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  key text not null,
  name text not null,
  pipeline_type text not null,
  description text,
  is_active boolean not null,
  stage_ids uuid[] not null,
  deleted_at timestamptz,
  -- See workspace_members.sort_name.
  sort_name text not null generated always as (lower(name)) stored,
  primary key (tenant_id, id)
);
create index pipeline_pipelines_key on read_models.pipeline_pipelines (tenant_id, key);
create index pipeline_pipelines_name on read_models.pipeline_pipelines (tenant_id, sort_name, id);
create index pipeline_pipelines_created on read_models.pipeline_pipelines (tenant_id, created_at, id);
create index pipeline_pipelines_type on read_models.pipeline_pipelines (tenant_id, pipeline_type, is_active);
select event_store.read_model('read_models.pipeline_pipelines');
