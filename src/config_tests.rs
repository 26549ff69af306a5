use super::*;
use std::collections::BTreeMap;
use std::path::Path;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let environment = environment
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    Settings::load(Some(file.path()), &environment)
}

fn origin(loaded: &Loaded, key: &str) -> String {
    loaded.origins[key].clone()
}

#[test]
fn no_file_is_needed() {
    let loaded = Settings::load(None, &BTreeMap::new()).unwrap();
    assert_eq!(loaded.settings, Settings::default());
    assert!(loaded.settings.listen.ip().is_loopback());
    let names: Vec<_> = loaded
        .settings
        .branch
        .iter()
        .map(|b| (b.name.as_str(), b.reference.as_str()))
        .collect();
    assert!(names.contains(&("trunk", "main")) && names.contains(&("2.5", "2.5")));
    assert!(loaded.origins.values().all(|origin| origin == "default"));
}

#[test]
fn the_file_overrides_defaults_and_the_environment_both() {
    let text = "data = \"d\"\nslots = 3\n[source]\ngit = \"/a.git\"\n[[branch]]\nname = \"x\"\nref = \"y\"\n";
    let loaded = load(
        text,
        &[
            ("PYBOTS_SLOTS", "7"),
            ("PYBOTS_LIMITS_MEMORY", "1GiB"),
            ("PYBOTS_HTTP_PUBLIC_READ", "false"),
            ("PIP_CERT", "/ca"),
        ],
    )
    .unwrap();
    assert_eq!(loaded.settings.slots, 7);
    assert_eq!(loaded.settings.source.git.with_login(), "/a.git");
    assert_eq!(loaded.settings.branch, [BranchSettings::new("x", "y")]);
    assert_eq!(origin(&loaded, "slots"), "PYBOTS_SLOTS");
    assert_eq!(origin(&loaded, "network.ca"), "PIP_CERT");
    assert_eq!(origin(&loaded, "limits.memory"), "PYBOTS_LIMITS_MEMORY");
    assert_eq!(origin(&loaded, "http.public_read"), "PYBOTS_HTTP_PUBLIC_READ");
    assert!(!loaded.settings.http.public_read);
    assert_eq!(origin(&loaded, "poll"), "default");
    assert!(origin(&loaded, "source.git").starts_with('/'));
}

#[test]
fn an_unknown_key_is_refused_with_its_place() {
    let message = load("data = \"d\"\n\n[source]\n  gti = \"x\"\n", &[])
        .unwrap_err()
        .to_string();
    assert!(message.contains(":4:3: "), "{message}");
    assert!(
        message.contains("unknown key `gti`") && message.contains("did you mean `git`?"),
        "{message}"
    );
}

#[test]
fn no_error_quotes_a_value() {
    for text in [
        "database = \"postgres://u:s3cret@h/d",
        "database = postgres://u:s3cret@h/d",
        "database = [\"postgres://u:s3cret@h/d\"]",
        "slots = \"postgres://u:s3cret@h/d\"",
        "poll = \"s3cret\"",
        "[source]\ngit = \"https://u:s3cret@h\" x",
    ] {
        let message = load(text, &[]).unwrap_err().to_string();
        assert!(
            !message.contains("s3cret") && message.contains(":1:") | message.contains(":2:"),
            "{message}"
        );
    }
    let message = load("", &[("PYBOTS_SLOTS", "s3cret")]).unwrap_err().to_string();
    assert!(
        message.contains("PYBOTS_SLOTS") && !message.contains("s3cret"),
        "{message}"
    );
}

#[test]
fn wrong_values_say_what_to_write() {
    let message = load("poll = \"5 minutes\"", &[]).unwrap_err().to_string();
    assert!(message.contains("write e.g. `90s`"), "{message}");
    let message = load("", &[("PYBOTS_SLOTS", "many")]).unwrap_err().to_string();
    assert!(message.contains("PYBOTS_SLOTS"), "{message}");
    for text in [
        "branch = []",
        "slots = 0",
        "[host]\ncpus = 0.0",
        "[host]\ntime_zone = \"Nowhere/At_All\"",
        "[engine]\nsocket = \"tcp://127.0.0.1:2375\"",
        "[[branch]]\nname = \"a\"\nref = \"b\"\nfirst = 0",
        "[[branch]]\nname = \"a/b\"\nref = \"b\"",
        "[[branch]]\nname = \"a\"\nref = \"b\"\nvariants = []",
        "[[branch]]\nname = \"a\"\nref = \"b\"\nvariants = [\"\"]",
        "[[branch]]\nname = \"a\"\nref = \"b\"\nvariants = [\"debug\", \"debug\"]",
        "[[branch]]\nname = \"a\"\nref = \"b\"\n[[branch]]\nname = \"a\"\nref = \"c\"",
        "[source]\ngit = \"--upload-pack=x\"",
    ] {
        assert!(matches!(load(text, &[]), Err(SettingsError::Nonsense(_))), "{text}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let error = Settings::load(Some(Path::new("/no/such.toml")), &BTreeMap::new()).unwrap_err();
    assert!(error.to_string().contains("/no/such.toml"));
}

#[test]
fn passwords_are_not_shown() {
    let loaded = load(
        "database = \"postgres://me:hunter2@db/x\"\n[source]\ngit = \"https://me:hunter2@host/x\"\n[network]\nindex = \"https://me:hunter2@index/simple\"",
        &[("HTTPS_PROXY", "http://me:hunter2@proxy:3128")],
    )
    .unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"), "{loaded:?}");
    assert_eq!(loaded.settings.source.git.with_login(), "https://me:hunter2@host/x");
    let lines = loaded.lines();
    let database = lines.iter().find(|(key, ..)| key == "database").unwrap();
    assert_eq!(database.1, "\"postgres://***@db/x\"");
    assert!(
        lines.iter().all(|(_, value, _)| !value.contains("hunter2")),
        "{lines:?}"
    );
}

/// Settings whose names sound like a secret and that hold none.
const NO_SECRETS: [&str; 1] = ["http.wrong_tokens_per_minute"];

/// Sets a setting by its key, whatever the others are.
fn with(table: &toml::Table, key: &str, value: &str) -> Option<Settings> {
    let mut table = table.clone();
    let mut inner = &mut table;
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop()?;
    for part in parts {
        inner = inner.get_mut(part)?.as_table_mut()?;
    }
    inner.insert(last.to_owned(), value.into());
    table.try_into().ok()
}

#[test]
fn every_secret_of_the_settings_is_masked() {
    let table = toml::Table::try_from(Settings::default()).unwrap();
    let loaded = Settings::load(None, &BTreeMap::new()).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), " hunter2-in-a-file\n").unwrap();
    let path = file.path().display().to_string();
    let login = "https://me:hunter2-in-an-address@example.org/x";
    let (mut files, mut addresses) = (Vec::new(), Vec::new());
    for key in loaded.origins.keys() {
        if ["secret", "password", "token"].iter().any(|word| key.contains(word)) && !NO_SECRETS.contains(&key.as_str())
        {
            assert!(
                key.ends_with("_file"),
                "{key} holds a secret itself; let it name a file"
            );
            let settings = with(&table, key, &path).unwrap_or_else(|| panic!("{key} is no path"));
            let masked = settings.secrets().mask_in("Bearer hunter2-in-a-file");
            assert_eq!(masked, "Bearer ***", "{key} is not in `Settings::secrets`");
            files.push(key.as_str());
        }
        // an address is the only kind of text that does not show its login
        if let Some(settings) = with(&table, key, login)
            && !format!("{settings:?}").contains("hunter2")
        {
            let masked = settings.secrets().mask_in("with hunter2-in-an-address");
            assert_eq!(masked, "with ***", "{key} is not in `Settings::secrets`");
            addresses.push(key.as_str());
        }
    }
    assert_eq!(files, ["oidc.client_secret_file", "registry.password_file"]);
    let expected = [
        "database",
        "network.http_proxy",
        "network.https_proxy",
        "network.index",
        "recipes.git",
        "source.git",
        "source.svn",
    ];
    assert_eq!(addresses, expected);
    // as the header of a request has it: `pybots:hunter2-in-a-file`
    let settings = with(&table, "oidc.client_secret_file", &path).unwrap();
    let settings = Settings {
        oidc: OidcSettings {
            client_id: "pybots".into(),
            ..settings.oidc
        },
        ..settings
    };
    let header = "Basic cHlib3RzOmh1bnRlcjItaW4tYS1maWxl";
    assert_eq!(settings.secrets().mask_in(header), "Basic ***");
}

#[test]
fn a_branch_is_in_the_repository_that_is_set() {
    let kinds = |text: &str| -> Vec<(String, SourceKind)> {
        let settings = load(text, &[]).unwrap().settings;
        let kind = |branch: &BranchSettings| (settings.source.of(branch).to_string(), settings.source.kind(branch));
        settings.branch.iter().map(kind).collect()
    };
    let branch = "[[branch]]\nname = \"a\"\nref = \"b\"\n";
    let (git, svn) = (
        ("/g".to_owned(), SourceKind::Git),
        ("svn://127.0.0.1/p".to_owned(), SourceKind::Svn),
    );
    let both = "[source]\ngit = \"/g\"\nsvn = \"svn://127.0.0.1/p\"\n";
    assert_eq!(kinds(&format!("{both}{branch}")), [git]);
    assert_eq!(
        kinds(&format!("{both}{branch}source = \"svn\"\n")),
        std::slice::from_ref(&svn)
    );
    let only = "[source]\nsvn = \"svn://127.0.0.1/p\"\n";
    assert_eq!(kinds(&format!("{only}{branch}")), std::slice::from_ref(&svn));
    assert_eq!(kinds(only), [svn.clone(), svn]);
    // and the default repository is dropped
    let loaded = load(only, &[]).unwrap();
    assert_eq!(loaded.settings.source.git.with_login(), "");
    let lines = loaded.lines();
    assert!(
        lines
            .iter()
            .any(|(key, value, _)| key == "source.svn" && value.contains("127.0.0.1"))
    );
    assert!(
        kinds("")
            .iter()
            .all(|(url, kind)| *kind == SourceKind::Git && url.contains("cpython"))
    );
}

#[test]
fn nonsense_about_subversion_says_what_to_write() {
    let branch = "[[branch]]\nname = \"a\"\nref = \"b\"\n";
    let svn = "[source]\nsvn = \"svn://127.0.0.1/p\"\n";
    for (text, part) in [
        (format!("{branch}source = \"svn\""), "there is no `source.svn`"),
        (format!("{svn}{branch}source = \"git\""), "there is no `source.git`"),
        (format!("{branch}source = \"hg\""), "`git` or `svn`"),
        ("[source]\nsvn = \"ftp://127.0.0.1/p\"".to_owned(), "begins with svn://"),
        ("[source]\nsvn = \"--config-dir\"".to_owned(), "begins with svn://"),
        ("[source]\ngit = \"\"".to_owned(), "`source.git` is \"\""),
        (
            format!("{svn}[[branch]]\nname = \"a\"\nref = \"/trunk\""),
            "branches/release25-maint",
        ),
        (
            format!("{svn}[[branch]]\nname = \"a\"\nref = \"a/../b\""),
            "branches/release25-maint",
        ),
    ] {
        let message = load(&text, &[]).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn a_host_policy_can_be_set_by_file_or_environment() {
    let text = "[host]\nprojects = [\"attrs\"]\nhours = [\"22:00-07:00\"]\nmemory = \"4GiB\"\n";
    let loaded = load(
        text,
        &[("PYBOTS_HOST_LABELS", "[\"gpu\"]"), ("PYBOTS_HOST_CPUS", "1.5")],
    )
    .unwrap();
    let host = &loaded.settings.host;
    assert_eq!((host.cpus, host.memory.map(|size| size.0 >> 30)), (1.5, Some(4)));
    assert!(host.projects.contains("attrs") && host.labels.contains("gpu") && host.branches.is_empty());
    assert_eq!(origin(&loaded, "host.labels"), "PYBOTS_HOST_LABELS");
    assert_eq!(origin(&loaded, "host.disk"), "default");
    assert!(origin(&loaded, "host.hours").starts_with('/'));
    let lines = loaded.lines();
    let shown = |key: &str| lines.iter().find(|line| line.0 == key).map(|line| line.1.clone());
    assert_eq!(shown("host.disk").as_deref(), Some("\"all\""));
    assert_eq!(shown("host.hours").as_deref(), Some("\"22:00-07:00\""));
}

#[test]
fn the_engine_that_docker_uses_is_ours() {
    let loaded = load("", &[("DOCKER_HOST", "unix:///run/user/1000/docker.sock")]).unwrap();
    assert_eq!(loaded.settings.engine.socket(), Path::new("/run/user/1000/docker.sock"));
    assert_eq!(origin(&loaded, "engine.socket"), "DOCKER_HOST");
    let text = "[engine]\nsocket = \"/a.sock\"";
    let loaded = load(text, &[("DOCKER_HOST", "ssh://elsewhere")]).unwrap();
    assert_eq!(loaded.settings.engine.socket(), Path::new("/a.sock"));
    let error = load("", &[("DOCKER_HOST", "ssh://elsewhere")]).unwrap_err().to_string();
    assert!(error.contains("DOCKER_HOST") && error.contains("ssh"), "{error}");
}
