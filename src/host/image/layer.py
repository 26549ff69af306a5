"""Compares an install root with an earlier image, and writes the difference as a layer.

    layer.py BUILD ORDER

BUILD/root        the install root
ORDER/layer.json  {"name": this image, "parent": an earlier image or null, "room": bytes of the largest layer}
BUILD/manifests   the files of each image; the parent's is read, this image's is written, others are removed
BUILD/out/layer.tar   new and changed files, and a mark for each removed one (`.wh.NAME`, as in OCI's layers);
                      the whole root if there is no parent, or if the layer would be too large
BUILD/out/layer.json  {"on": the parent or null, "digest": SHA-256 of layer.tar, "gone": how many names,
                      "bytes": of the files in the layer, "all_bytes": of all files}

The time of a file is derived from its content: equal files are equal whenever they were built, and
different files have different times, by which some engines decide whether a file has changed. Runs on the
toolchain's own Python, not on the one that was built.
"""
import hashlib
import json
import os
import shutil
import stat
import sys
import tarfile

FIRST = int(os.environ.get("SOURCE_DATE_EPOCH", "1000000000"))
COMPILED = (".pyc", ".pyo")


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def time_of(content):
    """Seconds since the epoch, within the nine years after SOURCE_DATE_EPOCH."""
    return FIRST + int(content[:7], 16)


def knows_source_by_time(path):
    """A compiled module beside its source, as before Python 3, records the time of its source.
    Later ones go by the source's content, because SOURCE_DATE_EPOCH is set."""
    return path.endswith(COMPILED) and os.path.basename(os.path.dirname(path)) != "__pycache__"


def settle(path, source):
    """Sets a file's time, and returns its content's digest. `source` is the digest of the file that it was
    compiled from."""
    if source is not None:
        with open(path, "r+b") as file:
            file.seek(4)
            file.write(time_of(source).to_bytes(4, "little"))
    content = digest(path)
    os.utime(path, (time_of(content),) * 2)
    return content


def entry(path, info, before, source):
    """[kind and mode, size, content, state]; `state` shows without reading whether `before` has the content."""
    if stat.S_ISLNK(info.st_mode):
        return ["link", 0, os.readlink(path), ""]
    if stat.S_ISDIR(info.st_mode):
        return [f"{info.st_mode:o}", 0, "", ""]
    state = lambda info: f"{info.st_ino}.{info.st_ctime_ns}.{info.st_size}.{source}"
    if before and before[3] == state(info):
        return [f"{info.st_mode:o}", info.st_size, before[2], before[3]]
    content = settle(path, source)
    info = os.lstat(path)
    return [f"{info.st_mode:o}", info.st_size, content, state(info)]


def scan(root, before):
    """Path below the root -> entry."""
    names, folders = [], [""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(root, folder)) as listing:
            for item in listing:
                name = os.path.join(folder, item.name)
                info = item.stat(follow_symlinks=False)
                if stat.S_ISDIR(info.st_mode):
                    folders.append(name)
                if stat.S_ISREG(info.st_mode) or stat.S_ISLNK(info.st_mode) or stat.S_ISDIR(info.st_mode):
                    names.append((knows_source_by_time(name), name, info))
    found = {}
    # sources before what was compiled from them
    for compiled, name, info in sorted(names, key=lambda each: each[0]):
        source = found.get(name[:-1], [None] * 3)[2] if compiled else None
        found[name] = entry(os.path.join(root, name), info, before.get(name), source)
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


def put(archive, root, name, found):
    info = archive.gettarinfo(os.path.join(root, name), arcname="usr/" + name)
    # no two files of a layer depend on each other, or on who built it
    if info.islnk():
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", found[name][1]
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    info.mtime = time_of(found[name][2]) if info.isreg() else FIRST
    if info.isreg():
        with open(os.path.join(root, name), "rb") as file:
            archive.addfile(info, file)
    else:
        archive.addfile(info)


def folders_of(name):
    parts = name.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def lay_out(path, root, found, new, gone):
    """Writes the layer: new files with the folders above them, and marks for removed ones."""
    names = sorted({name for each in new for name in [*folders_of(each), each]})
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        put_root(archive)
        for name in names:
            put(archive, root, name, found)
        for name in sorted(gone):
            folder, _, base = name.rpartition("/")
            # a folder that is gone, or no folder any more, takes its contents along
            if found.get(folder, [""])[0].startswith("4"):
                mark = tarfile.TarInfo(f"usr/{folder}/.wh.{base}")
                mark.mtime = FIRST
                archive.addfile(mark)


def put_root(archive):
    info = tarfile.TarInfo("usr")
    info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, FIRST
    archive.addfile(info)


def main(build, order):
    root, out, manifests = os.path.join(build, "root", "usr"), os.path.join(build, "out"), os.path.join(build, "manifests")
    asked = read(os.path.join(order, "layer.json"))
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    os.makedirs(manifests, exist_ok=True)
    manifest = lambda name: os.path.join(manifests, name.replace("/", "_") + ".json")
    parent = read(manifest(asked["parent"])) if asked["parent"] else None
    # states of the root's files after the build before
    states = os.path.join(build, "states.json")
    found = scan(root, read(states) or {})
    everything = sum(now[1] for now in found.values())
    if parent is not None:
        new = [name for name, now in found.items() if parent.get(name) != now[:3]]
        gone = [name for name in parent if name not in found]
        size = sum(found[name][1] for name in new)
        if size > asked["room"]:
            parent = None
    if parent is None:
        new, gone, size = list(found), [], everything
    layer = os.path.join(out, "layer.tar")
    lay_out(layer, root, found, new, gone)
    for name in os.listdir(manifests):
        if asked["parent"] is None or name != os.path.basename(manifest(asked["parent"])):
            os.unlink(os.path.join(manifests, name))
    write(manifest(asked["name"]), {name: now[:3] for name, now in found.items()})
    write(states, found)
    on = asked["parent"] if parent is not None else None
    write(os.path.join(out, "layer.json"), {"on": on, "digest": digest(layer), "gone": len(gone), "bytes": size, "all_bytes": everything})
    print(f"{len(found)} files, {everything / 1e6:.1f} MB; ", end="")
    print(f"{len(new)} new or changed, {size / 1e6:.1f} MB, {len(gone)} gone" if on else "a key frame")


if __name__ == "__main__":
    main(*sys.argv[1:])
