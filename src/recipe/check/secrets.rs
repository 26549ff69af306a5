//! Rejects tokens and keys: everybody can read a recipe, and pages, stores and backups copy it.

use super::Checker;
use crate::domain::secrets::find;

impl Checker<'_> {
    /// Checks the whole text, because comments are as public as values.
    pub(super) fn secrets(&mut self) {
        for found in find(self.text.as_bytes()) {
            self.say(
                found.range,
                format!("this looks like {}, and everybody can read a recipe", found.what),
                "remove it, and revoke it where it was issued: whoever has read the file can use it",
            );
        }
    }
}
