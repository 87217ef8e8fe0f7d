-- Each workspace's own row.
create table read_models.workspace_workspaces (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  name text not null,
  slug text not null,
  kind text not null,
  plan text not null,
  quota_reset_at timestamptz not null,
  owner_ids uuid[] not null,
  settings jsonb not null,
  primary key (tenant_id, id)
);
select event_store.read_model('read_models.workspace_workspaces');
