//! The patch of a revision: what it changes, file by file.

use super::text::is_odd;

/// The most lines of a patch that are kept.
const LINES_MOST: usize = 1_000;

/// The most bytes of all kept lines together.
const BYTES_MOST: usize = 60_000;

/// The most files that are kept.
const FILES_MOST: usize = 300;

/// The most characters of a kept line, or of a path.
const CHARACTERS_MOST: usize = 400;

/// What a revision changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    pub files: Vec<FilePatch>,
    /// Whether lines or files are left out, because the patch is long.
    pub is_cut: bool,
}

/// What changes in one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilePatch {
    pub path: String,
    /// What happened to the file besides changed lines, such as `new file`.
    pub note: Option<&'static str>,
    /// How many lines were added and removed, also where lines are left out.
    pub added: usize,
    pub removed: usize,
    pub lines: Vec<PatchLine>,
}

/// A line of a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchLine {
    pub kind: LineKind,
    /// The line with its first character: `+`, `-` or a space.
    pub text: String,
}

/// The kinds of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind {
    Added,
    Removed,
    Unchanged,
    /// A line of git: where in the file the following lines are, or that the file has no newline at its end.
    Place,
}

impl Patch {
    /// Reads the output of `git show`, without the message. `is_cut` says that only its beginning was read.
    pub fn read(text: &str, is_cut: bool) -> Self {
        let mut patch = Self {
            is_cut,
            ..Self::default()
        };
        let mut reader = PatchReader::default();
        for line in text.lines() {
            reader.line(&mut patch, line);
        }
        patch
    }

    /// Returns how many lines the kept files gained and lost.
    pub fn totals(&self) -> (usize, usize) {
        let add = |sum: (usize, usize), file: &FilePatch| (sum.0 + file.added, sum.1 + file.removed);
        self.files.iter().fold((0, 0), add)
    }
}

/// Where in a patch the next line is.
#[derive(Default)]
struct PatchReader {
    /// Whether the header of a file is over. A removed line may look like a header.
    is_in_lines: bool,
    /// Whether the lines belong to a file that is left out.
    is_left_out: bool,
    lines: usize,
    bytes: usize,
}

impl PatchReader {
    fn line(&mut self, patch: &mut Patch, line: &str) {
        if let Some(paths) = line.strip_prefix("diff --git ") {
            self.is_in_lines = false;
            self.is_left_out = patch.files.len() >= FILES_MOST;
            patch.is_cut |= self.is_left_out;
            if !self.is_left_out {
                patch.files.push(FilePatch {
                    path: shown(path_of(paths)),
                    ..FilePatch::default()
                });
            }
            return;
        }
        let (Some(file), false) = (patch.files.last_mut(), self.is_left_out) else {
            return;
        };
        self.is_in_lines |= line.starts_with("@@");
        if !self.is_in_lines {
            header(file, line);
            return;
        }
        let kind = match line.as_bytes().first() {
            Some(b'+') => LineKind::Added,
            Some(b'-') => LineKind::Removed,
            Some(b'@' | b'\\') => LineKind::Place,
            _ => LineKind::Unchanged,
        };
        match kind {
            LineKind::Added => file.added += 1,
            LineKind::Removed => file.removed += 1,
            LineKind::Unchanged | LineKind::Place => {}
        }
        if self.lines >= LINES_MOST || self.bytes >= BYTES_MOST {
            patch.is_cut = true;
            return;
        }
        let text = shown(line);
        self.lines += 1;
        self.bytes += text.len();
        file.lines.push(PatchLine { kind, text });
    }
}

/// Reads a line between the name of a file and its first changed line.
fn header(file: &mut FilePatch, line: &str) {
    if line.starts_with("new file") {
        file.note = Some("new file");
    } else if line.starts_with("deleted file") {
        file.note = Some("deleted");
    } else if let Some(path) = line.strip_prefix("rename to ") {
        file.note = Some("renamed");
        file.path = shown(path);
    } else if line.starts_with("Binary files ") {
        file.note = file.note.or(Some("binary"));
    } else if line.starts_with("old mode") {
        file.note = Some("other mode");
    } else if let Some(path) = line.strip_prefix("+++ b/") {
        file.path = shown(path.trim_end_matches('\t'));
    }
}

/// Returns the path in `a/PATH b/PATH`. Both are the same unless the file was renamed, and a later line says that.
fn path_of(paths: &str) -> &str {
    let half = paths.len() / 2;
    let old = paths.get(..half).and_then(|old| old.strip_prefix("a/"));
    let new = paths.get(half + 1..).and_then(|new| new.strip_prefix("b/"));
    new.filter(|new| old == Some(*new)).unwrap_or(paths)
}

/// Returns a line as pages show it: no character of it can reorder the line or hide others, except for tabs.
fn shown(line: &str) -> String {
    let mut text: String = line
        .chars()
        .take(CHARACTERS_MOST)
        .map(|c| if is_odd(c) && c != '\t' { '?' } else { c })
        .collect();
    if line.chars().nth(CHARACTERS_MOST).is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "\
diff --git a/Lib/argparse.py b/Lib/argparse.py
index 1..2 100644
--- a/Lib/argparse.py
+++ b/Lib/argparse.py
@@ -1,3 +1,3 @@ def main():
 same
--- a removed line that looks like a header
+added \u{202e}line
diff --git a/Doc/old name.rst b/Doc/new name.rst
similarity index 100%
rename from Doc/old name.rst
rename to Doc/new name.rst
diff --git a/b/b/x.png b/b/b/x.png
new file mode 100644
index 0..1
Binary files /dev/null and b/b/b/x.png differ
";

    #[test]
    fn a_patch_is_read_file_by_file() {
        let patch = Patch::read(SHOWN, false);
        let files: Vec<_> = patch
            .files
            .iter()
            .map(|file| (file.path.as_str(), file.note, file.added, file.removed))
            .collect();
        assert_eq!(
            files,
            [
                ("Lib/argparse.py", None, 1, 1),
                ("Doc/new name.rst", Some("renamed"), 0, 0),
                ("b/b/x.png", Some("new file"), 0, 0),
            ]
        );
        let lines: Vec<_> = patch.files[0]
            .lines
            .iter()
            .map(|line| (line.kind, line.text.as_str()))
            .collect();
        assert_eq!(
            lines,
            [
                (LineKind::Place, "@@ -1,3 +1,3 @@ def main():"),
                (LineKind::Unchanged, " same"),
                (LineKind::Removed, "--- a removed line that looks like a header"),
                (LineKind::Added, "+added ?line"),
            ]
        );
        assert_eq!((patch.totals(), patch.is_cut), ((1, 1), false));
        assert_eq!(Patch::read("", false), Patch::default());
    }

    /// Counts go on where lines are left out.
    #[test]
    fn a_long_patch_is_cut() {
        let file = |name: usize, lines: usize| {
            format!("diff --git a/{name} b/{name}\n@@ -0,0 +1 @@\n{}", "+x\n".repeat(lines))
        };
        let long = Patch::read(&(file(1, LINES_MOST) + &file(2, 7)), false);
        assert_eq!(long.files[0].lines.len() + long.files[1].lines.len(), LINES_MOST);
        assert_eq!((long.totals(), long.is_cut), ((LINES_MOST + 7, 0), true));
        let wide = Patch::read(&format!("{}+{}\n", file(1, 0), "é".repeat(9_999)), false);
        assert_eq!(wide.files[0].lines[1].text.chars().count(), CHARACTERS_MOST + 1);
        let many: String = (0..=FILES_MOST).map(|name| file(name, 1)).collect();
        let many = Patch::read(&many, false);
        assert_eq!((many.files.len(), many.is_cut), (FILES_MOST, true));
        assert!(Patch::read(&file(1, 1), true).is_cut);
    }
}
