"""Pure tests of the fetch phase; no network. Run: python3 -m unittest discover tests/fetch"""

import contextlib
import http.server
import io
import json
import os
import shutil
import socket
import stat
import sys
import tarfile
import tempfile
import threading
import time
import unittest
import unittest.mock
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src" / "host" / "run"))
try:
    import packaging  # noqa: F401  part of the toolchain image, not of every machine
except ImportError as e:
    raise unittest.SkipTest("needs the packaging library") from e

from packaging.version import Version

import fetch
import fetch_net
import fetch_project
import fetch_resolve
import fetch_sources
import fetch_unpack


def tar(path, *entries):
    with tarfile.open(path, "w:gz") as t:
        for name, kind, body in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(body)
                t.addfile(info, io.BytesIO(body))
            else:
                info.linkname = body
                t.addfile(info)
    return path


class Unpack(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.here = Path(folder.name).resolve()
        self.into = self.here / "src"

    def refused(self, *entries):
        with self.assertRaises(fetch.RecipeError):
            fetch_unpack.unpack(tar(self.here / "a.tar.gz", *entries), self.into)
        self.assertEqual({p.name for p in self.here.iterdir()} - {"a.tar.gz", "src"}, set())

    def test_single_top_folder_is_dropped_and_links_inside_stay(self):
        entries = [("p-1/a/b.py", tarfile.REGTYPE, b"x"), ("p-1/l", tarfile.SYMTYPE, "a/b.py"), ("p-1/h", tarfile.LNKTYPE, "p-1/a/b.py")]
        fetch_unpack.unpack(tar(self.here / "a.tar.gz", *entries), self.into)
        for name in ("a/b.py", "l", "h"):
            self.assertEqual((self.into / name).read_text(), "x")

    def test_two_top_entries_are_kept(self):
        fetch_unpack.unpack(tar(self.here / "a.tar.gz", ("a/x", tarfile.REGTYPE, b""), ("y", tarfile.REGTYPE, b"")), self.into)
        self.assertTrue((self.into / "a" / "x").is_file())

    def test_zip(self):
        with zipfile.ZipFile(self.here / "a.zip", "w") as z:
            z.writestr("p-1/setup.py", "x")
        fetch_unpack.unpack(self.here / "a.zip", self.into)
        self.assertEqual((self.into / "setup.py").read_text(), "x")
        with zipfile.ZipFile(self.here / "a.zip", "w") as z:
            z.writestr("p-1/../../out", "x")
        with self.assertRaises(fetch.RecipeError):
            fetch_unpack.unpack(self.here / "a.zip", self.into)

    def test_a_link_of_a_zip_without_a_target_is_the_recipes_fault(self):
        link = zipfile.ZipInfo("p-1/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(self.here / "a.zip", "w") as z:
            z.writestr("p-1/setup.py", "x")
            z.writestr(link, "")
        with self.assertRaisesRegex(fetch.RecipeError, "a link out of the archive"):
            fetch_unpack.unpack(self.here / "a.zip", self.into)

    def test_every_way_out_is_refused(self):
        self.refused(("p/../../out", tarfile.REGTYPE, b"x"))
        self.refused(("/out", tarfile.REGTYPE, b"x"))
        self.refused(("p/l", tarfile.SYMTYPE, "/etc"))
        self.refused(("p/l", tarfile.SYMTYPE, "../../out"))
        self.refused(("p/a/b/d", tarfile.SYMTYPE, "../.."), ("p/a/b/d/l", tarfile.SYMTYPE, "../../out"))
        self.refused(("p/l", tarfile.SYMTYPE, "d/../../out"))
        self.refused(("p/h", tarfile.LNKTYPE, "../out"))
        self.refused(("p/null", tarfile.CHRTYPE, ""))

    def test_a_cut_archive_is_the_recipes_fault(self):
        whole = tar(self.here / "a.tar.gz", ("p/x", tarfile.REGTYPE, os.urandom(50000)))
        whole.write_bytes(whole.read_bytes()[:20000])
        with self.assertRaises(fetch.RecipeError):
            fetch_unpack.unpack(whole, self.into)

    def test_names_that_no_file_system_takes_are_the_recipes_fault(self):
        for entries in (
            [("p/a", tarfile.DIRTYPE, ""), ("p/a/x", tarfile.REGTYPE, b"x"), ("p/a", tarfile.SYMTYPE, "b")],
            [("p/a", tarfile.SYMTYPE, "b"), ("p/b/x", tarfile.REGTYPE, b"x"), ("p/a", tarfile.DIRTYPE, "")],
            [("p/a", tarfile.DIRTYPE, ""), ("p/a", tarfile.REGTYPE, b"x")],
            [("p/a", tarfile.REGTYPE, b"x"), ("p/a/b", tarfile.REGTYPE, b"x")],
            [("p/" + "n" * 300, tarfile.REGTYPE, b"x")],
            [("p/" + "/".join(["n" * 200] * 30), tarfile.REGTYPE, b"x")],
        ):
            if entries[0][1] == tarfile.SYMTYPE:
                fetch_unpack.unpack(tar(self.here / "a.tar.gz", *entries), self.into)  # a link to a folder may be told twice
                continue
            self.refused(*entries)

    def test_data_that_is_no_archive_is_the_recipes_fault(self):
        for start in (b"BZh9", b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"PK\x03\x04"):
            (self.here / "a.tar.gz").write_bytes(start + b"x" * 1000)
            with self.assertRaises(fetch.RecipeError, msg=start):
                fetch_unpack.unpack(self.here / "a.tar.gz", self.into)
            with self.assertRaises(fetch.RecipeError, msg=start):
                fetch_unpack.peek(self.here / "a.tar.gz", "pyproject.toml")

    def test_files_of_a_source_are_read_inside_its_tree_only(self):
        self.into.mkdir()
        (self.here / "secret").write_text("Requires-Dist: secret\n")
        for name in ("PKG-INFO", "pyproject.toml"):
            (self.into / name).symlink_to("../secret")
            with self.assertRaisesRegex(fetch.RecipeError, "a link out of the source"):
                fetch_project.declared(self.into, "p").lines
            (self.into / name).unlink()
        (self.into / "real.toml").write_text('[project]\ndependencies = ["a"]\n')
        (self.into / "pyproject.toml").symlink_to("real.toml")
        self.assertEqual(fetch_project.declared(self.into, "p").lines, ["a"])
        os.mkfifo(self.into / "PKG-INFO")
        self.assertEqual(fetch_project.declared(self.into, "p").lines, ["a"])


class Trickle(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.05)
        except OSError:
            pass

    def log_message(self, *_):
        pass


class Sources(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = Path(folder.name).resolve()
        (self.work / ".pybots").mkdir()

    def serve(self, handler):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return server.server_port

    def main(self, source):
        order = {"project": "p", "sources": [{"name": "p", **source}], "requires": [], "python": "2.7"}
        (self.work / ".pybots" / "fetch.json").write_text(json.dumps(order))
        said = io.StringIO()
        with unittest.mock.patch.object(sys, "argv", ["fetch.py", str(self.work)]), contextlib.redirect_stdout(said):
            return fetch.main(), said.getvalue()

    def test_a_source_that_trickles_is_the_recipes_fault(self):
        self.enterContext(unittest.mock.patch.object(fetch_net, "RATE_OVER", 0.3))
        url = f"http://127.0.0.1:{self.serve(Trickle)}/p.tar.gz"
        code, said = self.main({"url": url, "sha256": "0" * 64})
        self.assertEqual(code, 10, said)
        self.assertIn("is no download", said)

    def test_a_tool_that_does_not_end_is_the_recipes_fault(self):
        with self.assertRaisesRegex(fetch.RecipeError, "took longer than"):
            fetch_sources.run_tool(["sh", "-c", "sleep 60 & sleep 60"], within=0.2)

    @unittest.skipUnless(shutil.which("git"), "needs git")
    def test_a_server_that_does_not_answer_is_unreachable(self):
        self.enterContext(unittest.mock.patch.object(fetch_net.time, "sleep"))
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
        for source in ({"git": f"http://127.0.0.1:{port}/p.git", "rev": "main"}, {"url": f"http://127.0.0.1:{port}/p.zip", "sha256": "0" * 64}):
            code, said = self.main(source)
            self.assertEqual(code, 12, said)
            self.assertIn("source unreachable: p: ", said)
            self.assertEqual((self.work / ".pybots" / "fetching").read_text(), source.get("git") or source["url"])

    @unittest.skipUnless(shutil.which("git"), "needs git")
    def test_an_address_of_this_machine_is_the_recipes_fault(self):
        code, said = self.main({"git": str(self.work / "there"), "rev": "main"})
        self.assertEqual(code, 10, said)

    def test_an_archive_that_takes_long_to_unpack_is_no_source_that_is_silent(self):
        def unpack(*_):
            self.assertFalse((self.work / ".pybots" / "fetching").exists())
            raise fetch.InfraError("the disk failed")

        with unittest.mock.patch.object(fetch_sources, "download"), unittest.mock.patch.object(fetch_sources, "unpack", unpack):
            code, said = self.main({"url": "https://example.org/p.zip", "sha256": "0" * 64})
        self.assertEqual(code, 11, said)
        self.assertNotIn("source unreachable", said)

    def test_nobody_is_awaited_once_a_source_is_there(self):
        with unittest.mock.patch.object(fetch_sources, "git", lambda *_: "0" * 40):
            (self.work / "src" / "p").mkdir(parents=True)
            code, said = self.main({"git": "https://example.org/p.git", "rev": "main"})
        self.assertEqual(code, 0, said)
        self.assertFalse((self.work / ".pybots" / "fetching").exists())


class Cache(unittest.TestCase):
    def test_it_keeps_within_its_bound_what_was_used_last(self):
        with tempfile.TemporaryDirectory() as folder:
            for age, name in enumerate(("new", "used", "older", "oldest")):
                path = Path(folder, "sha256", name)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"x" * 40_000)
                os.utime(path, (1_000_000 - age, 1_000_000 - age))
            left = lambda: sorted(p.name for p in Path(folder, "sha256").iterdir())
            with unittest.mock.patch.dict(os.environ, PYBOTS_FETCH_CACHE=folder, PYBOTS_FETCH_CACHE_MOST="170000"):
                fetch_net.tidy()
                self.assertEqual(len(left()), 4)
                os.environ["PYBOTS_FETCH_CACHE_MOST"] = "90000"
                fetch_net.tidy()
                self.assertEqual(left(), ["new", "used"])
                os.environ["PYBOTS_FETCH_CACHE"] = folder + "/none"
                fetch_net.tidy()


class IndexPages(unittest.TestCase):
    def test_json_and_html_say_the_same(self):
        rows = {"files": [{"filename": "a-1.tar.gz", "url": "../f/a-1.tar.gz", "hashes": {"sha256": "AB"}, "requires-python": ">=3"}]}
        page = '<a href="../f/a-1.tar.gz#sha256=AB" data-requires-python="&gt;=3">a-1.tar.gz</a>'
        at = "https://index.example/simple/a/"
        one = fetch_net.read_page(json.dumps(rows).encode(), "application/vnd.pypi.simple.v1+json", at)
        two = fetch_net.read_page(page.encode(), "text/html; charset=utf-8", at)
        self.assertEqual(one, two)
        self.assertEqual(one[0].url, "https://index.example/simple/f/a-1.tar.gz")
        self.assertEqual(one[0].sha256, "ab")

    def test_as_of_a_day_later_files_are_not_there(self):
        def index(*times, as_of="2025-12-03"):
            found = fetch_net.Index(as_of=as_of)
            found.pages["a"] = [fetch_net.File(f"a-{i}.tar.gz", "", "00", "", False, time) for i, time in enumerate(times, 1)]
            return found
        day = ("2025-12-02T08:00:00Z", "2025-12-03T23:59:59.999999Z", "2025-12-04T00:00:00.000000Z", "")
        self.assertEqual([f.name for f in index(*day).files("a")], ["a-1.tar.gz", "a-2.tar.gz"])
        self.assertEqual(len(index(*day, as_of=None).files("a")), 4)
        # the project itself is of the day as well, unless the recipe names its version
        self.assertEqual(str(index(*day).sdist("a", None, "", "3.15")[0]), "2")
        self.assertEqual(str(index(*day).sdist("a", "3", "", "3.15")[0]), "3")
        with self.assertRaisesRegex(fetch.RecipeError, "does not say when"):
            index("", "").files("a")
        self.assertEqual(index().files("a"), [])

    def test_old_and_new_sdist_names(self):
        for file, name in (("Twisted-12.0.0.tar.bz2", "twisted"), ("zope.interface-3.8.0.tar.gz", "zope-interface"),
                           ("more_itertools-1.0.zip", "more-itertools")):
            self.assertIsNotNone(fetch_net.sdist_version(file, name))
        self.assertIsNone(fetch_net.sdist_version("a-1-py3-none-any.whl", "a"))
        self.assertIsNone(fetch_net.sdist_version("a-b-1.tar.gz", "a"))


class Metadata(unittest.TestCase):
    def test_extras_and_markers_are_those_of_the_python_under_test(self):
        lines = ["always", "old; python_version < '3.10'", "new; python_version >= '3.10'", "t; extra == 'test'",
                 "p[test]; extra == 'all'", "w; sys_platform == 'win32'"]
        env = fetch.target_environment("3.16")
        self.assertEqual(fetch.select(lines, set(), env, "p"), ["always", "new"])
        self.assertEqual(fetch.select(lines, {"all"}, env, "p"), ["always", "new", "t"])

    def test_a_requirement_is_one_line_and_names_no_address(self):
        smuggled = "foo @ https://index.example/foo-1-py3-none-any.whl\n--requirement=/proc/self/environ"
        address = "foo @ https://index.example/foo-1-py3-none-any.whl"
        for line in (smuggled, address, "foo\r--index-url=x", 'foo; os_name == "a\nb"', "--requirement=x", "-r x", "foo --hash=x", "./x", 7):
            with self.assertRaises(fetch.RecipeError, msg=line) as refused:
                fetch_project.written([line], "p")
            self.assertNotIn("\n", str(refused.exception))
        self.assertEqual(fetch_project.written(["Foo [x] >=1 ; python_version>'3'"], "p"), 'Foo[x]>=1; python_version > "3"\n')
        # what a project declares for others does not concern a run
        env = fetch.target_environment("3.16")
        self.assertEqual(fetch.select(["a", f"{address} ; extra == 'dev'"], set(), env, "p"), ["a"])
        with self.assertRaisesRegex(fetch.RecipeError, "from an address"):
            fetch.select([address], set(), env, "p")
        # an extra source takes the place of the address
        self.assertEqual(fetch.select([address], set(), env, "p", {"foo"}), [])

    def test_every_way_to_the_resolver_is_parsed(self):
        work = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, work)
        line = "foo\n--requirement=/proc/self/environ"
        index = fetch_net.Index({"foo": "1\n--requirement=/proc/self/environ"}, {})
        with self.assertRaisesRegex(fetch.RecipeError, "the lock"):
            fetch_resolve.uv_compile(["a"], "3.13", index, "p")
        with self.assertRaisesRegex(fetch.RecipeError, "to build p"):
            fetch_resolve.uv_compile([line], "3.13", fetch_net.Index(), "to build p")
        (work / "PKG-INFO").write_text("Metadata-Version: 2.1\nRequires-Dist: foo>=1\n  ; python_version > '3'\n")
        self.assertEqual(fetch_project.declared(work, "p").lines, ["foo>=1 ; python_version > '3'"])

    def test_a_lock_holds_versions_and_files(self):
        package = {"name": "A_b", "version": "1.0", "file": "a_b-1.0-py3-none-any.whl", "sha256": "11", "role": "run"}
        lock = {"project": {"name": "p", "version": "2", "sha256": "22", "source": "pypi:p"}, "packages": [
            package, {**package, "name": "two", "file": "x"}, {**package, "name": "two", "file": "y", "version": "3"},
            {**package, "name": "more", "file": None, "role": "source"}]}
        versions, hashes, sources = fetch.held(json.dumps(lock))
        self.assertEqual(versions, {"a-b": "1.0"})
        self.assertEqual(hashes, {package["file"]: "11", "x": "11", "y": "11"})
        self.assertEqual(sorted(sources), ["more", "p"])
        self.assertEqual(fetch.held(None), ({}, {}, {}))
        index = fetch_net.Index(versions, hashes)
        ranks = fetch_resolve.wheel_ranks("3.13", False)
        one = fetch_net.File("a_b-1.0-py3-none-any.whl", "u", "11", "", False)
        newer = fetch_net.File("a_b-1.0-cp313-cp313-manylinux_2_17_x86_64.whl", "u", "33", "", False)
        index.pages["a-b"] = [newer, one]
        self.assertEqual(index.best("a-b", Version("1.0"), ranks), one)
        index.pages["a-b"] = [fetch_net.File(one.name, "u", "44", "", False)]
        with self.assertRaises(fetch.RecipeError):
            index.best("a-b", Version("1.0"), ranks)

    def test_build_requirements(self):
        self.assertEqual(fetch.build_requires(None, "p"), ("setuptools>=40.8.0", "wheel"))
        self.assertEqual(fetch.build_requires("[tool.x]\n", "p"), ("setuptools>=40.8.0", "wheel"))
        self.assertEqual(fetch.build_requires('[build-system]\nrequires = ["flit_core"]\n', "p"), ("flit_core",))
        with self.assertRaises(fetch.RecipeError):
            fetch.build_requires("[", "p")

    def test_wheel_tags(self):
        plain, free = fetch_resolve.wheel_ranks("3.16", False), fetch_resolve.wheel_ranks("3.16", True)
        plat = next(iter(fetch_resolve.tags.platform_tags()))
        tag = fetch_resolve.tags.Tag
        order = [plain[t] for t in (tag("cp316", "cp316", plat), tag("cp315", "abi3", plat), tag("py3", "none", "any"))]
        self.assertEqual(order, sorted(order))
        self.assertNotIn(tag("cp315", "cp315", plat), plain)
        self.assertIn(tag("cp316", "cp316t", plat), free)
        self.assertNotIn(tag("cp315", "abi3", plat), free)


if __name__ == "__main__":
    unittest.main()
