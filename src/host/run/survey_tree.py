"""For the survey of `pybots init`: a source tree, read within bounds and never outside of it."""

import configparser, os, re
from pathlib import Path

from fetch_net import RecipeError
from fetch_project import parsed
from fetch_unpack import read_inside

FILES_MOST = 20_000  # of a tree
DEPTH_MOST = 12
FILE_MOST = 512 << 10  # bytes of a file that is read
TEXT_MOST = 300  # characters of a text
LINES_MOST = 100  # entries of a list

SKIPPED = {".git", ".hg", ".svn", ".tox", ".nox", ".venv", "venv", "node_modules", "__pycache__", ".eggs"}
BUILT = {"build", "dist"}  # at the root
# Folders that hold no package of the project.
OTHER = re.compile(r"(?i)^(tests?|testing|docs?|examples?|benchmarks?|scripts?|tools?|ci|requirements|setup|bin|build|dist|conftest|noxfile|tasks|"
                   r"doc|etc|data|misc|contrib|demos|samples?|notebooks?|perf|integration|ext|vendor|changelog|news|t)$")


def text_of(value):
    """A text of a file, as one line."""
    return " ".join(value.split()) if isinstance(value, str) else ""


def cut(text):
    text = str(text).encode("utf-8", "replace").decode()  # half a pair is no text in JSON
    return text if len(text) <= TEXT_MOST else text[:TEXT_MOST]


def lines_of(values):
    """The texts of a list, within bounds, without repetition."""
    texts = (text_of(value) for value in values)
    return list(dict.fromkeys(cut(text) for text in texts if text))[:LINES_MOST]


class Tree:
    """The files of a source, by their paths relative to its root. Links are left out."""

    def __init__(self, root):
        self.root, self.files, self.notes = Path(root), [], []
        for folder, folders, files in os.walk(self.root):
            here = Path(folder).relative_to(self.root)
            deep = len(here.parts) >= DEPTH_MOST
            folders[:] = [] if deep else sorted(name for name in folders if name not in SKIPPED
                                              and not name.endswith(".egg-info") and (here.parts or name not in BUILT))
            for name in sorted(files):
                path = (here / name).as_posix()
                if len(self.files) < FILES_MOST and not (self.root / path).is_symlink() and path.isprintable():
                    self.files.append(path)
            if len(self.files) >= FILES_MOST:
                self.notes.append(f"only the first {FILES_MOST} files were read")
                break
        self.all = set(self.files)
        self.folders = {parent.as_posix() for path in self.files for parent in Path(path).parents} - {"."}
        self.pyproject = self._toml("pyproject.toml")

    def read(self, path):
        """The text of a file, or None if there is none, it is too large, or it leads out of the tree."""
        place = self.root / path
        try:
            if not place.resolve().is_relative_to(self.root.resolve()):
                return None
            return read_inside(place.parent, place.name, FILE_MOST)
        except (RecipeError, OSError, ValueError) as e:
            self.notes.append(cut(f"{path} was not read: {e}"))
            return None

    def _toml(self, path):
        try:
            return parsed(self.read(path) or "")
        except ValueError as e:
            self.notes.append(cut(f"{path} can't be read: {e}"))
            return {}

    def toml(self, path):
        return self._toml(path) if path in self.all else {}

    def ini(self, path, text=None):
        """The sections of an ini file, or an empty parser."""
        parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
        try:
            parser.read_string((self.read(path) or "") if text is None else text)
        except (configparser.Error, AttributeError) as e:  # a value that goes on in the next line, and has none
            self.notes.append(cut(f"{path} can't be read: {e}"))
            return configparser.RawConfigParser()
        return parser

    def setup_cfg(self, section, option):
        return text_of(self.ini("setup.cfg").get(section, option, fallback="")) if "setup.cfg" in self.all else ""

    def packages(self, project=""):
        """What of the project can be imported: (name, folder below which it is, whether it is a folder)."""
        found = {}
        for below in ("src", "lib", "python", ""):
            prefix = f"{below}/" if below else ""
            for path in self.files:
                if not path.startswith(prefix) or not path.endswith(".py"):
                    continue
                parts = path[len(prefix):].split("/")
                name = parts[0] if len(parts) > 1 else parts[0][:-3]
                is_package = len(parts) > 1 and f"{prefix}{name}/__init__.py" in self.all
                is_namespace = len(parts) > 2 and parts[-1] == "__init__.py" and bool(below)
                is_module = len(parts) == 1 and not name.startswith("test")
                own = is_package or is_namespace or is_module
                is_other = OTHER.match(name) and not below and name.lower() != project.lower().replace("-", "_")
                if own and name.isidentifier() and not is_other:
                    found.setdefault(name, {"name": cut(name), "below": below, "is_folder": len(parts) > 1})
        return list(found.values())[:LINES_MOST]

    def top(self):
        """Names of modules that a Python in the root folder could import."""
        names = {path.split("/")[0].removesuffix(".py") for path in self.files if path.endswith(".py")}
        return sorted(cut(name) for name in names if name.isidentifier())[:LINES_MOST]
