"""Tests of the recorders of test results; no network. Run: python3 -m unittest discover tests/recorders"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parents[2] / "src" / "host" / "run"

SUITE = """
import os, sys, unittest

class Tests(unittest.TestCase):
    def test_1_well(self):
        pass

    def test_2_bad(self):
        self.assertEqual(1, 2, "no\\nmore")

    def test_3_parts(self):
        for part in range(3):
            with self.subTest(part=part):
                self.assertNotEqual(part, 1)

    @unittest.skip("not today")
    def test_4_skipped(self):
        pass

    @unittest.expectedFailure
    def test_5_expected(self):
        self.fail()

    def test_6_inner(self):
        class Inner(unittest.TestCase):
            def test_inner(self):
                self.fail()
        Inner("test_inner").run(unittest.TestResult())
        unittest.TextTestRunner(stream=open(os.devnull, "w")).run(Inner("test_inner"))

    def test_7_forks(self):
        child = os.fork()
        if child == 0:
            sys.exit(0)
        os.waitpid(child, 0)

    def test_8_leaves(self):
        if "LEAVES" in os.environ:
            os._exit(0)
"""


class Recorders(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for program in PROGRAMS.glob("pybots_*.py"):
            shutil.copy(program, self.folder)
        # the environment under test has it in its site folder
        shutil.copy(PROGRAMS / "witness.py", self.folder / "sitecustomize.py")
        (self.folder / "suite.py").write_text(SUITE)

    def run_suite(self, *arguments, records=True, **variables):
        environment = dict(os.environ, PYTHONPATH=str(self.folder), **variables)
        if records:
            environment["PYBOTS_RESULTS"] = str(self.folder / "results")
        done = subprocess.run(
            [sys.executable, "-m", *arguments], cwd=self.folder, env=environment, capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    def recorded(self):
        """The lines of each file, as they were written."""
        files = sorted((self.folder / "results").glob("*.jsonl"))
        return [[json.loads(line) for line in file.read_text("ascii").splitlines()] for file in files]

    def results(self):
        (lines,) = self.recorded()
        return {line["test"]: line["result"] for line in lines if "test" in line}

    def test_plain_unittest_is_recorded(self):
        code, _, _ = self.run_suite("unittest", "suite")
        self.assertEqual(code, 1)
        (lines,) = self.recorded()
        self.assertEqual(lines[0], {"begin": "unittest", "python": " ".join(sys.version.split())})
        self.assertEqual(lines[-1], {"end": 1})
        expected = {
            "suite.Tests.test_1_well": "passed",
            "suite.Tests.test_2_bad": "failed",
            "suite.Tests.test_3_parts": "failed",
            "suite.Tests.test_3_parts (part=1)": "failed",
            "suite.Tests.test_4_skipped": "skipped",
            "suite.Tests.test_5_expected": "skipped",
            "suite.Tests.test_6_inner": "passed",
            "suite.Tests.test_7_forks": "passed",
            "suite.Tests.test_8_leaves": "passed",
        }
        self.assertEqual(self.results(), expected)
        messages = {line["test"]: line.get("message") for line in lines if "test" in line}
        self.assertEqual(messages["suite.Tests.test_2_bad"], "AssertionError: 1 != 2 : no")
        self.assertEqual(messages["suite.Tests.test_4_skipped"], "not today")

    def test_a_suite_that_leaves_early_has_no_end(self):
        code, _, _ = self.run_suite("unittest", "suite", LEAVES="1")
        self.assertEqual(code, 0)
        (lines,) = self.recorded()
        self.assertEqual(lines[-1], {"run": "suite.Tests.test_8_leaves"})
        self.assertEqual(len(self.results()), 8)

    def test_the_runner_for_recipes_records_the_same(self):
        self.run_suite("pybots_unittest", "suite")
        one = self.results()
        shutil.rmtree(self.folder / "results")
        self.run_suite("unittest", "suite")
        self.assertEqual(self.results(), one)

    def test_a_suite_sees_no_variable_of_the_recorder(self):
        (self.folder / "aware.py").write_text(
            "import os, unittest\n"
            "before = dict(os.environ)\n"
            "class Tests(unittest.TestCase):\n"
            "    def test_variables(self):\n"
            "        self.assertEqual(dict(os.environ), before)\n"
            "    def test_child(self):\n"
            "        import subprocess, sys\n"
            "        child = [sys.executable, '-m', 'unittest', 'aware.Tests.test_variables']\n"
            "        subprocess.run(child, env=dict(os.environ), check=True, stderr=subprocess.DEVNULL)\n"
        )
        code, _, error = self.run_suite("unittest", "aware")
        self.assertEqual(code, 0, error)
        # what a test starts is a part of it
        self.assertEqual(self.results(), {"aware.Tests.test_child": "passed", "aware.Tests.test_variables": "passed"})
        self.assertEqual([file.name for file in self.folder.glob("results*")], ["results"])

    def test_pytest_records_although_it_is_to_load_no_plugins(self):
        package = self.folder / "_pytest"
        package.mkdir()
        (package / "__init__.py").write_text("")
        # the part of pytest that counts here: the plugins that it loads in any case
        (package / "config.py").write_text("default_plugins = ('mark', 'main')\n")
        (self.folder / "show.py").write_text("import _pytest.config\nprint(_pytest.config.default_plugins)\n")
        self.assertEqual(self.run_suite("show")[1], "('mark', 'main')\n")
        _, out, _ = self.run_suite("show", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
        self.assertEqual(out, "('mark', 'main', 'pybots_pytest')\n")

    def test_two_runs_are_two_files(self):
        self.run_suite("unittest", "suite.Tests.test_1_well")
        self.run_suite("unittest", "suite.Tests.test_2_bad")
        ends = [lines[-1]["end"] for lines in self.recorded()]
        self.assertEqual(sorted(ends), [0, 1])

    def test_the_suite_writes_what_it_writes_without(self):
        def plain(written):
            return [line for line in written.splitlines() if not line.startswith("Ran ")]

        code, out, error = self.run_suite("unittest", "-v", "suite")
        bare = self.run_suite("unittest", "-v", "suite", records=False)
        self.assertEqual((code, out, plain(error)), (bare[0], bare[1], plain(bare[2])))

    def test_a_message_that_begins_a_traceback_is_its_last_line(self):
        sys.path.insert(0, str(PROGRAMS))
        self.addCleanup(sys.path.remove, str(PROGRAMS))
        import pybots_results
        text = "Traceback (most recent call last):\n  File x\nKeyError: 1\n"
        self.assertEqual(pybots_results.summary("RuntimeError: " + text), "RuntimeError: KeyError: 1")
        self.assertEqual(pybots_results.describe(RuntimeError("failed: " + text)), "RuntimeError: failed: KeyError: 1")
        self.assertEqual(pybots_results.summary("Traceback (most recent call last):"), "Traceback (most recent call last):")

    def test_names_are_text_whatever_they_hold(self):
        program = (
            "import pybots_results as r\n"
            "session = r.begin('x')\n"
            "for name in ['a\\n\\t\\x00\"\\\\', '\\U0001f600', '\\ud800']:\n"
            "    session.test(name, 'passed')\n"
            "session.end(0)\n"
        )
        (self.folder / "program.py").write_text(program)
        self.assertEqual(self.run_suite("program"), (0, "", ""))
        self.assertEqual(list(self.results()), ['a\n\t\x00"\\', "\U0001f600", "\\ud800"])

    def imports(self, place, program="import demo, tests"):
        """What the witness notes if a program runs in a folder of the work folder."""
        work = self.folder / "work"
        note = work / ".pybots" / "witness-tests:sources"
        path = os.pathsep.join([str(self.folder), str(work / "venv" / "lib")])
        environment = dict(os.environ, PYTHONPATH=path, PYBOTS_WITNESS=str(work / ".pybots" / "witness-tests"))
        subprocess.run([sys.executable, "-c", program], cwd=work / place, env=environment, check=True)
        text = note.read_text() if note.exists() else ""
        note.unlink(missing_ok=True)
        return text

    def test_a_package_from_the_source_folder_is_noted(self):
        for file in (".pybots/x", "src/demo/demo/__init__.py", "src/demo/tests/__init__.py", "src/demo/other.py",
                     "venv/lib/demo/__init__.py", "venv/lib/demo/sub/_fast.so", "venv/lib/demo/_slow.so", "venv/lib/tests/__init__.py"):
            (self.folder / "work" / file).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / "work" / file).write_text("")
        self.assertEqual(self.imports("src/demo"), "demo 2\n")
        # a child that leaves without imports says nothing, and its parent does
        fork = "import os, demo; os.fork() or os._exit(0); os.wait()"
        self.assertEqual(self.imports("src/demo", fork), "demo 2\n")
        # built in place
        for file in ("sub/_fast.so", "_slow.so"):
            (self.folder / "work/src/demo/demo" / file).parent.mkdir(exist_ok=True)
            (self.folder / "work/src/demo/demo" / file).write_text("")
        self.assertEqual(self.imports("src/demo"), "demo 0\n")
        self.assertEqual(self.imports("."), "")
        # what is nowhere else is meant, and an installation in place is
        self.assertEqual(self.imports("src/demo", "import other"), "")
        shutil.rmtree(self.folder / "work/venv/lib/demo")
        self.assertEqual(self.imports("src/demo"), "")

    def test_environments_of_tox_and_nox_are_noted_with_their_pythons(self):
        work = self.folder / "work"
        (work / ".pybots").mkdir(parents=True)
        (self.folder / "tox.py").write_text("")
        own = Path(sys.base_prefix, "bin")
        for name, home in (("src/p/.tox/py", own), ("src/p/.tox/py311", "/opt/other/bin"), ("src/p/.tox/.pkg", "/opt/other/bin"),
                           ("src/p/sub/.nox/tests", own), ("src/p/venv", "/opt/other/bin")):
            (work / name).mkdir(parents=True)
            (work / name / "pyvenv.cfg").write_text(f"home = {home}\nimplementation = CPython\nversion = 3.11.2\n")
        (work / "src/p/.tox/log").mkdir()
        note = work / ".pybots" / "witness-tests:environments"
        environment = dict(os.environ, PYTHONPATH=str(self.folder), PYBOTS_WITNESS=str(work / ".pybots" / "witness-tests"))
        for program, expected in (
            ("import tox", ["other .tox/py311 3.11.2", "same .nox/tests 3.11.2", "same .tox/py 3.11.2"]),
            ("import os, tox; os.fork() or exit(); os.wait()", ["other .tox/py311 3.11.2", "same .nox/tests 3.11.2", "same .tox/py 3.11.2"]),
            # a suite without these tools has environments of its own for other ends
            ("pass", []),
        ):
            subprocess.run([sys.executable, "-c", program], cwd=work, env=environment, check=True)
            self.assertEqual(sorted(note.read_text().splitlines()) if note.exists() else [], expected, program)
            note.unlink(missing_ok=True)

    def test_a_folder_that_can_not_be_written_stops_nothing(self):
        code, _, error = self.run_suite("unittest", "suite.Tests.test_1_well", PYBOTS_RESULTS="/proc/none", records=False)
        self.assertEqual(code, 0, error)


if __name__ == "__main__":
    unittest.main()
