//! Which limit of space a phase hit that failed. Work folder and `/tmp` are in memory and have a size, and programs say nothing of it
//! but "No space left on device".

use crate::domain::limits::{Limits, Size};

/// Shell lines that report folders without room, a line each: the folder, and its size in KiB. They write a byte, which a folder
/// refuses that is full to the last page. A folder that may not be written to, since a project changed its mode, is left out. The
/// caller's exit code is in `code`, and stays what it is if no process can be started.
pub const CHECK: &str = "trap 'exit $code' EXIT
[ $code -eq 0 ] || for folder in /work /tmp; do
{ echo . > $folder/.pybots-full; } 2>/dev/null || {
[ -d $folder ] && [ -w $folder ] && set -- $(df -Pk $folder 2>/dev/null | tail -n 1) && echo \"== full $folder ${2-}\" >&2
}
done";

/// The beginning of the lines that [`CHECK`] writes.
const MARK: &str = "== full ";
/// What programs write that find no room.
const NO_SPACE: [&str; 3] = ["No space left on device", "[Errno 28]", "ENOSPC"];

/// The limit that a phase hit, as a sentence, from the end of its output. What a project writes can only mislead its own readers.
pub fn limit_hit(output: &[u8], limits: &Limits) -> Option<String> {
    let text = String::from_utf8_lossy(output);
    // the check writes after everything else, a line for each of two folders
    let last = text
        .lines()
        .rev()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(2);
    let marks: Vec<(&str, &str)> = last
        .filter_map(|line| {
            let rest = line.strip_prefix(MARK)?;
            // without a size if no process could be started
            Some(rest.split_once(' ').unwrap_or((rest, "")))
        })
        .collect();
    let find = |folder: &str| marks.iter().find(|(name, _)| *name == folder);
    if find("/work").is_some() {
        return Some(format!(
            "the work folder is full: its limit is {} (`limits.work`)",
            limits.work
        ));
    }
    if let Some((_, kib)) = find("/tmp") {
        let size = kib.parse::<u64>().ok().and_then(|kib| kib.checked_mul(1024)).map(Size);
        let size = size.map_or_else(|| "its size is fixed".to_owned(), |size| format!("it has {size}"));
        return Some(format!(
            "the folder /tmp is full: {size}, which count against `limits.memory`; large files have room in /work \
             (`limits.work`)"
        ));
    }
    NO_SPACE.iter().any(|sign| text.contains(sign)).then(|| {
        format!(
            "its output says that no space was left: the work folder has {} (`limits.work`), and /tmp is smaller",
            limits.work
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_limit_is_named_by_the_folder_that_is_full() {
        let limits = Limits::default();
        let hit = |output: &str| limit_hit(output.as_bytes(), &limits);
        let work = "the work folder is full: its limit is 2GiB (`limits.work`)";
        assert_eq!(hit("1 failed\n== full /work 2097152\n").as_deref(), Some(work));
        assert_eq!(
            hit("== full /work 2097152\n== full /tmp 524288\n\n").as_deref(),
            Some(work)
        );
        assert_eq!(
            hit("== full /tmp 524288\n").as_deref(),
            Some(
                "the folder /tmp is full: it has 512MiB, which count against `limits.memory`; large files have room in /work \
                 (`limits.work`)"
            )
        );
        assert!(hit("== full /tmp \n").unwrap().contains("is full: its size is fixed"));
        assert!(
            hit("== full /tmp much\n")
                .unwrap()
                .contains("is full: its size is fixed")
        );
        let removed = "OSError: [Errno 28] No space left on device: 'x'\n1 failed\n";
        assert!(hit(removed).unwrap().contains("no space was left"));
        // what the output says in the middle, and other folders, are nothing
        assert_eq!(hit("== full /work 1\na\nb\nc\n"), None);
        assert_eq!(hit("== full /etc 1\n"), None);
        assert_eq!(hit("1 failed\n"), None);
    }

    #[test]
    fn the_check_keeps_the_exit_code_and_finds_the_full_folder() {
        let folder = tempfile::tempdir().unwrap();
        // a device that refuses each byte stands for a full folder
        std::os::unix::fs::symlink("/dev/full", folder.path().join(".pybots-full")).unwrap();
        let place = folder.path().to_str().unwrap();
        let run = |code: i32| {
            let check = CHECK.replace("/work /tmp", place);
            let output = Command::new("/bin/sh")
                .args(["-c", &format!("set +e\ncode={code}\n{check}\nexit $code")])
                .output()
                .unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        assert_eq!(run(0), (Some(0), String::new()));
        let (code, written) = run(7);
        assert_eq!(code, Some(7));
        let kib = written.trim().strip_prefix(&format!("== full {place} ")).unwrap();
        assert!(kib.parse::<u64>().unwrap() > 0);
        std::fs::remove_file(folder.path().join(".pybots-full")).unwrap();
        assert_eq!(run(7), (Some(7), String::new()));
    }
}
