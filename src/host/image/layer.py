"""Tells what of an install root is new against an earlier image, and lays it out as a layer.

    layer.py BUILD ORDER

BUILD/root      the install root
ORDER/layer.json  {"name": this image, "parent": an earlier image or null}
BUILD/manifests   what each of them holds; that of the parent is read, that of this one written, others go
BUILD/out/usr     the files that are new or different, fit to be unpacked over the parent
BUILD/out/deleted NUL-ended names of what the parent has and this one has not
BUILD/out/layer.json  {"parent": .., "files": .., "deleted": .., "bytes": .., "all_bytes": ..}

Times say nothing about a file here: all are set to one, so that what is equal stays equal. Runs on the
toolchain's own Python, not on the one that was built.
"""
import hashlib
import json
import os
import shutil
import stat
import sys

TIME = int(os.environ.get("SOURCE_DATE_EPOCH", "1000000000"))


def settle(path, info):
    """Gives a file the one time; a compiled module that knows its source by time is told."""
    if path.endswith((".pyc", ".pyo")) and info.st_mtime != TIME:
        with open(path, "r+b") as file:
            head = file.read(16)
            # 3.7 has flags before the time, not zero where the source is known by its hash; before, they
            # are the time itself: no module was compiled in 1970
            at = 8 if head[4:8] == bytes(4) else 4
            timed = at == 4 and int.from_bytes(head[4:8], "little") > 3 or at == 8
            if len(head) == 16 and timed:
                file.seek(at)
                file.write(TIME.to_bytes(4, "little"))
    os.utime(path, (TIME, TIME), follow_symlinks=False)


def entry(path, info, known):
    """[kind and mode, size, content, state]; `state` tells without reading whether the content is known."""
    if stat.S_ISLNK(info.st_mode):
        return ["link", 0, os.readlink(path), ""]
    if stat.S_ISDIR(info.st_mode):
        return [f"{info.st_mode:o}", 0, "", ""]
    state = f"{info.st_ino}.{info.st_ctime_ns}.{info.st_size}"
    if known and known[3] == state:
        return [f"{info.st_mode:o}", info.st_size, known[2], state]
    if info.st_mtime != TIME:
        settle(path, info)
        info = os.lstat(path)
        state = f"{info.st_ino}.{info.st_ctime_ns}.{info.st_size}"
    with open(path, "rb") as file:
        return [f"{info.st_mode:o}", info.st_size, hashlib.file_digest(file, "sha256").hexdigest(), state]


def scan(root, known):
    """Path below the root -> entry."""
    found, folders = {}, [""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(root, folder)) as listing:
            for item in listing:
                name = os.path.join(folder, item.name)
                info = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    folders.append(name)
                if stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode) or stat.S_ISDIR(info.st_mode):
                    found[name] = entry(item.path, info, known.get(name))
    return found


def read(path):
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return json.load(file)
    except (OSError, ValueError):
        return None


def write(path, value):
    with open(path + ".new", "w", encoding="utf-8", errors="surrogateescape") as file:
        json.dump(value, file, ensure_ascii=False)
    os.replace(path + ".new", path)


def main(build, order):
    root, out, manifests = (os.path.join(build, name) for name in ("root", "out", "manifests"))
    asked = read(os.path.join(order, "layer.json"))
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    os.makedirs(manifests, exist_ok=True)
    manifest = lambda name: os.path.join(manifests, name.replace("/", "_") + ".json")
    parent = read(manifest(asked["parent"])) if asked["parent"] else None
    # the states of the root's files, as the build before saw them
    last = read(os.path.join(build, "states.json")) or {}
    found = scan(os.path.join(root, "usr"), last)
    new = [name for name, now in found.items() if (parent or {}).get(name, [None] * 3)[:3] != now[:3]]
    gone = [name for name in parent or {} if name not in found]
    size = 0
    os.makedirs(os.path.join(out, "usr"))
    if parent is not None:
        for name in sorted(new):
            source, target = os.path.join(root, "usr", name), os.path.join(out, "usr", name)
            if found[name][0].startswith("4"):
                os.makedirs(target, exist_ok=True)
            else:
                os.makedirs(os.path.dirname(target), exist_ok=True)
                # what was of another kind must go before: a folder can't be unpacked over a file
                shutil.copy2(source, target, follow_symlinks=False)
            size += found[name][1]
        gone += [name for name in new if name in parent and kind(parent[name]) != kind(found[name])]
    with open(os.path.join(out, "deleted"), "wb") as file:
        # what is below a folder goes before the folder
        file.write(b"".join(b"/usr/" + os.fsencode(name) + b"\0" for name in sorted(gone, reverse=True)))
    for name in os.listdir(manifests):
        if asked["parent"] is None or name != os.path.basename(manifest(asked["parent"])):
            os.unlink(os.path.join(manifests, name))
    write(manifest(asked["name"]), {name: now[:3] for name, now in found.items()})
    write(os.path.join(build, "states.json"), found)
    everything = sum(now[1] for now in found.values())
    told = {"parent": asked["parent"] if parent is not None else None, "files": len(new), "deleted": len(gone), "bytes": size, "all_bytes": everything}
    write(os.path.join(out, "layer.json"), told)
    print(f"{len(found)} files, {everything / 1e6:.1f} MB", end="")
    print(f"; {len(new)} new or changed, {size / 1e6:.1f} MB, {len(gone)} gone" if parent is not None else "")


def kind(entry):
    return "link" if entry[0] == "link" else entry[0][:-4]


if __name__ == "__main__":
    main(*sys.argv[1:])
