"""Tests of what the fetch phase does with sources, on repositories that a server on loopback holds."""

import contextlib
import functools
import http.server
import io
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import unittest.mock
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src" / "host" / "run"))
try:
    import packaging  # noqa: F401  part of the toolchain image, not of every machine
except ImportError as e:
    raise unittest.SkipTest("needs the packaging library") from e

import fetch_sources
import fetch_version
from fetch_net import InfraError, RecipeError, Unreachable


def said(function, *arguments):
    """What a function says, and what it returns."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        result = function(*arguments)
    return out.getvalue(), result


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


class Git(unittest.TestCase):
    """Repositories in a folder, which two servers show: git's own, and one that only hands out files and so can't cut history."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.root = Path(folder.name).resolve()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        daemon = subprocess.Popen(["git", "daemon", "--export-all", f"--base-path={cls.root}", "--listen=127.0.0.1", f"--port={port}",
                                   str(cls.root)], stderr=subprocess.DEVNULL)
        cls.addClassCleanup(daemon.wait)
        cls.addClassCleanup(daemon.terminate)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(cls.root)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.addClassCleanup(server.server_close)
        cls.addClassCleanup(server.shutdown)
        cls.git_url, cls.http_url = f"git://127.0.0.1:{port}", f"http://127.0.0.1:{server.server_port}"
        until = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if time.monotonic() > until:
                    raise

    def setUp(self):
        self.into = Path(tempfile.mkdtemp(dir=self.root)) / "src"

    def make(self, name, files, tag=None, submodules=()):
        """A repository with one more commit. Returns the commit."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
        run = lambda *a: subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", *a],
                                        cwd=folder, env=env, check=True, capture_output=True, text=True).stdout
        if not (folder / ".git").exists():
            run("init", "--quiet", "--initial-branch=main")
            run("config", "uploadpack.allowFilter", "true")
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        for path, url in submodules:
            run("submodule", "add", "--quiet", url, path)
        run("add", "--all")
        run("commit", "--quiet", "--message", "x")
        if tag:
            run("tag", tag)
        run("update-server-info")
        return run("rev-parse", "HEAD").strip()

    def test_a_branch_a_tag_and_a_commit_also_where_history_cant_be_cut(self):
        old = self.make("plain", {"a": "1"}, tag="v1")
        new = self.make("plain", {"a": "2"})
        for url in (f"{self.git_url}/plain", f"{self.http_url}/plain/.git"):
            for rev, commit, text in (("main", new, "2"), ("v1", old, "1"), (new, new, "2"), (old, old, "1")):
                self.assertEqual(fetch_sources.git(url, rev, self.into), commit, (url, rev))
                self.assertEqual((self.into / "a").read_text(), text)
            with self.assertRaisesRegex(RecipeError, "no commit, tag or branch 'none'"):
                fetch_sources.git(url, "none", self.into)

    def test_the_id_of_a_tag_is_answered_with_that_of_its_commit(self):
        commit = self.make("tagged", {"a": "1"})
        subprocess.run(["git", "-c", "user.name=T", "-c", "user.email=t@example.org", "tag", "--annotate", "--message", "x", "v2"],
                       cwd=self.root / "tagged", check=True)
        subprocess.run(["git", "update-server-info"], cwd=self.root / "tagged", check=True)
        tag = subprocess.run(["git", "rev-parse", "v2"], cwd=self.root / "tagged", check=True, capture_output=True, text=True).stdout.strip()
        self.assertEqual(fetch_sources.git(f"{self.git_url}/tagged", "v2", self.into), commit)
        with self.assertRaisesRegex(RecipeError, f"the id of a tag, not of a commit: write its commit, {commit}"):
            fetch_sources.git(f"{self.git_url}/tagged", tag, self.into)

    def test_submodules_come_with_their_own(self):
        inner = self.make("inner", {"i": "inner"})
        self.make("middle", {"m": "middle"}, submodules=[("inner", "../inner")])
        # a relative address, and two of them: one that can't be fetched must not take the other one with it
        self.make("outer", {"o": "outer"}, submodules=[("deep/middle", f"{self.git_url}/middle"), ("inner", f"{self.http_url}/inner/.git")])
        self.assertTrue(inner)
        text, _ = said(fetch_sources.git, f"{self.git_url}/outer", "main", self.into)
        self.assertEqual((self.into / "deep/middle/inner/i").read_text(), "inner")
        self.assertEqual((self.into / "inner/i").read_text(), "inner")
        self.assertIn("submodule deep/middle", text)
        fetch_sources.git(f"{self.git_url}/outer", "main", self.into, False)
        self.assertEqual(list((self.into / "inner").iterdir()), [])

    def test_submodules_that_cant_be_fetched(self):
        self.make("leaf", {"l": "x"})
        self.make("local", {"a": "x"}, submodules=[("leaf", str(self.root / "leaf"))])
        with self.assertRaisesRegex(RecipeError, "the submodule leaf can't be fetched.*`submodules = false`"):
            fetch_sources.git(f"{self.git_url}/local", "main", self.into)
        self.make("gone", {"a": "x"})
        self.make("names-gone", {"a": "x"}, submodules=[("gone", f"{self.git_url}/gone")])
        (self.root / "gone").rename(self.root / "moved")
        with self.assertRaisesRegex(InfraError, "the submodule gone can't be fetched"):
            fetch_sources.git(f"{self.git_url}/names-gone", "main", self.into)
        with self.assertRaisesRegex(RecipeError, "no commit, tag or branch 'nowhere'"):
            fetch_sources.git(f"{self.git_url}/names-gone", "nowhere", self.into)
        with self.assertRaisesRegex(RecipeError, "more than 50 submodules"):
            fetch_sources.git(f"{self.git_url}/names-gone", "main", self.into, False)
            fetch_sources.submodules(self.into, [0], 4)

    def test_pointers_of_lfs_are_named(self):
        pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
        self.make("lfs", {"data/a.bin": pointer, "b.txt": "plain"})
        text, _ = said(fetch_sources.git, f"{self.git_url}/lfs", "main", self.into)
        self.assertIn("Git LFS holds the contents of data/a.bin.", text)
        self.assertNotIn("b.txt", text)

    def version(self, repository, rev, pyproject='[build-system]\nrequires = ["setuptools_scm[toml]>=8"]\n'):
        work = Path(tempfile.mkdtemp(dir=self.root))
        src = {"name": "p", "git": f"{self.git_url}/{repository}", "rev": rev}
        commit = fetch_sources.git(src["git"], rev, work / "src" / "p")
        (work / "src" / "p" / "pyproject.toml").write_text(pyproject)
        text, found = said(fetch_version.variables, [src], [{"version": commit}], work)
        return text, fetch_version.shell(found)

    def test_builds_that_read_tags_get_their_version(self):
        self.make("tagged", {"a": "1"}, tag="v1.4.2")
        self.make("tagged", {"a": "2"})
        last = self.make("tagged", {"a": "3"})
        for rev in ("main", last):
            self.assertEqual(self.version("tagged", rev)[1],
                             ': "${SETUPTOOLS_SCM_PRETEND_VERSION:=1.4.3.dev2}"\nexport SETUPTOOLS_SCM_PRETEND_VERSION\n')
        self.assertIn(":=1.4.2}", self.version("tagged", "v1.4.2")[1])
        self.assertIn("PBR_VERSION:=1.4.3.dev2", self.version("tagged", "main", '[build-system]\nrequires = ["pbr"]\n')[1])
        # a build that does not ask
        self.assertEqual(self.version("tagged", "main", '[build-system]\nrequires = ["flit_core"]\n'), ("", ""))
        # a branch is no release, whatever its name is
        subprocess.run(["git", "branch", "9.0"], cwd=self.root / "tagged", check=True)
        self.assertIn(":=1.4.3.dev2}", self.version("tagged", "9.0")[1])
        self.make("untagged", {"a": "1"})
        text, lines = self.version("untagged", "main")
        self.assertIn("set SETUPTOOLS_SCM_PRETEND_VERSION in `env`", text)
        self.assertEqual(lines, "")

    def test_a_history_that_cannot_be_read_is_a_matter_of_the_source(self):
        self.make("fading", {"a": "1"}, tag="v1.0")
        last = self.make("fading", {"a": "2"})
        work = Path(tempfile.mkdtemp(dir=self.root))
        src = {"name": "p", "git": f"{self.git_url}/fading", "rev": last}
        fetch_sources.git(src["git"], last, work / "src" / "p")
        (work / "src" / "p" / "pyproject.toml").write_text('[build-system]\nrequires = ["pbr"]\n')
        (work / "src" / "p" / ".git" / "shallow").touch()
        made, make = [], tempfile.mkdtemp
        with unittest.mock.patch("tempfile.mkdtemp", lambda **kind: made.append(make(**kind)) or made[-1]), \
                unittest.mock.patch("fetch_version.in_git", side_effect=InfraError("git failed: timed out")):
            with self.assertRaisesRegex(Unreachable, "p: git failed: timed out"):
                fetch_version.variables([src], [{"version": last}], work)
        self.assertEqual([Path(folder).parent for folder in made], [work])
        self.assertFalse(Path(made[0]).exists())
        self.assertEqual((work / ".pybots" / "fetching").read_text(), src["git"])

    def test_versions_after_a_tag(self):
        for tag, distance, version in (("v1.2.3", 0, "1.2.3"), ("1.2.3", 5, "1.2.4.dev5"), ("name-22.1", 1, "22.2.dev1"),
                                       ("v3.0rc1", 2, "3.0rc2.dev2"), ("release/2.0", 0, "2.0"), ("1.0.dev3", 2, "1.0.dev5")):
            self.assertEqual(str(fetch_version.after(fetch_version.of_tag(tag), distance)), version, tag)
        for tag in ("latest", "x1y", ""):
            self.assertIsNone(fetch_version.of_tag(tag))


class Folders(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = Path(folder.name).resolve()
        self.into = self.work / "src" / "p"
        (self.into / "python" / "core").mkdir(parents=True)
        (self.into / "python" / "core" / "pyproject.toml").write_text("")

    def fetched(self, **more):
        return said(fetch_sources.fetch_source, {"name": "p", "path": "src", **more}, None, self.work, "3.14")

    def test_a_project_in_a_subfolder(self):
        text, _ = self.fetched(subfolder="python/core")
        self.assertNotIn("note", text)
        self.assertEqual(fetch_sources.home({"name": "p", "subfolder": "python/core"}, self.work), self.into / "python" / "core")
        self.assertIn("name its folder by `subfolder`: python/core", self.fetched()[0])
        (self.into / "out").symlink_to("/")
        for wrong in ("python/cor", "out/tmp"):
            with self.assertRaisesRegex(RecipeError, f"no folder '{wrong}'.*hold a project: python/core"):
                self.fetched(subfolder=wrong)


if __name__ == "__main__":
    unittest.main()
