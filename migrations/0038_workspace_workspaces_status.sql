-- Whether a workspace is in use, and from when on one that is deleted may be purged.
alter table read_models.workspace_workspaces
  add column status text not null default 'ACTIVE',
  add column purge_after timestamptz;
