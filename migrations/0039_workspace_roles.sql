-- The roles that a workspace made itself; the built-in ones are constants of the program.
create table read_models.workspace_roles (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  name text not null,
  description text,
  permissions text[] not null,
  primary key (tenant_id, id)
);
select event_store.read_model('read_models.workspace_roles');
