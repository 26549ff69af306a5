"""For the survey of `pybots init`: the files in which projects say how their tests are run."""

import ast, re

from survey_tree import LINES_MOST, cut, lines_of, text_of

REQUIREMENT_FILE = re.compile(r"(?i)^(?:[\w.-]*(?:test|dev)[\w.-]*requirements?[\w.-]*|requirements?[\w.-]*(?:test|dev)[\w.-]*)\.(?:txt|in)$")
IN_FOLDER = re.compile(r"(?i)^(?:requirements?|reqs|deps|tests?|requirements?/[\w.-]+)/[\w.-]*(?:test|dev|requirements)[\w.-]*\.(?:txt|in)$")
PATH_MOST = 200  # characters; those expressions take the cube of it


def table(parent, *path):
    """A table of a TOML file, empty if it is missing or no table."""
    for name in path:
        parent = parent.get(name, {}) if isinstance(parent, dict) else {}
    return parent if isinstance(parent, dict) else {}


def listed(value):
    """The entries of a list, or the lines of a text."""
    if isinstance(value, str):
        return [line.strip() for line in value.splitlines() if line.strip() and not line.strip().startswith("#")]
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


# -- pytest ---------------------------------------------------------------------------------------

def pytest_settings(tree):
    """The settings of pytest that are in force, and the file that has them."""
    found = None
    for path, section in (("pytest.toml", "pytest"), ("pytest.ini", "pytest"), (".pytest.ini", "pytest"), ("pyproject.toml", None), ("tox.ini", "pytest"),
                          ("setup.cfg", "tool:pytest")):
        if path not in tree.all:
            continue
        if path.endswith(".toml"):
            settings = table(tree.toml(path), "pytest") if section else \
                table(tree.pyproject, "tool", "pytest", "ini_options") or table(tree.pyproject, "tool", "pytest")
        else:
            parser = tree.ini(path)
            settings = dict(parser.items(section)) if parser.has_section(section) else {}
        if settings or path.endswith("pytest.ini"):
            found = path, settings
            break
    if found is None:
        return None
    path, settings = found

    def words(key):
        value = settings.get(key)
        return lines_of(value if isinstance(value, list) else text_of(value or "").split())

    addopts = settings.get("addopts")
    return {"file": path, "addopts": cut(" ".join(map(str, addopts)) if isinstance(addopts, list) else text_of(addopts or "")),
            "testpaths": words("testpaths"), "required_plugins": lines_of(listed(settings.get("required_plugins") or "")),
            "keys": lines_of(map(str, settings))}


# -- tox, nox, hatch, poetry ----------------------------------------------------------------------

def tox_environment(tree):
    """What [testenv] installs and runs, from tox.ini, setup.cfg, tox.toml or pyproject.toml."""
    legacy = table(tree.pyproject, "tool", "tox").get("legacy_tox_ini")
    for path, section, text in (("tox.ini", "testenv", None), ("setup.cfg", "tox:testenv", None), ("pyproject.toml", "testenv", legacy)):
        if path not in tree.all or (path == "pyproject.toml" and not isinstance(legacy, str)):
            continue
        parser = tree.ini(path, text)
        if parser.has_section(section):
            get = lambda key: parser.get(section, key, fallback=None) or ""
            return {"file": path, "deps": lines_of(listed(get("deps"))), "extras": lines_of(re.split(r"[,\s]+", get("extras"))),
                    "groups": lines_of(re.split(r"[,\s]+", get("dependency_groups"))),
                    "commands": lines_of(listed(re.sub(r"\\\n\s*", " ", get("commands")))), "changedir": cut(text_of(get("changedir") or get("change_dir")))}
    for path, base in (("tox.toml", tree.toml("tox.toml")), ("pyproject.toml", table(tree.pyproject, "tool", "tox"))):
        if run := table(base, "env_run_base"):
            commands = [" ".join(text_of(word) for word in command if isinstance(word, str)) for command in run.get("commands", [])
                        if isinstance(command, list)] if isinstance(run.get("commands"), list) else []
            return {"file": path, "deps": lines_of(listed(run.get("deps"))), "extras": lines_of(listed(run.get("extras"))),
                    "groups": lines_of(listed(run.get("dependency_groups"))), "commands": lines_of(commands),
                    "changedir": cut(text_of(run.get("change_dir")))}
    return None


def nox_sessions(tree):
    """What the sessions of a noxfile install and run, if that is written as plain texts."""
    try:
        module = ast.parse(tree.read("noxfile.py") or "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    sessions = []
    for function in (node for node in module.body if isinstance(node, ast.FunctionDef)):
        if not any("session" in ast.unparse(d) for d in function.decorator_list):
            continue
        installs, runs = [], []
        for node in ast.walk(function):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                words = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                if node.func.attr == "install":
                    installs += words
                elif node.func.attr == "run" and words:
                    runs.append(" ".join(words))
        sessions.append({"name": cut(function.name), "installs": lines_of(installs), "runs": lines_of(runs)})
    return sessions[:20]


def hatch_environments(tree):
    """What hatch's environments install and run."""
    environments = []
    named = dict(table(tree.pyproject, "tool", "hatch", "envs"))
    named.update(table(tree.toml("hatch.toml"), "envs"))
    for name, env in list(named.items())[:20]:
        if isinstance(env, dict):
            scripts = [text_of(line) for script in table(env, "scripts").values() for line in listed(script)]
            environments.append({"name": cut(name), "installs": lines_of([*listed(env.get("dependencies")), *listed(env.get("extra-dependencies"))]),
                                 "features": lines_of(listed(env.get("features"))), "groups": lines_of(listed(env.get("dependency-groups"))),
                                 "runs": lines_of(scripts)})
    return environments


def poetry_requirements(tree):
    """Names of what poetry's and pdm's groups for tests hold. Their versions are in a form of their own, and are left out."""
    poetry = table(tree.pyproject, "tool", "poetry")
    groups = {name: table(group, "dependencies") for name, group in table(poetry, "group").items()}
    groups.setdefault("dev", table(poetry, "dev-dependencies"))
    found = {cut(name): lines_of(key for key in group if key != "python") for name, group in list(groups.items())[:20]}
    for name, lines in list(table(tree.pyproject, "tool", "pdm", "dev-dependencies").items())[:20]:
        found.setdefault(cut(name), []).extend(lines_of(listed(lines)))
    if lines := lines_of(listed(table(tree.pyproject, "tool", "uv").get("dev-dependencies"))):
        found.setdefault("dev", []).extend(lines)
    return {name: lines for name, lines in found.items() if lines}


def requirement_files(tree):
    """Files of requirements for tests, and those to which tox and nox point."""
    paths = [path for path in tree.files if len(path) <= PATH_MOST and (REQUIREMENT_FILE.match(path) or IN_FOLDER.match(path))]
    for text in ("tox.ini", "noxfile.py"):
        words = re.findall(r"[\w./-]+", tree.read(text) or "")
        found = [word[:word.rfind(".txt") + 4].removeprefix("-r").lstrip("/-") for word in words if ".txt" in word]
        paths += [path.removeprefix("./") for path in found]
    found = []
    for path in list(dict.fromkeys(paths))[:20]:
        if path in tree.all:
            lines = (line.split(" #")[0].split(" --hash")[0].rstrip(" \\").strip() for line in (tree.read(path) or "").splitlines())
            kept = [line for line in lines if line and not line.startswith(("#", "--hash"))]
            found.append({"path": cut(path), "lines": lines_of(kept[:LINES_MOST])})
    return found
