"""For the fetch phase: archives, read and unpacked without trust."""

import bz2, errno, gzip, lzma, os, shutil, stat, tarfile, zipfile, zlib
from pathlib import Path, PurePosixPath

from fetch_net import RecipeError

TARGET_MOST = 4096  # bytes of the target of a link


class Bounded:
    """The contents of a compressed tar file, up to a bound: a small one can unpack to any size, also in parts that nobody wants."""

    def __init__(self, file, most, what):
        self.file, self.most, self.what = file, most, what

    def __getattr__(self, name):
        return getattr(self.file, name)

    def read(self, size=-1):
        self._check(self.file.seek(0, os.SEEK_CUR) + max(size, 0))
        return self.file.read(size)

    def seek(self, place, *way):
        self._check(place)
        return self.file.seek(place, *way)

    def _check(self, place):
        if place > self.most:
            raise too_large(self.what, self.most)


def too_large(what, most):
    return RecipeError(f"{what} unpacks to more than {most >> 20} MiB, which the work folder holds; raise `work`, or name another archive")


def decompressed(archive):
    with open(archive, "rb") as file:
        start = file.read(6)
    kinds = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open, b"\x5d\0\0": lzma.open}
    return next((kind for magic, kind in kinds.items() if start.startswith(magic)), open)(archive, "rb")


def members(archive):
    """(path, kind, mode, link target, opener) of every entry of a tar or zip file. One that has no room in the folder's file system is
    refused before it is decompressed."""
    most = shutil.disk_usage(archive.parent).total
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as z:
            if sum(i.file_size for i in z.infolist()) > most:
                raise too_large(archive.name, most)
            for i in z.infolist():
                mode = i.external_attr >> 16
                kind = "dir" if i.is_dir() else "link" if stat.S_ISLNK(mode) else "file"
                target = ""
                if kind == "link":
                    with z.open(i) as link:
                        target = link.read(TARGET_MOST).decode()
                yield i.filename, kind, mode, target, lambda i=i: z.open(i)
    else:
        with decompressed(archive) as file, tarfile.open(fileobj=Bounded(file, most, archive.name), mode="r:") as t:
            for i in t:
                kind = "dir" if i.isdir() else "link" if i.issym() else "hard" if i.islnk() else "file" if i.isreg() else "other"
                yield i.name, kind, i.mode, i.linkname, lambda i=i: t.extractfile(i)


# Errors of a file system about names, which an archive chooses.
ABOUT_NAMES = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL, errno.ENOTEMPTY, errno.EILSEQ}
BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, UnicodeError, NotImplementedError)


def refused(e, what):
    """The error of the recipe that an OSError while an archive is read stands for; None if this machine failed."""
    if e.errno is None:  # bz2 says so of data that is none of its own
        return RecipeError(f"{what} is not a whole archive: {e}")
    if e.errno == errno.ENAMETOOLONG:
        return RecipeError(f"{what} holds a name that is too long for a file: {name_of(e)}")
    if e.errno in ABOUT_NAMES:
        return RecipeError(f"{what} holds the name {name_of(e)} twice, as a folder and as something else ({e.strerror})")
    return None


def name_of(e):
    name = str(e.filename or "")
    return repr(name if len(name) <= 100 else name[:50] + ".." + name[-50:])


def read_inside(folder, name, most=1 << 20):
    """Text of a file of a source, or None. A link that leads out of the source's tree is refused: it would read files of ours."""
    path = folder / name
    if not path.exists() and not path.is_symlink():
        return None
    real = path.resolve()
    if not real.is_relative_to(folder.resolve()):
        raise RecipeError(f"{folder.name}: {name} is a link out of the source; refused")
    if not real.is_file():  # nor a pipe, which would never end
        return None
    if real.stat().st_size > most:
        raise RecipeError(f"{folder.name}: {name} is larger than {most >> 10} KiB")
    return real.read_text("utf-8", "replace")


def inside(path, what):
    """The path as parts, refused if it is absolute or climbs out of the archive."""
    parts = [p for p in PurePosixPath(path).parts if p != "."]
    if path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise RecipeError(f"{what} holds the unsafe path {path!r}")
    return parts


def unpack(archive, into):
    """Unpack without trust: nothing outside `into`, no devices. A single top folder is dropped."""
    what = archive.name
    try:
        tops = {(p[0], len(p) > 1 or kind == "dir") for path, kind, *_ in members(archive) if (p := inside(path, what))}
        strip = 1 if len({name for name, _ in tops}) == 1 and all(folder for _, folder in tops) else 0
        if into.exists():
            shutil.rmtree(into)
        into.mkdir(parents=True)
        root = into.resolve()
        for path, kind, mode, target, opener in members(archive):
            parts = inside(path, what)[strip:]
            if not parts:
                continue
            # A link unpacked earlier must not lead a later entry out.
            place = root.joinpath(*parts[:-1]).resolve() / parts[-1]
            if kind == "other" or not place.is_relative_to(root):
                raise RecipeError(f"{what} holds {path!r}, a device or a path through a link; refused")
            if kind == "dir":
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_symlink() or place.is_file():
                place.unlink()
            if kind == "link":
                # ".." after a name could pass through another link, and lead elsewhere than it seems.
                winding = "/.." in target.lstrip("./")
                if not target or target.startswith("/") or winding or not Path(os.path.normpath(place.parent / target)).is_relative_to(root):
                    raise RecipeError(f"{what} holds {path!r}, a link out of the archive; refused")
                place.symlink_to(target)
            elif kind == "hard":
                first = root.joinpath(*inside(target, what)[strip:])
                if not first.is_file() or not first.resolve().is_relative_to(root):
                    raise RecipeError(f"{what} holds {path!r}, a link to what is not there; refused")
                shutil.copy(first, place)
            else:
                with opener() as src, open(place, "wb") as out:
                    shutil.copyfileobj(src, out)
                place.chmod(0o755 if mode & 0o111 else 0o644)
    except BROKEN as e:
        raise RecipeError(f"{what} is not a whole archive: {e}") from e
    except OSError as e:
        raise refused(e, what) or e from e


def peek(archive, wanted):
    """Text of TOP/wanted inside an sdist, or None."""
    try:
        for path, kind, _, _, opener in members(archive):
            if kind == "file" and PurePosixPath(path).parts[1:] == (wanted,):
                return opener().read(1 << 20).decode("utf-8", "replace")
    except BROKEN as e:
        raise RecipeError(f"{archive.name} is not a whole archive: {e}") from e
    except OSError as e:
        raise refused(e, archive.name) or e from e
    return None
