-- How many items stand in each stage, and how many open ones each pipeline has: boards show it, and counting costs what
-- there is. A place is a stage or a pipeline.
create table read_models.pipeline_item_counts (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  place_id uuid not null,
  items bigint not null,
  primary key (tenant_id, place_id)
);
select event_store.read_model('read_models.pipeline_item_counts');
