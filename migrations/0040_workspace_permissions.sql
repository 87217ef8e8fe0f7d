-- The permissions that a workspace names itself; the catalogue's are constants of the program.
create table read_models.workspace_permissions (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  name text not null,
  description text,
  primary key (tenant_id, name)
);
select event_store.read_model('read_models.workspace_permissions');
