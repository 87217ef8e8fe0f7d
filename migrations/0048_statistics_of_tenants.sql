-- A pipeline and its stages are of one tenant. Unless that is said, the planner multiplies how rare each is, takes a
-- pipeline of six thousand items for one of four hundred, and sorts them all for a page of fifty
-- (https://www.postgresql.org/docs/15/planner-stats.html#PLANNER-STATS-EXTENDED-FUNCTIONAL-DEPS).
create statistics read_models.pipeline_items_places (dependencies) on tenant_id, pipeline_id, stage_id from read_models.pipeline_items;
create statistics read_models.pipeline_tasks_places (dependencies) on tenant_id, pipeline_id, stage_id, template_id from read_models.pipeline_tasks;
analyze read_models.pipeline_items, read_models.pipeline_tasks;
