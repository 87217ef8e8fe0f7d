-- What is to be done, deleted tasks included. Whether one is overdue depends on the clock and is asked, not stored.
create table read_models.pipeline_tasks (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  template_id uuid,
  source text not null,
  source_ref text,
  title text not null,
  description text,
  status text not null,
  pipeline_id uuid,
  stage_id uuid,
  assignee_id uuid,
  due_at timestamptz,
  data text,
  blocked_reason text,
  decision_count bigint not null,
  deleted_at timestamptz,
  -- A column rather than an expression, so that cursors use the index under row-level security.
  due_key timestamptz not null generated always as (coalesce(due_at, 'infinity'::timestamptz)) stored,
  primary key (tenant_id, id)
);
create index pipeline_tasks_created on read_models.pipeline_tasks (tenant_id, created_at, id);
create index pipeline_tasks_due on read_models.pipeline_tasks (tenant_id, due_key, id);
create index pipeline_tasks_status on read_models.pipeline_tasks (tenant_id, status, due_key, id);
create index pipeline_tasks_assignee on read_models.pipeline_tasks (tenant_id, assignee_id, due_key, id);
create index pipeline_tasks_pipeline on read_models.pipeline_tasks (tenant_id, pipeline_id, due_key, id);
create index pipeline_tasks_template on read_models.pipeline_tasks (tenant_id, template_id, created_at, id);
create index pipeline_tasks_creator on read_models.pipeline_tasks (tenant_id, created_by, created_at, id);
select event_store.read_model('read_models.pipeline_tasks');
