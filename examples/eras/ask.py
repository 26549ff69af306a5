# Imports each module that is named, and all that the interpreter has. Runs on every Python from 2.5 on.
import os, sys

def say(*fields):
    sys.stdout.write("pybots-eras\t%s\n" % "\t".join([str(field).replace("\n", " ") for field in fields]))
    sys.stdout.flush()

def ask(name):
    # in a process of its own: a module that crashes is a gap, not the end of the answer
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        # what a module prints at import is no answer of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            __import__(name)
            problem = ""
        except BaseException:
            problem = "%s: %s" % (sys.exc_info()[0].__name__, str(sys.exc_info()[1]).split("\n")[0])
        os.write(writer, ("=" + problem).encode("utf-8")[:400])
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 1000).decode("utf-8", "replace")
    os.close(reader)
    os.waitpid(child, 0)
    return answer[1:] if answer.startswith("=") else "the interpreter crashes"

names = set(sys.argv[1:]) | set(sys.builtin_module_names)
for folder in sys.path:
    if os.path.basename(folder) == "lib-dynload" and os.path.isdir(folder):
        # `_ssl.cpython-39-x86_64-linux-gnu.so`, `_ssl.so`, and before 3 also `operatormodule.so`
        for file in os.listdir(folder):
            stem = file.split(".")[0]
            if file.endswith("module.so") and stem[:-len("module")] in names:
                stem = stem[:-len("module")]
            if file.endswith(".so"):
                names.add(stem)
for name in sorted(names):
    problem = ask(name)
    if problem:
        say("gap", name, problem)
    else:
        say("here", name)
say("end")
