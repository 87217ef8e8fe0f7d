//! Where an item shall stand: clients say before or behind which other, the order key between the two is ours.

use super::inputs::MoveItemInput;
use crate::error::{ApiError, Code};
use domain::ItemId;
use domain::pipeline::rank;
use projections::pipeline::neighbour_ranks;
use projections::query::Scope;

/// The order key of the place a move asks for; none where nothing is said, and then the item goes to the end.
pub(super) async fn place(scope: &mut Scope, moving: ItemId, input: &MoveItemInput) -> Result<Option<String>, ApiError> {
    let (field, beside) = match (input.before, input.after) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(ApiError::invalid_field("after", "say either before or after which item, not both")),
        (Some(item), None) => ("before", item),
        (None, Some(item)) => ("after", item),
    };
    let ranks = neighbour_ranks(scope, input.to_stage_id.0, Some(moving), beside.0, field == "after").await?;
    let Some((above, below)) = ranks else {
        return Err(ApiError::refusal(Code::NotFound.name(), "no such item stands in this stage", Some(field)));
    };
    let between = rank::between(above.as_deref(), below.as_deref());
    between
        .map(Some)
        .ok_or_else(|| ApiError::invalid_field(field, "there is no more room between these two items; move one of them elsewhere first"))
}
