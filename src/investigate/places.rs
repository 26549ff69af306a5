//! Limits how many investigations are worked on at the same time, and decides which go first. A person who registers
//! recipes can make their suites pass and fail at will, so that they open investigations without end. These must not
//! hold all places.

use crate::config::VerdictSettings;

/// The rank of an investigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precedence {
    /// The project is not in probation, or a person asked for the investigation.
    Trusted,
    InProbation,
}

/// How many further investigations may be worked on at the same time.
#[derive(Debug)]
pub struct Places {
    all: usize,
    in_probation: usize,
}

impl Places {
    pub fn new(settings: &VerdictSettings) -> Self {
        Self {
            all: settings.at_once,
            in_probation: settings.in_probation,
        }
    }

    pub fn has_one(&self, precedence: Precedence) -> bool {
        match precedence {
            Precedence::Trusted => self.all > 0,
            Precedence::InProbation => self.all > 0 && self.in_probation > 0,
        }
    }

    pub fn take(&mut self, precedence: Precedence) {
        self.all = self.all.saturating_sub(1);
        if precedence == Precedence::InProbation {
            self.in_probation = self.in_probation.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_in_probation_hold_a_small_share_of_the_places() {
        let settings = VerdictSettings {
            at_once: 3,
            in_probation: 2,
            ..VerdictSettings::default()
        };
        let mut places = Places::new(&settings);
        places.take(Precedence::InProbation);
        places.take(Precedence::InProbation);
        assert!(!places.has_one(Precedence::InProbation) && places.has_one(Precedence::Trusted));
        places.take(Precedence::Trusted);
        assert!(!places.has_one(Precedence::Trusted));

        let mut places = Places::new(&settings);
        (0..3).for_each(|_| places.take(Precedence::Trusted));
        assert!(
            !places.has_one(Precedence::InProbation),
            "the share is part of all places"
        );
    }
}
