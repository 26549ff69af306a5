//! Writes files that contain recipes or secrets.

use std::io::{Result, Write};
use std::path::Path;

/// Writes a recipe atomically, so that a reader never sees a part of it. If the file exists and `replaces` is not set,
/// leaves it and fails with [`std::io::ErrorKind::AlreadyExists`].
pub fn write(file: &Path, text: &str, replaces: bool) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut new = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    new.write_all(text.as_bytes())?;
    readable(new.as_file())?;
    let kept = match replaces {
        true => new.persist(file).map(drop),
        false => new.persist_noclobber(file).map(drop),
    };
    kept.map_err(|error| error.error)
}

/// Writes a file that only its owner can read. Creates its folder if need be.
pub fn write_private(file: &Path, text: &str) -> Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // a temporary file is readable for its owner only
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(text.as_bytes())?;
    new.persist(file).map(drop).map_err(|error| error.error)
}

/// Gives a temporary file, which only its owner can read, the usual permissions of new files.
fn readable(file: &std::fs::File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_stays_unless_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        write(&file, "one", false).unwrap();
        let refused = write(&file, "two", false).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "one");
        write(&file, "three", true).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "three");
        assert_eq!(
            std::fs::read_dir(folder.path()).unwrap().count(),
            1,
            "nothing else is left"
        );
    }
}
