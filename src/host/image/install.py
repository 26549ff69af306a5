"""Brings an install root up to date with a tree that `make` has just gone on in.

    install.py BUILD ORDER [--all]

Does what `make install` does for Lib/, for the files named in ORDER/put and ORDER/delete (NUL-ended)
alone: puts and removes modules, and has the Python that was built compile them; with --all, every
module. The rules are those of the target `libinstall` in CPython's Makefile.pre.in.
"""
import glob
import os
import shutil
import subprocess
import sys

# what `libinstall` skips, and what it does not compile; config-3.16-.. does not exist yet at that point
PASSED_OVER = (".pyc", ".pyo", ".orig", "~", "CVS")
NOT_COMPILED = "bad_coding|badsyntax|site-packages|lib2to3/tests/data|/config-[0-9]"
# generated beside the tree's own modules
GENERATED = ("_sysconfigdata_*.py", "_sysconfig_vars_*.json", "_missing_stdlib_info.py", "build-details.json")


def names(path):
    try:
        with open(path, "rb") as file:
            return [os.fsdecode(name) for name in file.read().split(b"\0") if name.startswith(b"Lib/")]
    except FileNotFoundError:
        return []


def different(one, other):
    try:
        with open(one, "rb") as a, open(other, "rb") as b:
            return a.read() != b.read()
    except FileNotFoundError:
        return True


def put(source, target):
    """As install(1): a new file of the usual mode, executable if its source is."""
    mode = 0o755 if os.access(source, os.X_OK) else 0o644
    if os.path.lexists(target):
        os.unlink(target)
    shutil.copyfile(source, target)
    os.chmod(target, mode)


def forget(target):
    """Removes what was compiled from a module."""
    folder, name = os.path.split(target)
    stem = name[:-3] if name.endswith(".py") else name
    for compiled in glob.glob(os.path.join(glob.escape(folder), "__pycache__", glob.escape(stem) + ".*.pyc")):
        os.unlink(compiled)
    for empty in (os.path.join(folder, "__pycache__"), folder):
        try:
            os.rmdir(empty)
        except OSError:
            break


def main(build, order, everything=False):
    tree, root = os.path.join(build, "src"), os.path.join(build, "root")
    with open(os.path.join(tree, "pybuilddir.txt")) as file:
        beside = os.path.join(tree, file.read().strip())
    python = [os.path.join(tree, "python"), "-E"]
    where = "import sysconfig; print(sysconfig.get_path('stdlib', vars={'installed_base': '/usr/local'}))"
    library = subprocess.run(python + ["-c", where], check=True, capture_output=True, text=True).stdout.strip()
    target = lambda name: root + library + name[len("Lib"):]
    compile_these = []
    for name in names(os.path.join(order, "delete")):
        if os.path.lexists(target(name)):
            os.unlink(target(name))
        forget(target(name))
    for name in names(os.path.join(order, "put")):
        # folders are installed by name: files in other folders are not
        if os.path.isdir(os.path.dirname(target(name))) and not name.endswith(PASSED_OVER):
            put(os.path.join(tree, name), target(name))
            compile_these.append(target(name))
    for pattern in GENERATED:
        for source in glob.glob(os.path.join(beside, pattern)):
            installed = os.path.join(root + library, os.path.basename(source))
            if different(source, installed):
                put(source, installed)
                compile_these.append(installed)
    compile_these = [name for name in compile_these if name.endswith(".py")]
    if everything:
        compile_these = [root + library]
    if compile_these:
        # as in `make install`, a module that can't be compiled is no error
        command = python + ["-Wi", "-m", "compileall", "-q", "-f", "-j0" if everything else "-j1", "-o0", "-o1", "-o2"]
        command += ["-x", NOT_COMPILED, "-s", root, "-p", "/", "-i", "-"]
        subprocess.run(command, input="\n".join(compile_these) + "\n", text=True)
    print(f"installed {len(compile_these)} modules anew" if not everything else "compiled all modules again")


if __name__ == "__main__":
    main(*sys.argv[1:3], everything="--all" in sys.argv[3:])
