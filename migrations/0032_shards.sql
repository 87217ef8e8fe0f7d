-- Each worker looks once a second at the logs of its own shards, and at no others. Both rows are written often; the
-- expression never changes, so their updates stay off these indexes.
create index heads_shard on event_store.heads ((get_byte(uuid_send(tenant_id), 15) & 63));
create index checkpoints_shard on read_models.checkpoints ((get_byte(uuid_send(tenant_id), 15) & 63));
