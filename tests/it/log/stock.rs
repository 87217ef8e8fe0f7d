//! The table is the one that a stock postgres-es reads.

use crate::harness::{Log, Team, audit, move_to, record};
use cqrs_es::persist::{PersistedEventRepository, PersistedEventStore};
use cqrs_es::{AggregateContext, EventStore};
use domain::Root;
use domain::pipeline::PipelineItem;
use postgres_es::PostgresEventRepository;

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_repository_of_postgres_es_reads_the_events_and_folds_the_aggregate() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let board = team.board(2).await;
    let item = team.item(&board).await;
    log.send::<PipelineItem>(team.by(team.owner), item, record("seen")).await.unwrap();
    log.send::<PipelineItem>(team.by(team.owner), item, move_to(board.stages[1])).await.unwrap();

    let repository = PostgresEventRepository::new(log.pools.loader.clone()).with_tables("event_store.events", "event_store.snapshots");
    let id = item.to_string();
    let events = repository.get_events::<Root<PipelineItem>>(&id).await.unwrap();
    let names: Vec<_> = events.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(names, ["PipelineItemCreated", "PipelineItemActivityRecorded", "PipelineItemMoved", "PipelineItemCompleted"]);
    assert_eq!(events.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(repository.get_last_events::<Root<PipelineItem>>(&id, 2).await.unwrap().len(), 2);

    let store = PersistedEventStore::<_, Root<PipelineItem>>::new_event_store(repository);
    let mut context = store.load_aggregate(&id).await.unwrap();
    assert_eq!(context.aggregate().0, log.state::<PipelineItem>(team.tenant, item).await);
    audit(&log).await;
}
