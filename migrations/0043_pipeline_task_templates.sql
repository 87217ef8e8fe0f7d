-- What kinds of tasks are made after, deleted ones included.
create table read_models.pipeline_task_templates (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  label text not null,
  category text not null,
  preferred_pipeline_key text,
  title_pattern text not null,
  description text,
  steps text[] not null,
  default_assignee_rule text not null,
  due_in_hours integer,
  priority text not null,
  is_active boolean not null,
  deleted_at timestamptz,
  primary key (tenant_id, id)
);
create index pipeline_task_templates_created on read_models.pipeline_task_templates (tenant_id, created_at, id);
create index pipeline_task_templates_category on read_models.pipeline_task_templates (tenant_id, category, created_at, id);
select event_store.read_model('read_models.pipeline_task_templates');
