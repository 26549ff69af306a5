//! Reads the witness's notes about imports: packages that came from the source folder although they are installed.

/// The most packages that are named. More of them mean that the layout of the project is such.
const NAMED: usize = 3;

/// Returns a line for the log for each of the first packages in the witness's note.
pub fn remarks(note: &str, project: &str) -> Vec<String> {
    let lines = note.lines().filter_map(|line| line.split_once(' '));
    let packages = lines.filter(|(name, _)| name.chars().all(|c| c.is_alphanumeric() || c == '_'));
    packages
        .take(NAMED)
        .map(|(name, lacks)| {
            let risk = match lacks.parse::<u32>() {
                Ok(lacks) if lacks > 0 => format!(
                    "that folder lacks {lacks} compiled module(s) of the installed copy, so tests of them may be skipped without a \
                     word"
                ),
                _ => "so the installed copy was not tested".to_owned(),
            };
            format!(
                "note: the suite imported `{name}` from the source folder below /work/src/{project}, although it is installed: \
                 {risk}. Run the tests from another folder, or end `install` with a line that removes the source: `rm -r {name}`"
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_from_the_source_folder_is_named_with_the_risk() {
        let found = remarks("demo 2\npure 0\n; rm 1\nbroken\n", "p");
        assert_eq!(found.len(), 2);
        assert!(
            found[0].contains("`demo` from the source folder below /work/src/p")
                && found[0].contains("lacks 2 compiled")
        );
        assert!(found[1].contains("`pure`") && found[1].contains("was not tested"));
        assert_eq!(remarks("", "p"), Vec::<String>::new());
    }
}
