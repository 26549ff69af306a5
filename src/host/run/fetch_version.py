"""For the fetch phase: the version of a source whose build takes it from the tags of its repository.

A build has neither the tags nor git. Its tool takes the version from a variable instead."""

import re, shutil, tempfile
from pathlib import Path

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from fetch_busy import READ_WITHIN, busy
from fetch_net import InfraError, sdist_version, say
from fetch_project import build_requires, read, tables
from fetch_sources import awaiting, home, in_git, run_tool

# What a build requires -> the variable that replaces the version from tags.
VARIABLES = {"setuptools-scm": "SETUPTOOLS_SCM_PRETEND_VERSION", "vcs-versioning": "SETUPTOOLS_SCM_PRETEND_VERSION",
             "hatch-vcs": "SETUPTOOLS_SCM_PRETEND_VERSION", "setuptools-git-versioning": None, "versioningit": None,
             "pbr": "PBR_VERSION", "pdm-backend": "PDM_BUILD_SCM_VERSION", "uv-dynamic-versioning": "UV_DYNAMIC_VERSIONING_BYPASS",
             "poetry-dynamic-versioning": "POETRY_DYNAMIC_VERSIONING_BYPASS"}


def tool(folder, what):
    """The name of the tool that takes the version of this tree from tags, or None."""
    pyproject = read(folder / "pyproject.toml")
    text = f"{read(folder / 'setup.py') or ''}\n{read(folder / 'setup.cfg') or ''}"
    requires = [canonicalize_name(re.split(r"[^\w.-]", r.strip(), maxsplit=1)[0])
                for r in build_requires(pyproject, what) if isinstance(r, str)]
    if "use_scm_version" in text:
        requires.append("setuptools-scm")
    if re.search(r"(?m)\bpbr\s*=\s*True", text):
        requires.append("pbr")
    version = tables(pyproject, what, "tool", "pdm", "version")
    found = [r for r in requires if r in VARIABLES and (r != "pdm-backend" or version.get("source") == "scm")]
    return found[0] if found else None


def of_tag(tag):
    """The version that a tag means, by the rule of setuptools_scm: `v1.2`, `name-1.2`."""
    match = re.match(r"^(?:[\w-]+-)?([vV]?\d+(?:\.\d+)*[^+]*)(?:\+.*)?$", tag.rpartition("/")[2])
    try:
        return Version(match[1]) if match else None
    except InvalidVersion:
        return None


def after(version, distance):
    """The version of a commit so many commits after the one of a release: the development of the next one."""
    if not distance:
        return version
    if version.dev is not None:
        return Version(re.sub(r"\.dev\d+", f".dev{version.dev + distance}", version.public))
    if version.pre:
        return Version(f"{version.base_version}{version.pre[0]}{version.pre[1] + 1}.dev{distance}")
    *first, last = version.release
    return Version(".".join(map(str, [*first, last + 1])) + f".dev{distance}")


def described(repository):
    """The version of the commit that is checked out, by the newest tag before it. None if no tag is a version."""
    try:
        text = in_git(repository, "describe", "--tags", "--long", "--match", "*[0-9]*", "HEAD").strip()
    except InfraError:
        return None
    tag, distance, _ = text.rsplit("-", 2)
    version = of_tag(tag)
    return after(version, int(distance)) if version else None


def of_git(src, folder, commit, work):
    """The version of a git source. Its checkout is one commit: the history, without files, comes into a folder of its own in the
    work folder, whose limit is the recipe's."""
    if not (folder / ".git" / "shallow").exists():
        return described(folder)
    history = Path(tempfile.mkdtemp(dir=work))
    try:
        in_git(history, "init", "--quiet", "--bare")
        remote = ("-c", f"remote.origin.url={src['git']}", "fetch", "--quiet", "--filter=tree:0", "--tags", "origin")
        try:
            in_git(history, *remote, commit)
        except InfraError:
            in_git(history, *remote, "+refs/heads/*:refs/heads/*")
        in_git(history, "update-ref", "--no-deref", "HEAD", commit)
        return described(history)
    finally:
        shutil.rmtree(history, ignore_errors=True)


def is_tag(src):
    """Whether `rev` names a tag, and no branch."""
    try:
        return bool(run_tool(["git", "ls-remote", "--tags", "--", src["git"], f"refs/tags/{src['rev']}"]).strip())
    except InfraError:
        return False


def version_of(src, folder, line, work):
    """The version of a source, as its place names it, or None."""
    if "pypi" in src:
        return Version(line["version"])
    if "url" in src:
        name = src["url"].split("?")[0].rsplit("/", 1)[-1]
        return sdist_version(name, name.rpartition("-")[0])
    if "git" in src:
        return of_tag(src["rev"]) if of_tag(src["rev"]) and is_tag(src) else of_git(src, folder, line["version"], work)
    return None


def shell(variables):
    """The lines of a shell that set variables which the recipe does not set."""
    return "".join(f": \"${{{name}:={value}}}\"\nexport {name}\n" for name, value in sorted(variables.items()))


def variables(sources, lock, work):
    """Variables, by name, for the versions which builds can't find out."""
    found_versions = {}
    for src, line in zip(sources, lock):
        folder = home(src, work)
        with busy(work, f"reading how {src['name']} takes its version", READ_WITHIN):
            found = tool(folder, src["name"])
        if not found or (folder / "PKG-INFO").is_file():  # an sdist has its version in it
            continue
        with awaiting(src, work):
            version = version_of(src, work / "src" / src["name"], line, work)
        variable = VARIABLES[found]
        if version is None or variable is None:
            hint = f"set {variable} in `env`" if variable else "take a release from `pypi`, which has its version in it"
            say(f"  note: {found} takes the version of {src['name']} from tags of git, which a build does not have; {hint}")
            continue
        if src is not sources[0]:
            if variable != VARIABLES["setuptools-scm"]:
                continue
            name = tables(read(folder / "pyproject.toml"), src["name"], "project").get("name") or src["name"]
            variable += "_FOR_" + re.sub(r"[-_.]+", "_", str(name)).upper()
            if not re.fullmatch(r"[A-Z0-9_]+", variable):
                continue
        say(f"  {found} takes the version from tags: {variable}={version}")
        found_versions[variable] = str(version)
    return found_versions
