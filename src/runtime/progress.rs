//! The progress of a pull or a push, by layers.

use std::collections::BTreeMap;

/// Adds up what an engine reports during a transfer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransferProgress {
    /// How many layers were named so far; how many of them were there before; how many have arrived.
    layers: usize,
    there: usize,
    moved: usize,
    /// The bytes so far and the bytes in all, for each layer in transfer, by its id.
    bytes: BTreeMap<String, (u64, u64)>,
}

impl TransferProgress {
    /// Takes one message of the engine: the layer, its state, and its bytes so far and in all.
    pub fn hear(&mut self, layer: Option<&str>, status: &str, bytes: Option<(u64, u64)>) {
        match status {
            "Pulling fs layer" | "Preparing" => self.layers += 1,
            // for a layer that is there already, a pull sends no message before this one
            "Already exists" => {
                self.layers += 1;
                self.there += 1;
            }
            "Layer already exists" => self.there += 1,
            "Pull complete" | "Pushed" => self.moved += 1,
            "Downloading" => {
                if let (Some(layer), Some(bytes)) = (layer, bytes) {
                    self.bytes.insert(layer.to_owned(), bytes);
                }
            }
            "Download complete" => {
                if let Some((now, all)) = layer.and_then(|layer| self.bytes.get_mut(layer)) {
                    *now = *all;
                }
            }
            mounted if mounted.starts_with("Mounted from") => self.there += 1,
            _ => {}
        }
    }

    /// Returns the progress in words: `3 of 9 layers moved, 5 were there; 12.3 of 20.0 MB`.
    pub fn line(&self) -> String {
        let TransferProgress {
            layers, there, moved, ..
        } = self;
        let mut line = format!("{moved} of {layers} layers moved, {there} were there");
        let (now, all) = self
            .bytes
            .values()
            .fold((0, 0), |(now, all), (n, a)| (now + n, all + a));
        if all > 0 {
            line += &format!("; {:.1} of {:.1} MB", now as f64 / 1e6, all as f64 / 1e6);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_shows_layers_and_bytes() {
        let mut progress = TransferProgress::default();
        progress.hear(Some("latest"), "Pulling from pybots/cpython", None);
        progress.hear(Some("a"), "Already exists", None);
        progress.hear(Some("b"), "Pulling fs layer", None);
        progress.hear(Some("b"), "Downloading", Some((500_000, 2_000_000)));
        assert_eq!(progress.line(), "0 of 2 layers moved, 1 were there; 0.5 of 2.0 MB");
        progress.hear(Some("b"), "Download complete", None);
        progress.hear(Some("b"), "Extracting", Some((1, 2_000_000)));
        progress.hear(Some("b"), "Pull complete", None);
        assert_eq!(progress.line(), "1 of 2 layers moved, 1 were there; 2.0 of 2.0 MB");
    }

    #[test]
    fn a_push_shows_layers() {
        let mut progress = TransferProgress::default();
        for status in ["Preparing", "Preparing", "Preparing", "Waiting", "Layer already exists"] {
            progress.hear(None, status, None);
        }
        progress.hear(None, "Pushing", Some((1, 2)));
        progress.hear(None, "Mounted from other", None);
        progress.hear(None, "Pushed", None);
        assert_eq!(progress.line(), "1 of 3 layers moved, 2 were there");
    }
}
