# Asks an interpreter who it is. Runs on every Python from 2.5 on: tab-separated lines, no modules
# that a broken build may lack.
import sys

def say(key, value):
    sys.stdout.write("pybots-probe\t%s\t%s\n" % (key, value))

say("sys_version", " ".join(sys.version.split()))
say("line", "%d.%d" % sys.version_info[:2])
say("executable", sys.executable)
say("revision", (getattr(sys, "_git", None) or getattr(sys, "_mercurial", None) or getattr(sys, "subversion", None) or ("", "", ""))[2])
try:
    import sysconfig
    say("soabi", sysconfig.get_config_var("SOABI") or "")
    say("free_threaded", int(bool(sysconfig.get_config_var("Py_GIL_DISABLED"))))
except ImportError:
    say("soabi", "")
for name in sys.argv[1:]:
    try:
        __import__(name)
    except Exception:
        say("missing", "%s: %s" % (name, str(sys.exc_info()[1]).split("\n")[0]))
say("end", "")
