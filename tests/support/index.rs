//! A package index on this machine's loopback, for what no public one has: an extension module of which
//! there is a wheel for another Python, and an sdist; a module whose newer release can't be imported.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// Path -> type and body.
type Pages = BTreeMap<String, (&'static str, Vec<u8>)>;

const METADATA: &str = "Metadata-Version: 2.1\nName: toyext\nVersion: 1.0\n";

const PYPROJECT: &str = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";

/// Answers what the headers say that it was compiled with.
const EXTENSION: &str = r#"#include <Python.h>

static PyObject *layout(PyObject *self, PyObject *none) { return PyLong_FromLong(TOY_LAYOUT); }
static PyMethodDef methods[] = { { "layout", layout, METH_NOARGS, NULL }, { NULL, NULL, 0, NULL } };
static PyModuleDef module = { PyModuleDef_HEAD_INIT, "toyext", NULL, -1, methods, NULL, NULL, NULL, NULL };
PyMODINIT_FUNC PyInit_toyext(void) { return PyModule_Create(&module); }
"#;

/// Needs nothing to build with, and leaves a mark of its own in each wheel.
const BACKEND: &str = r##"import os, subprocess, sysconfig, uuid, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    library = "toyext" + sysconfig.get_config_var("EXT_SUFFIX")
    subprocess.check_call([os.environ["CC"], "-shared", "-fPIC", "-I", sysconfig.get_path("include"),
                           "toyext.c", "-o", library])
    tag = "cp311-cp311-" + sysconfig.get_platform().replace("-", "_")
    name = "toyext-1.0-%s.whl" % tag
    info = "toyext-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.write(library)
        wheel.writestr("toyext_built.py", "MARK = %r\n" % uuid.uuid4().hex)
        wheel.write("PKG-INFO", info + "METADATA")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: %s\n" % tag)
        wheel.writestr(info + "RECORD", "".join("%s,,\n" % n for n in wheel.namelist() + [info + "RECORD"]))
    return name
"##;

pub struct Index {
    pub url: String,
}

impl Index {
    /// Serves until the process ends. `folder` is for making the sdist.
    pub fn start(folder: &Path) -> Self {
        Self::serve(pages(folder), None)
    }

    /// As [`Index::start`], with an sdist of a project besides: `NAME-1.tar.gz`, of the tree in a folder of that name.
    pub fn start_with(folder: &Path, name: &str, tree: &Path) -> Self {
        let mut pages = pages(folder);
        let file = format!("{name}-1.tar.gz");
        let packed = Command::new("tar")
            .arg("-C")
            .arg(tree)
            .args(["-czf", "-", &format!("{name}-1")])
            .output()
            .unwrap();
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let hash = hex::encode(Sha256::digest(&packed.stdout));
        let page = format!("<!DOCTYPE html><a href=\"/files/{file}#sha256={hash}\">{file}</a>\n");
        pages.insert(format!("/simple/{name}/"), ("text/html", page.into_bytes()));
        pages.insert(format!("/files/{file}"), ("application/gzip", packed.stdout));
        Self::serve(pages, None)
    }

    /// The settings by which a machine takes packages from here: fetch reaches the index over its loopback, and no proxy is between.
    pub fn settings(&self) -> String {
        format!(
            "[engine]\nnetwork = \"host\"\n[network]\nindex = {:?}\nhttp_proxy = \"\"\nhttps_proxy = \"\"\n",
            self.url
        )
    }

    /// As [`Index::start`], for those only who have a login, `me:p4ssw0rd`.
    pub fn start_with_login(folder: &Path) -> Self {
        let open = Self::serve(pages(folder), Some("Authorization: Basic bWU6cDRzc3cwcmQ="));
        let url = open.url.replace("http://", "http://me:p4ssw0rd@");
        Self { url }
    }

    fn serve(pages: Pages, wanted: Option<&'static str>) -> Self {
        let pages = Arc::new(pages);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/simple/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let pages = pages.clone();
                std::thread::spawn(move || answer(stream, &pages, wanted));
            }
        });
        Self { url }
    }
}

fn pages(folder: &Path) -> Pages {
    let sdist = sdist(folder);
    let hash = hex::encode(Sha256::digest(&sdist));
    let metadata = hex::encode(Sha256::digest(METADATA));
    // of the wheel nobody reads more than its metadata: it is for 3.10
    let page = format!(
        "<!DOCTYPE html><a href=\"/files/toyext-1.0.tar.gz#sha256={hash}\">toyext-1.0.tar.gz</a>\n\
         <a href=\"/files/toyext-1.0-cp310-none-any.whl#sha256={none}\" data-core-metadata=\"sha256={metadata}\" \
         data-dist-info-metadata=\"sha256={metadata}\">toyext-1.0-cp310-none-any.whl</a>\n",
        none = "0".repeat(64),
    );
    let mut pages = BTreeMap::from([
        ("/simple/toyext/".to_owned(), ("text/html", page.into_bytes())),
        ("/files/toyext-1.0.tar.gz".to_owned(), ("application/gzip", sdist)),
        (
            "/files/toyext-1.0-cp310-none-any.whl.metadata".to_owned(),
            ("text/plain", METADATA.into()),
        ),
    ]);
    pages.extend(dated(folder));
    pages
}

/// `toydep`, of which 1.0 is of 2023-11-01, and 2.0, of half a year later, can't be imported.
fn dated(folder: &Path) -> Pages {
    let mut pages = Pages::new();
    let mut files = Vec::new();
    for (version, day, module) in [
        ("1.0", "2023-11-01", ""),
        ("2.0", "2024-05-01", "import what_nobody_has\n"),
    ] {
        let name = format!("toydep-{version}-py3-none-any.whl");
        let metadata = format!("Metadata-Version: 2.1\nName: toydep\nVersion: {version}\n");
        let wheel = wheel(folder, &name, version, module, &metadata);
        files.push(serde_json::json!({
            "filename": name,
            "url": format!("/files/{name}"),
            "hashes": { "sha256": hex::encode(Sha256::digest(&wheel)) },
            "core-metadata": { "sha256": hex::encode(Sha256::digest(&metadata)) },
            "upload-time": format!("{day}T12:00:00.000000Z"),
        }));
        pages.insert(format!("/files/{name}"), ("application/zip", wheel));
        pages.insert(format!("/files/{name}.metadata"), ("text/plain", metadata.into()));
    }
    let page = serde_json::json!({ "meta": { "api-version": "1.1" }, "name": "toydep", "files": files });
    let kind = "application/vnd.pypi.simple.v1+json";
    pages.insert("/simple/toydep/".to_owned(), (kind, page.to_string().into_bytes()));
    pages
}

fn wheel(folder: &Path, name: &str, version: &str, module: &str, metadata: &str) -> Vec<u8> {
    let script = "import sys, zipfile\n\
        path, version, module, metadata = sys.argv[1:]\n\
        info = 'toydep-%s.dist-info/' % version\n\
        with zipfile.ZipFile(path, 'w') as wheel:\n\
        \twheel.writestr('toydep.py', module)\n\
        \twheel.writestr(info + 'METADATA', metadata)\n\
        \twheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        \twheel.writestr(info + 'RECORD', ''.join('%s,,\\n' % n for n in wheel.namelist() + [info + 'RECORD']))\n";
    let path = folder.join(name);
    let made = Command::new("python3")
        .args(["-c", script])
        .arg(&path)
        .args([version, module, metadata])
        .status();
    assert!(made.unwrap().success());
    std::fs::read(path).unwrap()
}

fn sdist(folder: &Path) -> Vec<u8> {
    let top = folder.join("toyext-1.0");
    std::fs::create_dir_all(&top).unwrap();
    for (name, text) in [
        ("PKG-INFO", METADATA),
        ("pyproject.toml", PYPROJECT),
        ("toyext.c", EXTENSION),
        ("backend.py", BACKEND),
    ] {
        std::fs::write(top.join(name), text).unwrap();
    }
    let packed = Command::new("tar")
        .current_dir(folder)
        .args(["--create", "--gzip", "--file", "toyext-1.0.tar.gz", "toyext-1.0"])
        .status();
    assert!(packed.unwrap().success());
    std::fs::read(folder.join("toyext-1.0.tar.gz")).unwrap()
}

/// One request, one answer, and the connection is closed.
fn answer(stream: TcpStream, pages: &Pages, wanted: Option<&str>) {
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    // the headers have to be read, or closing would look like a reset
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let may = wanted.is_none_or(|wanted| headers.iter().any(|header| header == wanted));
    let path = request.split(' ').nth(1).unwrap_or_default();
    let nothing = ("text/plain", Vec::new());
    let (status, (kind, body)) = match pages.get(path) {
        _ if !may => ("401 Unauthorized", &nothing),
        Some(page) => ("200 OK", page),
        None => ("404 Not Found", &nothing),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = &stream;
    let sent = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    drop(sent);
}
