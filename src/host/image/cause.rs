//! Finds the line of a build's output that most likely says why it failed. It is a hint for readers, and decides
//! nothing.

use crate::host::phase::STEP;

/// Texts that mark such a line, the surest first: of the compiler, the linker and configure, of a newly built
/// interpreter, of make.
const SIGNS: [&[&str]; 3] = [
    &["error: ", "undefined reference to ", "ld: cannot find "],
    &["Fatal Python error", "Error: ", "Segmentation fault", "not found"],
    &["*** "],
];

/// The longest hint, in characters. A compiler's line can hold a whole command.
const MOST: usize = 200;

/// Returns the hint from the output of the last step, as a text to append to the reason. It is empty if there is no
/// hint.
pub fn hint(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let step = text.rsplit(STEP).next().unwrap_or_default();
    let line = SIGNS
        .iter()
        .find_map(|signs| step.lines().find(|line| signs.iter().any(|sign| line.contains(sign))));
    match line {
        Some(line) => format!(": {}", line.trim().chars().take(MOST).collect::<String>()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_of_the_last_step_is_the_hint() {
        let output = "== step configure\nconfigure: error: not this one\n== step make\ngcc -c a.c\n\
                      a.c:3:1: error: unknown type name 'x'\na.c:4:1: error: more\nmake: *** [a.o] Error 1\n";
        assert_eq!(hint(output.as_bytes()), ": a.c:3:1: error: unknown type name 'x'");
    }

    #[test]
    fn without_a_compilers_word_the_interpreter_or_make_has_it() {
        let crash = "== step make\nFatal Python error: no site\nmake: *** [all] Error 134\n";
        assert_eq!(hint(crash.as_bytes()), ": Fatal Python error: no site");
        let bare = "== step make\nmake: *** No rule to make target 'x'.  Stop.\n";
        assert_eq!(hint(bare.as_bytes()), ": make: *** No rule to make target 'x'.  Stop.");
        assert_eq!(hint(b"== step make\nquiet\n"), "");
    }

    #[test]
    fn a_long_line_is_cut() {
        let long = format!("a.c:1: error: {}", "\u{e4}".repeat(400));
        assert_eq!(hint(long.as_bytes()).chars().count(), MOST + 2);
    }
}
