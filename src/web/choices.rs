//! What a reader chooses to see of a matrix, as the query of the page's address says.

use super::route::Query;
use crate::domain::day::Day;
use crate::domain::id::RevisionId;
use crate::domain::project::ProjectTags;
use crate::domain::words::words;
use crate::verdict::Cell;

/// The most characters of a choice.
const CHARACTERS_MOST: usize = 100;

/// The choices. The default shows everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// `?variant=NAME`: only the rows of one variant.
    pub variant: Option<String>,
    /// `?named=TEXT`: only the projects whose names contain a text.
    pub named: Option<String>,
    /// `?owner=NAME`: only the projects of an owner.
    pub owner: Option<String>,
    /// `?label=NAME`: only the projects with a label.
    pub label: Option<String>,
    /// `?tier=N`: only the projects of a tier.
    pub tier: Option<u8>,
    /// `?state=NAME`: only the projects with a result in this state.
    pub state: Option<Cell>,
    /// `?about=WORDS`: only the revisions with these words in subject or author.
    pub about: Option<String>,
    /// `?changes=only`: only the revisions at which a result changed.
    pub only_changes: bool,
    /// `?projects=NAME`: the projects from that name on.
    pub projects: Option<String>,
    /// `?before=ID`: the revisions before that one.
    pub before: Option<RevisionId>,
    /// `?until=DAY`: the revisions of that day and before it. It leads to the address with `before`.
    pub until: Option<Day>,
}

impl Choices {
    /// Reads a query. Leaves out what can't be a choice.
    pub fn read(query: &Query) -> Self {
        let text = |key: &str| {
            let text: String = query.get(key)?.trim().chars().take(CHARACTERS_MOST).collect();
            (!text.is_empty()).then_some(text)
        };
        Self {
            variant: text("variant").filter(|name| is_name(name)),
            named: text("named"),
            owner: text("owner"),
            label: text("label"),
            tier: text("tier").and_then(|tier| tier.parse().ok()),
            state: text("state").and_then(|name| Cell::ALL.iter().copied().find(|state| state.name() == name)),
            about: text("about").filter(|text| !words(text).is_empty()),
            only_changes: query.get("changes").is_some_and(|value| value == "only"),
            projects: text("projects"),
            before: text("before").map(RevisionId::from),
            until: text("until").and_then(|day| day.parse().ok()),
        }
    }

    /// Returns the query that stands for these choices, with its `?`.
    pub fn address(&self) -> String {
        let tier = self.tier.map(|tier| tier.to_string());
        let pairs = [
            ("variant", self.variant.as_deref()),
            ("named", self.named.as_deref()),
            ("owner", self.owner.as_deref()),
            ("label", self.label.as_deref()),
            ("tier", tier.as_deref()),
            ("state", self.state.map(Cell::name)),
            ("about", self.about.as_deref()),
            ("changes", self.only_changes.then_some("only")),
            ("projects", self.projects.as_deref()),
            ("before", self.before.as_ref().map(RevisionId::as_str)),
        ];
        let chosen = pairs.into_iter().filter_map(|(key, value)| Some((key, value?)));
        let mut query = url::form_urlencoded::Serializer::for_suffix("?".to_owned(), 1);
        query.extend_pairs(chosen);
        query.finish()
    }

    /// Returns whether the page shows the projects that a tag stands for.
    pub fn takes(&self, tags: &ProjectTags) -> bool {
        self.owner.as_ref().is_none_or(|owner| tags.has_owner(owner))
            && self.label.as_ref().is_none_or(|label| tags.has_label(label))
            && self.tier.is_none_or(|tier| tags.tier == Some(tier))
    }

    /// Returns whether the choice of projects depends on their tags.
    pub fn needs_tags(&self) -> bool {
        self.owner.is_some() || self.label.is_some() || self.tier.is_some()
    }

    /// Returns whether the page leaves out projects.
    pub fn leaves_projects_out(&self) -> bool {
        self.needs_tags() || self.named.is_some() || self.state.is_some()
    }

    /// Returns the same choices for another variant, or for all, from the newest revision on.
    pub fn with_variant(&self, variant: Option<&str>) -> Self {
        Self {
            variant: variant.map(str::to_owned),
            before: None,
            ..self.clone()
        }
    }

    /// Returns the same choices from another project on.
    pub fn with_projects(&self, from: &str) -> Self {
        Self {
            projects: Some(from.to_owned()),
            ..self.clone()
        }
    }

    /// Returns the same choices for the revisions before one, or for the newest ones.
    pub fn with_before(&self, before: Option<&RevisionId>) -> Self {
        Self {
            before: before.cloned(),
            until: None,
            ..self.clone()
        }
    }
}

/// Returns whether a text can be the name of a variant or a platform.
pub fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Choices {
        let pairs = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Choices::read(&pairs.collect())
    }

    #[test]
    fn an_address_says_all_choices() {
        assert_eq!(Choices::default().address(), "?");
        let all = [
            ("variant", "debug"),
            ("named", "a&b =<"),
            ("owner", "ada"),
            ("label", "web"),
            ("tier", "1"),
            ("state", "no_image"),
            ("about", "fix it"),
            ("changes", "only"),
            ("projects", "idna"),
            ("before", "7"),
        ];
        let choices = read(&all);
        assert_eq!(
            choices.address(),
            "?variant=debug&named=a%26b+%3D%3C&owner=ada&label=web&tier=1&state=no_image&about=fix+it&changes=only&projects=idna&before=7"
        );
        assert_eq!(
            choices.with_variant(None).address(),
            "?named=a%26b+%3D%3C&owner=ada&label=web&tier=1&state=no_image&about=fix+it&changes=only&projects=idna"
        );
        assert_eq!(
            read(&[("changes", "only")]).with_projects("x").address(),
            "?changes=only&projects=x"
        );
        assert_eq!(choices.with_before(None).before, None);
    }

    #[test]
    fn what_is_no_choice_is_left_out() {
        for pair in [
            ("variant", "\"><b>"),
            ("variant", ""),
            ("named", "  "),
            ("changes", "all"),
            ("nosuch", "x"),
            ("tier", "one"),
            ("state", "odd"),
            ("until", "yesterday"),
        ] {
            assert_eq!(read(&[pair]), Choices::default(), "{pair:?}");
        }
        let long = "x".repeat(999);
        assert_eq!(read(&[("named", &long)]).named.unwrap().len(), CHARACTERS_MOST);
    }
}
