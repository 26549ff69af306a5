//! Texts that a recipe must not contain, in any place.

use super::check;

const GOOD: &str = r#"name = "demo"
source = { pypi = "demo", version = "1.0", sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }
[[suite]]
name = "tests"
run = "python -m pytest"
"#;

fn problems(text: &str) -> String {
    check("projects/demo.toml", text).plain()
}

#[test]
fn a_secret_in_a_recipe_is_refused_where_it_stands_and_not_repeated() {
    let github = format!("ghp_{}", "aB3".repeat(12));
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXkt\n-----END OPENSSH PRIVATE KEY-----".to_owned();
    for (secret, whose, text, place) in [
        (
            &github,
            "a token of GitHub",
            GOOD.replace("python -m", &format!("T={github} python -m")),
            "5:10",
        ),
        (&github, "a token of GitHub", format!("# é {github}\n{GOOD}"), "1:5"),
        (
            &github,
            "a token of GitHub",
            GOOD.replace("run = \"", &format!("run = {github} \"")),
            "5:7",
        ),
        // the name is also refused, with its own message
        (
            &github,
            "a token of GitHub",
            GOOD.replace("\"tests\"", &format!("\"{github}\"")),
            "4:9",
        ),
        (
            &github,
            "a token of GitHub",
            GOOD.replace("[[suite]]", &format!("{github} = 1\n[[suite]]")),
            "3:1",
        ),
        (
            &key,
            "a private key",
            GOOD.replace("python -m pytest\"", &format!("\"\"{key}\"\"\"")),
            "5:10",
        ),
    ] {
        let report = problems(&text);
        let line = secret.lines().nth(1).unwrap_or(&secret[4..]);
        assert!(!report.contains(line), "{report}");
        let shown = report.replace("\n  │", "");
        assert!(
            shown.contains(&format!("this looks like {whose}")) && shown.contains("revoke it"),
            "{report}"
        );
        assert!(report.contains(&format!("demo.toml:{place}]")), "{place}: {report}");
    }
}

#[test]
fn a_homepage_is_the_address_of_a_page() {
    let with = |homepage: &str| problems(&GOOD.replace("[[suite]]", &format!("homepage = '{homepage}'\n[[suite]]")));
    for fine in ["", "https://demo.example", "http://demo.example/a?b=c#d"] {
        assert_eq!(with(fine), "", "{fine}");
    }
    for wrong in [
        "javascript:alert(1)",
        "JavaScript://demo.example/%0aalert(1)",
        "data:text/html,x",
        "demo.example",
        "//demo.example",
        "https://",
        "https:///x",
        "https://demo.example/\" onclick=\"x",
        " https://demo.example",
    ] {
        let report = with(wrong);
        assert!(
            report.contains("is not the address of a page") && report.contains("demo.toml:3:12"),
            "{wrong}: {report}"
        );
    }
    assert!(with("https://hal:s3cret@demo.example").contains("holds a login"));
}
