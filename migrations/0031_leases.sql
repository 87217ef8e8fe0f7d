-- Who projects what. Tenants are divided into 64 shards by the last six bits of their id, which are random or a
-- hash's; a shard is one worker's at a time.

-- A worker lives as long as it says so in time, by this database's clock: one row is renewed, however many shards
-- it holds.
create table read_models.workers (
  id uuid primary key,
  -- For people: the process and the program.
  process_id int not null,
  version text not null,
  since timestamptz not null default clock_timestamp(),
  expires_at timestamptz not null
) with (fillfactor = 50);

-- The fencing token grows with every change of holder. Every transaction of a projector locks the leases it works
-- under for share and compares holder and token, so none is under way when a lease changes hands.
create table read_models.leases (
  shard int primary key check (shard between 0 and 63),
  holder uuid,
  token bigint not null default 0
) with (fillfactor = 50);
insert into read_models.leases (shard) select generate_series(0, 63);

grant select on read_models.workers, read_models.leases to annals_api;
grant select, insert, update, delete on read_models.workers to annals_worker;
grant select, update on read_models.leases to annals_worker;

-- Whoever moves a version, of any read model and by whatever way, takes all leases back: no transaction of an
-- older worker is under way then, and it gets no new lease. Made by whoever writes, with their own rights.
create function read_models.revoke_leases() returns trigger
  language plpgsql
  set search_path = pg_catalog
as $$
begin
  with held as materialized (select shard from read_models.leases where holder is not null order by shard for update)
  update read_models.leases l set holder = null from held where l.shard = held.shard;
  return null;
end
$$;
revoke execute on function read_models.revoke_leases() from public;
grant execute on function read_models.revoke_leases() to annals_worker;
create trigger older_workers_stand_down after insert or update or delete on read_models.versions
  for each statement execute function read_models.revoke_leases();
