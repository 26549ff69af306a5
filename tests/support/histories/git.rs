//! A history as a git repository.

use super::{At, History};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const PATCHLEVEL: &str = "#define PY_MAJOR_VERSION 3\n#define PY_MINOR_VERSION 14\n#define PY_MICRO_VERSION 0\n#define PY_VERSION \"3.14.0\"\n";

/// Writes all revisions into a repository, and returns their ids; no branch points at them yet.
pub fn import(history: &History, repository: &Path) -> BTreeMap<At, String> {
    let mut stream = Stream::default();
    for place in 0..history.length {
        let before = place.checked_sub(1).map(At::Main);
        let merged = history.merges.iter().find(|merge| merge.0 == place);
        if let Some((_, base, brought)) = merged {
            let mut last = At::Main(*base);
            for nth in 0..*brought {
                stream.commit(At::Inside(place, nth), &[last]);
                last = At::Inside(place, nth);
            }
            let before = before.expect("a merge is never the first");
            stream.commit(At::Main(place), &[before, last]);
        } else {
            stream.commit(At::Main(place), before.as_slice());
        }
    }
    let marks = repository.join("marks");
    let mut program = Command::new("git")
        .current_dir(repository)
        .args(["fast-import", "--quiet"])
        .arg(format!("--export-marks={}", marks.display()))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    program.stdin.take().unwrap().write_all(stream.text.as_bytes()).unwrap();
    assert!(program.wait().unwrap().success());
    let text = std::fs::read_to_string(marks).unwrap();
    let marks: BTreeMap<usize, String> = text
        .lines()
        .map(|line| {
            let (mark, sha) = line.trim_start_matches(':').split_once(' ').unwrap();
            (mark.parse().unwrap(), sha.to_owned())
        })
        .collect();
    stream
        .marks
        .into_iter()
        .map(|(at, mark)| (at, marks[&mark].clone()))
        .collect()
}

#[derive(Default)]
struct Stream {
    text: String,
    marks: BTreeMap<At, usize>,
}

impl Stream {
    fn commit(&mut self, at: At, parents: &[At]) {
        let mark = self.marks.len() + 1;
        let name = at.name();
        let text = &mut self.text;
        writeln!(text, "commit refs/heads/imported\nmark :{mark}").unwrap();
        writeln!(text, "committer A <a@example.org> {} +0000", 1_700_000_000 + mark * 60).unwrap();
        writeln!(text, "data {}\n{name}", name.len()).unwrap();
        match parents {
            [] => writeln!(
                text,
                "M 100644 inline Include/patchlevel.h\ndata {}\n{PATCHLEVEL}",
                PATCHLEVEL.len()
            )
            .unwrap(),
            [first, others @ ..] => {
                writeln!(text, "from :{}", self.marks[first]).unwrap();
                for other in others {
                    writeln!(text, "merge :{}", self.marks[other]).unwrap();
                }
            }
        }
        writeln!(text, "M 100644 inline Lib/place\ndata {}\n{name}\n", name.len()).unwrap();
        self.marks.insert(at, mark);
    }
}
