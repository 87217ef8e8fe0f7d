-- A user's own workspaces stand in as many logs. To a scope of the platform, and only to that, a user's own
-- memberships show over all of them, and the workspaces of those that have not ended.

-- The platform's log; the program has the same constant.
create function event_store.platform() returns uuid
  language sql immutable parallel safe
  set search_path = pg_catalog
  return '01970000-0000-7000-8000-000000000001'::uuid;
revoke execute on function event_store.platform() from public;
grant execute on function event_store.platform() to annals_api, annals_worker;

create policy own on read_models.workspace_members for select to annals_api
  using (event_store.current_tenant() = event_store.platform() and user_id = event_store.current_actor());

create policy own on read_models.workspace_workspaces for select to annals_api
  using (event_store.current_tenant() = event_store.platform() and exists (
    select from read_models.workspace_members m
    where m.tenant_id = workspace_workspaces.tenant_id and m.user_id = event_store.current_actor() and m.status = 'ACTIVE'));

create index workspace_members_user on read_models.workspace_members (user_id, tenant_id);
