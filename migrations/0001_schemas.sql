-- The rooms: the log, the secrets, the read models. Nobody enters one they were not let into.
create schema event_store;
create schema vault;
create schema read_models;
grant usage on schema event_store to annals_append, annals_api, annals_loader, annals_worker;
grant usage on schema vault to annals_vault, annals_api, annals_loader, annals_worker;
grant usage on schema read_models to annals_api, annals_worker;
-- Only to own what the owner creates there.
grant create on schema event_store to annals_append;
grant create on schema vault to annals_vault;
