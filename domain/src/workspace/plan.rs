//! What a workspace may use. The figures are `spec/limits.md`'s; `None` is no limit.

use serde::{Deserialize, Serialize};

/// The plan of a workspace, from the smallest to the largest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantArray,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Plan {
    /// What every workspace starts with.
    #[default]
    Free,
    /// A small team.
    Starter,
    /// A company.
    Professional,
    /// Without limits on members, pipelines and documents.
    Enterprise,
}

impl Plan {
    /// How many active members a TEAM workspace may have.
    #[must_use]
    pub fn members(self) -> Option<u32> {
        self.small_medium_large(3, 10, 50)
    }

    /// How many pipelines may be active at once.
    #[must_use]
    pub fn active_pipelines(self) -> Option<u32> {
        self.small_medium_large(3, 10, 50)
    }

    fn small_medium_large(self, free: u32, starter: u32, professional: u32) -> Option<u32> {
        match self {
            Self::Free => Some(free),
            Self::Starter => Some(starter),
            Self::Professional => Some(professional),
            Self::Enterprise => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::VariantArray as _;

    #[test]
    fn a_larger_plan_never_allows_less() {
        for pair in Plan::VARIANTS.windows(2) {
            for limit in [Plan::members, Plan::active_pipelines] {
                let (small, large) = (limit(pair[0]), limit(pair[1]));
                assert!(large.is_none_or(|large| small.is_some_and(|small| small <= large)), "{pair:?}");
            }
        }
    }
}
