-- Appends the events of many commands where the caller knows how far each log has come: its heads are compared and
-- swapped, and the places of the events are given. All or nothing: whatever is not as the caller believes raises an
-- error, nothing is written, and the caller goes through event_store.append, which finds out command by command.
--
-- Whoever got a head that stands where he last saw it knows that nothing has been committed to that log since; and
-- later statements see all that was committed before. So what is checked here holds until the commit, as it does under
-- the locks of event_store.append. That a stream is where a command expects it, is left to the unique key of
-- (aggregate_id, sequence): streams are dense and never shrink, so one that has moved on has the sequence already.
--
-- Arrays beginning with t_ have an element for each tenant, in order; e_ for each event, g_ for each guard, l_ for
-- each claim, k_ for each idempotency key. AN001: a head is not where it was (detail: the tenants), AN002: a guard has
-- moved, AN003: a claim is refused.
create function event_store.append_at(
  -- The tenant whose machine runs the call, where tenants are spread over machines.
  anchor uuid,
  -- From where to where the heads move; the oldest position to which grants were folded that were needed; the last
  -- position that changes who may do what, or null.
  t_tenant uuid[], t_from bigint[], t_to bigint[], t_fence bigint[], t_access bigint[],
  e_tenant uuid[], e_position bigint[], e_sequence bigint[], e_type text[], e_aggregate text[], e_event text[], e_version text[],
  e_payload text[], e_metadata text[], e_access boolean[],
  g_tenant uuid[], g_aggregate text[], g_sequence bigint[],
  -- capacity: the most holders; -1 no bound, -2 release, -3 require none.
  l_tenant uuid[], l_name text[], l_holder text[], l_capacity int[],
  k_tenant uuid[], k_actor text[], k_key text[], k_fingerprint bytea[], k_outcome text[], k_expires timestamptz[]
)
  returns void
  language plpgsql volatile security definer
  set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
  v_swapped bigint;
begin
  -- A statement of its own: those that follow see everything that was committed before the heads were got. A clock
  -- that runs behind a log is left to the other function.
  update event_store.heads h
    set position = t_to[i], access_position = coalesce(t_access[i], h.access_position), recorded_at = v_now
    from generate_subscripts(t_tenant, 1) as i
    where h.tenant_id = t_tenant[i] and h.position = t_from[i] and h.access_position <= t_fence[i] and h.recorded_at <= v_now;
  get diagnostics v_swapped = row_count;
  if v_swapped <> cardinality(t_tenant) then
    raise exception 'heads have moved' using errcode = 'AN001', detail = (
      select string_agg(t_tenant[i]::text, ' ') from generate_subscripts(t_tenant, 1) as i
      where not exists (select from event_store.heads h where h.tenant_id = t_tenant[i] and h.position = t_to[i])
    );
  end if;

  if cardinality(g_tenant) > 0 and exists (
    select from generate_subscripts(g_tenant, 1) as i
    join event_store.events e on e.aggregate_id = g_aggregate[i] and e.sequence = g_sequence[i] + 1 and e.tenant_id = g_tenant[i]
  ) then
    raise exception 'a guard has moved' using errcode = 'AN002';
  end if;

  if (0 <= any (l_capacity) or -3 = any (l_capacity)) and exists (
    select from generate_subscripts(l_tenant, 1) as i
    where l_capacity[i] not in (-1, -2) and case l_capacity[i] when -3 then 1 else l_capacity[i] end <= (
      select count(*) from event_store.claims held
      where held.tenant_id = l_tenant[i] and held.name = l_name[i] and (held.holder <> l_holder[i] or l_capacity[i] = -3)
    )
  ) then
    raise exception 'a claim is refused' using errcode = 'AN003';
  end if;

  insert into event_store.events (
    tenant_id, position, sequence, recorded_at, access, aggregate_type, aggregate_id, event_type, event_version, payload, metadata
  )
    select
      e_tenant[i], e_position[i], e_sequence[i], v_now, e_access[i],
      e_type[i], e_aggregate[i], e_event[i], e_version[i], e_payload[i]::json, e_metadata[i]::json
    from generate_subscripts(e_tenant, 1) as i;

  if -2 = any (l_capacity) then
    delete from event_store.claims held
      using generate_subscripts(l_tenant, 1) as i
      where l_capacity[i] = -2 and held.tenant_id = l_tenant[i] and held.name = l_name[i] and held.holder = l_holder[i];
  end if;
  if -1 <= any (l_capacity) then
    insert into event_store.claims (tenant_id, name, holder)
      select l_tenant[i], l_name[i], l_holder[i] from generate_subscripts(l_tenant, 1) as i where l_capacity[i] >= -1;
  end if;

  if cardinality(k_tenant) > 0 then
    insert into event_store.idempotency (tenant_id, actor, key, fingerprint, outcome, expires_at)
      select k_tenant[i], k_actor[i], k_key[i], k_fingerprint[i], k_outcome[i], k_expires[i] from generate_subscripts(k_tenant, 1) as i;
  end if;
end
$$;

alter function event_store.append_at owner to annals_append;
revoke execute on function event_store.append_at from public;
grant execute on function event_store.append_at to annals_api;
