-- Members are listed whether they are suspended or not; those who have left are asked for by themselves.
create index workspace_members_present_name on read_models.workspace_members (tenant_id, sort_name, user_id) where status <> 'REMOVED';
create index workspace_members_present_joined on read_models.workspace_members (tenant_id, joined_at, user_id) where status <> 'REMOVED';
