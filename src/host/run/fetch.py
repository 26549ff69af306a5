"""The fetch phase of a run: everything that install will need, without running project code.

Reads  WORK/.pybots/fetch.json    what the recipe asks for
Writes WORK/src/NAME              every source, unpacked
       WORK/wheels                wheels and sdists: run dependencies, and what builds them
       WORK/.pybots/requirements.txt   the pins to install, with hashes
       WORK/.pybots/versions.sh   variables for builds that take their version from tags
       WORK/.pybots/lock.json     what was fetched, for the record

Metadata is only ever read, never computed: no setup.py, no build back end. What a back end
would ask for at build time (PEP 517 get_requires_for_build_wheel) stays hidden here, but for
the tools of some common ones; a recipe lists other such needs in `requires`.

With --only-sources it fetches the sources alone, and resolves nothing.

Exit status: 0 done, 10 the recipe is wrong, 11 the network, the index or this machine failed, 12 the source named in
WORK/.pybots/fetching does not answer.
"""

import errno, json, re, sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fetch_busy import READ_WITHIN, busy
from fetch_net import Index, InfraError, RecipeError, Unreachable, say, tidy
from fetch_project import (build_requires, declared, from_index, group_lines, check_extras, parse, read, select,
                           target_environment)
from fetch_resolve import Wheelhouse, held, resolve
from fetch_sources import COMMIT, fetch_source, home
from fetch_unpack import ABOUT_NAMES
from fetch_version import shell, variables

ONLY_SOURCES = "--only-sources"


def asked_for(order, sources, work):
    """The requirements of a run: what the recipe asks for, and what its sources declare."""
    python, env = order["python"], target_environment(order["python"])
    projects = [declared(home(src, work), src["name"]) for src in sources]
    names = [canonicalize_name(src.get("pypi") or project.name or src["name"]) for src, project in zip(sources, projects)]
    asked, extras = set(), [set() for _ in sources]
    for entry in map(str.strip, order["requires"]):
        if entry.startswith("."):  # ".[test]": an extra of the project itself
            extras[0] |= parse("project" + entry[1:], "requires").extras
            continue
        requirement = parse(entry, "requires")
        if canonicalize_name(requirement.name) in names:
            place = names.index(canonicalize_name(requirement.name))
            extras[place] |= requirement.extras
            say(f"  note: `{entry}` of `requires` is the source {sources[place]['name']}: its extras are fetched, and it is "
                "installed from there, whatever version it has")
        else:
            asked.add(from_index(requirement, "requires"))
    for i, (src, project) in enumerate(zip(sources, projects)):
        check_extras(extras[i], project, src["name"])
        lines = list(project.lines)
        for group in order.get("groups", []) if i == 0 else []:
            lines += group_lines(group, project, src["name"])
        own = select(lines, extras[i], env, names[i], set(names))
        asked.update(own)
        remark(src, project, python)
        for name in sorted({canonicalize_name(Requirement(line).name) for line in own} & set(project.elsewhere) - set(names)):
            say(f"  note: pyproject.toml takes {name} from {project.elsewhere[name]}, and it is taken from the package index here. To "
                "have that source, make it an extra source and install it, as docs/recipes.md says")
    return asked, set(names)


def remark(src, project, python):
    """Say what about a source is not as its owner may think."""
    if project.computed:
        say(f"  note: the dependencies of {src['name']} are computed by {project.computed}, which is not run here: list them in "
            "`requires`")
    if "pypi" in src and src.get("version") and project.version and project.version != src["version"]:
        say(f"  note: the release {src['pypi']} {src['version']} calls itself {project.version}, so that is the version that gets "
            "installed")


def fetch(work, only_sources=False):
    for note in ("busy", "fetching"):  # of a fetch that was killed, in a work folder that was kept
        (work / ".pybots" / note).unlink(missing_ok=True)
    order = json.loads((work / ".pybots" / "fetch.json").read_text())
    python, sources = order["python"], order["sources"]
    modern = tuple(int(n) for n in python.split(".")) >= (3, 8) and not only_sources
    versions, hashes, pinned = held(order.get("lock"))
    index, lock = Index(versions, hashes, order.get("as_of")), []
    if index.before:
        say(f"dependencies as of {order['as_of']}: what the package index got later is not seen")
    for src in sources:
        # a lock says what is open in the recipe, and never overrides what the recipe fixes
        if "pypi" in src and src["name"] in pinned and not src.get("version"):
            src = {**src, "version": pinned[src["name"]]["version"], "sha256": pinned[src["name"]]["sha256"]}
        elif "git" in src and src["name"] in pinned and not COMMIT.fullmatch(src.get("rev") or ""):
            src = {**src, "rev": pinned[src["name"]]["version"]}
        lock.append(fetch_source(src, index, work, python))
    pins, chosen, house, versions = {}, {}, None, {}
    if modern:
        house = Wheelhouse(index, work, python, bool(order.get("free_threaded")))
        # The project under test, and what is unpacked beside it, come from their sources only, and are never pinned.
        with busy(work, "reading what the sources declare", READ_WITHIN):
            asked, own = asked_for(order, sources, work)
        if asked:
            pins = resolve(sorted(asked), python, index, "dependencies")
            sdists, chosen = house.add(pins, "run")
            for label, requires in house.builds_of(sdists):
                house.add_build(label, requires)
        for name in sorted(own & set(pins)):
            say(f"  note: another package requires {name}: its source is what gets installed, not {name} {pins.pop(name)}")
        for src in sources:
            with busy(work, f"reading what builds {src['name']}", READ_WITHIN):
                requires = build_requires(read(home(src, work) / "pyproject.toml"), src["name"])
            house.add_build(src["name"], requires)
        versions = variables(sources, lock, work)
        (work / ".pybots" / "versions.sh").write_text(shell(versions))
    elif not only_sources and (order["requires"] or order.get("groups")):
        raise RecipeError(f"Python {python} has no resolver: `requires` and `groups` must be empty, use `extra_sources`")
    (work / "wheels").mkdir(exist_ok=True)
    lines = [f"{n}=={v} --hash=sha256:{chosen[n].sha256}\n" for n, v in sorted(pins.items())]
    (work / ".pybots" / "requirements.txt").write_text("".join(lines))
    packages = [{"name": n, "version": str(v), "file": f.name, "sha256": f.sha256, "role": role}
                for n, v, f, role in (house.files.values() if house else ())]
    packages += [{"name": s["name"], "version": s["version"], "file": None, "sha256": s["sha256"], "role": "source"}
                 for s in lock[1:]]
    packages.sort(key=lambda p: (p["name"], p["version"] or "", p["file"] or ""))
    record = {"project": lock[0], "packages": packages, **({"variables": versions} if versions else {})}
    record = json.dumps(record, indent=1, sort_keys=True)
    (work / ".pybots" / "lock.json").write_text(record + "\n")
    say(f"fetched {len(sources)} source(s), {len(pins)} package(s) to install, {len(packages)} file(s) in all")


def main():
    try:
        tidy()  # before, too: the fetch before this one may have been killed
        arguments = [word for word in sys.argv[1:] if word != ONLY_SOURCES]
        fetch(Path(arguments[0] if arguments else "/work"), ONLY_SOURCES in sys.argv)
        tidy()
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
        if e.errno in ABOUT_NAMES:
            say(f"error in the recipe: what it names has a name that no file system takes: {e.strerror}")
            return 10
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
