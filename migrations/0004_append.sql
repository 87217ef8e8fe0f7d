-- Appends the events of many commands in one transaction. Each command is checked for itself, all or nothing:
-- one that fails is answered as failed while its neighbours are written. The caller sees to it that no two
-- commands of a call meet on an aggregate, a name, a limited counter or an idempotency key.
--
-- Arrays beginning with c_ have an element for each command, e_ for each event, g_ for each guard and l_ for
-- each claim; *_command is the place of the command, from 1. What a call brings none of costs it no statement: most
-- have no keys and no limited claims. Arrays are read by subscript where every call reads them: an unnest of several
-- copies each into a store of its own first.
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
  l_command int[], l_name text[], l_holder text[], l_capacity int[],
  -- For each command; detail is null where no command has any.
  out status int[], out detail text[], out first_position bigint[]
)
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
  v_at timestamptz[];
  v_locked bigint;
  -- By command: what its key says, with the outcome kept under it.
  v_kept int[];
  v_outcome text[];
  -- Commands: those a guard of which has moved, and those a claim of which is refused, with the claim's name.
  v_moved int[];
  v_refused int[];
  v_name text[];
begin
  loop
    -- A statement of its own: what follows sees everything that was committed before the lock was got.
    perform from event_store.heads h where h.tenant_id = any (c_tenant) order by h.tenant_id for update;
    get diagnostics v_locked = row_count;
    -- A log begins with its first event: then its head is made, and locked with the others. A head that another has
    -- made since the lock was asked for is not locked either.
    if v_locked < (select count(distinct t.tenant) from unnest(c_tenant) as t (tenant)) then
      insert into event_store.heads (tenant_id)
        select distinct t.tenant from unnest(c_tenant) as t (tenant) order by t.tenant
        on conflict do nothing;
      continue;
    end if;

    if cardinality(array_remove(c_key, null)) > 0 then
      select array_agg(case when kept.key is null then null when kept.fingerprint = c.fingerprint then 2 else 3 end order by c.n),
          array_agg(kept.outcome order by c.n)
        into v_kept, v_outcome
        from unnest(c_tenant, c_actor, c_key, c_fingerprint) with ordinality as c (tenant, actor, key, fingerprint, n)
        left join event_store.idempotency kept
          on kept.tenant_id = c.tenant and kept.actor = c.actor and kept.key = c.key and (kept.expires_at is null or kept.expires_at > v_now);
    end if;

    -- Streams are dense and never shrink: reading from the expected sequence on finds it alone, or what has come since.
    if cardinality(g_command) > 0 then
      select array_agg(g_command[i]) into v_moved
        from generate_subscripts(g_command, 1) as i
        where g_sequence[i] <> coalesce((
          select max(e.sequence) from event_store.events e
          where e.aggregate_id = g_aggregate[i] and e.sequence >= g_sequence[i] and e.tenant_id = c_tenant[g_command[i]]
        ), 0);
    end if;

    if 0 <= any (l_capacity) or -3 = any (l_capacity) then
      select array_agg(l.command), array_agg(l.name) into v_refused, v_name
        from (
          select l.command, min(l.name) as name
          from unnest(l_command, l_name, l_holder, l_capacity) as l (command, name, holder, capacity)
          where l.capacity not in (-1, -2) and case l.capacity when -3 then 1 else l.capacity end <= (
            select count(*) from event_store.claims held
            where held.tenant_id = c_tenant[l.command] and held.name = l.name and (held.holder <> l.holder or l.capacity = -3)
          )
          group by l.command
        ) l;
    end if;

    with checked as (
      select
        n, h.tenant_id as tenant, c_events[n] as events, h.position, greatest(v_now, h.recorded_at) as at,
        case
          when v_kept[n] is not null then v_kept[n]
          when s.sequence <> c_expected[n] then
            case when (
              select e.metadata ->> 'command_id' from event_store.events e
              where e.aggregate_id = c_aggregate[n] and e.sequence = c_expected[n] + 1 and e.tenant_id = c_tenant[n]
            ) = c_id[n] then 1 else 5 end
          when h.access_position > c_fence[n] then 4
          when n = any (v_moved) then 6
          when n = any (v_refused) then 7
          else 0
        end as status
      from generate_subscripts(c_tenant, 1) as n
      join event_store.heads h on h.tenant_id = c_tenant[n]
      cross join lateral (
        select coalesce(max(e.sequence), 0) as sequence from event_store.events e
        where e.aggregate_id = c_aggregate[n] and e.sequence >= c_expected[n] and e.tenant_id = c_tenant[n]
      ) s
    ), placed as (
      select
        n, checked.status, at,
        position + 1 + coalesce(sum(case when checked.status = 0 then events else 0 end)
          over (partition by tenant order by n rows between unbounded preceding and 1 preceding), 0) as first
      from checked
    )
    select array_agg(p.status), array_agg(p.first), array_agg(p.at)
      into append.status, append.first_position, v_at
      from (select placed.status, placed.first, placed.at from placed order by placed.n) p;

    exit;
  end loop;

  if v_outcome is not null or v_refused is not null then
    select array_agg(case append.status[n] when 2 then v_outcome[n] when 7 then v_name[array_position(v_refused, n)] end order by n)
      into append.detail
      from generate_subscripts(append.status, 1) as n;
  end if;

  with written as (
    insert into event_store.events as e (
      tenant_id, position, sequence, recorded_at, access, aggregate_type, aggregate_id, event_type, event_version, payload, metadata
    )
    select
      h.tenant_id, append.first_position[e_command[i]] + e_index[i], c_expected[e_command[i]] + e_index[i] + 1, greatest(v_now, h.recorded_at),
      e_access[i], e_type[i], e_aggregate[i], e_event[i], e_version[i], e_payload[i]::json, e_metadata[i]::json
    from generate_subscripts(e_command, 1) as i
    join event_store.heads h on h.tenant_id = e_tenant[i]
    where append.status[e_command[i]] = 0
    returning e.tenant_id, e.position, e.access, e.recorded_at
  )
  update event_store.heads h
    set position = w.position, access_position = coalesce(w.access_position, h.access_position), recorded_at = w.recorded_at
    from (
      select w.tenant_id, max(w.position) as position, max(w.position) filter (where w.access) as access_position, max(w.recorded_at) as recorded_at
      from written w group by w.tenant_id
    ) w
    where h.tenant_id = w.tenant_id;

  if -2 = any (l_capacity) then
    delete from event_store.claims held
      using generate_subscripts(l_command, 1) as i
      where l_capacity[i] = -2 and append.status[l_command[i]] = 0
        and held.tenant_id = c_tenant[l_command[i]] and held.name = l_name[i] and held.holder = l_holder[i];
  end if;
  if -1 <= any (l_capacity) then
    -- Nobody else writes these logs' claims now, and a call takes none twice: no need of ON CONFLICT, which writes more.
    insert into event_store.claims (tenant_id, name, holder)
      select c_tenant[l_command[i]], l_name[i], l_holder[i]
      from generate_subscripts(l_command, 1) as i
      where l_capacity[i] >= -1 and append.status[l_command[i]] = 0
        and (
          select count(*) from event_store.claims held
          where held.tenant_id = c_tenant[l_command[i]] and held.name = l_name[i] and held.holder = l_holder[i]
        ) = 0;
  end if;

  if cardinality(array_remove(c_key, null)) > 0 then
    delete from event_store.idempotency old
      using unnest(c_tenant, c_actor, c_key) with ordinality as c (tenant, actor, key, n)
      where append.status[c.n] = 0 and old.tenant_id = c.tenant and old.actor = c.actor and old.key = c.key;
    insert into event_store.idempotency (tenant_id, actor, key, fingerprint, outcome, expires_at)
      select
        c.tenant, c.actor, c.key, c.fingerprint,
        json_build_object('aggregate_id', c.aggregate, 'first_position', append.first_position[c.n], 'events', c.events, 'sequence', c.expected + c.events)::text,
        c.expires
      from unnest(c_tenant, c_aggregate, c_expected, c_events, c_actor, c_key, c_fingerprint, c_expires)
        with ordinality as c (tenant, aggregate, expected, events, actor, key, fingerprint, expires, n)
      where c.key is not null and append.status[c.n] = 0;
  end if;
end
$$;

alter function event_store.append owner to annals_append;
revoke execute on function event_store.append from public;
grant execute on function event_store.append to annals_api;
