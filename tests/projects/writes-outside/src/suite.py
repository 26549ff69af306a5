"""Exits 0 if every attempt is denied, else 1, with a line for each that got through."""
import ctypes
import errno
import os
import pathlib
import sys

# More than the recipe's limit for the work folder.
TOO_MUCH = 128 << 20

through = []


def attempt(what, function):
    try:
        result = function()
    except OSError as error:
        print(f"denied: {what}: {error}", flush=True)
    else:
        through.append(what)
        print(f"GOT THROUGH: {what}: {result}", flush=True)


def create(folder):
    path = os.path.join(folder, "pybots-was-here")
    with open(path, "w") as f:
        f.write("hello")
    os.unlink(path)
    return "wrote a file"


def change(path):
    """Takes away or changes nothing, should it be allowed to."""
    mode = os.stat(path).st_mode
    os.chmod(path, mode)
    return "may change it"


def append(path):
    with open(path, "a"):
        return "may write to it"


def fill():
    path = pathlib.Path("filling")
    written = 0
    try:
        with path.open("wb", buffering=0) as f:
            while written < TOO_MUCH:
                written += f.write(b"x" * (1 << 20))
        return f"wrote {written >> 20} MiB"
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            through.append("fill the work folder")
            print(f"GOT THROUGH: not refused for its size: {error}")
        raise
    finally:
        path.unlink()


def mount():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    return "mounted"


def status(key):
    with open("/proc/self/status") as f:
        return next(line.split(":")[1].strip() for line in f if line.startswith(key + ":"))


def refused(condition, why):
    if condition:
        raise OSError(why)
    return "not as it should be"


base = sys.base_prefix
library = os.path.dirname(os.__file__)
for folder in ("/", "/etc", "/usr", "/usr/bin", "/usr/local", "/usr/local/bin", base, library, "/opt", "/root", "/home",
               "/var", "/var/tmp", "/var/lib", "/mnt", "/srv", "/run", "/dev", "/proc", "/sys", "/sys/fs/cgroup"):
    attempt(f"a file in {folder}", lambda folder=folder: create(folder))
for path in ("/etc/passwd", "/etc/ld.so.preload", "/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern"):
    attempt(f"write to {path}", lambda path=path: append(path))
for path in (os.path.realpath(sys.executable), os.__file__, "/etc/passwd"):
    attempt(f"change {path}", lambda path=path: change(path))

attempt("become root", lambda: os.setuid(0))
attempt("give a file away", lambda: os.chown(__file__, 0, 0))
attempt("make a device", lambda: os.mknod("device", 0o020666, os.makedev(1, 1)))
attempt("mount", mount)
attempt("be root", lambda: refused(os.getuid() != 0 and os.geteuid() != 0, f"uid {os.getuid()}"))
attempt("have capabilities", lambda: refused(
    all(int(status(key), 16) == 0 for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")), "none left"))
attempt("gain privileges", lambda: refused(status("NoNewPrivs") == "1", "no new privileges"))
attempt("make any system call", lambda: refused(status("Seccomp") == "2", "filtered"))

attempt("fill the work folder", fill)
# What was denied for its size must not spoil the folder for what comes after.
create(".")

if through:
    sys.exit(f"{len(through)} attempts got through")
print("denied everywhere")
