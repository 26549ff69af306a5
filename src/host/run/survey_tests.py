"""For the survey of `pybots init`: what the test files of a source say about how to run them, from their syntax trees."""

import ast, re, sys, warnings
from collections import Counter

from survey_tree import LINES_MOST, cut

PARSED_MOST = 1500  # files
PARSED_ALL = 24 << 20  # characters of them
LISTED_MOST = 3000  # names of files
NAMESPACES = {"google", "zope", "ruamel", "azure", "backports", "jaraco"}
TEST_FOLDER = re.compile(r"(?i)^(tests?|testing|t)$")
VENDORED = re.compile(r"(?i)^(third[_-]?party|_?vendor(ed)?|externals?|extern|_?subprojects|bundled)$")
TEST_FILE = re.compile(r"(^test_.*|.*_tests?|^tests?|^conftest)\.py$")
NO_TESTS = {"places": [], "files": [], "imports": [], "arguments": [], "marks": [], "runners": []}
RUNNER = re.compile(r"^(runtests?|run_tests?|alltests|regrtest|testall|test_all|testsuite)\.py$")


def place_of(path):
    """The topmost folder of tests that holds a file, or its own folder."""
    parts = path.split("/")[:-1]
    for index, part in enumerate(parts):
        if TEST_FOLDER.match(part):
            return "/".join(parts[:index + 1])
    return "/".join(parts)


def is_test_path(path):
    """Whether a file belongs to the project's own tests."""
    *folders, name = path.split("/")
    if any(VENDORED.match(folder) for folder in folders):
        return False
    return name.endswith(".py") and (bool(TEST_FILE.match(name)) or any(TEST_FOLDER.match(folder) for folder in folders))


class Reader(ast.NodeVisitor):
    """Collects from one file what it imports on its top level without a fallback, and which runner it is written for."""

    def __init__(self):
        self.imports, self.runners, self.arguments, self.defined, self.marks = set(), set(), set(), set(), set()

    def top(self, body):
        for node in body:
            if isinstance(node, ast.Import):
                self.imports.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                self.imports.add(node.module)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
                if not node.orelse and "version_info" not in ast.dump(node.test):
                    self.top(node.body)
            elif isinstance(node, ast.With):
                self.top(node.body)
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
                self.runners.add("pytest")
            elif isinstance(node, ast.ClassDef):
                bases = " ".join(ast.unparse(base) for base in node.bases)
                if "TestCase" in bases:
                    self.runners.add("unittest")
                elif node.name.startswith("Test") and not bases:
                    self.runners.add("pytest")

    def visit_FunctionDef(self, node):
        self.defined.add(node.name)
        fixture = any("fixture" in ast.unparse(d) for d in node.decorator_list)
        if fixture or node.name.startswith("test"):
            given = " ".join(ast.unparse(d) for d in node.decorator_list if "parametrize" in ast.unparse(d))
            names = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
            self.arguments.update(name for name in names if not re.search(rf"\b{re.escape(name)}\b", given))
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Attribute(self, node):
        inner = node.value
        if isinstance(inner, ast.Attribute) and inner.attr == "mark" and isinstance(inner.value, ast.Name) and inner.value.id == "pytest":
            self.marks.add(node.attr)
        self.generic_visit(node)


def read(text):
    """What a file says, or None if it can't be parsed."""
    reader = Reader()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(text)
        reader.top(module.body)
        reader.visit(module)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return reader


def third_party(modules, own):
    """The outermost names of modules that are neither Python's nor the project's."""
    names = {module.split(".")[0] for module in modules} - NAMESPACES
    return {name for name in names if name not in sys.stdlib_module_names and name not in own and name.isidentifier()}


def namespaces(modules, own):
    """As third_party, with two parts: for namespace packages, whose distributions bear both."""
    return {".".join(module.split(".")[:2]) for module in modules
            if module.count(".") and module.split(".")[0] in NAMESPACES and module.split(".")[0] not in own}


def test_survey(tree):
    paths = [path for path in tree.files if is_test_path(path)]
    # what tests import from beside them is theirs
    own = {part.removesuffix(".py") for path in paths for part in path.split("/")}
    own |= {package["name"] for package in tree.packages()} | set(tree.top())
    places, imports, arguments, defined, marks = {}, Counter(), Counter(), set(), Counter()
    left = PARSED_ALL
    for path in paths[:PARSED_MOST]:
        name = path.rpartition("/")[2]
        is_test = bool(TEST_FILE.match(name)) and name != "conftest.py"
        place = places.setdefault(place_of(path), {"path": cut(place_of(path)), "files": 0, "runners": Counter()})
        text = tree.read(path) or ""
        left -= len(text)
        if left < 0:
            tree.notes.append(f"only the first {PARSED_ALL >> 20} MiB of the test files were read")
            break
        reader = read(text)
        if reader is None:
            continue
        defined |= reader.defined
        if is_test or name == "conftest.py" or reader.runners:
            imports.update(third_party(reader.imports, own) | namespaces(reader.imports, own))
        if is_test or (reader.runners and "/" in path):
            place["files"] += 1
            place["runners"].update(reader.runners or set())
            arguments.update(reader.arguments)
            marks.update(reader.marks)
            if any(module.split(".")[0] == "pytest" for module in reader.imports):
                place["runners"]["pytest"] += 1
    found = []
    for place in sorted(places.values(), key=lambda p: (-p["files"], p["path"])):
        if place["files"]:
            parents = place["path"].split("/")
            within = bool(place["path"]) and f"{place['path']}/__init__.py" in tree.all and len(parents) > 1 and \
                f"{'/'.join(parents[:-1])}/__init__.py" in tree.all
            found.append({**place, "runners": dict(place["runners"]), "is_in_package": within,
                          "is_package": f"{place['path']}/__init__.py" in tree.all})
    return {
        "places": found[:20], "files": [cut(path) for path in paths][:LISTED_MOST],
        "imports": [[cut(name), count] for name, count in imports.most_common(LINES_MOST)],
        "arguments": [cut(name) for name, _ in arguments.most_common() if name not in defined][:LINES_MOST],
        "marks": [cut(name) for name, _ in marks.most_common(LINES_MOST)],
        "runners": [cut(path) for path in tree.files if RUNNER.match(path.rpartition("/")[2]) and path.count("/") < 2][:10],
    }
