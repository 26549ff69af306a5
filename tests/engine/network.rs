//! What strangers' code reaches while it may use the network, on a real engine.

use crate::support::index::Index;
use crate::support::up::{engine_wanted, pybots, settings, toy_repository};
use std::net::TcpListener;
use std::path::Path;

/// Installs from the index without knowing its login, and tries every other way out.
const LOOKS: &str = r#"
import glob, os, socket, subprocess, urllib.error, urllib.request
index, neighbour = os.environ["PIP_INDEX_URL"], NEIGHBOUR
everything = b"".join(open(f, "rb").read() for f in glob.glob("/proc/[0-9]*/environ") + glob.glob("/work/.pybots/**", recursive=True)
                      if os.path.isfile(f) and os.access(f, os.R_OK))
assert b"p4ssw0rd" not in everything and "@" not in index
subprocess.check_call(["uv", "pip", "install", "toydep==1.0"])
for place in [("127.0.0.1", neighbour), ("172.17.0.1", 22), ("169.254.169.254", 80), ("203.0.113.9", 443)]:
    try:
        socket.create_connection(place, 3)
    except OSError:
        continue
    raise SystemExit(f"{place} was reached")
try:
    socket.getaddrinfo("example.org", 443)
except OSError:
    pass
else:
    raise SystemExit("a name was looked up")
for address in ["http://127.0.0.1:%d/" % neighbour, "http://169.254.169.254/latest", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]:%d/" % neighbour]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": os.environ["http_proxy"]}))
    try:
        os.environ.update(no_proxy="", NO_PROXY="")
        opener.open(address, timeout=10)
    except urllib.error.HTTPError as error:
        assert error.code == 403, error
    else:
        raise SystemExit(f"{address} was reached")
print("nothing else was reached")
"#;

fn write_project(folder: &Path, neighbour: u16) {
    let project = folder.join("projects/looks");
    std::fs::create_dir_all(project.join("src")).unwrap();
    let recipe = "name = \"looks\"\nsource = { path = \"src\" }\ninstall_network = true\n\
                  install = [\"python looks.py\"]\n\
                  [[suite]]\nname = \"suite\"\nrun = \"python -c 'import toydep'\"\n";
    std::fs::write(project.join("looks.toml"), recipe).unwrap();
    let looks = LOOKS.replace("NEIGHBOUR", &neighbour.to_string());
    std::fs::write(project.join("src/looks.py"), looks).unwrap();
    std::fs::write(project.join("src/pyproject.toml"), "[build-system]\nrequires = []\n").unwrap();
}

#[test]
fn strangers_code_gets_the_index_without_its_login_and_no_neighbour() {
    if !engine_wanted() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let _repository = toy_repository(folder.path());
    let index = Index::start_with_login(folder.path());
    // a service of this machine, which the gateway could reach
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let neighbour = service.local_addr().unwrap().port();
    write_project(folder.path(), neighbour);
    let archive = "name = \"archive\"\nsource = { url = \"http://127.0.0.1:PORT/a.tar.gz\", sha256 = \"SHA\" }\n\
                   [[suite]]\nname = \"suite\"\nrun = \"true\"\n";
    let archive = archive
        .replace("PORT", &neighbour.to_string())
        .replace("SHA", &"0".repeat(64));
    std::fs::write(folder.path().join("projects/archive.toml"), archive).unwrap();
    let git = "name = \"git\"\nsource = { git = \"git://127.0.0.1:PORT/a.git\", rev = \"main\" }\n\
               [[suite]]\nname = \"suite\"\nrun = \"true\"\n";
    std::fs::write(
        folder.path().join("projects/git.toml"),
        git.replace("PORT", &neighbour.to_string()),
    )
    .unwrap();
    let svn = "name = \"svn\"\nsource = { svn = \"svn://127.0.0.1:PORT/a\", rev = \"1\" }\n\
               [[suite]]\nname = \"suite\"\nrun = \"true\"\n";
    std::fs::write(
        folder.path().join("projects/svn.toml"),
        svn.replace("PORT", &neighbour.to_string()),
    )
    .unwrap();
    let more = index.settings();
    settings(
        folder.path(),
        &folder.path().join("projects"),
        &[("trunk", "main", 1)],
        &more,
    );

    let output = pybots(folder.path(), &["try", "projects/looks/looks.toml"]);
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert!(log.contains("nothing else was reached"), "{log}");
    let refused = "[pybots] a connection was refused: 127.0.0.1 is not public; the owner of this machine can allow it by `network.allow`";
    assert!(log.contains(refused), "{log}");
    assert!(!log.contains("p4ssw0rd"), "{log}");

    for project in ["archive", "git", "svn"] {
        let output = pybots(folder.path(), &["try", &format!("projects/{project}.toml")]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            said.contains(&format!("{project}: recipe error: ")),
            "{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(said.contains("127.0.0.1 is not public"), "{said}");
    }
    service.set_nonblocking(true).unwrap();
    assert!(service.accept().is_err(), "the neighbour was reached");
}
