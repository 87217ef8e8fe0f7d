-- What members hold of the workspace's own roles, and what they may do beside or in spite of their roles.
alter table read_models.workspace_members
  add column role_ids uuid[] not null default '{}',
  add column grants text[] not null default '{}',
  add column denies text[] not null default '{}';
