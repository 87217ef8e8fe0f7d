-- Secrets and the keys of data subjects, each sealed under the master key before it comes here. Reached only
-- through these functions.
create table vault.secrets (
  tenant_id uuid not null,
  secret_ref uuid not null,
  sealed bytea not null,
  created_at timestamptz not null default clock_timestamp(),
  primary key (tenant_id, secret_ref)
);

-- Of the master key under which all of this is sealed: another key is refused before it does harm.
create table vault.master_key (
  fingerprint text primary key
);

create table vault.subject_keys (
  tenant_id uuid not null,
  subject uuid not null,
  -- Null once the key is destroyed: the tombstone stays.
  sealed bytea,
  created_at timestamptz not null default clock_timestamp(),
  destroyed_at timestamptz,
  primary key (tenant_id, subject)
);

alter table vault.secrets enable row level security;
alter table vault.secrets force row level security;
alter table vault.subject_keys enable row level security;
alter table vault.subject_keys force row level security;
create policy vault on vault.secrets to annals_vault using (true) with check (true);
create policy vault on vault.subject_keys to annals_vault using (true) with check (true);
grant select, insert, delete on vault.secrets to annals_vault;
grant select, insert, update on vault.subject_keys to annals_vault;
select event_store.distribute('vault.secrets');
select event_store.distribute('vault.subject_keys');

create function vault.put_secret(tenant uuid, secret_ref uuid, sealed bytea) returns void
  language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ insert into vault.secrets (tenant_id, secret_ref, sealed) values ($1, $2, $3) $$;

create function vault.secret(tenant uuid, secret_ref uuid) returns bytea
  language sql stable security definer set search_path = pg_catalog, pg_temp
as $$ select s.sealed from vault.secrets s where s.tenant_id = $1 and s.secret_ref = $2 $$;

create function vault.drop_secret(tenant uuid, secret_ref uuid) returns void
  language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ delete from vault.secrets s where s.tenant_id = $1 and s.secret_ref = $2 $$;

-- The key of each subject, made from the offered one where there is none yet. The key that stands is answered,
-- whoever came first; a destroyed one as null.
create function vault.subject_keys(tenants uuid[], subjects uuid[], offered bytea[]) returns table (tenant_id uuid, subject uuid, sealed bytea)
  language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  insert into vault.subject_keys (tenant_id, subject, sealed)
    select o.tenant, o.subject, o.sealed from unnest(tenants, subjects, offered) as o (tenant, subject, sealed)
    where o.sealed is not null
    order by o.tenant, o.subject
    on conflict do nothing;
  return query
    select k.tenant_id, k.subject, k.sealed from vault.subject_keys k
    join unnest(tenants, subjects) as o (tenant, subject) on k.tenant_id = o.tenant and k.subject = o.subject;
end
$$;

alter function vault.put_secret owner to annals_vault;
alter function vault.secret owner to annals_vault;
alter function vault.drop_secret owner to annals_vault;
alter function vault.subject_keys owner to annals_vault;
revoke execute on all functions in schema vault from public;
grant execute on function vault.put_secret, vault.secret, vault.drop_secret to annals_api;
grant execute on function vault.subject_keys to annals_api, annals_loader, annals_worker;
