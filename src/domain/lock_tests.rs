use super::*;

const GOOD: &str = r#"{"project": {"name": "p", "version": "1.0+x", "sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "source": "git:https://example.org/p"},
    "packages": [{"name": "a_b", "version": "1!2.0", "file": "a_b-1!2.0-py3-none-any.whl", "sha256": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "role": "run"},
                 {"name": "q", "version": null, "file": null, "sha256": null, "role": "source"}],
    "variables": {"SETUPTOOLS_SCM_PRETEND_VERSION_FOR_P": "1.0+x"}}"#;

#[test]
fn a_lock_is_written_as_it_was_read() {
    let lock = Lock::parse(GOOD).unwrap();
    assert_eq!(lock.variables["SETUPTOOLS_SCM_PRETEND_VERSION_FOR_P"], "1.0+x");
    assert_eq!(Lock::parse(&lock.to_text()), Some(lock));
    assert!(Lock::parse(r#"{"packages": []}"#).is_some());
}

#[test]
fn what_fetching_never_writes_is_no_lock() {
    for (from, to) in [
        ("a_b\"", "a_b\\n--requirement=/proc/self/environ\""),
        ("a_b\"", "--index-url\""),
        ("1!2.0\",", "1; os.system('x')\","),
        ("1!2.0\",", "1\\u0000\","),
        ("1!2.0\",", "--upload-pack=x\","),
        ("a_b-1!2.0-py3", "../../a"),
        ("bbb\"", "bb\""),
        ("bbb\"", "bbbb\""),
        ("bbb\"", "bbg\""),
        ("aaa\"", "aa\""),
        ("\"run\"", "\"run $(x)\""),
        ("git:https://example.org/p", "a\\u001b]52"),
        ("\"sha256\": \"a", "\"sha256\": 7, \"x\": \"a"),
        ("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", ""),
        ("VERSION_FOR_P\"", "VERSION; reboot\""),
        ("_P\": \"1.0+x", "_P\": \"$(reboot)"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        assert_eq!(Lock::parse(&text), None, "{to}");
    }
    assert_eq!(Lock::parse("x"), None);
}

fn source(text: &str) -> Source {
    serde_json::from_str(text).unwrap()
}

fn fetch(sources: &[&str]) -> Fetch {
    Fetch {
        project: "p".into(),
        sources: sources.iter().map(|text| source(text)).collect(),
        requires: Vec::new(),
        groups: Vec::new(),
        python: "3.14".into(),
        free_threaded: false,
        folders: BTreeMap::new(),
        lock: None,
        as_of: None,
    }
}

const COMMIT: &str = "0123456789012345678901234567890123456789";

#[test]
fn a_lock_is_of_what_its_job_fetches() {
    let lock = |project: serde_json::Value, sources: serde_json::Value| {
        let text = serde_json::json!({ "project": project, "packages": sources }).to_string();
        Lock::parse(&text).unwrap()
    };
    let none = serde_json::json!([]);
    // a digest is written as a text that is repeated; an empty one is none
    let origin = |source: &str, version: &str, digit: &str| {
        let sha256 = Some(digit.repeat(32)).filter(|sha256| !sha256.is_empty());
        serde_json::json!({ "name": "p", "source": source, "version": version, "sha256": sha256 })
    };
    let git = "https://example.org/p";
    let of_branch = format!(r#"{{"name": "p", "git": "{git}", "rev": "main"}}"#);
    let of_commit = format!(r#"{{"name": "p", "git": "https://me:secret@example.org/p", "rev": "{COMMIT}"}}"#);
    let of_index = format!(
        r#"{{"name": "p", "pypi": "p", "version": "1.0", "sha256": "{}"}}"#,
        "AB".repeat(32)
    );
    let newest = r#"{"name": "p", "pypi": "p"}"#;
    let of_svn = r#"{"name": "p", "svn": "svn://example.org/p", "rev": "7"}"#;
    let table = [
        (&*of_branch, origin(git, COMMIT, ""), true),
        (&*of_branch, origin("https://example.org/other", COMMIT, ""), false),
        (&*of_commit, origin(git, COMMIT, ""), true),
        (&*of_commit, origin(git, &COMMIT.replace('0', "1"), ""), false),
        (&*of_index, origin("pypi:p", "1.0.0", "ab"), true),
        (&*of_index, origin("pypi:p", "1.1", "ab"), false),
        (&*of_index, origin("pypi:p", "1.0", "cd"), false),
        (&*of_index, origin("pypi:q", "1.0", "ab"), false),
        (newest, origin("pypi:p", "3.0", "ab"), true),
        (of_svn, origin("svn://example.org/p", "7", ""), true),
        (of_svn, origin("svn://example.org/p", "8", ""), false),
    ];
    for (source, origin, fits) in table {
        let checked = lock(origin.clone(), none.clone()).fits(&fetch(&[source]));
        assert_eq!(checked.is_ok(), fits, "{source} {origin} {checked:?}");
    }
    let mut other = origin("pypi:p", "1", "");
    other["name"] = "q".into();
    assert!(lock(other, none.clone()).fits(&fetch(&[newest])).is_err());
    let nothing = Lock::parse(r#"{"packages": []}"#).unwrap();
    assert!(nothing.fits(&fetch(&[newest])).is_err());

    // sources beside the project
    let beside = format!(r#"{{"name": "b", "git": "{git}", "rev": "{COMMIT}"}}"#);
    let with = |name: &str, version: &str| {
        let source = serde_json::json!([{ "name": name, "version": version, "role": "source" }]);
        lock(origin("pypi:p", "1", ""), source)
    };
    let both = fetch(&[newest, &beside]);
    assert_eq!(with("b", COMMIT).fits(&both), Ok(()));
    for bad in [
        with("b", "main"),
        with("c", COMMIT),
        lock(origin("pypi:p", "1", ""), none),
    ] {
        assert!(bad.fits(&both).is_err(), "{bad:?}");
    }
    assert!(with("b", COMMIT).fits(&fetch(&[newest])).is_err());
}
