"""For the fetch phase: downloads, their cache, and the package index."""

import base64, contextlib, hashlib, html.parser, http.client, json, os, re, shutil, ssl, tempfile, time
import urllib.error, urllib.parse, urllib.request
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
# Newer releases that a note names.
NAMED = 5
SDIST_ENDINGS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")


class RecipeError(Exception):
    """The owner of the recipe can fix it."""


class Refused(RecipeError):
    """The rules of this machine forbid the destination."""


class InfraError(Exception):
    """Nobody's recipe is at fault; trying again may help."""


class MachineError(InfraError):
    """This machine lacks something."""


class Unreachable(InfraError):
    """A source does not answer. Its server may be back later; neither the recipe nor this machine is at fault."""


def say(text):
    print(text, flush=True)


# -- the network --------------------------------------------------------------------------------

def open_url(url, headers=None, tries=4):
    """GET with patience. Returns an open response; None means the server has no such thing."""
    parts = urllib.parse.urlsplit(url)
    headers = {"User-Agent": "pybots-fetch", **(headers or {})}
    if parts.scheme not in ("https", "http"):
        raise RecipeError(f"cannot fetch from a {parts.scheme or 'relative'} address; use https")
    if parts.username:  # urllib does not understand user:password@host
        secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
        url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    for left in reversed(range(tries)):
        try:
            return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
        except urllib.error.HTTPError as e:
            if e.code in (404, 410):
                return None
            if "destination_ip_prohibited" in e.headers.get("Proxy-Status", ""):
                raise Refused(e.reason) from e
            why, again = f"the server answered {e.code} {e.reason}", e.code >= 500 or e.code in (408, 429)
        except (urllib.error.URLError, OSError, http.client.HTTPException) as e:
            why, again = str(getattr(e, "reason", e)), True
            if refusal := TUNNEL_REFUSED.search(why):
                raise Refused(refusal[1]) from e
            if isinstance(getattr(e, "reason", e), ssl.SSLCertVerificationError):
                why, again = f"{why} (is SSL_CERT_FILE set to the right bundle?)", False
        if not (again and left):
            break
        time.sleep(2 ** (tries - left - 1))
    raise InfraError(f"{parts.hostname} could not be read: {why}")


# How urllib says that a proxy's rules forbid a destination.
TUNNEL_REFUSED = re.compile("Tunnel connection failed: 403 (.*)")

# What arrives slower than this is no download: it would hold a host for as long as it likes.
RATE_LEAST, RATE_OVER = 4096, 60  # bytes a second, seconds


def download(url, sha256, into, what, blame=InfraError):
    """Put the file with this sha256 at `into`, from the cache when it is there and still right. `blame` is the error for a server
    that trickles, or that nobody may reach: the index is the operator's, an address of a recipe is not."""
    cache = os.environ.get("PYBOTS_FETCH_CACHE")
    kept = Path(cache, "sha256", sha256[:2], sha256) if cache else None
    into.parent.mkdir(parents=True, exist_ok=True)
    if kept and kept.is_file():
        with contextlib.suppress(FileNotFoundError):  # another fetch tidies the cache
            if digest(kept) == sha256:
                shutil.copyfile(kept, into)
                os.utime(kept)
                return say(f"  {what} (cached)")
        kept.unlink(missing_ok=True)
    part = into.with_name(into.name + ".part")
    for left in (2, 1, 0):
        try:
            response = open_url(url)
        except Refused as e:
            raise blame(f"{what}: {e}") from e
        if response is None:
            raise RecipeError(f"{what}: the server says there is no such file; check its address")
        seen, broken = hashlib.sha256(), None
        try:
            with response, open(part, "wb") as out:
                since, arrived = time.monotonic(), 0
                while chunk := read_chunk(response):
                    seen.update(chunk)
                    out.write(chunk)
                    arrived += len(chunk)
                    if (took := time.monotonic() - since) > RATE_OVER:
                        if arrived / took < RATE_LEAST:
                            raise blame(f"{what}: its server sends {arrived / took:.0f} bytes a second, and less than "
                                        f"{RATE_LEAST} is no download; name another address")
                        since, arrived = time.monotonic(), 0
                if getattr(response, "length", None):
                    raise ConnectionError(f"{response.length} bytes are missing")
        except ConnectionError as e:
            broken = e
        if seen.hexdigest() == sha256:
            break
        # A cut or mangled transfer also shows as a wrong hash, so one wrong hash proves nothing.
        if not left and broken:
            raise InfraError(f"{what}: the download broke off three times: {broken}")
        if not left:
            raise RecipeError(f"{what}: sha256 is {seen.hexdigest()}, expected {sha256}. The file changed, or "
                              "the recipe's sha256 is wrong; check it with the project before updating it")
    part.replace(into)
    if kept:
        keep(into, kept)
    say(f"  {what} ({into.stat().st_size // 1024} KiB)")


def read_chunk(response):
    try:
        return response.read1(1 << 18)  # `read` would wait for all of them
    except (http.client.HTTPException, TimeoutError, ssl.SSLError) as e:
        raise ConnectionError(str(e) or type(e).__name__) from e


def tidy():
    """Remove from the cache what was unused for longest, until it is as small as the host wants it."""
    cache, most = os.environ.get("PYBOTS_FETCH_CACHE"), os.environ.get("PYBOTS_FETCH_CACHE_MOST")
    if not cache or not most:
        return
    held = []
    for folder, _, names in os.walk(cache):
        for name in names:
            with contextlib.suppress(OSError):  # another fetch may be tidying, too
                status = os.lstat(os.path.join(folder, name))
                held.append((max(status.st_mtime, status.st_atime), status.st_blocks * 512, os.path.join(folder, name)))
    over = sum(size for _, size, _ in held) - int(most)
    for _, size, path in sorted(held):
        if over <= 0:
            break
        with contextlib.suppress(OSError):
            os.unlink(path)
            over -= size


def keep(file, kept):
    """Store in the cache in one step; a cache that cannot be written is no reason to fail."""
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=kept.parent)
        try:
            with os.fdopen(handle, "wb") as out, open(file, "rb") as src:
                shutil.copyfileobj(src, out)
            os.chmod(name, 0o644)
            os.replace(name, kept)
        except OSError:
            os.unlink(name)
            raise
    except OSError as e:
        say(f"  the download cache cannot be written ({e.strerror}); going on without")


def digest(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


# -- the package index --------------------------------------------------------------------------

@dataclass(frozen=True)
class File:
    name: str
    url: str
    sha256: str
    requires_python: str
    yanked: bool
    uploaded: str = ""  # "" if the index doesn't say


class Links(html.parser.HTMLParser):
    """The anchors of a PEP 503 page."""

    def __init__(self):
        super().__init__()
        self.found, self.base = [], ""

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "base":
            self.base = attrs.get("href") or ""
        if tag == "a" and attrs.get("href"):
            self.found.append(attrs)


def read_page(body, content_type, address):
    """The files on one Simple API page, JSON (PEP 691) or HTML (PEP 503), addresses joined."""
    if content_type.split(";")[0].strip() == "application/vnd.pypi.simple.v1+json":
        rows = [(f["filename"], f["url"], f["hashes"].get("sha256", ""), f.get("requires-python"), f.get("yanked"),
                 f.get("upload-time"))
                for f in json.loads(body)["files"]]
    else:
        page, rows = Links(), []
        page.feed(body.decode("utf-8", "replace"))
        address = urllib.parse.urljoin(address, page.base)
        for a in page.found:
            url, _, fragment = a["href"].partition("#")
            name = urllib.parse.unquote(url.split("?")[0].rsplit("/", 1)[-1])
            sha256 = urllib.parse.parse_qs(fragment).get("sha256", [""])[0]
            rows.append((name, url, sha256, a.get("data-requires-python"), "data-yanked" in a, None))
    # A file name becomes a path under WORK, so one with a separator is not a file name.
    return [File(n, urllib.parse.urljoin(address, u), s.lower(), r or "", bool(y), t or "")
            for n, u, s, r, y, t in rows if "/" not in n and not n.startswith(".")]


def public_index():
    """The index that pip takes when nothing is set."""
    from pip._internal.models.index import PyPI

    return PyPI.simple_url


class Index:
    def __init__(self, held=None, hashes=None, as_of=None):
        """held: versions by name, which a resolver must keep; hashes: SHA-256 of files that are taken before others;
        as_of: the last day, in UTC, whose uploads are seen."""
        self.held, self.hashes = held or {}, hashes or {}
        self.before = (date.fromisoformat(as_of) + timedelta(days=1)).isoformat() + "T00:00:00" if as_of else None
        self.url = (os.environ.get("PIP_INDEX_URL") or os.environ.get("UV_INDEX_URL") or public_index()).rstrip("/") + "/"
        self.pages = {}

    def every_file(self, name):
        name = canonicalize_name(name)
        if name not in self.pages:
            try:
                response = open_url(urllib.parse.urljoin(self.url, name + "/"), {"Accept": ACCEPT})
            except Refused as e:
                raise InfraError(f"the package index: {e}") from e
            if response is None:
                raise RecipeError(f"the package index has no project called {name}; check the spelling")
            try:
                with response:
                    page = read_page(response.read(), response.headers.get("Content-Type", ""), response.url)
                self.pages[name] = page
            except (ValueError, KeyError, http.client.HTTPException) as e:
                raise InfraError(f"the package index's page about {name} makes no sense: {e!r}") from e
        return self.pages[name]

    def files(self, name):
        """The files that were there on the day that the recipe or the command names."""
        page = self.every_file(name)
        if self.before is None:
            return page
        if page and not any(f.uploaded for f in page):
            raise RecipeError(f"the package index does not say when the files of {name} were uploaded (PEP 700), "
                              "so dependencies as of a day can't be taken from it")
        # times of the index and this one are of one form, in UTC: text sorts as time does
        return [f for f in page if f.uploaded and f.uploaded < self.before]

    def sdists(self, name, whenever=False):
        found = [(sdist_version(f.name, name), f) for f in (self.every_file(name) if whenever else self.files(name))]
        return [(v, f) for v, f in found if v is not None]

    def releases(self, name):
        """The files of each version: (version, file, tags of a wheel or None)."""
        for f in self.files(name):
            version, wheel_tags = sdist_version(f.name, name), None
            if version is None:
                try:
                    _, version, _, wheel_tags = parse_wheel_filename(f.name)
                except (InvalidWheelFilename, InvalidVersion):
                    continue
            yield version, f, wheel_tags

    def newer(self, name, version, why):
        """The newest final releases after a version for which `why`, of (file, tags) of each of its files, has a reason."""
        files = {}
        for v, f, wheel_tags in self.releases(name):
            if v > version and not v.is_prerelease:
                files.setdefault(v, []).append((f, wheel_tags))
        reasons = [(v, why(files[v])) for v in sorted(files)]
        return ", ".join(f"{v} ({reason})" for v, reason in reversed(reasons[-NAMED:]) if reason)

    def sdist(self, name, version, sha256, python):
        """The sdist of that version, or of the newest final release that takes this Python."""
        every = self.sdists(name, whenever=version is not None)
        if version is None:
            final = [(v, f) for v, f in every if not v.is_prerelease and not f.yanked and takes(f, python)]
            if not final:
                raise RecipeError(f"{name} has no final release with an sdist for Python {python}; "
                                  "name a version, or narrow the recipe's `when`")
            wanted = max(v for v, _ in final)

            def why(files):
                sdists = [f for f, wheel_tags in files if wheel_tags is None]
                return unfit([f for f, _ in files], python) or ("" if sdists else "no sdist")

            if newer := self.newer(name, wanted, why):
                say(f"  note: {name} {wanted} is taken; passed over: {newer}")
        else:
            wanted = Version(version)
        fits = sorted((f for v, f in every if v == wanted),
                      key=lambda f: (f.sha256 != sha256, not f.name.endswith(".tar.gz"), f.name))
        if not fits:
            newest = ", ".join(str(v) for v in sorted({v for v, _ in every})[-5:]) or "none"
            raise RecipeError(f"{name} {wanted} has no sdist on the package index (its newest: {newest})")
        if sha256 and fits[0].sha256 and fits[0].sha256 != sha256:
            raise RecipeError(f"{fits[0].name}: the package index says sha256 {fits[0].sha256}, the recipe says {sha256}. "
                              "Check it with the project before updating the recipe")
        if fits[0].yanked:
            say(f"  note: {fits[0].name} was withdrawn (yanked) by its project")
        # the recipe's digest is as good as the index's
        return wanted, checkable(replace(fits[0], sha256=fits[0].sha256 or sha256))

    def passed_over(self, name, version, ranks, python):
        """Newer releases that the resolver could not take, with the reason. It keeps to the versions of a lock."""
        if self.held.get(name) == str(version):
            return ""

        def why(files):
            wheels = [f for f, wheel_tags in files if wheel_tags]
            usable = [f for f, wheel_tags in files if wheel_tags and any(tag in ranks for tag in wheel_tags)]
            if reason := unfit(usable or wheels or [f for f, _ in files], python):
                return reason
            return "" if usable else f"no wheel for Python {python} here" if wheels else "an sdist only: to have it, make it an extra source"

        return self.newer(name, version, why)

    def best(self, name, version, ranks):
        """The file to install: the most specific wheel these tags allow, else the sdist."""
        wheels = []
        for f in self.files(name):
            try:
                _, v, build, wheel_tags = parse_wheel_filename(f.name)
            except (InvalidWheelFilename, InvalidVersion):
                continue
            rank = min((ranks[t] for t in wheel_tags if t in ranks), default=None)
            if v == version and rank is not None:
                wheels.append((not f.sha256, f.name not in self.hashes, rank, [-b if isinstance(b, int) else b for b in build], f.name, f))
        if wheels:
            return self.same_as_before(min(wheels, key=lambda w: w[:5])[5])
        sdists = sorted((f for v, f in self.sdists(name) if v == version),
                        key=lambda f: (not f.sha256, f.name not in self.hashes, not f.name.endswith(".tar.gz"), f.name))
        if not sdists:
            raise RecipeError(f"{name} {version} has neither a wheel for this Python nor an sdist")
        return self.same_as_before(sdists[0])

    def same_as_before(self, file):
        if self.hashes.get(file.name, file.sha256) != file.sha256:
            raise RecipeError(f"{file.name} is not what it was: the package index says sha256 {file.sha256}, "
                              f"an earlier run had {self.hashes[file.name]}")
        return checkable(file)


def checkable(file):
    """Refuse a file without a digest. That is a matter of the index, whatever the file is."""
    if not file.sha256:
        raise InfraError(f"the package index gives no SHA-256 of {file.name} (`#sha256=` at its link), and nothing is installed "
                         "unchecked; set up the index so that it does, or take another one")
    return file


def unfit(files, python):
    """Why a release can't be taken, or an empty text."""
    if all(f.yanked for f in files):
        return "withdrawn"
    if not any(takes(f, python) for f in files):
        return f"it requires Python {files[0].requires_python}"
    return ""


def sdist_version(file, name):
    """Version of an sdist, None if the file is something else. Names of 2006 are not normalised."""
    ending = next((e for e in SDIST_ENDINGS if file.lower().endswith(e)), None)
    stem, dash, version = file[: -len(ending or "x")].rpartition("-")
    if ending is None or not dash or canonicalize_name(stem) != canonicalize_name(name):
        return None
    try:
        return Version(version)
    except InvalidVersion:
        return None


def takes(file, python):
    try:
        return SpecifierSet(file.requires_python).contains(python + ".0", prereleases=True)
    except InvalidSpecifier:
        return True
