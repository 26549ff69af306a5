"""For the fetch phase: brings the sources of a recipe into the work folder."""

import contextlib, os, re, shutil, signal, subprocess, urllib.parse
from pathlib import Path

from fetch_busy import busy
from fetch_net import RATE_LEAST, RATE_OVER, InfraError, MachineError, RecipeError, Unreachable, download, say
from fetch_unpack import unpack

# Submodules of one source, and how deep they may nest: a repository names others without end.
MODULES_MOST = 50
MODULES_DEPTH = 4
# Files that are named in a note; the rest is counted.
NAMED = 5
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
# What git and svn write when a server answers, and will answer the same tomorrow, or when it trickles.
FINAL = re.compile(r"(?i)not found|does ?n.t exist|does not exist|find remote ref|too slow|file name too long|transport .* not allowed|is not public|"
                   r"response 403|code 403 from proxy|E205011")
COMMIT = re.compile(r"[0-9a-fA-F]{40}(?:[0-9a-fA-F]{24})?")
TOOL_WITHIN = 900  # seconds
TUNNEL = Path(__file__).with_name("fetch_tunnel.py")
PROJECT_FILES = ("pyproject.toml", "setup.py", "setup.cfg")


def home(src, work):
    """The folder of a source in which its project is."""
    return work / "src" / src["name"] / src.get("subfolder", "")


def fetch_source(src, index, work, python):
    """Bring one source to WORK/src/NAME; returns its line for the lock."""
    with awaiting(src, work):
        return bring(src, index, work, python)


@contextlib.contextmanager
def awaiting(src, work):
    """What fails in here is a matter of the source, if it has an address, until it is `answered`. WORK/.pybots/fetching names the address
    whose answer is awaited."""
    address = src.get("git") or src.get("svn") or src.get("url")
    if not address:
        yield
        return
    note = note_of(work)
    note.parent.mkdir(exist_ok=True)
    note.write_text(address)
    try:
        yield
    except MachineError:
        raise
    except InfraError as e:
        if not note.exists():
            raise
        raise Unreachable(f"{src['name']}: {e}") from e
    answered(work)


def note_of(work):
    return work / ".pybots" / "fetching"


def answered(work):
    """The source has sent all that it was asked for. What takes long from here on is this machine's work on it."""
    note_of(work).unlink(missing_ok=True)


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
        line.update(source=src["git"], version=git(src["git"], src["rev"], into, src.get("submodules", True)))
    elif "svn" in src:
        shutil.rmtree(into, ignore_errors=True)
        into.parent.mkdir(parents=True, exist_ok=True)
        options, address = svn_way(src["svn"])
        # an external names no revision, so two runs of one revision could get different files
        run_tool(["svn", "export", "--quiet", "--non-interactive", "--ignore-externals", *options, "-r", str(src["rev"]), "--", address, str(into)])
        line.update(source=src["svn"], version=str(src["rev"]))
    elif not into.is_dir():
        raise InfraError(f"the source {src['name']} should already be in place, but is not")
    find_project(src, into)
    say(f"source {src['name']} {line['version'] or ''}".rstrip())
    return line


def svn_way(address):
    """The options that make svn use the proxy and the CA bundle of the environment, of which it knows neither, and the address to name."""
    options, proxy = [], urllib.parse.urlsplit(os.environ.get("http_proxy", ""))
    if ca := os.environ.get("SSL_CERT_FILE"):
        options += ["--config-option", f"servers:global:ssl-authority-files={ca}"]
    if not proxy.hostname:
        return options, address
    options += ["--config-option", f"servers:global:http-proxy-host={proxy.hostname}",
                "--config-option", f"servers:global:http-proxy-port={proxy.port or 80}",
                "--config-option", f"config:tunnels:pybots={TUNNEL}"]
    return options, re.sub(r"^svn://", "svn+pybots://", address)


def archive(url, sha256, name, into, work, blame=InfraError):
    kept = work / ".pybots" / "sources" / name[-100:]
    download(url, sha256, kept, name, blame)
    answered(work)
    with busy(work, f"unpacking {name}"):
        unpack(kept, into)
    kept.unlink()


def find_project(src, into):
    """Make sure that the source has its project where the recipe says."""
    wanted = src.get("subfolder", "")
    found = sorted(str(p.parent.relative_to(into)) for name in PROJECT_FILES[:2] for deep in ("*", "*/*") for p in into.glob(f"{deep}/{name}"))
    found = ", ".join(list(dict.fromkeys(found))[:NAMED])
    if wanted:
        folder = into / wanted
        if not folder.is_dir() or not folder.resolve().is_relative_to(into.resolve()):
            there = f"; these folders hold a project: {found}" if found else ""
            raise RecipeError(f"source {src['name']} has no folder {wanted!r}, which `subfolder` names{there}")
    elif found and not any((into / name).is_file() for name in PROJECT_FILES):
        say(f"  note: source {src['name']} has no pyproject.toml and no setup.py at its top. If the project is below, name its "
            f"folder by `subfolder`: {found}")


# -- git ----------------------------------------------------------------------------------------

def in_git(folder, *arguments, error=InfraError):
    base = ["git", "-c", "core.hooksPath=/dev/null", "-c", f"http.lowSpeedLimit={RATE_LEAST}", "-c", f"http.lowSpeedTime={RATE_OVER}",
            "-C", str(folder)]
    return run_tool(base + list(arguments), error)


def git(url, rev, into, with_submodules=True):
    """Check out one revision: a commit, a tag or a branch. Returns the id of its commit."""
    if rev.startswith("-"):
        raise RecipeError(f"{rev!r} is not a git revision")
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    in_git(into, "init", "--quiet")
    try:
        in_git(into, "fetch", "--quiet", "--depth=1", "--", url, rev)
        commit = "FETCH_HEAD"
    except (InfraError, RecipeError) as e:
        # many servers refuse to hand out a single commit by its hash, or know no short one; some can't cut history at all
        if isinstance(e, RecipeError) and "remote ref" not in str(e):
            raise
        in_git(into, "fetch", "--quiet", "--tags", "--", url, "+refs/heads/*:refs/remotes/origin/*")
        commit = named(into, rev)
    in_git(into, "checkout", "--quiet", "--detach", commit, error=RecipeError)
    if with_submodules:
        # an address like ../other.git is one beside this; no login may stay where the project can read it
        parts = urllib.parse.urlsplit(url)
        in_git(into, "config", "remote.origin.url", parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl())
        submodules(into, [MODULES_MOST], MODULES_DEPTH)
    remark_on_pointers(into)
    found = in_git(into, "rev-parse", "HEAD").strip()
    if COMMIT.fullmatch(rev) and found != rev.lower():
        raise RecipeError(f"{rev} is the id of a tag, not of a commit: write its commit, {found}")
    return found


def named(into, rev):
    """The commit that a name means, in the order in which a server would look for it."""
    for name in (f"refs/tags/{rev}", f"refs/remotes/origin/{rev}", rev):
        try:
            return in_git(into, "rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}").split()[-1]
        except InfraError:
            continue
    raise RecipeError(f"the repository has no commit, tag or branch {rev!r}")


def submodules(into, left, depth):
    """Fetch the submodules of a checkout, and theirs. `left` holds how many there may still be."""
    entries = (e.split("\t", 1) for e in in_git(into, "ls-files", "--stage", "-z").split("\0") if e.startswith("160000 "))
    paths = [path for _, path in entries]
    if not paths:
        return
    left[0] -= len(paths)
    if left[0] < 0 or not depth:
        raise RecipeError(f"the source has more than {MODULES_MOST} submodules, or nests them deeper than {MODULES_DEPTH}: set "
                          "`submodules = false`, and make those that are needed extra sources")
    listed = declared_paths(into)
    for path in paths:
        if path not in listed:
            say(f"  note: the submodule {path} has no address in .gitmodules, so its folder stays empty")
            continue
        update = ("submodule", "--quiet", "update", "--init")
        try:
            try:
                in_git(into, *update, "--depth=1", "--", path)
            except InfraError:  # as with the repository itself: the server can't cut history
                in_git(into, "submodule", "--quiet", "deinit", "--force", "--", path)
                kept = in_git(into, "rev-parse", "--git-path", f"modules/{listed[path]}").strip()
                shutil.rmtree(into / kept, ignore_errors=True)
                in_git(into, *update, "--", path)
        except (InfraError, RecipeError) as e:
            kind = RecipeError if isinstance(e, RecipeError) or "not allowed" in str(e) or "No url found" in str(e) else InfraError
            raise kind(f"the submodule {path} can't be fetched; if the tests do not need it, set `submodules = false`: {e}") from e
        say(f"  submodule {path}")
        submodules(into / path, left, depth - 1)


def declared_paths(into):
    """The submodules that have an address: name by path."""
    if not (into / ".gitmodules").is_file() or (into / ".gitmodules").is_symlink():
        return {}
    lines = in_git(into, "config", "--file", ".gitmodules", "--null", "--get-regexp", r"^submodule\..*\.path$", error=RecipeError)
    entries = (entry.split("\n", 1) for entry in lines.split("\0") if "\n" in entry)
    return {path: key[len("submodule."):-len(".path")] for key, path in entries if ".." not in key}


def remark_on_pointers(into):
    """Git LFS leaves a small text in place of each of its files. The contents are elsewhere, and are not fetched."""
    pointers = []
    for folder, folders, files in os.walk(into):
        folders[:] = [name for name in folders if name != ".git"]
        for name in files:
            file = Path(folder, name)
            if not file.is_symlink() and file.stat().st_size < 1024 and file.read_bytes().startswith(LFS_POINTER):
                pointers.append(str(file.relative_to(into)))
    if pointers:
        more = f" and {len(pointers) - NAMED} more" if len(pointers) > NAMED else ""
        say(f"  note: Git LFS holds the contents of {', '.join(sorted(pointers)[:NAMED])}{more}. They are not fetched: leave out the "
            "tests that read them, or take a `url` or `pypi` source that has them")


def run_tool(command, error=InfraError, within=None):
    within = within or TOOL_WITHIN
    env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_ALLOW_PROTOCOL": "https:http:git"}
    if env.get("http_proxy"):
        env["GIT_PROXY_COMMAND"] = str(TUNNEL)  # for git://, which knows no proxy
    if "SSL_CERT_FILE" in env:
        env.setdefault("GIT_SSL_CAINFO", env["SSL_CERT_FILE"])
    try:
        tool = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace", env=env,
                                stdin=subprocess.DEVNULL, start_new_session=True)
    except FileNotFoundError as e:
        raise MachineError(f"the toolchain image has no {command[0]}") from e
    try:
        out, err = tool.communicate(timeout=within)
    except subprocess.TimeoutExpired as e:
        os.killpg(tool.pid, signal.SIGKILL)  # its helpers, too
        tool.communicate()
        raise RecipeError(f"{command[0]} took longer than {within} s: the server of the source is too slow, or the source too large; "
                          "name an archive by `url`") from e
    err = " ".join(err.split())
    if tool.returncode and re.search("No space left|Disk quota exceeded", err):
        raise RecipeError("the source does not fit into the work folder; raise `work`, or name an archive by `url`")
    if tool.returncode:
        raise (RecipeError if FINAL.search(err) else error)(f"{command[0]} failed: {err.strip()[-600:]}")
    return out
