//! A template: what a kind of task is made after. Only an active one makes tasks; a deleted one never comes back,
//! and the tasks made after it stay.

use super::task_values::NewRecipe;
use super::{MAX_STEPS, Recipe, TemplateChanges};
use crate::roles::{TASK_TEMPLATES_CREATE, TASK_TEMPLATES_DELETE, TASK_TEMPLATES_UPDATE};
use crate::{Act, Caller, Decider, Guarded, Key, Name, Needs, Patch, Sealable, UserId, edit};
use serde::{Deserialize, Serialize};

/// What can happen to a template. Stored for ever: a change of shape needs a new version and an upcaster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "type")]
#[allow(missing_docs, reason = "the fields are those of the commands and of the state, where they are explained")]
pub enum TemplateEvent {
    /// It exists, active.
    TaskTemplateCreated {
        label: String,
        category: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        preferred_pipeline_key: Option<String>,
        definition: Recipe,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created_by: Option<UserId>,
    },
    /// What is said of it changed.
    TaskTemplateUpdated { changes: TemplateChanges },
    /// It makes tasks.
    TaskTemplateActivated,
    /// It makes no tasks.
    TaskTemplateDeactivated,
    /// It is gone.
    TaskTemplateDeleted,
}
crate::event!(TemplateEvent);

/// What can be asked of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the fields are those of the state, where they are explained")]
pub enum TemplateCommand {
    /// Creates it, active.
    CreateTaskTemplate {
        label: Name,
        category: Name,
        #[serde(default)]
        preferred_pipeline_key: Option<Key>,
        definition: NewRecipe,
    },
    /// Changes what is said of it; the definition as a whole.
    UpdateTaskTemplate {
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        label: Patch<Name>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        category: Patch<Name>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        preferred_pipeline_key: Patch<Option<Key>>,
        #[serde(default, skip_serializing_if = "Patch::is_keep")]
        definition: Patch<NewRecipe>,
    },
    /// Lets it make tasks.
    ActivateTaskTemplate,
    /// Lets it make no tasks.
    DeactivateTaskTemplate,
    /// Deletes it.
    DeleteTaskTemplate,
}

/// Why a template refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum TemplateError {
    /// There is none of this id.
    #[error("there is no such task template in this workspace")]
    NotFound,
    /// There is one of this id.
    #[error("this task template exists already")]
    AlreadyExists,
    /// It is deleted.
    #[error("this task template is deleted; create another")]
    #[strum(serialize = "INVALID_STATE")]
    Deleted,
    /// More steps than a task can show.
    #[error("a task template has at most {MAX_STEPS} steps; leave some out")]
    TooManySteps,
}
crate::refusal!(TemplateError, { Self::TooManySteps => "definition" });

/// What a template is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    /// Its label.
    pub label: String,
    /// Its category.
    pub category: String,
    /// The key of the pipeline in whose first stage its tasks stand, if there is such a pipeline.
    pub preferred_pipeline_key: Option<String>,
    /// What its tasks are made of.
    pub definition: Recipe,
    /// Whether it makes tasks.
    pub is_active: bool,
    /// Who created it.
    pub created_by: Option<UserId>,
}

/// A template as far as it has come.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum TaskTemplate {
    /// Never created.
    #[default]
    Absent,
    /// In use, active or not.
    Live(Pattern),
    /// Deleted, for ever.
    Deleted(Option<UserId>),
}

impl TaskTemplate {
    /// What it is, unless it is deleted or never was.
    #[must_use]
    pub fn live(&self) -> Option<&Pattern> {
        match self {
            Self::Live(pattern) => Some(pattern),
            Self::Absent | Self::Deleted(_) => None,
        }
    }
}

impl Guarded<TaskTemplate> for TemplateCommand {
    fn name(&self) -> &'static str {
        self.into()
    }

    fn needs(&self, template: &TaskTemplate, _: &Caller) -> Needs {
        let permission = match self {
            Self::CreateTaskTemplate { .. } => return Needs::new(TASK_TEMPLATES_CREATE),
            Self::DeleteTaskTemplate => TASK_TEMPLATES_DELETE,
            Self::UpdateTaskTemplate { .. } | Self::ActivateTaskTemplate | Self::DeactivateTaskTemplate => TASK_TEMPLATES_UPDATE,
        };
        match template {
            TaskTemplate::Absent => Needs::new(permission),
            TaskTemplate::Live(Pattern { created_by, .. }) | TaskTemplate::Deleted(created_by) => Needs::owned_by(permission, *created_by),
        }
    }
}

fn bounded(definition: NewRecipe, act: &Act) -> Result<Recipe, TemplateError> {
    if definition.steps.len() > MAX_STEPS { Err(TemplateError::TooManySteps) } else { Ok(definition.kept(act)) }
}

impl Decider for TaskTemplate {
    const TYPE: &'static str = "task_template";
    type Command = TemplateCommand;
    type Event = TemplateEvent;
    type Error = TemplateError;

    fn decide(&self, command: TemplateCommand, act: &Act) -> Result<Vec<TemplateEvent>, TemplateError> {
        use TemplateCommand::*;
        Ok(match (self, command) {
            (Self::Absent, CreateTaskTemplate { label, category, preferred_pipeline_key, definition }) => {
                vec![TemplateEvent::TaskTemplateCreated {
                    label: label.into(),
                    category: category.into(),
                    preferred_pipeline_key: preferred_pipeline_key.map(String::from),
                    definition: bounded(definition, act)?,
                    created_by: act.user(),
                }]
            }
            (_, CreateTaskTemplate { .. }) => return Err(TemplateError::AlreadyExists),
            (Self::Absent, _) => return Err(TemplateError::NotFound),
            (Self::Live(now), UpdateTaskTemplate { label, category, preferred_pipeline_key, definition }) => {
                let definition = match definition {
                    Patch::Keep => Patch::Keep,
                    Patch::Set(definition) => Patch::Set(bounded(definition, act)?),
                };
                let changes = TemplateChanges {
                    label: edit(&now.label, label, String::from),
                    category: edit(&now.category, category, String::from),
                    preferred_pipeline_key: edit(&now.preferred_pipeline_key, preferred_pipeline_key, |key| key.map(String::from)),
                    definition: edit(&now.definition, definition, |definition| definition),
                };
                if changes == TemplateChanges::default() { vec![] } else { vec![TemplateEvent::TaskTemplateUpdated { changes }] }
            }
            (Self::Live(now), ActivateTaskTemplate) if !now.is_active => vec![TemplateEvent::TaskTemplateActivated],
            (Self::Live(now), DeactivateTaskTemplate) if now.is_active => vec![TemplateEvent::TaskTemplateDeactivated],
            (Self::Live(_), DeleteTaskTemplate) => vec![TemplateEvent::TaskTemplateDeleted],
            (Self::Live(_), ActivateTaskTemplate | DeactivateTaskTemplate) | (Self::Deleted(_), DeleteTaskTemplate) => vec![],
            (Self::Deleted(_), _) => return Err(TemplateError::Deleted),
        })
    }

    fn apply(&mut self, event: TemplateEvent) {
        use TemplateEvent::*;
        match (&mut *self, event) {
            (_, TaskTemplateCreated { label, category, preferred_pipeline_key, definition, created_by }) => {
                *self = Self::Live(Pattern { label, category, preferred_pipeline_key, definition, is_active: true, created_by });
            }
            (Self::Live(now), TaskTemplateUpdated { changes: TemplateChanges { label, category, preferred_pipeline_key, definition } }) => {
                label.into_iter().for_each(|change| now.label = change.to);
                category.into_iter().for_each(|change| now.category = change.to);
                preferred_pipeline_key.into_iter().for_each(|change| now.preferred_pipeline_key = change.to);
                definition.into_iter().for_each(|change| now.definition = change.to);
            }
            (Self::Live(now), TaskTemplateActivated) => now.is_active = true,
            (Self::Live(now), TaskTemplateDeactivated) => now.is_active = false,
            (Self::Live(now), TaskTemplateDeleted) => *self = Self::Deleted(now.created_by),
            // What cannot follow changes nothing: a fold never fails.
            (Self::Absent | Self::Deleted(_), _) => {}
        }
    }

    fn personal(&mut self, visit: &mut dyn FnMut(&mut dyn Sealable)) {
        if let Self::Live(Pattern { definition: Recipe { description: Some(text), .. }, .. }) = self {
            visit(text);
        }
    }
}
