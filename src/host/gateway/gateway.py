"""The gateway of a run: the only way from strangers' code to the network.

`serve` runs in a container that has a network. It listens at a socket in a volume, and is an HTTP proxy that adds logins, which its
clients never see, and refuses addresses near this machine. `relay` runs in a container without a network, whose loopback address
strangers' code shares. It passes connections on to that socket.
"""

import base64, contextlib, http.client, http.server, ipaddress, json, os, re, selectors, socket, socketserver, ssl, sys, threading
import time, urllib.parse, urllib.request
from dataclasses import dataclass

FOLDER = os.path.dirname(os.path.abspath(__file__))
SOCKET = os.path.join(FOLDER, "socket")
PORT = 3128
CONNECTIONS = 64  # at the same time
CONNECT_WITHIN, HEAD_WITHIN, IDLE_MOST = 30, 60, 900  # seconds
BUFFER = 256 << 10  # bytes that wait in each direction
http.client._MAXLINE = 16 << 10  # bytes of a header, of which it takes 100: all connections at once must fit into memory
PAGE_MOST = 32 << 20  # bytes of a page of the index
PAGES = 2  # that are held in memory at the same time
REFUSALS_MOST = 20
MAIL = {25, 465, 587}
HOP_BY_HOP = {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
              "transfer-encoding", "upgrade"}
# The headers that stay in a request with the login of the index. Others could change what the request means.
REQUEST_HEADERS = {"accept", "user-agent", "range", "if-none-match", "if-modified-since", "if-range", "cache-control"}
# The headers that are dropped from the response to such a request. A session cookie is as good as the login.
SECRET_HEADERS = {"set-cookie", "set-cookie2", "authentication-info", "www-authenticate"}
# The spellings of a host that are accepted. Programs disagree about others, such as `127.0.0.1\@example.org`.
HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*")
# The paths that are requested with the login. Servers disagree about others, such as `/a/..%2fb`.
PLAIN_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))(?:[A-Za-z0-9._~!$&'()*+,=:@-]|%(?!2[eEfF]|5[cC]|00)[0-9A-Fa-f]{2})+)*/?")
# Address ranges near a machine or without an owner, from the IANA registries of special-purpose addresses.
NEAR = [ipaddress.ip_network(n) for n in (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.88.99.0/24",
    "168.63.129.16/32", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
    "::/127", "64:ff9b:1::/48", "100::/64", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8")]
# IPv6 addresses that hold one of IPv4, with the position of its last bit: mapped, compatible, NAT64, 6to4. Teredo hides it.
HOLDS_IPV4 = [(ipaddress.ip_network(n), shift) for n, shift in (
    ("::ffff:0:0/96", 0), ("::/96", 0), ("::ffff:0:0:0/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80))]
TEREDO = ipaddress.ip_network("2001::/32")


class Refused(Exception):
    """The rules of this machine forbid it."""


class Unreachable(Exception):
    """The other side does not answer."""


def is_near(address):
    """Whether an IP address is near this machine, or hides one that may be."""
    if address.version == 6:
        if address in TEREDO:
            return True
        for network, shift in HOLDS_IPV4:
            if address in network and is_near(ipaddress.IPv4Address((int(address) >> shift) & 0xFFFFFFFF)):
                return True
    return any(address in network for network in NEAR if network.version == address.version)


@dataclass(frozen=True)
class Rules:
    """Which destinations are allowed beside public addresses: names, the names below them, networks, and one host with its port.
    `near` are public addresses that are refused all the same: those of this machine and of its networks."""
    names: frozenset = frozenset()
    networks: tuple = ()
    index: tuple = ()
    near: tuple = ()

    @classmethod
    def read(cls, allow, index, near=()):
        names, networks = set(), []
        for entry in allow:
            try:
                networks.append(ipaddress.ip_network(entry, strict=False))
            except ValueError:
                names.add(entry.lower().rstrip("."))
        return cls(frozenset(names), tuple(networks), index, tuple(ipaddress.ip_network(n, strict=False) for n in near))

    def is_named(self, host, port):
        host = host.lower().rstrip(".")
        above = host.split(".")
        return (host, port) == self.index or host in self.names or any("." + ".".join(above[i:]) in self.names for i in range(1, len(above)))

    def is_allowed(self, address):
        within = lambda networks: any(address in n for n in networks if n.version == address.version)
        return within(self.networks) or not (is_near(address) or within(self.near))

    def addresses(self, host, port, found):
        """The addresses of a host that may be used, of those that were found."""
        if port in MAIL:
            raise Refused(f"port {port} of {host} is for mail")
        if self.is_named(host, port):
            return found
        taken = [a for a in found if self.is_allowed(ipaddress.ip_address(a.partition("%")[0]))]
        if found and not taken:
            # without the address: logs are public, and names of a network are its owner's
            raise Refused(f"{host} is not public; the owner of this machine can allow it by `network.allow`")
        return taken


@dataclass(frozen=True)
class Upstream:
    """An address with what its clients must not see."""
    scheme: str
    host: str
    port: int
    login: str = ""
    path: str = "/"

    @classmethod
    def read(cls, url):
        if not url:
            return None
        parts = urllib.parse.urlsplit(url if "://" in url else "http://" + url)
        login = ""
        if parts.username is not None:
            login = ":".join(urllib.parse.unquote(p or "") for p in (parts.username, parts.password))
        # the files of an index are beside its pages
        path = parts.path.rstrip("/").rpartition("/")[0] + "/"
        return cls(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), login, path)

    def authorization(self):
        return "Basic " + base64.b64encode(self.login.encode()).decode()

    def spellings(self):
        """How links name it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        short = [host] if self.port == (443 if self.scheme == "https" else 80) else []
        return [f"{host}:{self.port}", *short]


class Ways:
    """How connections leave."""

    def __init__(self, config):
        self.index = Upstream.read(config.get("index"))
        index = (self.index.host, self.index.port) if self.index else ()
        self.rules = Rules.read(config.get("allow", []), index, config.get("near", []))
        self.proxies = {"http": Upstream.read(config.get("http_proxy")), "https": Upstream.read(config.get("https_proxy"))}
        self.no_proxy = config.get("no_proxy", "")
        self.ca = os.path.join(FOLDER, config["ca"]) if config.get("ca") else None

    def proxy(self, scheme, host, port):
        if self.no_proxy and urllib.request.proxy_bypass_environment(f"{host}:{port}", {"no": self.no_proxy}):
            return None
        return self.proxies[scheme]

    def tls(self, connection, host):
        try:
            return ssl.create_default_context(cafile=self.ca).wrap_socket(connection, server_hostname=host)
        except ssl.SSLCertVerificationError as e:
            raise Unreachable(f"{host}: {e.verify_message}; is `network.ca` of this machine right?") from e

    def open(self, scheme, host, port):
        """A connection to a host, and the proxy to which its requests are to be addressed, if any. The address that is checked
        is the one that is used: a name may mean another one a moment later."""
        if not HOST.fullmatch(host):
            raise Refused(f"{host} is not the name of a host")
        proxy = self.proxy(scheme, host, port)
        try:
            found = list(dict.fromkeys(row[4][0] for row in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as e:
            if not proxy:  # else the proxy knows names that this machine does not, and has rules of its own
                raise Unreachable(f"{host} can't be resolved: {getattr(e, 'strerror', None) or e}") from e
            found = []
        allowed = self.rules.addresses(host, port, found)
        if proxy:
            return connect([proxy.host], proxy.port, "the proxy of this machine"), proxy
        return connect(allowed, port, host), None

    def tunnel(self, host, port):
        connection, proxy = self.open("https", host, port)
        if proxy:
            where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            head = f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n"
            head += f"Proxy-Authorization: {proxy.authorization()}\r\n" if proxy.login else ""
            connection.sendall((head + "\r\n").encode())
            answer = read_head(connection).split(b"\r\n")[0].decode("latin-1").split(None, 2)
            if len(answer) < 2 or answer[1] != "200":
                connection.close()
                raise Unreachable(f"the proxy of this machine does not connect to {where}: {' '.join(answer[1:])}")
        return connection


def connect(hosts, port, what):
    why = OSError("it has no address")
    for host in hosts:
        try:
            connection = socket.create_connection((host, port), CONNECT_WITHIN)
            connection.settimeout(HEAD_WITHIN)
            return connection
        except OSError as e:
            why = e
    raise Unreachable(f"{what} does not answer at port {port}: {why.strerror or why}")


def read_head(connection):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte or len(head) > 65536:
            break
        head += byte
    return head


def splice(one, other):
    """Pass bytes on in both directions until both sides have ended, or neither has sent anything for a long time."""
    peers = {one: other, other: one}
    waiting = {one: bytearray(), other: bytearray()}  # for that side
    ended, informed = set(), set()  # sides that send no more; sides that were informed that their peer does not
    with selectors.DefaultSelector() as selector:
        for side in peers:
            side.setblocking(False)
        while True:
            for side, peer in peers.items():
                if peer in ended and not waiting[side] and side not in informed:
                    informed.add(side)
                    with contextlib.suppress(OSError):
                        side.shutdown(socket.SHUT_WR)
            if len(informed) == 2:
                return
            for side, peer in peers.items():
                watch(selector, side, side not in ended and len(waiting[peer]) < BUFFER, bool(waiting[side]))
            if not selector.select(IDLE_MOST):
                return
            for side, peer in peers.items():
                if side not in ended and len(waiting[peer]) < BUFFER:
                    with contextlib.suppress(BlockingIOError):
                        data = side.recv(65536)
                        waiting[peer] += data
                        if not data:
                            ended.add(side)
                if waiting[side]:
                    with contextlib.suppress(BlockingIOError):
                        del waiting[side][:side.send(waiting[side])]


def watch(selector, side, reads, writes):
    events = (selectors.EVENT_READ if reads else 0) | (selectors.EVENT_WRITE if writes else 0)
    if side not in selector.get_map():
        if events:
            selector.register(side, events)
    elif events:
        selector.modify(side, events)
    else:
        selector.unregister(side)


class Proxy(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = HEAD_WITHIN
    rbufsize = 0  # what follows a CONNECT is not ours to read
    has_answered = False

    def log_message(self, *_):
        pass

    def handle_one_request(self):
        try:
            super().handle_one_request()
        except Refused as e:
            self.server.report(str(e))
            self.deny(403, str(e), "destination_ip_prohibited")
        except Unreachable as e:
            self.deny(502, str(e), "destination_unavailable")
        except (OSError, http.client.HTTPException, ValueError) as e:
            self.deny(502, f"the connection broke: {e or type(e).__name__}", "connection_terminated")
        self.close_connection = True

    def deny(self, code, reason, kind):
        """Answer with the reason in the status line, which most programs show. Names of errors are those of RFC 9209."""
        if self.has_answered:  # the client notices that the answer breaks off
            return
        self.close_connection = True
        reason = "".join(c if " " <= c <= "~" else "?" for c in reason)[:300]
        body = f"Pybots: {reason}\n".encode()
        try:
            self.send_response(code, reason)
            self.send_header("Proxy-Status", f"pybots; error={kind}")
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            pass

    def do_CONNECT(self):
        parts = urllib.parse.urlsplit("//" + self.path)
        if not parts.hostname or not parts.port or "@" in self.path:
            return self.deny(400, "CONNECT needs a host and a port", "http_request_error")
        with self.server.ways.tunnel(parts.hostname, parts.port) as other:
            self.has_answered = True
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                splice(self.connection, other)

    def forward(self):
        parts = urllib.parse.urlsplit(self.path)
        if parts.scheme != "http" or not parts.hostname or "@" in parts.netloc:
            return self.deny(400, "this is a proxy: ask it for an address that begins with http://, and has no login", "http_request_error")
        lengths = self.headers.get_all("Content-Length", ["0"])
        if self.headers.get("Transfer-Encoding") or len(lengths) > 1 or not re.fullmatch("[0-9]{1,12}", lengths[0]):
            return self.deny(411, "a request with a body needs its length", "http_request_error")
        ways, left = self.server.ways, int(lengths[0])
        index = ways.index if ways.index and ways.index.login and parts.netloc.lower() in ways.index.spellings() else None
        if index and (self.command not in ("GET", "HEAD") or left):
            raise Refused("the login of the package index is for reading only")
        if index and not (parts.path.startswith(index.path) and PLAIN_PATH.fullmatch(parts.path)):
            raise Refused(f"the login of the package index is for paths below {index.path} only")
        host, port, scheme = (index.host, index.port, index.scheme) if index else (parts.hostname, parts.port or 80, "http")
        connection = http.client.HTTPConnection(host, port, timeout=HEAD_WITHIN)
        proxy = None
        if scheme == "https":
            connection.sock = ways.tls(ways.tunnel(host, port), host)
        else:
            connection.sock, proxy = ways.open("http", host, port)
        with connection.sock:
            # rebuilt: a proxy must not read another host in it than the one that was checked
            place = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
            place += f":{parts.port}" if parts.port else ""
            path = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
            connection.putrequest(self.command, f"http://{place}{path}" if proxy else path, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", place)
            for name, value in self.headers.items():
                if name.lower() in REQUEST_HEADERS if index else name.lower() not in HOP_BY_HOP | {"host", "content-length"}:
                    connection.putheader(name, value)
            if left:
                connection.putheader("Content-Length", str(left))
            if index:
                connection.putheader("Authorization", index.authorization())
            if proxy and proxy.login:
                connection.putheader("Proxy-Authorization", proxy.authorization())
            connection.putheader("Connection", "close")
            connection.endheaders()
            while left > 0 and (data := self.rfile.read(min(left, 65536))):
                connection.sock.sendall(data)
                left -= len(data)
            self.answer(connection.getresponse(), index)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_PROPFIND = do_REPORT = forward

    def answer(self, response, index):
        """Pass a response on. Links of the index to itself become such that come here again, for the login."""
        kind = response.headers.get_content_type()
        if index and self.command == "GET" and (kind in ("text/html", "application/json") or kind.startswith("application/vnd.pypi.")):
            with self.server.pages:
                page = response.read(PAGE_MOST + 1)
                if len(page) > PAGE_MOST:
                    raise Unreachable(f"a page of the package index has more than {PAGE_MOST >> 20} MiB")
                if response.length:  # else a page that broke off would look whole
                    raise http.client.IncompleteRead(b"", response.length)
                page = here(page, index)
                self.head(response, index, ("Content-Length", str(len(page))), {"content-length", "etag"})
                self.wfile.write(page)
            return
        in_chunks = response.chunked
        self.head(response, index, ("Transfer-Encoding", "chunked") if in_chunks else None)
        while data := response.read1(65536):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data) if in_chunks else data)
        if in_chunks:
            self.wfile.write(b"0\r\n\r\n")

    def head(self, response, index, own, without=frozenset()):
        self.send_response_only(response.status, "".join(c if " " <= c <= "~" else "?" for c in response.reason))
        without = HOP_BY_HOP | without | (SECRET_HEADERS if index else set())
        for name, value in response.headers.items():
            if name.lower() not in without:
                is_link = index and name.lower() == "location"
                self.send_header(name, here(value.encode("latin-1"), index).decode("latin-1") if is_link else value)
        for name, value in filter(None, (own, ("Connection", "close"))):
            self.send_header(name, value)
        self.has_answered = True
        self.end_headers()


def here(text, index):
    """The text with links to the index that its clients can follow without its login."""
    for place in index.spellings() if index.scheme == "https" else ():
        for escaped in (False, True):  # JSON may escape slashes
            far, near = (f"{scheme}://{place}{index.path}" for scheme in ("https", "http"))
            if escaped:
                far, near = far.replace("/", "\\/"), near.replace("/", "\\/")
            text = text.replace(far.encode(), near.encode())
    return text


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = CONNECTIONS

    def __init__(self, path, ways):
        self.ways, self.reported = ways, set()
        self.places, self.pages = threading.BoundedSemaphore(CONNECTIONS), threading.BoundedSemaphore(PAGES)
        super().__init__(path, Proxy)

    def get_request(self):
        return self.socket.accept()[0], ("client", 0)

    def process_request(self, request, client_address):
        self.places.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.places.release()

    def handle_error(self, request, client_address):
        pass

    def report(self, refusal):
        """The host writes these lines to the log."""
        line = "".join(c if " " <= c <= "~" else "?" for c in refusal)[:300]
        if line not in self.reported and len(self.reported) < REFUSALS_MOST:
            self.reported.add(line)
            print(line, flush=True)


def serve():
    with open(os.path.join(FOLDER, "config.json")) as f:
        ways = Ways(json.load(f))
    server = Server(SOCKET + ".new", ways)
    os.rename(SOCKET + ".new", SOCKET)  # where it is, it answers
    server.serve_forever()


def relay():
    while not os.path.exists(SOCKET):
        time.sleep(0.02)
    listener = socket.create_server(("127.0.0.1", PORT), backlog=CONNECTIONS)
    print("ready", flush=True)
    places = threading.BoundedSemaphore(CONNECTIONS)

    def carry(client):
        try:
            with client, socket.socket(socket.AF_UNIX) as gateway:
                gateway.connect(SOCKET)
                splice(client, gateway)
        except OSError:
            pass
        finally:
            places.release()

    while True:
        client, _ = listener.accept()
        places.acquire()
        threading.Thread(target=carry, args=(client,), daemon=True).start()


if __name__ == "__main__":
    {"serve": serve, "relay": relay}[sys.argv[1]]()
