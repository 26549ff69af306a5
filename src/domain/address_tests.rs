use super::*;

/// An address, how it is shown, and how it is without its login.
const ADDRESSES: &[(&str, &str, &str)] = &[
    (
        "https://bot:s3cret@git.example.org/cpython",
        "https://***@git.example.org/cpython",
        "https://git.example.org/cpython",
    ),
    (
        "https://t0ken@git.example.org/",
        "https://***@git.example.org/",
        "https://git.example.org/",
    ),
    (
        "https://git.example.org:8443/a@b",
        "https://git.example.org:8443/a@b",
        "https://git.example.org:8443/a@b",
    ),
    ("https://me:se@cret@host/x", "https://***@host/x", "https://host/x"),
    ("https://me:se/cr?e#t@host/x", "https://***@host/x", "https://host/x"),
    (
        "https://host/x?token=s3cret&private",
        "https://host/x?token=***&***",
        "https://host/x?token=***&***",
    ),
    (
        "http://[::1]:8080/a@b",
        "http://[::1]:8080/a@b",
        "http://[::1]:8080/a@b",
    ),
    (
        "http://me:secret@[::1]:8080",
        "http://***@[::1]:8080",
        "http://[::1]:8080",
    ),
    ("ssh://git@host/x", "ssh://git@host/x", "ssh://git@host/x"),
    (
        "svn+ssh://me:secret@svn.example.org/p",
        "svn+ssh://***@svn.example.org/p",
        "svn+ssh://svn.example.org/p",
    ),
    (
        "postgres://me:secret@db/x?password=other",
        "postgres://***@db/x?password=***",
        "postgres://db/x?password=***",
    ),
    ("bot:t0ken@host:cpython.git", "***@host:cpython.git", "host:cpython.git"),
    ("git@host:cpython.git", "git@host:cpython.git", "git@host:cpython.git"),
    (
        "/srv/a:b@c/cpython.git",
        "/srv/a:b@c/cpython.git",
        "/srv/a:b@c/cpython.git",
    ),
    ("127.0.0.1:8042", "127.0.0.1:8042", "127.0.0.1:8042"),
    ("", "", ""),
];

#[test]
fn no_way_to_print_an_address_shows_its_login() {
    for (address, shown, without) in ADDRESSES {
        let typed = Address::new(*address);
        assert_eq!(typed.to_string(), *shown, "{address}");
        assert_eq!(format!("{typed:?}"), format!("{shown:?}"), "{address}");
        assert_eq!(serde_json::to_value(&typed).unwrap(), *shown, "{address}");
        assert_eq!(typed.without_login(), *without, "{address}");
        assert_eq!(typed.with_login(), *address);
    }
}

#[test]
fn what_is_shown_has_no_secret_left_to_mask() {
    for (address, shown, without) in ADDRESSES {
        assert_eq!(Address::new(*shown).to_string(), *shown, "{address}");
        assert_eq!(Address::new(*without).without_login(), *without, "{address}");
    }
}

#[test]
fn secrets_are_masked_in_the_texts_of_other_programs() {
    let encoded = "https://robot:p%40ss%2fw!rd@host/x";
    for (address, text, masked) in [
        (
            encoded,
            "unable to access 'https://robot:p%40ss%2fw!rd@host/x/'",
            "unable to access 'https://***@host/x/'",
        ),
        (
            encoded,
            "nonnumeric port: 'p@ss/w!rd@host'",
            "nonnumeric port: '***@host'",
        ),
        (encoded, "p%40ss%2Fw%21rd and %70@ss/w!rd", "*** and ***"),
        (encoded, "no such user: robot", "no such user: ***"),
        (encoded, "äöü 100% of nothing", "äöü 100% of nothing"),
        // a password that nobody encoded
        (
            "https://me:p@ss!word@host/x",
            "fatal: 'p%40ss%21word' and p@ss!word",
            "fatal: '***' and ***",
        ),
        ("https://t0ken@host/x", "could not read t0ken", "could not read ***"),
        (
            "https://host/x?private_token=s3cret",
            "GET /x?private_token=s3cret",
            "GET /x?private_token=***",
        ),
        (
            "bot:t0ken@host:x",
            "bot:t0ken@host: Permission denied",
            "***@host: Permission denied",
        ),
        // these are in the address that everybody sees, or as short as a piece of any word
        (
            "https://python:secret@git.python.org/x",
            "git.python.org: not found",
            "git.python.org: not found",
        ),
        (
            "https://a:b@host/x",
            "a bad https://a:b@host/x",
            "a bad https://***@host/x",
        ),
        (
            "ssh://git@host/x",
            "git@host: Permission denied",
            "git@host: Permission denied",
        ),
        (
            "/srv/cpython.git",
            "'/srv/cpython.git' is not a repository",
            "'/srv/cpython.git' is not a repository",
        ),
    ] {
        assert_eq!(Address::new(address).mask_in(text), masked, "{address}");
    }
}

#[test]
fn logins_in_any_text_are_starred_in_their_places() {
    for (text, expected) in [
        ("git = \"https://user:pw@h.org/x\"", "git = \"https://*******@h.org/x\""),
        (
            "see https://h.org/a@b and http://t0ken@h/",
            "see https://h.org/a@b and http://*****@h/",
        ),
        ("https://h.org:80/a@b", "https://h.org:80/a@b"),
        ("https://u:p/w@h.org/", "https://*****@h.org/"),
        ("no address: a@b", "no address: a@b"),
        ("https://ü:é@h", "https://*****@h"),
        (
            "git = \"https://h.org/x?tok=s3cret&a&ü=é\", b?c=d",
            "git = \"https://h.org/x?tok=******&*&ü=**\", b?c=d",
        ),
        (
            "see https://h?x=https://u:p@g/ and http://h? or",
            "see https://***************@g/ and http://h? or",
        ),
    ] {
        let shown = starred(text);
        assert_eq!(shown, expected);
        assert_eq!(shown.len(), text.len());
    }
    assert!(Address::from("https://u:p@h").has_login() && Address::from("https://token@h").has_login());
    assert!(!Address::from("https://h/a@b").has_login() && !Address::from("ssh://git@h/x").has_login());
}
