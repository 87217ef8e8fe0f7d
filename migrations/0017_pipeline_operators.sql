-- Who operates which pipeline.
create table read_models.pipeline_operators (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  pipeline_id uuid not null,
  user_id uuid not null,
  primary key (tenant_id, pipeline_id, user_id)
);
select event_store.read_model('read_models.pipeline_operators');
