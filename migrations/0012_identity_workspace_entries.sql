-- The directory of workspaces, in the platform's log.
create table read_models.identity_workspace_entries (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  workspace_id uuid not null,
  slug text not null,
  next_slug text,
  kind text not null,
  owner_id uuid not null,
  status text not null,
  expires_at timestamptz,
  primary key (tenant_id, id)
);
-- Not unique: the claims in the log are what keeps slugs apart, and a read model only repeats them.
create index identity_workspace_entries_slug on read_models.identity_workspace_entries (tenant_id, slug);
select event_store.read_model('read_models.identity_workspace_entries');
