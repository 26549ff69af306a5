use super::*;

#[test]
fn paths_survive_a_url() {
    for path in ["trunk", "a b/ä@1", "100%/x", "%41"] {
        assert_eq!(decode(&encode(path)), path);
    }
    assert_eq!(encode("a@b/ü"), "a%40b/%C3%BC");
}

#[test]
fn an_address_is_a_url_or_a_path() {
    let root = |address: &str| Svn::new(&address.into(), Path::new("x")).root.with_login().to_owned();
    assert_eq!(root("svn://127.0.0.1:1/python/"), "svn://127.0.0.1:1/python");
    assert_eq!(root("/srv/s v@n"), "file:///srv/s%20v%40n");
    assert!(root("here").starts_with("file:///"));
    assert_eq!(root("https://u:p@h.org/x/"), "https://h.org/x");
    assert_eq!(root("svn+ssh://u:p@h.org/x"), "svn+ssh://u:p@h.org/x");
}

#[test]
fn missing_fields_of_the_log_are_left_out() {
    let text = "<?xml version=\"1.0\"?><log>
        <logentry revision=\"7\"><author>gvr</author><date>2006-04-21T12:34:56.5Z</date><msg>Don't &lt;panic&gt;\n</msg></logentry>
        <logentry revision=\"8\"></logentry></log>";
    let read = |document: &Element| -> Option<Vec<SvnEntry>> {
        document.descendants("logentry").into_iter().map(read_entry).collect()
    };
    let entries = parse("log", text, read).unwrap();
    let entry = |number, author: Option<&str>, at, message: &str| SvnEntry {
        number,
        author: author.map(str::to_owned),
        at,
        message: message.to_owned(),
    };
    assert_eq!(
        entries,
        [
            entry(7, Some("gvr"), 1_145_622_896, "Don't <panic>\n"),
            entry(8, None, 0, "")
        ]
    );
    assert!(parse("log", "<log>", read).is_err());
    assert!(parse("log", "<!DOCTYPE x [<!ENTITY a \"b\">]><log>&a;</log>", read).is_err());
}

#[tokio::test]
async fn svn_gets_the_password_and_its_arguments_have_none() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://mary:h1dden-w0rd@{}/x", listener.local_addr().unwrap());
    let server = tokio::task::spawn_blocking(move || crate::watch::git::login::tests::serve(&listener, "h1dden-w0rd"));
    let folder = tempfile::tempdir().unwrap();
    let svn = Svn::new(&url.as_str().into(), folder.path());
    let error = svn.tip("trunk").await.unwrap_err().to_string();
    assert!(!error.contains("h1dden"), "{error}");
    // `mary:h1dden-w0rd`
    assert!(server.await.unwrap().contains("Basic bWFyeTpoMWRkZW4tdzByZA=="));
}
