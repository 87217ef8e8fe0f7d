-- A user as the user sees it, in the platform's log.
create table read_models.identity_users (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  status text not null,
  email text not null,
  first_name text,
  last_name text,
  name text,
  phone text,
  image_url text,
  timezone text not null,
  has_password boolean not null,
  default_workspace_id uuid,
  last_login_at timestamptz,
  locked_until timestamptz,
  primary key (tenant_id, id)
);
select event_store.read_model('read_models.identity_users');

-- Everybody acts in the platform's log, so its tenant policy would show everybody to everybody.
drop policy tenant on read_models.identity_users;
create policy own on read_models.identity_users for select to annals_api
  using (tenant_id = event_store.current_tenant() and id = event_store.current_actor());
