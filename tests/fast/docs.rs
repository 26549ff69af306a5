//! The documents name what the code has, and nothing else: tables, settings and commands.

use crate::support::here;
use clap::CommandFactory;
use std::collections::BTreeSet;

fn read(document: &str) -> String {
    std::fs::read_to_string(here().join(document)).unwrap()
}

/// The first cell of each row of the Markdown tables in a text, where it is one word in back quotes.
fn first_cells(text: &str) -> BTreeSet<String> {
    let cells = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    cells.map(|(cell, _)| cell.to_owned()).collect()
}

/// The part of a document below a heading of the second level.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let found = text.split("\n## ").find(|section| section.starts_with(heading));
    found.unwrap_or_else(|| panic!("no section {heading:?}"))
}

#[test]
fn the_source_map_names_every_module() {
    let text = read("docs/ARCHITECTURE.md");
    let map = section(&text, "Source map");
    let mut missing = Vec::new();
    for entry in std::fs::read_dir(here().join("src")).unwrap() {
        let entry = entry.unwrap();
        let slash = if entry.file_type().unwrap().is_dir() { "/" } else { "" };
        let name = format!("`{}{slash}`", entry.file_name().to_string_lossy());
        if !map.contains(&name) {
            missing.push(name);
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    let cells = map.lines().filter_map(|line| line.strip_prefix('|')?.split('|').next());
    for name in cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        assert!(here().join("src").join(name).exists(), "there is no src/{name}");
    }
}

/// The names of files in back quotes in the pages about the architecture, each of which is the end of a path in the repository.
#[test]
fn every_file_that_the_architecture_names_exists() {
    let mut paths = Vec::new();
    let mut left = [
        "src",
        "tests",
        "scripts",
        "benches",
        "examples",
        "images",
        "dockerfiles",
        "docs",
    ]
    .map(|folder| here().join(folder))
    .to_vec();
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => left.push(path),
                false => paths.push(path.to_string_lossy().into_owned()),
            }
        }
    }
    let mut pages = vec![here().join("docs/ARCHITECTURE.md")];
    let folder = std::fs::read_dir(here().join("docs/architecture")).unwrap();
    pages.extend(folder.map(|page| page.unwrap().path()));
    let mut missing = Vec::new();
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for name in text.split('`').skip(1).step_by(2) {
            let is_file = [".rs", ".py", ".sh", ".hbs"].iter().any(|end| name.ends_with(end));
            // capitals stand for any name
            let is_one = !name.contains(|c: char| c == '*' || c == ' ' || c.is_ascii_uppercase());
            if is_file && is_one && !paths.iter().any(|path| path.ends_with(&format!("/{name}"))) {
                missing.push(format!("{}: {name}", page.display()));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_diagram_of_tables_has_all_of_them() {
    let text = read("docs/architecture/store.md");
    let (_, rest) = text.split_once("erDiagram").unwrap();
    let (diagram, _) = rest.split_once("```").unwrap();
    let names: BTreeSet<&str> = diagram.split_whitespace().collect();
    let missing: Vec<String> = first_cells(&text)
        .into_iter()
        .filter(|table| !names.contains(table.as_str()))
        .collect();
    assert_eq!(missing, Vec::<String>::new());
}

/// Each call with its whole address, such as `GET /api/v1/projects/NAME`.
#[test]
fn every_call_of_the_api_is_documented() {
    let text = read("docs/api.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let calls = rows.flat_map(|line| line.split('`').skip(1).step_by(2));
    let of_document: BTreeSet<String> = calls
        .filter_map(|call| call.split_once(" /api/v1/"))
        .map(|(method, path)| format!("{method} {}", pattern(path)))
        .collect();
    let document = serde_json::to_value(pybots::api::v1::document()).unwrap();
    let mut of_code = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let parts = path.strip_prefix("/api/v1/").unwrap().split('/');
        let parts: Vec<&str> = parts
            .map(|part| if part.starts_with('{') { "*" } else { part })
            .collect();
        for method in ["get", "post", "put", "patch", "delete"] {
            if item.get(method).is_some() {
                of_code.insert(format!("{} {}", method.to_uppercase(), parts.join("/")));
            }
        }
    }
    assert_eq!(of_document, of_code);
}

#[tokio::test]
async fn every_table_is_documented() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("store.sqlite").display());
    let store = pybots::store::Store::open(&url).await.unwrap();
    let sql =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx_%'";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(store.pool()).await.unwrap();
    assert_eq!(
        first_cells(&read("docs/architecture/store.md")),
        tables.into_iter().collect::<BTreeSet<_>>()
    );
}

#[test]
fn every_setting_is_documented() {
    let settings = toml::Table::try_from(pybots::config::Settings::default()).unwrap();
    let mut of_code = BTreeSet::new();
    for (key, value) in settings {
        match value {
            toml::Value::Table(section) => of_code.extend(section.keys().map(|name| format!("{key}.{name}"))),
            // `[[branch]]` is a table of its own
            _ if key == "branch" => {}
            _ => {
                of_code.insert(key);
            }
        }
    }
    let text = read("docs/settings.md");
    let mut of_document = BTreeSet::new();
    for section in text.split("\n## ") {
        let heading = section.lines().next().unwrap_or_default();
        let prefix = match heading.strip_prefix("`[").and_then(|rest| rest.split_once(']')) {
            Some((name, _)) if !name.starts_with('[') => format!("{name}."),
            Some(_) => continue, // `[[branch]]`
            None => String::new(),
        };
        let keys = first_cells(section).into_iter();
        for line in section.lines().filter(|line| line.starts_with("| `")) {
            let mut words = line.split('`').skip(1).step_by(2);
            let key = words.next().unwrap_or_default();
            // environment variables have a table of their own
            if key.starts_with("PYBOTS_") {
                continue;
            }
            if let Some(variable) = words.find(|word| word.starts_with("PYBOTS_")) {
                let name = format!("{prefix}{key}").replace('.', "_").to_uppercase();
                assert_eq!(variable, format!("PYBOTS_{name}"));
            }
        }
        let keys = keys.filter(|key| key.chars().any(char::is_lowercase));
        of_document.extend(keys.map(|key| format!("{prefix}{key}")));
    }
    assert_eq!(of_document, of_code);
}

#[test]
fn every_command_is_documented() {
    let text = read("README.md");
    let mut missing = Vec::new();
    let command = pybots::cli::Arguments::command();
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let name = format!("pybots {}", command.get_name());
        if !text.contains(&format!("`{name}")) {
            missing.push(name);
            continue;
        }
        let rows: String = text.lines().filter(|line| line.contains(&format!("`{name}"))).collect();
        let actions = command.get_subcommands().filter(|action| !action.is_hide_set());
        let actions = actions.map(|action| action.get_name().to_owned());
        missing.extend(
            actions
                .filter(|action| action != "help" && !rows.contains(action.as_str()))
                .map(|action| format!("{name} {action}")),
        );
    }
    assert_eq!(missing, Vec::<String>::new(), "README.md lacks these commands");
    for line in text.lines().filter_map(|line| line.strip_prefix("| `pybots ")) {
        let name = line.split([' ', '`']).next().unwrap_or_default();
        assert!(
            command.find_subcommand(name).is_some(),
            "README.md lists `pybots {name}`, which is no command"
        );
    }
}

/// The addresses that a file serves, from its lines `path!("run" / String / "log")`. A part that varies is `*`.
pub fn served(file: &str, prefix: &str) -> BTreeSet<String> {
    let text = read(file);
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| line.contains(".then(") || line.contains(".and(post())"));
    let mut found = BTreeSet::new();
    for line in lines {
        if line.starts_with("path::end()") {
            found.insert(format!("{prefix}/"));
        } else if let Some((parts, _)) = line.strip_prefix("path!(").and_then(|rest| rest.split_once(')')) {
            let parts = parts.split('/').map(str::trim);
            let parts = parts.map(|part| {
                part.strip_prefix('"')
                    .and_then(|part| part.strip_suffix('"'))
                    .unwrap_or("*")
            });
            found.insert(format!("{prefix}/{}", parts.collect::<Vec<_>>().join("/")));
        }
    }
    assert!(
        found.len() > 4,
        "{file} has no routes where they are looked for: {found:?}"
    );
    found
}

/// An address of a document, with `*` for what is written in capitals.
fn pattern(address: &str) -> String {
    let address = address.split('?').next().unwrap_or_default();
    let is_name = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase());
    let parts = address.split('/').map(|part| if is_name(part) { "*" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[test]
fn every_route_is_documented() {
    let mut of_code = served("src/web/mod.rs", "");
    of_code.extend(served("src/api/public.rs", "/api"));
    let text = read("docs/architecture/web.md");
    assert!(of_code.contains("/recipe/*/state"), "forms are routes too: {of_code:?}");
    let of_document = first_cells(&text).into_iter().filter(|cell| cell.starts_with('/'));
    assert_eq!(of_document.map(|cell| pattern(&cell)).collect::<BTreeSet<_>>(), of_code);
}

#[test]
fn every_call_of_a_host_is_documented() {
    let text = read("docs/protocol.md");
    let number = format!("\nPybots-Protocol: {}\n", pybots::protocol::PROTOCOL);
    assert!(
        text.contains(&number),
        "docs/protocol.md names another number than {number}"
    );
    let calls = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let calls = calls.filter_map(|line| line.strip_prefix("POST ").or_else(|| line.strip_prefix("GET ")));
    let of_document: BTreeSet<String> = calls
        .filter_map(|line| line.split_once('`'))
        .map(|(call, _)| format!("/{}", pattern(call)))
        .collect();
    assert_eq!(of_document, served("src/api/host.rs", ""));
}

#[test]
fn no_text_uses_a_retired_term() {
    let script = here().join("tests/retired_terms.py");
    let output = std::process::Command::new("python3").arg(script).output().unwrap();
    let found = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{found}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn cells_of_tables_are_short() {
    let mut long = Vec::new();
    let listed = std::process::Command::new("git")
        .args(["ls-files", "*.md"])
        .current_dir(here())
        .output()
        .unwrap();
    for document in String::from_utf8(listed.stdout).unwrap().lines() {
        for (number, line) in read(document)
            .lines()
            .enumerate()
            .filter(|(_, line)| line.starts_with('|'))
        {
            for cell in line.split('|').map(str::trim).filter(|cell| cell.chars().count() > 200) {
                long.push(format!(
                    "{document}:{}: {} characters",
                    number + 1,
                    cell.chars().count()
                ));
            }
        }
    }
    assert_eq!(long, Vec::<String>::new());
}
