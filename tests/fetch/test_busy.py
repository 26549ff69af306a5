"""Tests of what ends the fetch's own work on what strangers wrote."""

import bz2
import io
import os
import sys
import tarfile
import tempfile
import time
import unittest
import zipfile
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src" / "host" / "run"))
try:
    import packaging  # noqa: F401  part of the toolchain image, not of every machine
except ImportError as e:
    raise unittest.SkipTest("needs the packaging library") from e

import fetch_busy
import fetch_project
import fetch_unpack
from fetch_net import RecipeError


class InFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name).resolve()
        os.environ.pop("PYBOTS_FETCH_CACHE", None)


class Busy(InFolder):
    def test_it_is_noted_while_it_lasts_and_it_ends(self):
        note = self.folder / ".pybots" / "busy"
        with fetch_busy.busy(self.folder, "unpacking demo"):
            self.assertEqual(note.read_text(), "unpacking demo")
        self.assertFalse(note.exists())
        with self.assertRaisesRegex(RecipeError, "reading demo does not end: it takes longer than"):
            with fetch_busy.busy(self.folder, "reading demo", 0.2):
                while True:
                    pass
        self.assertFalse(note.exists())
        time.sleep(0.3)  # the time of work that has ended ends nothing else


class Declarations(InFolder):
    def declared(self, text):
        (self.folder / "pyproject.toml").write_text(text)
        return fetch_project.declared(self.folder, "demo")

    def refuses(self, text, reason):
        with self.assertRaisesRegex(RecipeError, reason):
            self.declared(text)

    def test_a_group_that_is_included_again_and_again_is_read_once(self):
        groups = "".join(f'g{n} = ["p{n}", {{include-group="g{n + 1}"}},{{include-group="g{n + 1}"}}]\n' for n in range(40))
        project = self.declared(f"[dependency-groups]\n{groups}g40 = []\n")
        self.assertEqual(fetch_project.group_lines("g0", project, "demo"), [f"p{n}" for n in range(40)])
        chain = "".join(f'g{n} = [{{include-group="g{n + 1}"}}]\n' for n in range(2000))
        project = self.declared(f"[dependency-groups]\n{chain}g2000 = []\n")
        with self.assertRaisesRegex(RecipeError, "included over more than 100 others"):
            fetch_project.group_lines("g0", project, "demo")
        project = self.declared('[dependency-groups]\na = [{include-group="b"}]\nb = [{include-group="a"}]\n')
        with self.assertRaisesRegex(RecipeError, "includes itself"):
            fetch_project.group_lines("a", project, "demo")

    def test_values_of_another_type_are_named(self):
        self.refuses("[project]\ndependencies = 5", r"project\.dependencies is no list")
        self.refuses("[project]\ndynamic = 5", r"project\.dynamic is no list")
        self.refuses("[project.optional-dependencies]\nx = 5", r"project\.optional-dependencies\.x is no list")
        for value in ("5", "[5]", "[{}]"):
            with self.assertRaisesRegex(RecipeError, r"build-system\.requires (is no list|holds .* no text)"):
                fetch_project.build_requires(f"[build-system]\nrequires = {value}", "demo")

    def test_what_the_parser_cannot_take_is_refused(self):
        self.refuses("x = " + "9" * 5000, "cannot be read")
        self.refuses("x = " + "[" * 5000, "cannot be read")
        started = time.monotonic()
        for key in (".".join(["a"] * 100_000), " . ".join(['"a"'] * 1000), ".".join([r'"\""'] * 1000)):
            self.refuses(f"{key} = 1", "more than 50 parts")
            self.refuses(f"[{key}]", "more than 50 parts")
            self.refuses(f"x = {{ {key} = 1 }}", "more than 50 parts")
        for text in ("a" * 900_000, '"' * 900_000, "a " * 450_000, "a." * 40):
            self.declared(f"# {text}")
        self.assertLess(time.monotonic() - started, 20)


class Bombs(InFolder):
    def test_an_archive_that_does_not_fit_is_refused_before_it_is_unpacked(self):
        size = 64 << 20
        archive, buffer = self.folder / "x.tar.bz2", io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as t:
            for name in ("x/a", "x/b"):
                entry = tarfile.TarInfo(name)
                entry.size = size
                t.addfile(entry, io.BytesIO(bytes(size)))
        archive.write_bytes(bz2.compress(buffer.getvalue()))
        zipped = self.folder / "x.zip"
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as z:
            z.writestr("x/a", bytes(size))
            z.writestr("x/b", bytes(size))
        with mock.patch.object(fetch_unpack.shutil, "disk_usage", return_value=mock.Mock(total=2 * size - 1)):
            for file in (archive, zipped):
                with self.assertRaisesRegex(RecipeError, "unpacks to more than 127 MiB"):
                    fetch_unpack.unpack(file, self.folder / "into")
                with self.assertRaisesRegex(RecipeError, "unpacks to more than 127 MiB"):
                    fetch_unpack.peek(file, "wanted")
        for file in (archive, zipped):
            fetch_unpack.unpack(file, self.folder / "into")
            self.assertEqual((self.folder / "into" / "b").stat().st_size, size)

    def test_a_name_of_any_length_is_refused(self):
        entry = tarfile.TarInfo("x")
        entry.type, entry.size = tarfile.GNUTYPE_LONGNAME, 5 << 30
        (self.folder / "x.tar").write_bytes(entry.tobuf() + bytes(10240))
        with mock.patch.object(fetch_unpack.shutil, "disk_usage", return_value=mock.Mock(total=1 << 30)):
            with self.assertRaisesRegex(RecipeError, "unpacks to more than 1024 MiB"):
                fetch_unpack.unpack(self.folder / "x.tar", self.folder / "into")


if __name__ == "__main__":
    unittest.main()
