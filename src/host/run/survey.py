"""For `pybots init`: what a source tree says about its tests, as JSON. Text is only ever read: no code of the project runs.

Reads  WORK/src/NAME          the source of the project, as fetch or the host left it
Writes WORK/.pybots/survey.json

It runs without network. Every text, list and file that it reads has a bound, and no link leads it out of the tree.
"""

import email.parser, json, re, sys, time
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from survey_files import (hatch_environments, nox_sessions, poetry_requirements, pytest_settings, requirement_files, table,
                            tox_environment)
from survey_tests import NO_TESTS, test_survey
from survey_tree import LINES_MOST, Tree, cut, lines_of, text_of
from fetch_busy import within
from fetch_net import RecipeError
from fetch_project import Declared, declared, group_lines

TEXT_MOST = 900 << 10  # bytes of the answer; the host reads 1 MiB at most
SECTION_WITHIN, ALL_WITHIN = 30, 120  # seconds, for a part of the answer and for all of it
FORGES = re.compile(r"https?://(?:www\.)?((?:github\.com|gitlab\.com|codeberg\.org|bitbucket\.org)/[\w.-]+/[\w.-]+)")
COMPILERS = {"cython", "maturin", "setuptools-rust", "meson-python", "scikit-build", "scikit-build-core", "cffi", "pybind11", "nanobind",
             "mypy"}


NO_BUILD = {"backend": "", "requires": [], "compiles": False, "installs": True}


def without_extra(line):
    """A requirement of an extra without the name of the extra in its marker."""
    spec, _, marker = line.partition(";")
    marker = re.sub(r"""(?:\s*\band\s+)?\(?extra\s*==\s*['"][\w.-]+['"]\)?(?:\s+and\b\s*)?""", "", marker, count=1).strip()
    try:
        return str(Requirement(f"{spec.strip()} ; {marker}" if marker else spec.strip()))
    except InvalidRequirement:
        return spec.strip()


def flat_extras(project):
    """The requirement lines of each extra, with those of the extras of the project itself that it names."""
    own = canonicalize_name(project.name or "-")
    lines = {canonicalize_name(extra): [] for extra in project.extras}
    for line in project.lines:
        if isinstance(line, str) and (match := re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", line)):
            lines.setdefault(canonicalize_name(match[1]), []).append(without_extra(line))

    def flat(extra, seen):
        found = []
        for spec in lines.get(extra, []):
            match = re.match(r"([A-Za-z0-9._-]+)\s*\[([^\]]*)\]", spec)
            if match and canonicalize_name(match[1]) == own:
                for other in match[2].split(","):
                    other = canonicalize_name(other.strip())
                    if other not in seen:
                        seen.add(other)  # for all: what another way led to is not read again
                        found += flat(other, seen)
            else:
                found.append(spec)
        return found

    return {cut(extra): lines_of(flat(extra, {extra})) for extra in sorted(lines)[:LINES_MOST]}


def flat_groups(project):
    """The requirement lines of each dependency group, with those of the groups that it includes."""
    groups = {}
    for name in sorted(project.groups)[:LINES_MOST]:
        try:
            groups[cut(name)] = lines_of(group_lines(name, project, "project"))
        except RecipeError:
            continue  # fetch would refuse it, too
    return groups


def repository(addresses):
    """The address of the repository, of (label, address), or an empty text."""
    def rank(pair):
        label = pair[0].lower()
        return next((i for i, word in enumerate(("repository", "source", "code", "github", "home")) if word in label), 9)

    for _, address in sorted(addresses, key=rank):
        if match := FORGES.match(address.strip()):
            name = match[1]
            return "https://" + (name[:-4] if name.endswith(".git") else name)
    return ""


def about(tree):
    """What the metadata of the project says, from PKG-INFO or pyproject.toml."""
    info = email.parser.HeaderParser().parsestr(tree.read("PKG-INFO") or "")
    project = table(tree.pyproject, "project")
    urls = [(str(key), str(value)) for key, value in table(project, "urls").items()]
    for line in info.get_all("Project-URL") or []:
        label, _, address = line.partition(",")
        urls.append((label, address))
    home = text_of(info.get("Home-page")) or next((value for key, value in urls if "home" in key.lower()), "")
    urls.append(("home", home))
    return {
        "summary": cut(text_of(info.get("Summary")) or text_of(project.get("description"))),
        "requires_python": cut(text_of(info.get("Requires-Python")) or text_of(project.get("requires-python"))
                               or tree.setup_cfg("options", "python_requires")),
        "homepage": cut(home.strip()),
        "repository": cut(repository(urls)),
    }


def build(tree):
    """How the project is built, and whether that compiles something."""
    system = table(tree.pyproject, "build-system")
    requires = [text_of(r) for r in system.get("requires", []) if isinstance(r, str)] if isinstance(system.get("requires"), list) else []
    names = {canonicalize_name(re.split(r"[^\w.-]", r.strip(), maxsplit=1)[0]) for r in requires if r.strip()}
    sources = [path for path in tree.files if re.search(r"\.(c|cc|cpp|pyx|rs|f90)$", path)
               and not re.search(r"(^|/)(tests?|testing|docs?|examples?|benchmarks?|_vendor|vendor)/", path)]
    setup = tree.read("setup.py") or ""
    compiles = bool(sources) and bool(names & COMPILERS or re.search(r"ext_modules|Extension\(|cffi_modules|rust_extensions", setup)
                                      or "ext-modules" in (tree.read("pyproject.toml") or ""))
    return {"backend": cut(text_of(system.get("build-backend"))), "requires": lines_of(requires), "compiles": compiles,
            "installs": any(name in tree.all for name in ("pyproject.toml", "setup.py", "setup.cfg"))}


def survey(root):
    """Each part of the answer is read by itself: one that can't be read becomes a note, and is empty."""
    tree, end = Tree(root), time.monotonic() + ALL_WITHIN

    def part(what, otherwise, read, *arguments):
        try:
            with within(max(min(SECTION_WITHIN, end - time.monotonic()), 0.1)):
                return read(*arguments)
        except RecipeError as e:
            tree.notes.append(cut(str(e)))
        except Exception as e:  # the tree is anybody's, and each of its files may be anything
            tree.notes.append(cut(f"{what} can't be read: {type(e).__name__}: {e}"))
        return otherwise

    project = part("what the project declares", Declared(), declared, root, "project")
    return {
        "name": cut(project.name), "version": cut(project.version), **part("the metadata", {}, about, tree),
        "build": part("how it is built", dict(NO_BUILD), build, tree), "computed": cut(project.computed),
        "extras": part("the extras", {}, flat_extras, project), "groups": part("the dependency groups", {}, flat_groups, project),
        "dependencies": part("the dependencies", [], dependencies, project),
        "packages": part("the list of packages", [], tree.packages, project.name), "top": part("the list of modules", [], tree.top),
        **part("the tests", dict(NO_TESTS), test_survey, tree), "pytest": part("the settings of pytest", None, pytest_settings, tree),
        "tox": part("the settings of tox", None, tox_environment, tree), "nox": part("the sessions of nox", [], nox_sessions, tree),
        "hatch": part("the environments of hatch", [], hatch_environments, tree),
        "poetry": part("the groups of poetry", {}, poetry_requirements, tree),
        "requirement_files": part("the files of requirements", [], requirement_files, tree),
        "notes": tree.notes[:20],
    }


def dependencies(project):
    return lines_of(line for line in project.lines if isinstance(line, str) and not re.search(r"\bextra\s*==", line))


def main():
    work = Path(sys.argv[1] if len(sys.argv) > 1 else "/work")
    order = json.loads((work / ".pybots" / "fetch.json").read_text())
    source = order["sources"][0]
    root = work / "src" / source["name"] / source.get("subfolder", "")
    found = survey(root)
    text = json.dumps(found)
    if len(text) > TEXT_MOST:
        found.update(files=[], arguments=[], notes=found["notes"] + ["the tree is too large to list its test files"])
        text = json.dumps(found)
    (work / ".pybots" / "survey.json").write_text(text)
    print(f"read {len(found['files'])} test file(s), {len(found['packages'])} package(s)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
