-- The sign-ins of users, in the platform's log. Each user sees their own.
create table read_models.identity_sessions (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  user_id uuid not null,
  workspace_id uuid,
  method text not null,
  client_label text,
  status text not null,
  started_at timestamptz not null,
  last_refresh_at timestamptz,
  expires_at timestamptz not null,
  absolute_expires_at timestamptz not null,
  ended_at timestamptz,
  end_reason text,
  primary key (tenant_id, id)
);
create index identity_sessions_user on read_models.identity_sessions (tenant_id, user_id, started_at, id);
select event_store.read_model('read_models.identity_sessions');

drop policy tenant on read_models.identity_sessions;
create policy own on read_models.identity_sessions for select to annals_api
  using (tenant_id = event_store.current_tenant() and user_id = event_store.current_actor());
