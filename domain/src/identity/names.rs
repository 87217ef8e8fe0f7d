//! A person's names: first and last, and one to display. Where only one form is given, the other is derived
//! (`spec/decisions.md`, C-12): the display name is first and last name joined; the first word of a display name
//! is the first name and the rest the last. A display name that was derived follows the names it derives from.

use crate::{Name, Patch};

/// What joined names are cut to: the two longest and the space between them have one character more.
const LONGEST: usize = 200;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) first: Option<String>,
    pub(super) last: Option<String>,
    pub(super) name: Option<String>,
}

impl Names {
    /// Completes what was given at first.
    pub(super) fn given(first: Option<Name>, last: Option<Name>, name: Option<Name>) -> Self {
        Self::default().patched(Patch::Set(first), Patch::Set(last), Patch::Set(name))
    }

    /// The names after an update. A display name that is set while there is no other splits; one that is emptied
    /// is derived.
    pub(super) fn patched(self, first: Patch<Option<Name>>, last: Patch<Option<Name>>, name: Patch<Option<Name>>) -> Self {
        let was_derived = self.name == self.joined();
        let name_set = matches!(name, Patch::Set(Some(_)));
        let others_emptied =
            matches!((&first, &last), (Patch::Set(None), _) | (_, Patch::Set(None))) && (self.first.is_some() || self.last.is_some());
        let mut new = Self {
            first: set(self.first, first),
            last: set(self.last, last),
            name: match name {
                Patch::Keep if was_derived => None,
                name => set(self.name, name),
            },
        };
        if new.name.is_none() {
            new.name = new.joined();
        } else if name_set && !others_emptied && new.first.is_none() && new.last.is_none() {
            new.split();
        }
        new
    }

    fn joined(&self) -> Option<String> {
        match (&self.first, &self.last) {
            (None, None) => None,
            (Some(one), None) | (None, Some(one)) => Some(one.clone()),
            (Some(first), Some(last)) => Some(format!("{first} {last}").chars().take(LONGEST).collect()),
        }
    }

    fn split(&mut self) {
        let mut words = self.name.as_deref().unwrap_or_default().splitn(2, char::is_whitespace).map(|part| part.trim().to_owned());
        self.first = words.next().filter(|word| !word.is_empty());
        self.last = words.next().filter(|rest| !rest.is_empty());
    }
}

fn set(old: Option<String>, patch: Patch<Option<Name>>) -> Option<String> {
    match patch {
        Patch::Keep => old,
        Patch::Set(new) => new.map(String::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<Name> {
        Some(Name::try_from(text).unwrap())
    }

    fn names(first: &str, last: &str, name: &str) -> Names {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Names { first: some(first), last: some(last), name: some(name) }
    }

    #[test]
    fn the_form_that_is_not_given_is_derived() {
        assert_eq!(Names::given(text("Ada"), text("Lovelace"), None), names("Ada", "Lovelace", "Ada Lovelace"));
        assert_eq!(Names::given(None, text("Lovelace"), None), names("", "Lovelace", "Lovelace"));
        assert_eq!(Names::given(None, None, text("Ada  King Lovelace")), names("Ada", "King Lovelace", "Ada  King Lovelace"));
        assert_eq!(Names::given(None, None, text("Ada")), names("Ada", "", "Ada"));
        assert_eq!(Names::given(text("Ada"), None, text("Countess")), names("Ada", "", "Countess"));
        assert_eq!(Names::given(None, None, None), names("", "", ""));
        assert_eq!(Names::given(text(&"a".repeat(100)), text(&"b".repeat(100)), None).name.map(|name| name.len()), Some(LONGEST));
    }

    #[test]
    fn a_derived_display_name_follows_and_a_chosen_one_stays() {
        let last = |names: Names| names.patched(Patch::Keep, Patch::Set(text("King")), Patch::Keep);
        assert_eq!(last(names("Ada", "Byron", "Ada Byron")), names("Ada", "King", "Ada King"));
        assert_eq!(last(names("Ada", "Byron", "Countess")), names("Ada", "King", "Countess"));
        let emptied = names("Ada", "Byron", "Countess").patched(Patch::Keep, Patch::Keep, Patch::Set(None));
        assert_eq!(emptied, names("Ada", "Byron", "Ada Byron"));
        let nobody = names("Ada", "Byron", "Ada Byron").patched(Patch::Set(None), Patch::Set(None), Patch::Keep);
        assert_eq!(nobody, names("", "", ""));
    }

    #[test]
    fn first_and_last_name_once_emptied_do_not_come_back() {
        let kept = names("Ada", "Byron", "Countess").patched(Patch::Set(None), Patch::Set(None), Patch::Keep);
        assert_eq!(kept, names("", "", "Countess"));
        let chosen = names("Ada", "", "Ada").patched(Patch::Set(None), Patch::Keep, Patch::Set(text("Countess of Lovelace")));
        assert_eq!(chosen, names("", "", "Countess of Lovelace"));
    }

    #[test]
    fn an_update_repeated_changes_nothing() {
        let once = names("Ada", "Byron", "Ada Byron").patched(Patch::Set(text("Augusta")), Patch::Keep, Patch::Keep);
        assert_eq!(once.clone().patched(Patch::Set(text("Augusta")), Patch::Keep, Patch::Keep), once);
    }
}
