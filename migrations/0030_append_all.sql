-- Appends the events of many commands, all or nothing: whatever is not as the caller believes raises an error, nothing
-- is written, and the caller goes through event_store.append, which finds out command by command. Most batches hold
-- nothing of the kind, and cost a third to a half less this way.
--
-- What is checked here holds until the commit, as it does there: the heads are moved first, in a statement of their own,
-- so that later statements see all that was committed to these logs before, and nobody else writes them meanwhile. That
-- a stream is where a command expects it, is left to the unique key of (aggregate_id, sequence): streams are dense and
-- never shrink, so one that has moved on has the sequence already.
--
-- Arrays beginning with t_ have an element for each tenant, in order; e_ for each event, g_ for each guard, l_ for
-- each claim, k_ for each idempotency key; *_at is the place of the tenant, from 1. AN001: a log has not begun, or
-- access has moved; AN002: a guard has moved; AN003: a claim is refused.
create function event_store.append_all(
  -- The tenant whose machine runs the call, where tenants are spread over machines.
  anchor uuid,
  -- By how many events the heads move; the oldest position to which grants were folded that were needed; which of the
  -- events is the last that changes who may do what, from 1, or null.
  t_tenant uuid[], t_events bigint[], t_fence bigint[], t_access bigint[],
  -- nth: which of its tenant's events, from 1.
  e_at int[], e_nth bigint[], e_sequence bigint[], e_type text[], e_aggregate text[], e_event text[], e_version text[],
  e_payload text[], e_metadata text[], e_access boolean[],
  g_at int[], g_aggregate text[], g_sequence bigint[],
  -- capacity: the most holders; -1 no bound, -2 release, -3 require none.
  l_at int[], l_name text[], l_holder text[], l_capacity int[],
  -- nth: the first event of the command.
  k_at int[], k_nth bigint[], k_actor text[], k_key text[], k_fingerprint bytea[], k_aggregate text[], k_events bigint[], k_sequence bigint[],
  k_expires timestamptz[]
)
  -- Where each log ended before.
  returns bigint[]
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
  v_from bigint[];
  v_recorded timestamptz[];
begin
  with moved as (
    update event_store.heads h
      set position = h.position + t_events[i], access_position = coalesce(h.position + t_access[i], h.access_position),
          recorded_at = greatest(v_now, h.recorded_at)
      from generate_subscripts(t_tenant, 1) as i
      where h.tenant_id = t_tenant[i] and h.access_position <= t_fence[i]
      returning i, h.position, h.recorded_at
  )
  select array_agg(position - t_events[i] order by i), array_agg(recorded_at order by i) into v_from, v_recorded from moved;
  if cardinality(v_from) is distinct from cardinality(t_tenant) then
    raise exception 'a log has not begun, or access has moved' using errcode = 'AN001';
  end if;

  if cardinality(g_at) > 0 and exists (
    select from generate_subscripts(g_at, 1) as i
    join event_store.events e on e.aggregate_id = g_aggregate[i] and e.sequence = g_sequence[i] + 1 and e.tenant_id = t_tenant[g_at[i]]
  ) then
    raise exception 'a guard has moved' using errcode = 'AN002';
  end if;

  if (0 <= any (l_capacity) or -3 = any (l_capacity)) and exists (
    select from generate_subscripts(l_at, 1) as i
    where l_capacity[i] not in (-1, -2) and case l_capacity[i] when -3 then 1 else l_capacity[i] end <= (
      select count(*) from event_store.claims held
      where held.tenant_id = t_tenant[l_at[i]] and held.name = l_name[i] and (held.holder <> l_holder[i] or l_capacity[i] = -3)
    )
  ) then
    raise exception 'a claim is refused' using errcode = 'AN003';
  end if;

  insert into event_store.events (
    tenant_id, position, sequence, recorded_at, access, aggregate_type, aggregate_id, event_type, event_version, payload, metadata
  )
    select
      t_tenant[e_at[i]], v_from[e_at[i]] + e_nth[i], e_sequence[i], v_recorded[e_at[i]], e_access[i],
      e_type[i], e_aggregate[i], e_event[i], e_version[i], e_payload[i]::json, e_metadata[i]::json
    from generate_subscripts(e_at, 1) as i;

  if -2 = any (l_capacity) then
    delete from event_store.claims held
      using generate_subscripts(l_at, 1) as i
      where l_capacity[i] = -2 and held.tenant_id = t_tenant[l_at[i]] and held.name = l_name[i] and held.holder = l_holder[i];
  end if;
  if -1 <= any (l_capacity) then
    insert into event_store.claims (tenant_id, name, holder)
      select t_tenant[l_at[i]], l_name[i], l_holder[i] from generate_subscripts(l_at, 1) as i where l_capacity[i] >= -1;
  end if;

  if cardinality(k_at) > 0 then
    insert into event_store.idempotency (tenant_id, actor, key, fingerprint, outcome, expires_at)
      select
        t_tenant[k_at[i]], k_actor[i], k_key[i], k_fingerprint[i],
        json_build_object('aggregate_id', k_aggregate[i], 'first_position', v_from[k_at[i]] + k_nth[i], 'events', k_events[i], 'sequence', k_sequence[i])::text,
        k_expires[i]
      from generate_subscripts(k_at, 1) as i;
  end if;
  return v_from;
end
$$;

alter function event_store.append_all owner to annals_append;
revoke execute on function event_store.append_all from public;
grant execute on function event_store.append_all to annals_api;
