//! Words and small records of tasks and their templates. The enums' names are stored and part of the API.

use super::Priority;
use crate::{Act, Change, Invalid, Key, LongText, Moment, Personal, Title};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// The most steps a template has.
pub const MAX_STEPS: usize = 50;

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString, strum::VariantArray)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskStatus {
    /// Nobody has begun.
    New,
    /// Somebody is at it.
    InProgress,
    /// It is said to be done, and somebody is to look at it.
    NeedsReview,
    /// It cannot go on; unblocked, it is what it was before.
    Blocked,
    /// It is done.
    Done,
    /// It will not be done.
    Cancelled,
}

impl TaskStatus {
    /// Whether there is work to do.
    #[must_use]
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Done | Self::Cancelled)
    }
}

/// Where a task comes from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString, strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum TaskSource {
    /// Somebody made it.
    #[default]
    Manual,
    /// Something that came in.
    Intake,
    /// An agent.
    Agent,
    /// The calendar.
    Scheduling,
    /// An automation.
    Automation,
}

/// Whose a task made after a template is at first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::EnumString, strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum AssigneeRule {
    /// Nobody's.
    #[default]
    Nobody,
    /// Whoever makes it, or for whom the program makes it, if they are an active member.
    Creator,
}

/// What an update changed of a task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskChanges {
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Change<String>>,
    /// Its description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Change<Option<Personal<String>>>>,
    /// By when it is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Change<Option<Moment>>>,
    /// Its free data: canonical JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Change<Option<Personal<String>>>>,
}

/// What an update changed of a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TemplateChanges {
    /// Its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Change<String>>,
    /// Its category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Change<String>>,
    /// The key of the pipeline its tasks go to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_pipeline_key: Option<Change<Option<String>>>,
    /// What its tasks are made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<Change<Recipe>>,
}

/// What a template's tasks are made of, as a command brings it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewRecipe {
    /// The title, in which `{{name}}` stands for a variable.
    pub title_pattern: TitlePattern,
    /// The description.
    #[serde(default)]
    pub description: Option<LongText>,
    /// The steps, in order.
    #[serde(default)]
    pub steps: Vec<Title>,
    /// Whose the tasks are at first.
    #[serde(default)]
    pub default_assignee_rule: AssigneeRule,
    /// In how many hours the tasks are due: 1 to 65,535.
    #[serde(default)]
    pub due_in_hours: Option<NonZeroU16>,
    /// How urgent the tasks are.
    #[serde(default)]
    pub priority: Priority,
}

/// What a template's tasks are made of, as events keep it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// The title, in which `{{name}}` stands for a variable.
    pub title_pattern: String,
    /// The description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Personal<String>>,
    /// The steps, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    /// Whose the tasks are at first.
    pub default_assignee_rule: AssigneeRule,
    /// In how many hours the tasks are due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_in_hours: Option<NonZeroU16>,
    /// How urgent the tasks are.
    pub priority: Priority,
}

impl NewRecipe {
    /// The same, as events keep it.
    pub(super) fn kept(self, act: &Act) -> Recipe {
        let Self { title_pattern, description, steps, default_assignee_rule, due_in_hours, priority } = self;
        Recipe {
            title_pattern: title_pattern.into(),
            description: description.map(|text| act.free_text(text)),
            steps: steps.into_iter().map(String::from).collect(),
            default_assignee_rule,
            due_in_hours,
            priority,
        }
    }
}

/// What a model was asked for a decision, and at what cost. As a command brings it, its words are [`crate::Name`]s.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LlmCall<T = String> {
    /// Who runs the model.
    pub provider: T,
    /// The model.
    pub model: T,
    /// The hash of what it was asked.
    pub prompt_hash: T,
    /// How many tokens it read.
    pub tokens_in: u32,
    /// How many tokens it wrote.
    pub tokens_out: u32,
    /// How long it took, in milliseconds.
    pub latency_ms: u32,
}

impl<T> LlmCall<T> {
    /// The same call in other words.
    pub fn map<U>(self, word: impl Fn(T) -> U) -> LlmCall<U> {
        let Self { provider, model, prompt_hash, tokens_in, tokens_out, latency_ms } = self;
        LlmCall { provider: word(provider), model: word(model), prompt_hash: word(prompt_hash), tokens_in, tokens_out, latency_ms }
    }
}

/// The pattern of a title: a [`Title`] in which `{{name}}` stands for the variable of that name, a name being a
/// [`Key`]. What a variable holds is not looked at for further placeholders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TitlePattern(Title);

impl TryFrom<String> for TitlePattern {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        let title = Title::try_from(text)?;
        let known = |name: &str| Key::try_from(name).is_ok().then_some("x");
        match fill(title.as_str(), known) {
            Ok(_) => Ok(Self(title)),
            Err(name) => Err(Invalid(format!("may hold placeholders such as {{{{customer}}}}, of a-z, 0-9 and _; `{name}` is none"))),
        }
    }
}

impl From<TitlePattern> for String {
    fn from(pattern: TitlePattern) -> String {
        pattern.0.into()
    }
}

/// Fills a title's pattern.
///
/// # Errors
/// The first placeholder that has no value; what follows `{{` where no `}}` does.
pub(super) fn fill<'a>(pattern: &str, value: impl Fn(&str) -> Option<&'a str>) -> Result<String, String> {
    let mut parts = pattern.split("{{");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once("}}").ok_or_else(|| part.to_owned())?;
        filled.push_str(value(name).ok_or_else(|| name.to_owned())?);
        filled.push_str(rest);
    }
    Ok(filled)
}
