-- The cards on the boards, deleted ones included.
create table read_models.pipeline_items (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  pipeline_id uuid not null,
  stage_id uuid not null,
  -- Order keys are compared byte by byte, whatever the database's locale.
  rank text collate "C" not null,
  title text not null,
  description text,
  assigned_to uuid,
  due_date date,
  priority text not null,
  data text,
  tags text[] not null,
  source_ref text,
  status text not null,
  entered_stage_at timestamptz not null,
  completed_at timestamptz,
  deleted_at timestamptz,
  -- Columns rather than expressions, so that cursors use the indexes under row-level security.
  due_key date not null generated always as (coalesce(due_date, 'infinity'::date)) stored,
  priority_rank smallint not null generated always as
    (case priority when 'LOW' then 1 when 'MEDIUM' then 2 when 'HIGH' then 3 when 'URGENT' then 4 end) stored,
  primary key (tenant_id, id)
);
create index pipeline_items_stage on read_models.pipeline_items (tenant_id, stage_id, rank, id);
create index pipeline_items_pipeline on read_models.pipeline_items (tenant_id, pipeline_id, rank, id);
create index pipeline_items_created on read_models.pipeline_items (tenant_id, created_at, id);
create index pipeline_items_updated on read_models.pipeline_items (tenant_id, updated_at, id);
create index pipeline_items_due on read_models.pipeline_items (tenant_id, due_key, id);
create index pipeline_items_priority on read_models.pipeline_items (tenant_id, priority_rank, id);
create index pipeline_items_assignee on read_models.pipeline_items (tenant_id, assigned_to, due_key, id);
create index pipeline_items_creator on read_models.pipeline_items (tenant_id, created_by, created_at, id);
create index pipeline_items_status on read_models.pipeline_items (tenant_id, status, created_at, id);
select event_store.read_model('read_models.pipeline_items');
