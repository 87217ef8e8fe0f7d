-- Appends the events of many commands in one transaction. Each command is checked for itself, all or nothing:
-- one that fails is answered as failed while its neighbours are written. The caller sees to it that no two
-- commands of a call meet on an aggregate, a name, a limited counter or an idempotency key.
--
-- Arrays beginning with c_ have an element for each command, e_ for each event, g_ for each guard and l_ for
-- each claim; *_command is the place of the command, from 1.
--
-- status: 0 written, 1 written before (an event with this command's id stands at the expected place),
--   2 the key was used for this very command (detail: its outcome), 3 the key was used for another,
--   4 access has moved, 5 the stream has moved, 6 a guard has moved, 7 a claim is refused (detail: its name).
create function event_store.append(
  -- The tenant whose machine runs the call, where tenants are spread over machines.
  anchor uuid,
  c_tenant uuid[], c_aggregate text[], c_expected bigint[], c_events int[], c_id text[],
  -- The position to which the caller's grants were folded; null where no grant was needed.
  c_fence bigint[],
  c_actor text[], c_key text[], c_fingerprint bytea[], c_expires timestamptz[],
  e_command int[], e_index int[], e_tenant uuid[], e_type text[], e_aggregate text[], e_event text[], e_version text[],
  e_payload text[], e_metadata text[], e_access boolean[],
  g_command int[], g_aggregate text[], g_sequence bigint[],
  -- capacity: the most holders; -1 no bound, -2 release, -3 require none.
  l_command int[], l_name text[], l_holder text[], l_capacity int[]
) returns table (command int, status int, detail text, first_position bigint, recorded_at timestamptz)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
declare
  v_now timestamptz := clock_timestamp();
  v_status int[];
  v_detail text[];
  v_first bigint[];
  v_at timestamptz[];
begin
  -- A log begins with its first event.
  insert into event_store.heads (tenant_id)
    select distinct t.tenant from unnest(c_tenant) as t (tenant)
    where not exists (select from event_store.heads h where h.tenant_id = t.tenant)
    order by t.tenant
    on conflict do nothing;

  -- A statement of its own: what follows sees everything that was committed before the lock was got.
  perform from event_store.heads h where h.tenant_id = any (c_tenant) order by h.tenant_id for update;

  -- Streams are dense and never shrink: reading from the expected sequence on finds it alone, or what has come since.
  with checked as (
    select
      c.n, c.tenant, c.events, h.position, greatest(v_now, h.recorded_at) as at, refused.name,
      case when c.key is not null then (
        select kept.outcome from event_store.idempotency kept
        where kept.tenant_id = c.tenant and kept.actor = c.actor and kept.key = c.key and (kept.expires_at is null or kept.expires_at > v_now)
      ) end as outcome,
      case
        when c.key is not null and (
          select true from event_store.idempotency kept
          where kept.tenant_id = c.tenant and kept.actor = c.actor and kept.key = c.key and (kept.expires_at is null or kept.expires_at > v_now)
        ) then case when (
          select kept.fingerprint from event_store.idempotency kept
          where kept.tenant_id = c.tenant and kept.actor = c.actor and kept.key = c.key
        ) = c.fingerprint then 2 else 3 end
        when s.sequence <> c.expected then
          case when (
            select e.metadata ->> 'command_id' from event_store.events e
            where e.aggregate_id = c.aggregate and e.sequence = c.expected + 1 and e.tenant_id = c.tenant
          ) = c.id then 1 else 5 end
        when h.access_position > c.fence then 4
        when guard.command is not null then 6
        when refused.command is not null then 7
        else 0
      end as status
    from unnest(c_tenant, c_aggregate, c_expected, c_events, c_id, c_fence, c_actor, c_key, c_fingerprint)
      with ordinality as c (tenant, aggregate, expected, events, id, fence, actor, key, fingerprint, n)
    join event_store.heads h on h.tenant_id = c.tenant
    cross join lateral (
      select coalesce(max(e.sequence), 0) as sequence from event_store.events e
      where e.aggregate_id = c.aggregate and e.sequence >= c.expected and e.tenant_id = c.tenant
    ) s
    left join (
      select distinct g.command
      from unnest(g_command, g_aggregate, g_sequence) as g (command, aggregate, sequence)
      where g.sequence <> coalesce((
        select max(e.sequence) from event_store.events e
        where e.aggregate_id = g.aggregate and e.sequence >= g.sequence and e.tenant_id = c_tenant[g.command]
      ), 0)
    ) guard on guard.command = c.n
    left join (
      select l.command, min(l.name) as name
      from unnest(l_command, l_name, l_holder, l_capacity) as l (command, name, holder, capacity)
      where l.capacity not in (-1, -2) and case l.capacity when -3 then 1 else l.capacity end <= (
        select count(*) from event_store.claims held
        where held.tenant_id = c_tenant[l.command] and held.name = l.name and (held.holder <> l.holder or l.capacity = -3)
      )
      group by l.command
    ) refused on refused.command = c.n
  ), placed as (
    select
      n, checked.status, at, coalesce(outcome, name) as detail,
      position + 1 + coalesce(sum(case when checked.status = 0 then events else 0 end)
        over (partition by tenant order by n rows between unbounded preceding and 1 preceding), 0) as first
    from checked
  )
  select array_agg(p.status), array_agg(p.detail), array_agg(p.first), array_agg(p.at)
    into v_status, v_detail, v_first, v_at
    from (select placed.status, placed.detail, placed.first, placed.at from placed order by placed.n) p;

  with written as (
    insert into event_store.events as e (
      tenant_id, position, sequence, recorded_at, access, aggregate_type, aggregate_id, event_type, event_version, payload, metadata
    )
    select
      h.tenant_id, v_first[n.command] + n.index, c_expected[n.command] + n.index + 1, greatest(v_now, h.recorded_at), n.access,
      n.type, n.aggregate, n.event, n.version, n.payload::json, n.metadata::json
    from unnest(e_command, e_index, e_tenant, e_type, e_aggregate, e_event, e_version, e_payload, e_metadata, e_access)
      as n (command, index, tenant, type, aggregate, event, version, payload, metadata, access)
    join event_store.heads h on h.tenant_id = n.tenant
    where v_status[n.command] = 0
    returning e.tenant_id, e.position, e.access, e.recorded_at
  )
  update event_store.heads h
    set position = w.position, access_position = coalesce(w.access_position, h.access_position), recorded_at = w.recorded_at
    from (
      select w.tenant_id, max(w.position) as position, max(w.position) filter (where w.access) as access_position, max(w.recorded_at) as recorded_at
      from written w group by w.tenant_id
    ) w
    where h.tenant_id = w.tenant_id;

  if cardinality(l_command) > 0 then
    delete from event_store.claims held
      using unnest(l_command, l_name, l_holder, l_capacity) as l (command, name, holder, capacity)
      where l.capacity = -2 and v_status[l.command] = 0
        and held.tenant_id = c_tenant[l.command] and held.name = l.name and held.holder = l.holder;
    -- Nobody else writes these logs' claims now, and a call takes none twice: no need of ON CONFLICT, which writes more.
    insert into event_store.claims (tenant_id, name, holder)
      select c_tenant[l.command], l.name, l.holder
      from unnest(l_command, l_name, l_holder, l_capacity) as l (command, name, holder, capacity)
      where l.capacity >= -1 and v_status[l.command] = 0
        and (
          select count(*) from event_store.claims held
          where held.tenant_id = c_tenant[l.command] and held.name = l.name and held.holder = l.holder
        ) = 0;
  end if;

  if exists (select from unnest(c_key) as k (key) where k.key is not null) then
    delete from event_store.idempotency old
      using unnest(c_tenant, c_actor, c_key) with ordinality as c (tenant, actor, key, n)
      where v_status[c.n] = 0 and old.tenant_id = c.tenant and old.actor = c.actor and old.key = c.key;
    insert into event_store.idempotency (tenant_id, actor, key, fingerprint, outcome, expires_at)
      select
        c.tenant, c.actor, c.key, c.fingerprint,
        json_build_object('aggregate_id', c.aggregate, 'first_position', v_first[c.n], 'events', c.events, 'sequence', c.expected + c.events)::text,
        c.expires
      from unnest(c_tenant, c_aggregate, c_expected, c_events, c_actor, c_key, c_fingerprint, c_expires)
        with ordinality as c (tenant, aggregate, expected, events, actor, key, fingerprint, expires, n)
      where c.key is not null and v_status[c.n] = 0;
  end if;

  return query
    select n::int, v_status[n], v_detail[n], v_first[n], v_at[n] from generate_subscripts(v_status, 1) as n;
end
$$;

alter function event_store.append owner to annals_append;
revoke execute on function event_store.append from public;
grant execute on function event_store.append to annals_api;
