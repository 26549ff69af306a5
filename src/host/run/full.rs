//! Finds the space limit that a failed phase hit. The work folder and `/tmp` are in memory and have a size, but
//! programs only report "No space left on device".

use crate::domain::limits::{Limits, Size};

/// Shell lines that report folders without room, a line each: the folder, and its size in KiB. They write a byte into
/// each folder, because a folder that is full to the last page refuses it. The byte goes to a file of a new name,
/// within two seconds, because a project may leave a pipe or a link under any name. A folder whose mode a project
/// changed, so that it may not be written to, is left out. The caller's exit code is in `code`, and stays the same even
/// if no process can be started.
pub const CHECK: &str = "trap 'exit $code' EXIT
[ $code -eq 0 ] || for folder in /work /tmp; do
timeout -k 1 2 sh -c 'f=$(mktemp $0/.pybots-full.XXXXXX) && echo . > \"$f\"
full=$?
rm -f \"$f\"
[ $full -eq 0 ] || exit 9' $folder 2>/dev/null
[ $? -ne 9 ] || {
[ -d $folder ] && [ -w $folder ] && set -- $(df -Pk $folder 2>/dev/null | tail -n 1) && echo \"== full $folder ${2-}\" >&2
}
done";

/// The beginning of the lines that [`CHECK`] writes.
const MARK: &str = "== full ";
/// Messages of programs that find no room.
const NO_SPACE: [&str; 3] = ["No space left on device", "[Errno 28]", "ENOSPC"];

/// Returns the limit that a phase hit, as a sentence, from the end of its output. Returns `None` if it hit none. Output
/// of a project can only mislead the project's own readers.
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
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Command;
    use std::time::{Duration, Instant};

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

    /// Runs the check on a folder, with programs of `programs` before those of the machine. Returns exit code and standard error.
    fn check(folder: &Path, programs: &Path, code: i32) -> (Option<i32>, String) {
        let check = CHECK.replace("/work /tmp", folder.to_str().unwrap());
        let output = Command::new("/bin/sh")
            .env(
                "PATH",
                format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()),
            )
            .args(["-c", &format!("set +e\ncode={code}\n{check}\nexit $code")])
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    #[test]
    fn the_check_keeps_the_exit_code_and_finds_the_full_folder() {
        let (folder, programs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let place = folder.path();
        // a device that refuses each byte stands for a file in a full folder
        let full = place.join("full");
        let mktemp = programs.path().join("mktemp");
        std::fs::write(
            &mktemp,
            format!("#!/bin/sh\nln -s /dev/full {0} && echo {0}\n", full.display()),
        )
        .unwrap();
        std::fs::set_permissions(&mktemp, std::fs::Permissions::from_mode(0o755)).unwrap();
        let run = |code: i32| check(place, programs.path(), code);
        assert_eq!(run(0), (Some(0), String::new()));
        let (code, written) = run(7);
        assert_eq!(code, Some(7));
        let kib = written
            .trim()
            .strip_prefix(&format!("== full {} ", place.display()))
            .unwrap();
        assert!(kib.parse::<u64>().unwrap() > 0);
        std::fs::remove_file(&mktemp).unwrap();
        assert_eq!(run(7), (Some(7), String::new()));
        assert_eq!(std::fs::read_dir(place).unwrap().count(), 0);
        // no process can be started, or the programs are not there
        std::fs::write(programs.path().join("timeout"), "#!/bin/sh\nexit 127\n").unwrap();
        std::fs::set_permissions(programs.path().join("timeout"), std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(run(7), (Some(7), String::new()));
    }

    #[test]
    fn nothing_that_a_project_leaves_keeps_the_check_from_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(".pybots-full");
        assert!(Command::new("mkfifo").arg(&left).status().unwrap().success());
        let started = Instant::now();
        assert_eq!(check(folder.path(), folder.path(), 3), (Some(3), String::new()));
        assert!(started.elapsed() < Duration::from_secs(2));
        // also if it finds out the name: here each new file is a pipe
        let mktemp = folder.path().join("mktemp");
        std::fs::write(&mktemp, format!("#!/bin/sh\necho {}\n", left.display())).unwrap();
        std::fs::set_permissions(&mktemp, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(check(folder.path(), folder.path(), 3), (Some(3), String::new()));
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}
