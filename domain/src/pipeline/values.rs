//! Words and small records of the context. The enums' names are stored and part of the API.

use crate::{Change, Personal};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// The most tags an item has.
pub const MAX_TAGS: usize = 20;

/// What a pipeline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum PipelineType {
    /// Leads and offers.
    Sales,
    /// Requests of customers.
    Support,
    /// Invoices and payments.
    Billing,
    /// The organisation's own work.
    Internal,
    /// Nothing in particular.
    Generic,
    /// Something the workspace defines itself.
    Custom,
}

/// How urgent an item is, from the least to the most.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::EnumString,
    strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Priority {
    /// It can wait.
    Low,
    /// What an item has unless something else is said.
    #[default]
    Medium,
    /// Before others.
    High,
    /// Before everything.
    Urgent,
}

/// Where an item is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ItemStatus {
    /// There is work to do.
    Open,
    /// It reached a terminal stage.
    Completed,
    /// It is gone, and may be restored.
    Deleted,
}

/// What an update changed of an item.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ItemChanges {
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Change<String>>,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Change<Option<Personal<String>>>>,
    /// The day by which it is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_date: Option<Change<Option<NaiveDate>>>,
    /// How urgent it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Change<Priority>>,
    /// Its free data: canonical JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Change<Option<Personal<String>>>>,
}
