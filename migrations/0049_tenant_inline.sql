-- Whose rows a query sees, without a call: a function with a setting of its own is run by itself, planning included, once
-- for every table of every query (some 10 µs), and one without is written into the query. They need no search_path: a body
-- after RETURN is resolved when the function is made, not when it runs
-- (https://www.postgresql.org/docs/15/sql-createfunction.html).
create or replace function event_store.current_tenant() returns uuid
  language sql stable parallel safe
  return nullif(current_setting('annals.tenant', true), '')::uuid;

create or replace function event_store.current_actor() returns uuid
  language sql stable parallel safe
  return nullif(current_setting('annals.actor', true), '')::uuid;
