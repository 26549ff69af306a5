//! Which job is next for a host. Jobs that are alike are a group, and a group is asked by its first job: what a
//! choice costs depends on the number of groups, not on how many jobs wait.

use crate::domain::host::only;
use crate::store::claims::{ELSEWHERE_FIRST_MS, Group, Head, Taker, mib};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

/// The groups as they stand, for claims that are served together.
pub struct Stand {
    groups: Vec<Standing>,
    heads: BTreeMap<String, Head>,
    /// Host and image that it holds, of those that are asked about.
    held: BTreeSet<(String, String)>,
    now: i64,
}

struct Standing {
    group: Group,
    /// A job of it was taken: what is first now, only the database knows.
    taken: bool,
}

/// What may be next; the least one is.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Next {
    key: Key,
    /// Its place among the groups.
    pub group: usize,
    /// None: the database has to be asked which job of the group the host can have. It comes no earlier than this.
    pub job: Option<String>,
}

/// What is newest on its branch goes first, for somebody waits for its answer, and of that runs before builds,
/// which are longer. Older check-ins fill in. Among equals each group has its turn; in one turn, what the host
/// holds the image of, and then what takes longest.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    old: bool,
    builds: bool,
    round: i64,
    elsewhere: bool,
    expected_ms: Reverse<i64>,
    job: String,
}

impl Stand {
    pub fn new(groups: Vec<Group>, heads: Vec<Head>, held: BTreeSet<(String, String)>, now: i64) -> Self {
        Self {
            groups: groups
                .into_iter()
                .map(|group| Standing { group, taken: false })
                .collect(),
            heads: heads.into_iter().map(|head| (head.id.clone(), head)).collect(),
            held,
            now,
        }
    }

    /// What there may be for a host, the best first.
    pub fn order(&self, taker: &Taker<'_>) -> BinaryHeap<Reverse<Next>> {
        let places = self.groups.iter().enumerate();
        places
            .filter(|(_, standing)| fits(&standing.group, taker))
            .filter_map(|(place, standing)| self.next(place, standing, taker))
            .map(Reverse)
            .collect()
    }

    fn next(&self, place: usize, standing: &Standing, taker: &Taker<'_>) -> Option<Next> {
        let group = &standing.group;
        let first = self.heads.get(group.first.as_ref()?)?;
        let image = group.kind == "image";
        let holds = |head: &Head| {
            let (host, image) = (taker.host.to_owned(), head.uses.clone());
            image.is_some_and(|image| self.held.contains(&(host, image)))
        };
        let head = |id: &Option<String>| id.as_ref().and_then(|id| self.heads.get(id));
        let known = if holds(first) || (image && taker.builds) {
            Some(first)
        } else if taker.builds {
            // the hosts that hold its image are asked alone for a while
            Some(head(&group.ripe)?)
        } else if taker.pulls {
            // none can be pulled; one behind the first may be there
            head(&group.pullable)
        } else {
            None
        };
        let known = known.filter(|head| !standing.taken && !self.avoids(head, taker));
        Some(match known {
            Some(head) => self.at(place, head, !holds(head)),
            None => Next {
                key: key(group, first, false, String::new()),
                group: place,
                job: None,
            },
        })
    }

    /// A job of a group that the database has named.
    pub fn at(&self, place: usize, head: &Head, elsewhere: bool) -> Next {
        Next {
            key: key(&self.groups[place].group, head, elsewhere, head.id.clone()),
            group: place,
            job: Some(head.id.clone()),
        }
    }

    fn avoids(&self, head: &Head, taker: &Taker<'_>) -> bool {
        head.avoid.as_deref() == Some(taker.host) && head.not_before > self.now - ELSEWHERE_FIRST_MS
    }

    pub fn group(&self, place: usize) -> &Group {
        &self.groups[place].group
    }

    /// A group had its turn.
    pub fn took(&mut self, place: usize) {
        let standing = &mut self.groups[place];
        standing.taken = true;
        standing.group.round += 1;
    }
}

fn key(group: &Group, head: &Head, elsewhere: bool, job: String) -> Key {
    Key {
        old: head.priority < group.newest,
        builds: group.kind == "image",
        round: group.round,
        elsewhere,
        expected_ms: Reverse(group.expected_ms),
        job,
    }
}

/// Whether a group is for the host.
pub fn fits(group: &Group, taker: &Taker<'_>) -> bool {
    let offer = taker.offer;
    let image = group.kind == "image";
    let among = |names: &Option<BTreeSet<String>>, name: &str| names.as_ref().is_none_or(|names| names.contains(name));
    (taker.builds || !image)
        && group.platform == offer.platform
        && (image || among(&offer.projects, &group.project))
        && among(&offer.branches, &group.branch)
        && group.memory_mib <= offer.memory_mib.map_or(i64::MAX, mib)
        && group
            .labels()
            .all(|label| offer.labels.contains(label) || label == only(taker.host))
}

#[cfg(test)]
#[path = "choose_tests.rs"]
mod tests;
