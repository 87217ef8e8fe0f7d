//! Which items have a tag: the side table by which items are found. `tags @> …` on the items themselves would not
//! use an index under row-level security, since that operator is not leakproof; equality of text is.

use crate::{NodeId, ReadModel};
use domain::pipeline::ItemEvent;
use domain::{Decider, ItemId, Recorded};
use serde::{Deserialize, Serialize};

/// An item has a tag. Tags of deleted items stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemTag {
    /// The tag.
    pub tag: String,
    /// The item.
    pub item_id: NodeId<ItemId>,
}

impl ReadModel for ItemTag {
    const TABLE: &'static str = "pipeline_item_tags";
    const READS: &'static [&'static str] = &[domain::pipeline::PipelineItem::TYPE];
    type Key = (String, ItemId);

    fn keys(event: &Recorded) -> Vec<(String, ItemId)> {
        use ItemEvent::*;
        let item = ItemId(event.aggregate_id);
        match event.of() {
            Some(PipelineItemCreated { tags, .. }) => tags.iter().map(|tag| (tag.clone(), item)).collect(),
            Some(PipelineItemTagged { tag } | PipelineItemUntagged { tag }) => vec![(tag.clone(), item)],
            _ => vec![],
        }
    }

    fn fold(row: Option<Self>, (tag, item): &(String, ItemId), event: &Recorded) -> Option<Self> {
        match event.of() {
            Some(ItemEvent::PipelineItemCreated { .. } | ItemEvent::PipelineItemTagged { .. }) => {
                Some(Self { tag: tag.clone(), item_id: NodeId(*item) })
            }
            Some(ItemEvent::PipelineItemUntagged { .. }) => None,
            _ => row,
        }
    }
}
