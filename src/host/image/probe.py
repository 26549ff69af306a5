# Asks an interpreter who it is. Runs on every Python from 2.5 on: tab-separated lines, no modules
# that a broken build may lack.
import sys

def say(key, value):
    sys.stdout.write("pybots-probe\t%s\t%s\n" % (key, value))

say("sys_version", " ".join(sys.version.split()))
say("line", "%d.%d" % sys.version_info[:2])
say("executable", sys.executable)
say("debug", int(hasattr(sys, "gettotalrefcount")))
say("revision", (getattr(sys, "_git", None) or getattr(sys, "_mercurial", None) or getattr(sys, "subversion", None) or ("", "", ""))[2])
try:
    import sysconfig
    say("soabi", sysconfig.get_config_var("SOABI") or "")
    say("free_threaded", int(bool(sysconfig.get_config_var("Py_GIL_DISABLED"))))
except ImportError:
    say("soabi", "")

def abi_key():
    # What a compiled wheel depends on: all headers, pyconfig.h, and how extensions are compiled. Each part is
    # preceded by its length. Text of Python 2 that is ASCII is bytes already.
    import hashlib, os
    try:
        import sysconfig
        include, config_h = sysconfig.get_path("include"), sysconfig.get_config_h_filename()
    except ImportError: # before 2.7
        from distutils import sysconfig
        include, config_h = sysconfig.get_python_inc(), sysconfig.get_config_h_filename()
    total = hashlib.sha256()
    def add(name, data):
        total.update(("%s\n%d\n" % (name, len(data))).encode("utf-8"))
        total.update(data)
    def add_file(name, path):
        opened = open(path, "rb")
        try:
            add(name, opened.read())
        finally:
            opened.close()
    files = []
    for folder, _, names in os.walk(include):
        files.extend([os.path.join(folder, name) for name in names])
    for path in sorted(files):
        add_file(path[len(include):], path)
    # without headers nothing compiles, and all revisions would have one key
    add_file("Python.h", os.path.join(include, "Python.h"))
    add_file("pyconfig.h", config_h)
    for name in ("SOABI EXT_SUFFIX SO SHLIB_SUFFIX CC CXX OPT CFLAGS CCSHARED LDSHARED LDCXXSHARED AR ARFLAGS").split():
        add(name, str(sysconfig.get_config_var(name)).encode("utf-8"))
    return total.hexdigest()

try:
    say("abi_key", abi_key())
except Exception:
    pass # a build that can't compute its key has none, and wheels are not cached for it
def imported(name):
    # returns why it can't be imported, in one short line
    try:
        __import__(name)
    except Exception:
        return str(sys.exc_info()[1]).split("\n")[0].replace("\t", " ")[:200]

# what installers import; Pythons without virtual environments are installed into without any
for name in ("json", "os", "platform", "struct", "subprocess", "sysconfig"):
    why = None
    if sys.version_info >= (3, 3):
        why = imported(name)
    if why is not None:
        say("unusable", "%s: %s" % (name, why))
for name in sys.argv[1:]:
    why = imported(name)
    if why is not None:
        say("missing", "%s: %s" % (name, why))
say("end", "")
