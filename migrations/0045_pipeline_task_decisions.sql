-- What the program decided about tasks, one row a decision.
create table read_models.pipeline_task_decisions (
  tenant_id uuid not null,
  sequence bigint not null,
  created_at timestamptz not null,
  created_by uuid,
  updated_at timestamptz not null,
  updated_by uuid,
  task_id uuid not null,
  position bigint not null,
  event_name text not null,
  decision text not null,
  at timestamptz not null,
  llm_provider text,
  llm_model text,
  llm_prompt_hash text,
  llm_tokens_in bigint,
  llm_tokens_out bigint,
  llm_latency_ms bigint,
  primary key (tenant_id, task_id, position)
);
select event_store.read_model('read_models.pipeline_task_decisions');
