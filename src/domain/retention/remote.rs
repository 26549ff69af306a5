//! Images in the registry.

use super::{HeldImage, Known, Policy, Reason, of_cpython};
use serde::{Deserialize, Serialize};

/// An image that a host is asked to give to the registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Push {
    /// On its engine.
    pub name: String,
    pub build_key: String,
    /// Where to: `registry.example.org/pybots/cpython`.
    pub repository: String,
}

impl Reason {
    /// Whether what a host keeps for this reason would stay in the registry, too.
    pub fn travels(&self) -> bool {
        use Reason::*;
        matches!(
            self,
            InUse { .. } | OpenJob { .. } | Pinned { .. } | Tip { .. } | Recent { .. }
        )
    }
}

/// Decides about an image in the registry, by what is known of it. There its layers are shared with whatever
/// needs them: nothing is gained by key frames that stay longer, or by what others lie on.
pub fn remote(known: &Known, policy: &Policy, now: i64) -> Reason {
    let policy = Policy {
        key_frames: false,
        ..policy.clone()
    };
    let image = HeldImage {
        // as one that is looked for by its name
        names: vec!["registry:named".to_owned()],
        ..HeldImage::default()
    };
    of_cpython(&image, known, false, &policy, now)
}

#[cfg(test)]
mod tests {
    use super::super::{DAY_MS, Place};
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn what_no_host_needs_goes_from_the_registry_too() {
        let policy = Policy {
            days: 14,
            branch_days: BTreeMap::new(),
            key_frames: true,
            key_frame_days: 365,
            min_free: 0,
        };
        let place = Place {
            branch: "trunk".into(),
            since: 0,
            watched: true,
            tip: false,
        };
        let known = Known {
            ready_at: Some(0),
            places: vec![place.clone()],
            ..Known::default()
        };
        let judge = |known: &Known, days: i64| remote(known, &policy, days * DAY_MS);
        assert_eq!(judge(&known, 13), Reason::Recent { days: 14 });
        assert!(judge(&known, 13).travels());
        assert_eq!(judge(&known, 15), Reason::Old { days: 14 });
        let pinned = Known {
            pins: vec!["evidence".into()],
            ..known.clone()
        };
        assert!(judge(&pinned, 500).travels());
        let tip = Known {
            places: vec![Place { tip: true, ..place }],
            ..known.clone()
        };
        assert!(judge(&tip, 500).travels());
        let wanted = Known { open_jobs: 1, ..known };
        assert!(judge(&wanted, 500).travels());
        // what stays on a host for the engine's sake alone
        assert!(!Reason::Beneath.travels() && !Reason::Last.travels() && !Reason::KeyFrame { days: 1 }.travels());
    }
}
