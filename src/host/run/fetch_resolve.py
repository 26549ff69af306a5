"""For the fetch phase: exact versions of what install needs, and the files of them."""

import json, os, re, shutil, subprocess, tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging import tags
from packaging.utils import canonicalize_name
from packaging.version import Version

from fetch_busy import READ_WITHIN, busy
from fetch_net import InfraError, RecipeError, download, say
from fetch_project import backend_tools, build_requires, parse, written
from fetch_unpack import peek

STEPS_DOWN = 4
UV = shutil.which("uv") or "/opt/pybots/bin/uv"
# uv says that there is no wheel, or none for this Python.
NO_WHEEL = r"no usable wheels|no wheels|Wheels are (required|available)|has no (matching|compatible)|abi tag"


def held(lock):
    """What a lock of an earlier run holds: (versions by name, SHA-256 by file, sources by name)."""
    if not lock:
        return {}, {}, {}
    lock = json.loads(lock)
    versions, hashes, sources = {}, {}, {s["name"]: s for s in [lock["project"]]}
    for package in lock["packages"]:
        if package["role"] == "source":
            sources[package["name"]] = package
            continue
        hashes[package["file"]] = package["sha256"]
        versions.setdefault(canonicalize_name(package["name"]), set()).add(package["version"])
    # two versions of one package (one to run, one to build with) can't both be held
    return {n: v.pop() for n, v in sorted(versions.items()) if len(v) == 1}, hashes, sources


def uv_compile(requirements, python, index, what):
    """(pins, None) or (None, uv's explanation)."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "requirements.in").write_text(written(requirements, what))
        Path(folder, "held.txt").write_text(written((f"{n}=={v}" for n, v in index.held.items()), "the lock"))
        env = {**os.environ, "UV_INDEX_URL": index.url, "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1"}
        for name in ("UV_FIND_LINKS", "UV_NO_INDEX", "UV_OFFLINE", "UV_CONSTRAINT", "PIP_FIND_LINKS"):
            env.pop(name, None)
        cache = os.environ.get("PYBOTS_FETCH_CACHE")
        env["UV_CACHE_DIR"] = os.path.join(cache, "uv") if cache and os.access(cache, os.W_OK) else os.path.join(folder, "cache")
        command = [UV, "pip", "compile", "--quiet", "--no-build", "--no-header", "--no-annotate",
                   "--constraint", "held.txt", "--python-version", python, "requirements.in"]
        if index.before:
            command += ["--exclude-newer", index.before + "Z"]
        try:
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, errors="replace")
        except OSError as e:
            raise InfraError(f"the resolver cannot be started: {e}") from e
    if done.returncode == 0:
        return [parse(line, "resolver") for line in done.stdout.splitlines() if line.strip()], None
    # uv says these words itself, outside of what it quotes; a requirement can have any name
    unquoted = re.sub(r"`[^`]*`", "", done.stderr)
    if "No solution found" not in unquoted and re.search(
            r"(?i)error sending request|failed to fetch|timed out|network timeout|dns error|client error \(connect\)|tcp connect error|"
            r"invalid peer certificate|no space left on device", unquoted):
        raise InfraError(f"the resolver could not reach the package index:\n{done.stderr.strip()}")
    return None, done.stderr.strip()


def conclusion(text):
    """What the resolver concludes, in one line. It breaks its lines at a width."""
    found = re.search(r"╰─▶ (.*?)(?:\n\s*\n|\Z)", text, re.DOTALL)
    return " ".join((found[1] if found else text).split())


def resolve(requirements, python, index, what):
    """Exact versions for the requirements, from wheel metadata alone.

    A Python that is not released yet has few wheels of its own, and without one there is no metadata to
    read. The metadata of the wheels for the line before it is then the best there is to go by."""
    major, minor = (int(n) for n in python.split("."))
    first = None
    for step in range(STEPS_DOWN + 1):
        tried = f"{major}.{minor - step}"
        pins, why = uv_compile(requirements, tried, index, what)
        if pins is not None:
            if step:
                say(f"{what}: resolved as for Python {tried}, as not every package has a wheel for {python} yet")
            pins = {canonicalize_name(p.name): Version(next(iter(p.specifier)).version) for p in pins}
            remark_on_newer(pins, tried, index)
            return pins
        first = first or why
        # Only missing wheels are worth another round; a real conflict stays one.
        if not re.search(NO_WHEEL, why):
            break
    say(f"{what}: asked for: {', '.join(requirements)}\n{first}")
    text = conclusion(first).rstrip(".")
    if re.search(NO_WHEEL, first):
        # the cure first: reasons are cut
        found = re.search(r"([A-Za-z0-9._-]+)(?:[<>=!~]\S+)? ha(?:s|ve) no (?:usable )?wheels|versions of ([A-Za-z0-9._-]+) have no", text)
        name = found and (found[1] or found[2])
        cure = f": {extra_source(name)}" if name else ""
        raise RecipeError(f"{what}: a package that only has sdists cannot be resolved without running its code. Make it an extra "
                          f"source{cure}. {text}")
    raise RecipeError(f"{what}: the requirements cannot be met. {text}")


def extra_source(name):
    """The lines of a recipe that install a package from its sdist."""
    return (f'extra_sources = [{{ name = "{name}", pypi = "{name}" }}] and install = ["uv pip install /work/src/{name}", '
            '"uv pip install ."]')


def remark_on_newer(pins, python, index):
    """Say which releases the resolver passed over since they could not be taken. Those that a requirement excludes are none."""
    ranks = wheel_ranks(python, False)
    with ThreadPoolExecutor(8) as pool:
        for name, version, newer in pool.map(lambda p: (*p, index.passed_over(*p, ranks, python)), sorted(pins.items())):
            if newer:
                say(f"  note: {name} {version} is taken; passed over: {newer}")


def wheel_ranks(python, free_threaded):
    """Every wheel tag this Python can use -> how specific it is (0 is best)."""
    version = tuple(int(n) for n in python.split("."))
    cp = f"cp{version[0]}{version[1]}"
    plats = list(tags.platform_tags())
    every = list(tags.cpython_tags(version, [cp + "t" * free_threaded], plats)) + list(tags.compatible_tags(version, cp, plats))
    # The stable ABI before abi3t does not exist in a free-threaded build.
    every = [t for t in every if not (free_threaded and t.abi == "abi3")]
    return {t: i for i, t in reversed(list(enumerate(every)))}


class Wheelhouse:
    """Collects into WORK/wheels whatever an offline install of pins and sources can ask for."""

    def __init__(self, index, work, python, free_threaded):
        self.index, self.work, self.python = index, work, python
        self.ranks = wheel_ranks(python, free_threaded)
        self.files, self.done = {}, set()  # file name -> (name, version, File, role)

    def add(self, pins, role):
        """Choose and download one file for each pin; returns the sdists among them."""
        with ThreadPoolExecutor(8) as pool:
            chosen = list(pool.map(lambda p: (*p, self.index.best(*p, self.ranks)), sorted(pins.items())))
            new = [(n, v, f) for n, v, f in chosen if f.name not in self.files]
            for name, version, file in chosen:
                self.files.setdefault(file.name, (name, version, file, role))
            list(pool.map(lambda c: download(c[2].url, c[2].sha256, self.work / "wheels" / c[2].name, c[2].name), new))
        return [(n, v, f) for n, v, f in new if not f.name.endswith(".whl")], {n: f for n, _, f in chosen}

    def add_build(self, label, requires):
        """Download what it takes to build `label`, and to build those, until nothing is missing."""
        self.add_needs(label, requires)
        tools = backend_tools(requires)
        try:
            self.add_needs(label, tools)
        except RecipeError as e:  # a build may do without
            say(f"  note: what the build back end of {label} may ask for, {', '.join(tools)}, can't be fetched: {e}")

    def add_needs(self, label, requires):
        todo = [(label, requires)]
        while todo:
            label, requires = todo.pop()
            if not requires or requires in self.done:
                continue
            self.done.add(requires)
            sdists, _ = self.add(resolve(requires, self.python, self.index, f"to build {label}"), "build")
            todo += self.builds_of(sdists)

    def builds_of(self, sdists):
        for name, version, file in sdists:
            say(f"  {file.name} is built during install: there is no wheel of it for Python {self.python}")
            with busy(self.work, f"reading the metadata of {file.name}", READ_WITHIN):
                requires = build_requires(peek(self.work / "wheels" / file.name, "pyproject.toml"), name)
            yield f"{name} {version}", requires


