# Leaves the version of the interpreter that a suite runs on, once, for the host to compare. Makes unittest record its
# results where no recorded runner runs yet. Must work on every Python from 2.5 on and must never disturb what it watches.
import os
import sys

try:
    _path = os.environ.get("PYBOTS_WITNESS")
    if _path and not os.path.exists(_path):
        _file = open(_path, "w")
        _file.write(" ".join(sys.version.split()))
        _file.close()
except Exception:
    pass


def _show_stacks_on_request():
    """Makes the host's signal write the stacks of all threads, before a hang is ended."""
    import faulthandler

    # a runner may capture what goes to standard error; a number that no test counts on
    number = 250
    # a child whose output is captured must not keep the pipe open: only the log of the container is meant
    if not os.path.samestat(os.fstat(2), os.stat("/proc/1/fd/2")):
        return
    try:
        os.fstat(number)
    except OSError:
        os.dup2(2, number, False)
        faulthandler.register(45, number)


try:
    if os.environ.get("PYBOTS_WITNESS") and sys.version_info >= (3, 5):
        _show_stacks_on_request()
except Exception:
    pass


# folders of a source that are often installed beside it, by mistake or for tests
_NOT_THE_PROJECT = ("tests", "test", "testing", "conftest", "setup", "docs", "examples", "benchmarks", "__main__")


def _installed_twin(name, work):
    """Where the environment under test has a package of this name. Returns None if it has none."""
    for folder in sys.path:
        if not isinstance(folder, str) or not folder.startswith(os.path.join(work, "venv") + os.sep) or not os.path.isdir(folder):
            continue
        for entry in os.listdir(folder):
            if entry == name or entry.startswith(name + ".") and entry.rpartition(".")[2] in ("py", "so"):
                return os.path.join(folder, entry)
    return None


def _compiled(place):
    """The compiled modules of a package, relative to it."""
    found = set()
    for folder, folders, files in os.walk(place):
        found.update([os.path.join(folder, file)[len(place):] for file in files if file.endswith(".so")])
    return found


def _note_sources(note, work):
    """Leaves a line for each package that came from a source folder although the environment has it too: its name, and how many
    compiled modules the source folder lacks."""
    lines = []
    for name, module in list(sys.modules.items()):
        place = getattr(module, "__file__", None)
        if not isinstance(name, str) or not isinstance(place, str) or "." in name or name in _NOT_THE_PROJECT:
            continue
        place = os.path.dirname(os.path.abspath(place))
        if not place.startswith(os.path.join(work, "src") + os.sep):
            continue
        twin = _installed_twin(name, work)
        if twin is None:
            continue
        lacks = len(_compiled(twin) - _compiled(place))
        lines.append("%s %d\n" % (name, lacks))
    if lines and not os.path.exists(note):
        file = open(note, "w")
        file.write("".join(sorted(lines)[:20]))
        file.close()


def _settings(file):
    """The lines `KEY = VALUE` of a pyvenv.cfg."""
    lines = [line.partition("=") for line in open(file)]
    return dict([(key.strip(), value.strip()) for key, _, value in lines])


def _environments(work):
    """A line for each environment that tox or nox made below the source folders: `same` or `other`, its name, and its version of
    Python. It is the same if it was made of the Python that this one was made of."""
    own = os.path.realpath(os.path.join(sys.base_prefix, "bin"))
    lines = []
    sources = os.path.join(work, "src")
    for folder, folders, _ in os.walk(sources):
        tools = [name for name in (".tox", ".nox") if name in folders]
        is_deep = folder[len(sources):].count(os.sep) > 2
        folders[:] = [name for name in folders if not is_deep and not name.startswith(".")]
        for tool in tools:
            for name in sorted(os.listdir(os.path.join(folder, tool))):
                file = os.path.join(folder, tool, name, "pyvenv.cfg")
                # tox builds packages in an environment whose name begins with a dot
                if name.startswith(".") or not os.path.isfile(file):
                    continue
                found = _settings(file)
                is_same = os.path.realpath(found.get("home", "")) == own
                version = found.get("version") or found.get("version_info") or "unknown"
                lines.append("%s %s/%s %s\n" % (is_same and "same" or "other", tool, name, version))
    return lines[:100]


def _note_environments(note, work):
    if "tox" in sys.modules or "nox" in sys.modules:
        lines = _environments(work)
        # of several that end one after the other, the last one has seen all
        if lines:
            file = open(note, "w")
            file.write("".join(lines))
            file.close()


def _note_sources_at_exit():
    import atexit

    path = os.environ["PYBOTS_WITNESS"]
    work = os.path.dirname(os.path.dirname(path))
    process = os.getpid()

    def note():
        # a fork that ends has imported no more than its parent
        if os.getpid() == process:
            try:
                _note_sources(path + ":sources", work)
            except Exception:
                pass
            try:
                _note_environments(path + ":environments", work)
            except Exception:
                pass

    atexit.register(note)


try:
    if os.environ.get("PYBOTS_WITNESS"):
        _note_sources_at_exit()
except Exception:
    pass


def _watch(module):
    try:
        import pybots_results

        pybots_results.watch_unittest()
    except Exception:
        # another interpreter, for example
        pass


class _Finder(object):
    """Waits for the import of a module, and leaves the import to those whose task it is."""

    def __init__(self, name, act=_watch):
        self.name = name
        self.act = act

    def _leave(self):
        try:
            sys.meta_path.remove(self)
        except ValueError:
            pass


def _add_plugin(module):
    # the plugins that pytest loads in any case; it finds ours by itself unless PYTEST_DISABLE_PLUGIN_AUTOLOAD is set
    if os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        module.default_plugins = tuple(module.default_plugins) + ("pybots_pytest",)


class _SpecFinder(_Finder):
    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        self._leave()
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = find and find(name, path, target)
            if spec is not None:
                _watch_load(spec.loader, self.act)
                return spec
        return None


def _watch_load(loader, act):
    def load(module):
        del loader.exec_module
        loader.exec_module(module)
        try:
            act(module)
        except Exception:
            pass

    try:
        # a loader that is a class serves other modules too
        if not isinstance(loader, type):
            loader.exec_module = load
    except Exception:
        pass


class _OldFinder(_Finder):
    def find_module(self, name, path=None):
        # who only looks for the module, as `python -m` does, gets its true loader
        if name != self.name or sys._getframe(1).f_globals.get("__name__") == "pkgutil":
            return None
        self._leave()
        return self

    def load_module(self, name):
        __import__(name)
        _watch(sys.modules[name])
        return sys.modules[name]


try:
    if os.environ.get("PYBOTS_RESULTS"):
        if sys.version_info >= (3, 4):
            sys.meta_path.insert(0, _SpecFinder("unittest.runner"))
            sys.meta_path.insert(0, _SpecFinder("_pytest.config", _add_plugin))
        elif sys.version_info < (2, 7) or (3, 0) <= sys.version_info < (3, 2):
            sys.meta_path.insert(0, _OldFinder("unittest"))
        else:
            sys.meta_path.insert(0, _OldFinder("unittest.runner"))
except Exception:
    pass
