use super::*;

const ENTRY: &str = r#"package: Demo_Tools
repo: https://example.org/demo/
pypi_url: https://example.org/project/demo/
extension_type: pure
python_versions:
- '3.15'
- '3.9'
install_method: pip
install_command: git fetch --tags && pip install -e ".[test]" && pip install pytest 'tomli>=2'
test_command: python -m pytest tests/ -p no:xdist
test_framework: pytest
uses_xdist: true
timeout: 600
skip: false
skip_reason: null
skip_versions:
  '3.14': "its back end knows no 3.14"
notes: |
  Tests want
  a folder.
enriched: true
clone_depth: 50
import_name: demo
"#;

fn recipe_of(entry: &str) -> (String, Vec<String>) {
    match import("demo", entry) {
        Imported::Recipe { text, left_out, .. } => (text, left_out),
        Imported::Nothing { reason, .. } => panic!("{reason}"),
    }
}

fn reason_of(entry: &str) -> String {
    match import("demo", entry) {
        Imported::Recipe { text, .. } => panic!("{text}"),
        Imported::Nothing { reason, .. } => reason,
    }
}

#[test]
fn an_entry_becomes_a_recipe() {
    let (text, left_out) = recipe_of(ENTRY);
    assert_eq!(
        text,
        "# Tests want a folder.\n\
         name = \"demo-tools\"\n\
         # not on 3.14: its back end knows no 3.14\n\
         when = \">=3.9,!=3.14.*\"\n\
         source = { git = \"https://example.org/demo\", rev = \"HEAD\" }\n\
         requires = [\".[test]\", \"pytest\", \"tomli>=2\"]\n\
         install = [\"uv pip install -e .\"]\n\
         limits = { timeout = \"600s\" }\n\
         \n\
         [[suite]]\n\
         name = \"tests\"\n\
         run = \"python -m pytest tests/ -p no:xdist\"\n"
    );
    let left_out = left_out.join("\n");
    assert!(
        left_out.contains("`python_versions`") && left_out.contains("`git fetch --tags`"),
        "{left_out}"
    );
    assert_eq!(left_out.lines().count(), 2, "{left_out}");
}

#[test]
fn what_can_not_be_carried_over_is_named() {
    for (from, to, says) in [
        ("timeout: 600", "timeout: 7200", "`timeout`"),
        ("repo: https://example.org/demo/", "repo: null", "`repo`: it names none"),
        ("repo: https://", "repo: git@", "is no https:// address"),
        (
            "notes: |",
            "colour: red\nnotes: |",
            "`colour`: a recipe has no such key",
        ),
        ("'3.14':", "'rc':", "`skip_versions`: rc is no version"),
        ("pip install pytest 'tomli>=2'", "pip install -r r.txt", "not pinned"),
        ("test_framework: pytest", "test_framework: nose", "by nose"),
        (
            "install pytest",
            "install pytest 'demo.tools<3'",
            "`demo.tools<3`: the project is installed",
        ),
    ] {
        let (text, left_out) = recipe_of(&ENTRY.replace(from, to));
        assert!(left_out.join("\n").contains(says), "{to}: {text} {left_out:?}");
    }
    let (text, _) = recipe_of("package: a\ntest_command: python -m pytest\ntest_framework: pytest\n");
    assert!(
        text.contains("requires = [\"pytest\"]") && text.contains("pypi = \"a\""),
        "{text}"
    );
}

#[test]
fn entries_without_a_recipe_say_why() {
    for (from, to, says) in [
        (
            "skip: false\nskip_reason: null",
            "skip: true\nskip_reason: needs a display",
            "skipped: needs a display",
        ),
        (
            "test_command: python -m pytest tests/ -p no:xdist",
            "test_command: ''",
            "`pybots init demo-tools` may find one",
        ),
        ("package: Demo_Tools", "package: '../../etc'", "would be wrong"),
        ("package: Demo_Tools", "package: \"\\x1b[2J\"", "would be wrong"),
        ("timeout: 600", "timeout: soon", "can't be read"),
        (
            "test_command: python -m pytest tests/ -p no:xdist",
            "test_command: |\n  cd tests\n  python -m pytest",
            "line breaks",
        ),
        ("package: Demo_Tools", "packages: x", "can't be read"),
        ("notes: |", "notes: *missing\nmore: |", "can't be read"),
    ] {
        let reason = reason_of(&ENTRY.replace(from, to));
        assert!(reason.contains(says), "{to}: {reason}");
        assert!(!reason.contains('\x1b'), "{reason:?}");
    }
}

#[test]
fn bombs_are_refused() {
    let mut bomb = "package: a\ntest_command: x\nl0: &l0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let inner = format!("*l{}", level - 1);
        bomb += &format!("l{level}: &l{level} [{}]\n", vec![inner; 10].join(", "));
    }
    assert!(reason_of(&bomb).contains("can't be read"));
    let deep = format!(
        "package: a\ntest_command: x\nl: {}{}\n",
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    assert!(reason_of(&deep).contains("can't be read"));
    let long = format!("package: a\ntest_command: x\nnotes: {}\n", "x".repeat(ENTRY_MOST));
    assert!(reason_of(&long).contains("bytes"));
}

/// Inputs that are hard for a parser of YAML: none takes long, and no answer is long.
#[test]
fn hostile_entries_get_a_short_answer() {
    let start = "package: a\ntest_command: x\n";
    let lines = |line: &dyn Fn(usize) -> String| -> String { (0..4_000).map(line).collect() };
    for (what, more) in [
        ("unknown keys", lines(&|n| format!("k{n}: 1\n"))),
        (
            "versions",
            "skip_versions:\n".to_owned() + &lines(&|n| format!("  '3.{n}': x\n")),
        ),
        (
            "versions that are none",
            "skip_versions:\n".to_owned() + &lines(&|n| format!("  'v{n}': x\n")),
        ),
        ("the same key", lines(&|_| "timeout: 1\n".to_owned())),
        (
            "merges",
            "b: &b {skip: false}\n".to_owned() + &lines(&|_| "<<: *b\n".to_owned()),
        ),
        ("documents", lines(&|_| "---\n".to_owned())),
        ("an alias of itself", "b: &b [*b]\n".to_owned()),
        (
            "tags",
            "notes: !!binary YQ==\nrepo: !!python/object/apply:os.system [id]\n".to_owned(),
        ),
        ("a long key", format!("? {}\n: 1\n", "k".repeat(60_000))),
        ("a long number", format!("timeout: {}\n", "9".repeat(60_000))),
        ("nested maps", "b: ".to_owned() + &"{a: ".repeat(15_000)),
        ("nested lines", "b:\n".to_owned() + &lines(&|_| "- ".to_owned())),
        (
            "a long command",
            format!("install_command: git fetch {}\n", "x".repeat(60_000)),
        ),
        (
            "commands",
            format!("install_command: {}\n", "git fetch && ".repeat(4_000)),
        ),
        ("an address that runs", "repo: javascript:alert(1)\n".to_owned()),
        ("a secret", format!("notes: ghp_{}\n", "a1".repeat(18))),
        ("control characters", "notes: \"\\e]52;c;x\\a \\u202e\"\n".to_owned()),
    ] {
        let begun = std::time::Instant::now();
        let shown = match import("demo", &format!("{start}{more}")) {
            Imported::Recipe { text, left_out, .. } => {
                assert!(!text.contains(['\u{1b}', '\u{202e}']), "{what}: {text}");
                left_out.join("\n")
            }
            Imported::Nothing { name, reason } => name + &reason,
        };
        assert!(shown.len() < 30_000, "{what}: {} bytes", shown.len());
        assert!(
            !shown.contains('\u{1b}') && !shown.contains("a1a1a1"),
            "{what}: {shown}"
        );
        assert!(begun.elapsed().as_secs() < 10, "{what}");
    }
    let secret = format!("{start}notes: ghp_{}\n", "a1".repeat(18));
    assert!(reason_of(&secret).contains("a token of GitHub"));
}
