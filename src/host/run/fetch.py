"""The fetch phase of a run: everything that install will need, without running project code.

Reads  WORK/.pybots/fetch.json    what the recipe asks for
Writes WORK/src/NAME              every source, unpacked
       WORK/wheels                wheels and sdists: run dependencies, and what builds them
       WORK/.pybots/requirements.txt   the pins to install, with hashes
       WORK/.pybots/lock.json     what was fetched, for the record

Metadata is only ever read, never computed: no setup.py, no build back end. What a back end
would ask for at build time (PEP 517 get_requires_for_build_wheel) is therefore unknown here; a
recipe lists such rare needs in `requires`.

Exit status: 0 done, 10 the recipe is wrong, 11 the network, the index or this machine failed, 12 the source named in
WORK/.pybots/fetching does not answer.
"""

import email.parser, errno, json, os, platform, re, shutil, signal, subprocess, sys, tempfile, tomllib, unicodedata, urllib.parse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from packaging import tags
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from fetch_net import RATE_LEAST, RATE_OVER, Index, InfraError, RecipeError, Unreachable, download, say
from fetch_unpack import peek, read_inside, unpack

STEPS_DOWN = 4
UV = shutil.which("uv") or "/opt/pybots/bin/uv"


# -- sources ------------------------------------------------------------------------------------

def fetch_source(src, index, work, python):
    """Bring one source to WORK/src/NAME; returns its line for the lock. Says in WORK/.pybots/fetching whose answer it waits for."""
    address = src.get("git") or src.get("svn") or src.get("url")
    if not address:
        return bring(src, index, work, python)
    note = work / ".pybots" / "fetching"
    note.parent.mkdir(exist_ok=True)
    note.write_text(address)
    try:
        line = bring(src, index, work, python)
    except InfraError as e:
        raise Unreachable(f"{src['name']}: {e}") from e
    note.unlink()
    return line


def bring(src, index, work, python):
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", src["name"]):
        raise RecipeError(f"{src['name']!r} cannot be the name of a folder: use letters, digits, dot, dash, underscore")
    into = work / "src" / src["name"]
    line = {"name": src["name"], "version": None, "sha256": src.get("sha256"), "source": "path"}
    if "pypi" in src:
        version, file = index.sdist(src["pypi"], src.get("version"), (src.get("sha256") or "").lower(), python)
        archive(file.url, file.sha256, file.name, into, work)
        line.update(version=str(version), sha256=file.sha256, source=f"pypi:{src['pypi']}")
    elif "url" in src:
        name = urllib.parse.urlsplit(src["url"]).path.rsplit("/", 1)[-1].lstrip(".") or "archive"
        archive(src["url"], src["sha256"].lower(), name, into, work, RecipeError)
        line.update(source=src["url"])
    elif "git" in src:
        line.update(source=src["git"], version=git(src["git"], src["rev"], into))
    elif "svn" in src:
        shutil.rmtree(into, ignore_errors=True)
        into.parent.mkdir(parents=True, exist_ok=True)
        run_tool(["svn", "export", "--quiet", "--non-interactive", "-r", str(src["rev"]), "--", src["svn"], str(into)])
        line.update(source=src["svn"], version=str(src["rev"]))
    elif not into.is_dir():
        raise InfraError(f"the source {src['name']} should already be in place, but is not")
    say(f"source {src['name']} {line['version'] or ''}".rstrip())
    return line


def archive(url, sha256, name, into, work, slow=InfraError):
    kept = work / ".pybots" / "sources" / name[-100:]
    download(url, sha256, kept, name, slow)
    unpack(kept, into)
    kept.unlink()


def git(url, rev, into):
    if rev.startswith("-"):
        raise RecipeError(f"{rev!r} is not a git revision")
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    base = ["git", "-c", "protocol.ext.allow=never", "-c", "core.hooksPath=/dev/null", "-c", f"http.lowSpeedLimit={RATE_LEAST}",
            "-c", f"http.lowSpeedTime={RATE_OVER}", "-C", str(into)]
    run_tool(base + ["init", "--quiet"])
    try:
        run_tool(base + ["fetch", "--quiet", "--depth=1", "--", url, rev])
        run_tool(base + ["checkout", "--quiet", "--detach", "FETCH_HEAD"], RecipeError)
    except InfraError:  # many servers refuse to hand out a single commit by its hash
        run_tool(base + ["fetch", "--quiet", "--tags", "--", url, "+refs/heads/*:refs/remotes/origin/*"])
        run_tool(base + ["checkout", "--quiet", "--detach", rev], RecipeError)
    return run_tool(base + ["rev-parse", "HEAD"]).strip()


# What git and svn say when a server answers, and will answer the same tomorrow, or when it trickles.
FINAL = re.compile(r"(?i)not found|does ?n.t exist|does not exist|find remote ref|too slow|file name too long")
TOOL_WITHIN = 900  # seconds


def run_tool(command, error=InfraError, within=None):
    within = within or TOOL_WITHIN
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    if "SSL_CERT_FILE" in env:
        env.setdefault("GIT_SSL_CAINFO", env["SSL_CERT_FILE"])
    try:
        tool = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=env,
                                stdin=subprocess.DEVNULL, start_new_session=True)
    except FileNotFoundError as e:
        raise InfraError(f"the toolchain image has no {command[0]}") from e
    try:
        out, err = tool.communicate(timeout=within)
    except subprocess.TimeoutExpired as e:
        os.killpg(tool.pid, signal.SIGKILL)  # its helpers, too
        tool.communicate()
        raise RecipeError(f"{command[0]} took longer than {within} s: the server of the source is too slow, or the source too large; "
                          "name an archive by `url`") from e
    if tool.returncode:
        raise (RecipeError if FINAL.search(err) else error)(f"{command[0]} failed: {err.strip()[-600:]}")
    return out


# -- what a project declares -----------------------------------------------------------------------

def toml(text, what):
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise RecipeError(f"{what}: pyproject.toml cannot be read: {e}") from e


def build_requires(pyproject, what):
    """[build-system] requires; a project without that table is built by setuptools (PEP 518)."""
    system = toml(pyproject, what).get("build-system", {}) if pyproject else {}
    return tuple(system.get("requires", ["setuptools>=40.8.0", "wheel"]))


def static_dependencies(folder):
    """Requirement lines of a source tree, extras as markers, without running anything."""
    if pkg_info := read_inside(folder, "PKG-INFO"):
        lines = email.parser.HeaderParser().parsestr(pkg_info).get_all("Requires-Dist")
        if lines:
            return [" ".join(line.split()) for line in lines]  # a header may be folded
    table = toml(read_inside(folder, "pyproject.toml") or "", folder.name).get("project", {})
    lines = list(table.get("dependencies", []))
    for extra, deps in table.get("optional-dependencies", {}).items():
        for dep in deps:
            spec, _, marker = dep.partition(";")
            lines.append(f"{spec.strip()} ; {f'({marker.strip()}) and ' if marker.strip() else ''}extra == '{extra}'")
    return lines


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
    sources may name an address: it is not fetched from there."""
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
            if canonicalize_name(req.name) in sources:
                req.url = None
            chosen.append(from_index(req, own_name))
    return sorted(set(chosen))


# -- resolving ----------------------------------------------------------------------------------

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
        try:
            done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, errors="replace")
        except OSError as e:
            raise InfraError(f"the resolver cannot be started: {e}") from e
    if done.returncode == 0:
        return [parse(line, "resolver") for line in done.stdout.splitlines() if line.strip()], None
    if "No solution found" not in done.stderr and re.search(
            r"(?i)error sending request|failed to fetch|timed out|dns|connect|certificate|no space left", done.stderr):
        raise InfraError(f"the resolver could not reach the package index:\n{done.stderr.strip()}")
    return None, done.stderr.strip()


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
            return {canonicalize_name(p.name): Version(next(iter(p.specifier)).version) for p in pins}
        first = first or why
        # Only missing wheels are worth another round; a real conflict stays one.
        if not re.search(r"no usable wheels|no wheels|Wheels are (required|available)|has no (matching|compatible)|abi tag", why):
            break
    raise RecipeError(f"{what}: the requirements cannot be met. Asked for: {', '.join(requirements)}\n{first}\n"
                      "A package that only has sdists cannot be resolved without running its code: make it an extra source")


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
            yield f"{name} {version}", build_requires(peek(self.work / "wheels" / file.name, "pyproject.toml"), name)


def fetch(work):
    order = json.loads((work / ".pybots" / "fetch.json").read_text())
    python, sources = order["python"], order["sources"]
    modern = tuple(int(n) for n in python.split(".")) >= (3, 8)
    versions, hashes, pinned = held(order.get("lock"))
    index, lock = Index(versions, hashes), []
    for src in sources:
        if "pypi" in src and src["name"] in pinned:
            src = {**src, "version": pinned[src["name"]]["version"], "sha256": pinned[src["name"]]["sha256"]}
        elif "git" in src and src["name"] in pinned:  # `rev` may be a branch
            src = {**src, "rev": pinned[src["name"]]["version"]}
        lock.append(fetch_source(src, index, work, python))
    pins, chosen, house = {}, {}, None
    if modern:
        house = Wheelhouse(index, work, python, bool(order.get("free_threaded")))
        env = target_environment(python)
        asked, extras = set(), set()
        for entry in map(str.strip, order["requires"]):
            if entry.startswith("."):  # ".[test]": an extra of the project itself
                extras |= parse("project" + entry[1:], "requires").extras
            else:
                asked.add(from_index(parse(entry, "requires"), "requires"))
        # The project under test, and what is unpacked beside it, come from their sources only, and are never pinned.
        own = {canonicalize_name(s.get("pypi", s["name"])) for s in sources}
        for i, src in enumerate(sources):
            lines = static_dependencies(work / "src" / src["name"])
            asked.update(select(lines, extras if i == 0 else set(), env, src.get("pypi", src["name"]), own))
        if asked:
            pins = resolve(sorted(asked), python, index, "dependencies")
            sdists, chosen = house.add(pins, "run")
            for label, requires in house.builds_of(sdists):
                house.add_build(label, requires)
        pins = {n: v for n, v in pins.items() if n not in own}
        for src in sources:
            text = read_inside(work / "src" / src["name"], "pyproject.toml")
            house.add_build(src["name"], build_requires(text, src["name"]))
    elif order["requires"]:
        raise RecipeError(f"Python {python} has no resolver: `requires` must be empty, use `extra_sources`")
    (work / "wheels").mkdir(exist_ok=True)
    lines = [f"{n}=={v} --hash=sha256:{chosen[n].sha256}\n" for n, v in sorted(pins.items())]
    (work / ".pybots" / "requirements.txt").write_text("".join(lines))
    packages = [{"name": n, "version": str(v), "file": f.name, "sha256": f.sha256, "role": role}
                for n, v, f, role in (house.files.values() if house else ())]
    packages += [{"name": s["name"], "version": s["version"], "file": None, "sha256": s["sha256"], "role": "source"}
                 for s in lock[1:]]
    packages.sort(key=lambda p: (p["name"], p["version"] or "", p["file"] or ""))
    record = json.dumps({"project": lock[0], "packages": packages}, indent=1, sort_keys=True)
    (work / ".pybots" / "lock.json").write_text(record + "\n")
    say(f"fetched {len(sources)} source(s), {len(pins)} package(s) to install, {len(packages)} file(s) in all")


def main():
    try:
        fetch(Path(sys.argv[1] if len(sys.argv) > 1 else "/work"))
    except RecipeError as e:
        say(f"error in the recipe: {e}")
        return 10
    except Unreachable as e:
        say(f"source unreachable: {e}")
        return 12
    except InfraError as e:
        say(f"cannot fetch now, not the recipe's fault: {e}")
        return 11
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            say("error in the recipe: what it fetches does not fit into the work folder; raise `work`, or fetch less")
            return 10
        say(f"this machine failed: {e}")  # read-only, too many open files
        return 11
    except Exception as e:  # what is fetched is anybody's text: whatever it is, this machine is fine
        say(f"error in the recipe: what it names can't be read: {type(e).__name__}: {e}")
        return 10
    return 0


if __name__ == "__main__":
    sys.exit(main())
