-- Which items have a tag. Items are found by it here, since tags @> … is not leakproof.
create table read_models.pipeline_item_tags (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  tag text not null,
  item_id uuid not null,
  primary key (tenant_id, tag, item_id)
);
select event_store.read_model('read_models.pipeline_item_tags');
