//! The folder in which the image's own Python looks for packages. Runs find the witness there, in a volume, so that a Python is seen
//! which a suite starts by its path, outside of the environment under test. Images stay as they are.

use super::environment::{WITNESS_MODULE as MODULE, threaded};
use super::scripts::{RECORDERS, WITNESS};
use crate::domain::job::RunSpec;
use crate::runtime::Volume;
use crate::runtime::tar::{self, FileOwner};
use std::collections::BTreeMap;

/// Returns the volume of an attempt. It is on disk, and holds a few small files.
pub fn volume(attempt: &str, labels: BTreeMap<String, String>) -> Volume {
    Volume {
        name: format!("pybots-{attempt}-site"),
        size: None,
        labels,
    }
}

/// Returns the folder in images of CPython. They are built without pip, so it is empty.
pub fn folder(spec: &RunSpec) -> String {
    let python = &spec.image.build.profile.python;
    let prefix = python.rsplitn(3, '/').nth(2).unwrap_or("/usr/local");
    format!("{prefix}/lib/python{}/site-packages", threaded(spec))
}

/// Returns the files as a tar. They are root's, so no run can change them.
pub fn files() -> Vec<u8> {
    let (module, start) = (format!("{MODULE}.py"), format!("{MODULE}.pth"));
    let line = format!("import {MODULE}\n");
    let recorders = RECORDERS.map(|(path, text)| (path.rsplit('/').next().unwrap_or(path), text));
    let own = [(module.as_str(), WITNESS), (start.as_str(), line.as_str())];
    let files: Vec<(&str, &[u8], bool)> = own
        .into_iter()
        .chain(recorders)
        .map(|(name, text)| (name, text.as_bytes(), false))
        .collect();
    tar::files(FileOwner::Root, &files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// An environment stands for the image: its Python reads the same kind of folder.
    #[test]
    fn a_python_is_seen_whatever_options_and_variables_it_gets() {
        let folder = tempfile::tempdir().unwrap();
        let made = Command::new("/usr/bin/env")
            .args(["python3", "-m", "venv", "--without-pip"])
            .arg(folder.path())
            .status();
        assert!(made.unwrap().success());
        let python = folder.path().join("bin/python");
        let ask = "import sysconfig; print(sysconfig.get_path('purelib'))";
        let site = Command::new(&python).args(["-c", ask]).output().unwrap().stdout;
        let site = String::from_utf8(site).unwrap();
        ::tar::Archive::new(files().as_slice()).unpack(site.trim()).unwrap();
        let witness = folder.path().join("witness");
        for (options, is_seen) in [
            (&[][..], true),
            (&["-E"], true),
            (&["-I"], true),
            (&["-s", "-E"], true),
            // it imports nothing on its own
            (&["-S"], false),
        ] {
            let mut command = Command::new(&python);
            command.args(options).args(["-c", "pass"]).env("PYTHONPATH", ".");
            let output = command.env("PYBOTS_WITNESS", &witness).output().unwrap();
            assert_eq!(
                (output.status.success(), output.stderr.as_slice()),
                (true, &b""[..]),
                "{options:?}"
            );
            assert_eq!(witness.exists(), is_seen, "{options:?}");
            let _ = std::fs::remove_file(&witness);
        }
        // without the variable, it does nothing
        assert!(Command::new(&python).args(["-c", "pass"]).status().unwrap().success());
        assert!(!witness.exists());
    }
}
