-- Read models are made anew beside the live ones: filled in a schema of their own, which nobody queries, and put in
-- the place of the old ones in one transaction. The worker owns no table; what it takes to make and to swap one is in
-- functions of the owner's, which touch read models and nothing else.
create schema read_models_next;
grant usage on schema read_models_next to annals_worker;

-- Rebuilds that have begun. The row is the lock of its rebuild.
create table read_models.rebuilds (
  read_model text primary key,
  -- The version of the program that fills it; another one begins anew.
  version int not null,
  started_at timestamptz not null default clock_timestamp()
);
grant select on read_models.rebuilds to annals_api;
grant select, insert, update, delete on read_models.rebuilds to annals_worker;

-- How far each has come, tenant by tenant; written with the rows, so that a rebuild that was killed goes on from there.
create table read_models.rebuilt (
  tenant_id uuid not null,
  read_model text not null,
  -- The last position that is taken in.
  position bigint not null,
  -- The events that operators have skipped and that were passed over.
  skipped bigint[] not null,
  -- The event that cannot be taken in, and why.
  failing bigint,
  error text,
  primary key (tenant_id, read_model)
);
select event_store.read_model('read_models.rebuilt');

-- The table of a read model, and of nothing else: checkpoints and their like have other columns.
create function read_models.live_table(name text) returns regclass
  language plpgsql stable
  set search_path = pg_catalog, pg_temp
as $$
declare
  live regclass := (
    select c.oid from pg_class c
    where c.relnamespace = 'read_models'::regnamespace and c.relname = live_table.name and c.relkind in ('r', 'p') and 6 = (
      select count(*) from pg_attribute a where a.attrelid = c.oid and not a.attisdropped
        and a.attname in ('tenant_id', 'sequence', 'created_at', 'created_by', 'updated_at', 'updated_by')));
begin
  if live is null then
    raise exception 'there is no read model %', name using errcode = 'undefined_table';
  end if;
  return live;
end
$$;

-- The columns of a table, to tell whether two are alike.
create function read_models.columns_of(tbl regclass) returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select string_agg(format('%I %s %s %s %s', a.attname, format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull, pg_get_expr(d.adbin, d.adrelid)), ', ' order by a.attnum)
  from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = tbl and a.attnum > 0 and not a.attisdropped
$$;

-- An index of the live table that the new one lacks; null where it has all.
create function read_models.missing_index(name text) returns regclass
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select i.indexrelid::regclass from pg_index i join pg_class c on c.oid = i.indexrelid
  where i.indrelid = read_models.live_table(name) and not exists (
    select from pg_class n where n.relnamespace = 'read_models_next'::regnamespace and n.relname = c.relname)
  order by c.relname limit 1
$$;

-- The statement that makes a policy, of the same name and effect, for another table.
create function read_models.policy_for(policy oid, target text) returns text
  language sql stable
  set search_path = pg_catalog, pg_temp
as $$
  select format('create policy %I on %s as %s for %s to %s%s%s', p.polname, target,
    case when p.polpermissive then 'permissive' else 'restrictive' end,
    case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete' else 'all' end,
    (select string_agg(case r when 0 then 'public' else quote_ident(pg_get_userbyid(r)) end, ', ') from unnest(p.polroles) as r),
    ' using (' || pg_get_expr(p.polqual, p.polrelid) || ')', ' with check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
  from pg_policy p where p.oid = policy
$$;

-- Makes the new table, with its key and without its other indexes, which are made faster once it is filled. True when
-- it was made just now; one that was begun before and is still like the live one is kept.
create function read_models.prepare_next(name text) returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  live regclass := read_models.live_table(name);
  next text := format('read_models_next.%I', name);
  key record;
begin
  if to_regclass(next) is not null then
    if read_models.columns_of(to_regclass(next)) = read_models.columns_of(live) then
      return false;
    end if;
    execute format('drop table %s', next);
  end if;
  execute format('create table %s (like %s including all excluding indexes)', next, live);
  select c.conname, pg_get_constraintdef(c.oid) as definition into strict key from pg_constraint c where c.conrelid = live and c.contype = 'p';
  execute format('alter table %s add constraint %I %s', next, key.conname, key.definition);
  execute format('grant select, insert, update, delete on %s to annals_worker', next);
  perform event_store.distribute(next::regclass);
  return true;
end
$$;

-- Makes one of the indexes that are missing. True while there may be another.
create function read_models.index_next(name text) returns boolean
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  missing oid := read_models.missing_index(name);
  made record;
begin
  if missing is null then
    execute format('analyze read_models_next.%I', name);
    return false;
  end if;
  select c.conname, pg_get_constraintdef(c.oid) as definition into made from pg_constraint c where c.conindid = missing and c.contype in ('p', 'u');
  if found then
    execute format('alter table read_models_next.%I add constraint %I %s', name, made.conname, made.definition);
  else
    -- An index stands in the schema of its table, so it has the name of the old one already.
    execute regexp_replace(pg_get_indexdef(missing), ' ON read_models\.', ' ON read_models_next.');
  end if;
  return true;
end
$$;

-- Puts the new table in the place of the live one. Locks the live one, then those whose policies name it; callers come
-- with a short lock_timeout and try again, since queries lock tables in other orders.
create function read_models.swap_next(name text) returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  live regclass := read_models.live_table(name);
  next text := format('read_models_next.%I', name);
  was record;
  again text[];
  statement text;
begin
  execute format('lock table %s in access exclusive mode', live);
  if to_regclass(next) is null or read_models.missing_index(name) is not null
     or read_models.columns_of(to_regclass(next)) <> read_models.columns_of(live) then
    raise exception 'the new % is not like the live one', name using errcode = 'object_not_in_prerequisite_state';
  end if;
  -- As the live one is protected now, and not as it was when the rebuild began.
  select c.relrowsecurity, c.relforcerowsecurity into was from pg_class c where c.oid = live;
  if was.relrowsecurity then
    execute format('alter table %s enable row level security', next);
  end if;
  if was.relforcerowsecurity then
    execute format('alter table %s force row level security', next);
  end if;
  for statement in select read_models.policy_for(p.oid, next) from pg_policy p where p.polrelid = live loop
    execute statement;
  end loop;
  for statement in
    select format('grant %s on %s to %s', a.privilege_type, next, case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
    from pg_class c cross join aclexplode(c.relacl) as a where c.oid = live and a.grantee <> c.relowner
  loop
    execute statement;
  end loop;
  -- Policies of other tables that look into this one look into the new one from now on.
  again := array(
    select read_models.policy_for(p.oid, case p.polrelid when next::regclass then format('read_models.%I', name) else p.polrelid::regclass::text end)
    from pg_policy p
    where p.oid in (select d.objid from pg_depend d where d.classid = 'pg_policy'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = live)
      and p.polrelid <> live
    order by p.polrelid);
  for was in
    select p.polname, p.polrelid::regclass as tbl from pg_policy p
    where p.oid in (select d.objid from pg_depend d where d.classid = 'pg_policy'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = live)
      and p.polrelid <> live
    order by p.polrelid
  loop
    execute format('drop policy %I on %s', was.polname, was.tbl);
  end loop;
  -- Without cascade: whatever else stands on the old table is named by the error.
  execute format('drop table %s', live);
  execute format('alter table %s set schema read_models', next);
  foreach statement in array again loop
    execute statement;
  end loop;
end
$$;

-- Gives a rebuild up.
create function read_models.drop_next(name text) returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
begin
  perform read_models.live_table(name);
  execute format('drop table if exists read_models_next.%I', name);
end
$$;

revoke execute on function read_models.live_table, read_models.columns_of, read_models.missing_index, read_models.policy_for,
  read_models.prepare_next, read_models.index_next, read_models.swap_next, read_models.drop_next from public;
grant execute on function read_models.prepare_next, read_models.index_next, read_models.swap_next, read_models.drop_next to annals_worker;
