-- The tenant of a transaction, and what makes a table a tenant's.

-- STABLE, so that a query asks once and not once a row. An empty setting is none: that is what is left of a
-- `set local` after its transaction.
create function event_store.current_tenant() returns uuid
  language sql stable parallel safe
  set search_path = pg_catalog
  return nullif(current_setting('annals.tenant', true), '')::uuid;

create function event_store.current_actor() returns uuid
  language sql stable parallel safe
  set search_path = pg_catalog
  return nullif(current_setting('annals.actor', true), '')::uuid;

-- Where a database spreads its tenants over machines, this is where a table learns of it. Plain PostgreSQL has
-- nothing to do.
create function event_store.distribute(tenant_table regclass) returns void
  language plpgsql
  set search_path = pg_catalog
as $$ begin end $$;

-- Forced row-level security: the api sees the tenant of its transaction, the worker sees and writes all.
create function event_store.protect(tenant_table regclass) returns void
  language plpgsql
  set search_path = pg_catalog
as $$
begin
  execute format('alter table %s enable row level security', tenant_table);
  execute format('alter table %s force row level security', tenant_table);
  execute format('create policy tenant on %s for select to annals_api using (tenant_id = event_store.current_tenant())', tenant_table);
  execute format('create policy worker on %s for all to annals_worker using (true) with check (true)', tenant_table);
  perform event_store.distribute(tenant_table);
end
$$;

-- What every read model is: protected, read by the api, written by the worker.
create function event_store.read_model(tenant_table regclass) returns void
  language plpgsql
  set search_path = pg_catalog
as $$
begin
  perform event_store.protect(tenant_table);
  execute format('grant select on %s to annals_api', tenant_table);
  execute format('grant select, insert, update, delete, truncate on %s to annals_worker', tenant_table);
end
$$;

revoke execute on all functions in schema event_store from public;
grant execute on function event_store.current_tenant(), event_store.current_actor() to annals_append, annals_api, annals_loader, annals_worker;
