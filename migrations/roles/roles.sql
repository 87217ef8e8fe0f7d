-- The roles of a cluster. Run before the migrations, again and again, by whoever may create roles.
do $$
declare
  role text;
begin
  -- owner: migrations. append, vault: own the definer functions, nobody signs in as them.
  foreach role in array array['annals_owner', 'annals_append', 'annals_vault'] loop
    if not exists (select from pg_roles where rolname = role) then
      execute format('create role %I nologin', role);
    end if;
  end loop;
  -- Each pool of the program signs in as one of these.
  foreach role in array array['annals_api', 'annals_loader', 'annals_worker'] loop
    if not exists (select from pg_roles where rolname = role) then
      execute format('create role %I login', role);
    end if;
  end loop;
  -- The owner hands the definer functions over, so it is a member of those who own them; never the reverse. As a
  -- member of these and of the worker it also sees every row of what it owns: backups are taken as the owner.
  grant annals_append, annals_vault, annals_worker to annals_owner;
  execute format('grant annals_owner to %I', current_user);
  execute format('grant create, connect on database %I to annals_owner', current_database());
  execute format('grant connect on database %I to annals_api, annals_loader, annals_worker', current_database());
end
$$;
