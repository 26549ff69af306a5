"""Tests of what `pybots init` reads from the source of a project."""

import json
import os
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src" / "host" / "run"))
try:
    import packaging  # noqa: F401  part of the toolchain image, not of every machine
except ImportError as e:
    raise unittest.SkipTest("needs the packaging library") from e

import survey
import survey_tests
import survey_tree
import fetch


class Survey(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.work = Path(folder.name).resolve()
        self.root = self.work / "src" / "demo"
        self.root.mkdir(parents=True)

    def write(self, path, text=""):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self):
        return survey.survey(self.root)

    def test_metadata_extras_and_groups(self):
        self.write("pyproject.toml", """
[project]
name = "Demo"
description = "a  demo"
requires-python = ">=3.9"
dependencies = ["core"]
urls = { Homepage = "https://demo.example", Source = "https://github.com/a/demo.git" }
[project.optional-dependencies]
fast = ["speedups"]
test = ["pytest>=8", "demo[fast]"]
[dependency-groups]
base = ["hypothesis"]
tests = ["pytest", { include-group = "base" }]
loop = [{ include-group = "loop" }]
""")
        found = self.read()
        self.assertEqual([found[key] for key in ("name", "summary", "requires_python", "homepage", "repository")],
                         ["Demo", "a demo", ">=3.9", "https://demo.example", "https://github.com/a/demo"])
        self.assertEqual(found["extras"], {"fast": ["speedups"], "test": ["pytest>=8", "speedups"]})
        self.assertEqual(found["groups"], {"base": ["hypothesis"], "tests": ["pytest", "hypothesis"]})
        self.assertEqual(found["dependencies"], ["core"])
        self.assertTrue(found["build"]["installs"] and not found["build"]["compiles"])

    def test_metadata_of_an_sdist(self):
        self.write("PKG-INFO", "Metadata-Version: 2.4\nName: demo\nVersion: 1\nSummary: x\nRequires-Python: >=3.10\n"
                               "Requires-Dist: core\nRequires-Dist: pytest; extra == 'test'\nProvides-Extra: test\n"
                               "Project-URL: Code, https://gitlab.com/b/demo/-/tree/main\n")
        found = self.read()
        self.assertEqual((found["requires_python"], found["repository"]), (">=3.10", "https://gitlab.com/b/demo"))
        self.assertEqual((found["extras"], found["dependencies"]), ({"test": ["pytest"]}, ["core"]))

    def test_markers_of_extras_stay(self):
        for line, expected in (("x; extra == 'test'", "x"), ("x>=1 ; (os_name == 'nt') and extra == 'test'", 'x>=1; os_name == "nt"'),
                               ('x ; python_version < "3.9" and extra == "test"', 'x; python_version < "3.9"'),
                               ("x; extra == 'test' and os_name == 'nt'", 'x; os_name == "nt"'), ("x[y]; extra == 't", "x[y]")):
            self.assertEqual(survey.without_extra(line), expected)

    def test_tests_and_what_they_import(self):
        self.write("demo/__init__.py")
        self.write("setup.py", "raise SystemExit('this is run')")
        self.write("tests/conftest.py", "import pytest\nimport helper_of_tests\n@pytest.fixture\ndef thing(): pass\n")
        self.write("tests/helper_of_tests.py", "import os, demo\n")
        self.write("tests/test_a.py", """
import sys, yaml
from google.cloud import storage
from . import helper
try:
    import fast
except ImportError:
    fast = None
if sys.version_info < (3, 11):
    import tomli
import pytest
@pytest.mark.asyncio
@pytest.mark.parametrize("case", [1])
def test_x(case, mocker, thing):
    import lazy
""")
        self.write("tests/test_b.py", "import unittest\nclass T(unittest.TestCase):\n    def test_x(self): pass\n")
        self.write("tests/test_broken.py", "def (:\n")
        self.write("docs/conf.py", "import sphinx\n")
        found = self.read()
        self.assertEqual(found["packages"], [{"name": "demo", "below": "", "is_folder": True}])
        self.assertEqual(dict(found["imports"]), {"pytest": 2, "yaml": 1, "google.cloud": 1})
        [place] = found["places"]
        self.assertEqual((place["path"], place["is_in_package"]), ("tests", False))
        self.assertTrue(place["runners"]["pytest"] and place["runners"]["unittest"])
        self.assertIn("mocker", found["arguments"])
        self.assertFalse({"case", "thing"} & set(found["arguments"]))
        self.assertIn("asyncio", found["marks"])

    def test_tests_of_others_are_left_out(self):
        self.write("tests/test_a.py", "def test_x(): pass\n")
        for folder in ("third_party/lib/test", "src/demo/_vendor/tests", "vendor/other"):
            self.write(f"{folder}/test_b.py", "import theirs\ndef test_x(): pass\n")
        found = self.read()
        self.assertEqual(found["files"], ["tests/test_a.py"])
        self.assertEqual([place["path"] for place in found["places"]], ["tests"])
        self.assertEqual(found["imports"], [])

    def test_tests_in_the_package(self):
        for path in ("src/demo/__init__.py", "src/demo/tests/__init__.py", "src/demo/_x.c"):
            self.write(path)
        self.write("src/demo/tests/test_a.py", "def test_x(): pass\n")
        self.write("setup.py", "setup(ext_modules=[Extension('demo._x', ['src/demo/_x.c'])])")
        found = self.read()
        self.assertEqual([(place["path"], place["is_in_package"]) for place in found["places"]], [("src/demo/tests", True)])
        self.assertEqual(found["packages"], [{"name": "demo", "below": "src", "is_folder": True}])
        self.assertTrue(found["build"]["compiles"])

    def test_files_that_say_how_tests_are_run(self):
        self.write("tox.ini", "[testenv]\ndeps =\n    pytest\n    -rrequirements/x.txt\nextras = test\ncommands =\n"
                              "    pytest {posargs} \\\n        tests\n[pytest]\naddopts = -ra\n    --strict-markers\ntestpaths = tests\n")
        self.write("requirements/x.txt", "# nothing\ntrustme==1 --hash=sha256:00 \\\n    --hash=sha256:11\n-r other.txt\n")
        self.write("noxfile.py", "import nox\n@nox.session(python=['3.12'])\ndef tests(session):\n"
                                 "    session.install('-e', '.[test]', *session.posargs)\n    session.run('pytest', '-q')\n"
                                 "def helper(session):\n    session.install('x')\n")
        self.write("pyproject.toml", "[tool.hatch.envs.default]\ndependencies = ['pytest']\n[tool.hatch.envs.default.scripts]\ntest = 'pytest {args}'\n"
                                     "[tool.poetry.group.test.dependencies]\npython = '^3.9'\npytest = '^8'\n")
        found = self.read()
        self.assertEqual(found["tox"], {"file": "tox.ini", "deps": ["pytest", "-rrequirements/x.txt"], "extras": ["test"], "groups": [],
                                        "commands": ["pytest {posargs} tests"], "changedir": ""})
        self.assertEqual(found["nox"], [{"name": "tests", "installs": ["-e", ".[test]"], "runs": ["pytest -q"]}])
        self.assertEqual(found["hatch"][0]["runs"], ["pytest {args}"])
        self.assertEqual(found["poetry"], {"test": ["pytest"]})
        self.assertEqual(found["pytest"]["addopts"], "-ra --strict-markers")
        self.assertEqual(found["requirement_files"], [{"path": "requirements/x.txt", "lines": ["trustme==1", "-r other.txt"]}])

    def test_settings_of_tox_in_toml(self):
        self.write("pyproject.toml", "[tool.tox.env_run_base]\ndeps = ['pytest']\ndependency_groups = ['tests']\n"
                                     "commands = [['pytest', '-q', { replace = 'posargs' }]]\n[tool.pytest.ini_options]\naddopts = ['-n', 'auto']\n")
        found = self.read()
        self.assertEqual((found["tox"]["groups"], found["tox"]["commands"]), (["tests"], ["pytest -q"]))
        self.assertEqual(found["pytest"]["addopts"], "-n auto")
        self.write("pyproject.toml", "[tool.tox]\nlegacy_tox_ini = '''\n[testenv]\ndeps = pytest\n'''\n")
        self.assertEqual(self.read()["tox"]["deps"], ["pytest"])

    def test_no_link_leads_out_of_the_tree(self):
        secret = self.work / "secret.txt"
        secret.write_text("[testenv]\ndeps = secret\n")
        (self.work / "private").mkdir()
        (self.work / "private" / "test_secret.py").write_text("import secret\n")
        for name, target in (("tox.ini", secret), ("requirements-test.txt", secret), ("tests", self.work / "private"), ("PKG-INFO", secret)):
            os.symlink(target, self.root / name)
        self.write("a/b.py")
        os.symlink(self.root, self.root / "a" / "loop")
        os.mkfifo(self.root / "noxfile.py")
        found = self.read()
        self.assertEqual((found["tox"], found["files"], found["requirement_files"], found["nox"]), (None, [], [], []))
        self.assertNotIn("secret", json.dumps({key: value for key, value in found.items() if key != "notes"}))

    def test_a_strange_tree_stays_within_bounds(self):
        self.write("pyproject.toml", "[project]\nname = 3\ndescription = ['x']\nurls = 'x'\noptional-dependencies = 'x'\n")
        self.write("tox.ini", "no section\n")
        self.write("setup.cfg", "[options\n")
        self.write("tests/test_deep.py", "x = " + "(" * 5000 + ")" * 5000)
        self.write("tests/test_null.py", "\0")
        self.write("tests/test_long.py", f"import {'a' * 5000}\n" + "".join(f"import m{n}\n" for n in range(5000)))
        found = self.read()
        self.assertEqual(len(found["imports"]), survey_tree.LINES_MOST)
        self.assertLessEqual(max(len(name) for name, _ in found["imports"]), survey_tree.TEXT_MOST)
        with mock.patch.object(survey_tree, "FILES_MOST", 3):
            self.assertIn("only the first 3 files were read", self.read()["notes"])

    def test_a_part_that_cannot_be_read_becomes_a_note(self):
        self.write("tests/test_a.py", "def test_x(): pass\n")
        for text in ("dependencies = 5", "dynamic = 5", "optional-dependencies = { x = 5 }", f"x = {'9' * 5000}",
                     ".".join(["a"] * 120_000) + " = 1"):
            self.write("pyproject.toml", f"[project]\nname = 'demo'\n{text}\n")
            found = self.read()
            self.assertEqual(found["files"], ["tests/test_a.py"], text[:50])
            self.assertRegex(found["notes"][0], "is no list|(cannot|can't) be read", text[:50])
        self.write("pyproject.toml", "[project]\nname = 'demo'\n")
        for name in ("about", "build", "flat_extras", "flat_groups", "test_survey", "pytest_settings", "tox_environment", "nox_sessions",
                     "hatch_environments", "poetry_requirements", "requirement_files", "declared"):
            whole = self.read()
            with mock.patch.object(survey, name, side_effect=KeyError("odd")):
                found = self.read()
            self.assertIn("can't be read: KeyError: 'odd'", found["notes"][0])
            self.assertEqual(set(whole) - set(found), {"summary", "requires_python", "homepage", "repository"} if name == "about" else set())

    def test_parts_that_include_each_other_again_and_again_are_read_once(self):
        groups = "".join(f'g{n} = ["p{n}", {{include-group="g{n + 1}"}},{{include-group="g{n + 1}"}}]\n' for n in range(40))
        extras = "".join(f'e{n} = ["p{n}", "demo[e{n + 1}]", "demo[e{n + 1}]", "demo[e{n + 1},e{n + 2}]"]\n' for n in range(40))
        self.write("pyproject.toml", f"[project]\nname = 'demo'\n[project.optional-dependencies]\n{extras}[dependency-groups]\n{groups}g40 = []\n")
        found = self.read()
        self.assertEqual(sorted(found["extras"]["e0"]), sorted(f"p{n}" for n in range(40)))
        self.assertEqual(found["groups"]["g0"], [f"p{n}" for n in range(40)])
        self.assertEqual(found["notes"], [])

    def test_no_part_takes_long(self):
        self.write("noxfile.py", "# " + "a/" * 200_000)
        self.write("tox.ini", "[testenv]\ndeps = -rreqs/a.txt -r {toxinidir}/reqs/b.txt\n  -r./reqs/c.txt\n")
        for name in "abc":
            self.write(f"reqs/{name}.txt", name)
        started = time.monotonic()
        found = self.read()
        self.assertEqual([file["path"] for file in found["requirement_files"]], ["reqs/a.txt", "reqs/b.txt", "reqs/c.txt"])
        self.assertLess(time.monotonic() - started, 10)
        with mock.patch.object(survey, "SECTION_WITHIN", 0.2), mock.patch.object(survey, "nox_sessions", lambda tree: time.sleep(30)):
            found = self.read()
        self.assertEqual(found["nox"], [])
        self.assertIn("the sessions of nox can't be read: TooLong", found["notes"][0])
        self.assertLess(time.monotonic() - started, 20)

    def test_half_a_pair_is_no_text(self):
        self.write("noxfile.py", "import nox\n@nox.session\ndef tests(session):\n    session.run('a', '\\ud800')\n")
        self.assertEqual(self.read()["nox"][0]["runs"], ["a ?"])

    def test_many_large_files_of_tests_are_read_in_part(self):
        for name in "abc":
            self.write(f"tests/test_{name}.py", f"def test_{name}(): pass\n")
        with mock.patch.object(survey_tests, "PARSED_ALL", 50):
            found = self.read()
        self.assertEqual((found["places"][0]["files"], len(found["files"])), (2, 3))

    def test_the_answer_is_bounded(self):
        (self.work / ".pybots").mkdir()
        (self.work / ".pybots" / "fetch.json").write_text(json.dumps({"sources": [{"name": "demo"}]}))
        self.write("tests/test_a.py", "def test_x(): pass\n")
        with mock.patch.object(sys, "argv", ["survey.py", str(self.work)]), mock.patch("builtins.print"):
            self.assertEqual(survey.main(), 0)
            whole = json.loads((self.work / ".pybots" / "survey.json").read_text())
            self.assertEqual(whole["files"], ["tests/test_a.py"])
            with mock.patch.object(survey, "TEXT_MOST", 10):
                survey.main()
        short = json.loads((self.work / ".pybots" / "survey.json").read_text())
        self.assertEqual((short["files"], short["places"]), ([], whole["places"]))

    def test_own_names_are_no_third_party(self):
        self.assertEqual(survey_tests.third_party({"os.path", "demo.x", "yaml", "tests"}, {"demo", "tests"}), {"yaml"})

    def test_only_the_sources_are_fetched(self):
        (self.work / ".pybots").mkdir()
        order = {"python": "3.13", "sources": [{"name": "demo", "path": "src"}], "requires": ["no such requirement!"]}
        (self.work / ".pybots" / "fetch.json").write_text(json.dumps(order))
        with mock.patch("builtins.print"):
            fetch.fetch(self.work, only_sources=True)
        lock = json.loads((self.work / ".pybots" / "lock.json").read_text())
        self.assertEqual((lock["project"]["name"], lock["packages"]), ("demo", []))


if __name__ == "__main__":
    unittest.main()
