-- The users of each workspace, those included who have left.
create table read_models.workspace_members (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  id uuid not null,
  user_id uuid not null,
  name text,
  email text not null,
  role_keys text[] not null,
  source text not null,
  status text not null,
  joined_at timestamptz not null,
  left_at timestamptz,
  -- A column, since a cursor's comparison with an expression would not use an index under row-level security:
  -- lower() is not leakproof.
  sort_name text not null generated always as (lower(coalesce(name, email))) stored,
  primary key (tenant_id, user_id)
);
create unique index workspace_members_id on read_models.workspace_members (tenant_id, id);
create index workspace_members_name on read_models.workspace_members (tenant_id, status, sort_name, user_id);
create index workspace_members_joined on read_models.workspace_members (tenant_id, status, joined_at, user_id);
create index workspace_members_email on read_models.workspace_members (tenant_id, email);
select event_store.read_model('read_models.workspace_members');
