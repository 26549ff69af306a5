"""Tests of src/host/gateway/gateway.py, with real servers on the loopback address."""

import contextlib, http.client, http.server, io, ipaddress, os, socket, socketserver, subprocess, sys, tempfile, threading, time
import unittest, urllib.error, urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src/host/gateway"), str(ROOT / "src/host/run")]
import gateway
from gateway import Refused, Rules, Upstream, Ways


class Addresses(unittest.TestCase):
    def test_what_is_near_is_found_in_every_form(self):
        for address in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "172.31.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
                        "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:10.0.0.1", "::10.0.0.1",
                        "::ffff:0:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "2001:0:53aa:64c::1"):
            self.assertTrue(gateway.is_near(ipaddress.ip_address(address)), address)
        for address in ("8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"):
            self.assertFalse(gateway.is_near(ipaddress.ip_address(address)), address)

    def test_only_what_the_owner_names_is_allowed_beside_public_addresses(self):
        rules = Rules.read(["10.1.0.0/16", "git.example.org", ".corp.example"], ("index.example.org", 8443))
        self.assertEqual(rules.addresses("a.org", 443, ["8.8.8.8"]), ["8.8.8.8"])
        self.assertEqual(rules.addresses("a.org", 443, ["10.2.0.1", "10.1.0.1"]), ["10.1.0.1"])
        for host in ("git.example.org", "GIT.example.org.", "x.corp.example", "a.b.corp.example"):
            self.assertEqual(rules.addresses(host, 443, ["10.9.9.9"]), ["10.9.9.9"])
        self.assertEqual(rules.addresses("index.example.org", 8443, ["127.0.0.1"]), ["127.0.0.1"])
        for host, port in (("index.example.org", 80), ("xgit.example.org", 443), ("a.git.example.org", 443), ("corp.example", 443),
                           ("a.org", 443)):
            with self.assertRaisesRegex(Refused, "not public.*network.allow"):
                rules.addresses(host, port, ["10.9.9.9"])

    def test_what_is_on_the_networks_of_this_machine_is_refused_though_public(self):
        rules = Rules.read(["8.8.8.9"], (), ["8.8.8.0/24", "2606:4700::1/64"])
        for address in ("8.8.8.8", "2606:4700::2"):
            with self.assertRaises(Refused):
                rules.addresses("a.org", 443, [address])
        self.assertEqual(rules.addresses("a.org", 443, ["8.8.8.9"]), ["8.8.8.9"])

    def test_no_mail_leaves(self):
        with self.assertRaisesRegex(Refused, "mail"):
            Rules().addresses("mail.example.org", 25, ["8.8.8.8"])

    def test_an_odd_spelling_of_an_address_is_that_address(self):
        ways = Ways({})
        for host in ("2130706433", "0x7f.1", "127.1", "localhost", "[::1]".strip("[]")):
            with self.assertRaises(Refused):
                ways.open("https", host, 1)


class Site(http.server.BaseHTTPRequestHandler):
    """An index that wants a login, and an ordinary site."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers)))
        place = "%s:%d" % self.server.server_address
        if self.path == "/simple/private/" and self.headers.get("Authorization") != "Basic bWU6c2VjcmV0":
            body, code = b"who are you?", 401
        elif self.path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n0\r\n\r\n")
            return
        elif self.path == "/heads":
            self.send_response(200)
            self.send_header("X-Long", "x" * 20_000)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        elif self.path == "/breaks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n")
            self.close_connection = True
            return
        elif self.path == "/simple/away/":
            self.send_response(302)
            self.send_header("Location", "http://localhost:%d/secret" % self.server.server_address[1])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        elif self.path == "/simple/cut/":
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"<a href='1'>")
            self.close_connection = True
            return
        else:
            body, code = f'<a href="https://{place}/files/a">a</a> https:\\/\\/{place}\\/b'.encode(), 200
        self.send_response(code)
        self.send_header("Content-Type", "text/html")
        self.send_header("Set-Cookie", "session=of-the-operator")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)


@contextlib.contextmanager
def running(server):
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Relay(socketserver.ThreadingTCPServer):
    """What `relay` does, at any free port."""
    daemon_threads = True

    def __init__(self, path):
        class Carry(socketserver.BaseRequestHandler):
            def handle(self):
                with socket.socket(socket.AF_UNIX) as far:
                    far.connect(path)
                    gateway.splice(self.request, far)
        super().__init__(("127.0.0.1", 0), Carry)

    def handle_error(self, request, client_address):
        pass  # a reset, as in `relay`


class Running(unittest.TestCase):
    def setUp(self):
        self.context = contextlib.ExitStack()
        self.addCleanup(self.context.close)
        folder = self.context.enter_context(tempfile.TemporaryDirectory())
        self.site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
        self.site.seen = []
        self.context.enter_context(running(self.site))
        self.echo = self.context.enter_context(running(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)))
        self.echo.daemon_threads = True
        self.reported = self.context.enter_context(contextlib.redirect_stdout(io.StringIO()))
        self.path, self.number = os.path.join(folder, "socket"), 0

    def start(self, **config):
        self.number += 1
        path = f"{self.path}{self.number}"
        self.context.enter_context(running(gateway.Server(path, Ways(config))))
        relay = self.context.enter_context(running(Relay(path)))
        self.proxy = f"127.0.0.1:{relay.server_address[1]}"

    def get(self, path, host="127.0.0.1", method="GET", data=None, headers={}):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://{self.proxy}", "https": f"http://{self.proxy}"}))
        address = f"http://{host}:{self.site.server_address[1]}{path}"
        return opener.open(urllib.request.Request(address, method=method, data=data, headers=headers), timeout=10)

    def connect(self, port):
        connection = http.client.HTTPConnection(self.proxy, timeout=10)
        connection.set_tunnel("127.0.0.1", port)
        connection.connect()
        return connection.sock


class ThroughTheGateway(Running):
    def test_a_neighbour_is_refused_and_the_log_says_so_once(self):
        self.start()
        for _ in range(2):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                self.get("/")
            self.assertEqual(caught.exception.code, 403)
            self.assertIn("destination_ip_prohibited", caught.exception.headers["Proxy-Status"])
            caught.exception.close()
            with self.assertRaisesRegex(OSError, "403 127.0.0.1 is not public"):
                self.connect(self.echo.server_address[1])
        self.assertEqual(self.reported.getvalue().count("\n"), 1, self.reported.getvalue())
        self.assertEqual(self.site.seen, [])

    def test_bytes_pass_in_both_directions(self):
        self.start(allow=["127.0.0.1"])
        with self.get("/chunks") as response:
            self.assertEqual(response.read(), b"abc")
        with self.get("/x", method="POST", data=b"d" * 300_000) as response:
            self.assertEqual(len(response.read()), 300_000)
        sock, much = self.connect(self.echo.server_address[1]), os.urandom(3_000_000)
        threading.Thread(target=lambda: (sock.sendall(much), sock.shutdown(socket.SHUT_WR)), daemon=True).start()
        back = b""
        while data := sock.recv(1 << 20):
            back += data
        self.assertEqual(back, much)
        sock.close()

    def test_an_answer_that_breaks_off_looks_broken(self):
        self.start(allow=["127.0.0.1"])
        with self.get("/breaks") as response, self.assertRaises(http.client.IncompleteRead):
            response.read()

    def test_a_header_that_would_fill_the_memory_is_no_answer(self):
        self.start(allow=["127.0.0.1"])
        with self.assertRaises(urllib.error.HTTPError) as failed:
            self.get("/heads")
        self.assertEqual(failed.exception.code, 502)
        failed.exception.close()

    def test_the_login_of_the_index_is_added_for_reading_only(self):
        port = self.site.server_address[1]
        self.start(index=f"http://me:secret@127.0.0.1:{port}/simple/of-pypi/")
        with self.get("/simple/private/", headers={"X-HTTP-Method-Override": "DELETE", "Cookie": "a=b", "Accept": "text/html"}) as response:
            self.assertEqual(response.status, 200)
            self.assertNotIn("Set-Cookie", response.headers)  # it would stand for the login
        asked = self.site.seen[-1][1]
        self.assertEqual(asked["Authorization"], "Basic bWU6c2VjcmV0")
        self.assertEqual(set(asked), {"Host", "User-Agent", "Accept", "Authorization", "Connection"})
        seen = len(self.site.seen)
        for path in ("/private.git", "/simple/../private.git", "/simple/%2e%2e/private.git", "/simple//x", "/simple/a%5cb", "/simple"):
            with self.assertRaises(urllib.error.HTTPError, msg=path) as caught:
                self.get(path)
            self.assertEqual(caught.exception.code, 403)
            caught.exception.close()
        self.assertEqual(len(self.site.seen), seen)
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.get("/simple/private/", method="POST", data=b"a new release")
        self.assertEqual(caught.exception.code, 403)
        caught.exception.close()
        # the same machine by another name or port is not the index
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.get("/simple/private/", host="localhost")
        caught.exception.close()

    def test_a_redirect_leads_nowhere_that_is_refused(self):
        self.start(index=f"http://me:secret@127.0.0.1:{self.site.server_address[1]}/simple/")
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.get("/simple/away/")
        self.assertEqual((caught.exception.code, caught.exception.url.rsplit("/", 1)[-1]), (403, "secret"))
        self.assertIn("localhost is not public", str(caught.exception.reason) + caught.exception.read().decode())
        caught.exception.close()
        self.assertEqual([path for path, _ in self.site.seen], ["/simple/away/"])

    def test_a_page_of_the_index_that_breaks_off_is_no_page(self):
        self.start(index=f"http://me:secret@127.0.0.1:{self.site.server_address[1]}/simple/")
        with self.assertRaises(urllib.error.HTTPError) as caught:
            self.get("/simple/cut/")
        self.assertEqual(caught.exception.code, 502)
        caught.exception.close()

    def test_no_other_spelling_of_a_host_gets_to_a_further_proxy(self):
        self.start(allow=["127.0.0.1"])
        self.start(http_proxy=f"http://me:secret@{self.proxy}", https_proxy=f"http://me:secret@{self.proxy}")
        host, port = self.proxy.split(":")
        for spelling in ("127.0.0.1.", "localhost.", "2130706433.", "0x7f.1", "[::1%25lo]", "127%2e0.0.1", "127.0.0.1\\@a.org", "127.0.0.1\\.a.org"):
            for request in (f"GET http://{spelling}/ HTTP/1.1\r\n\r\n", f"CONNECT {spelling}:443 HTTP/1.1\r\n\r\n"):
                with socket.create_connection((host, int(port)), 10) as sock:
                    sock.sendall(request.encode())
                    self.assertRegex(sock.recv(100), rb"HTTP/1.1 40[03] ", request)

    def test_a_further_proxy_gets_its_login_and_the_client_sees_neither(self):
        self.start(allow=["127.0.0.1"])
        far = self.proxy
        seen = []
        original = gateway.Proxy.do_CONNECT

        def noting(handler):
            seen.append(handler.headers.get("Proxy-Authorization"))
            original(handler)

        gateway.Proxy.do_CONNECT = noting
        self.addCleanup(setattr, gateway.Proxy, "do_CONNECT", original)
        self.start(allow=["127.0.0.1"], http_proxy=f"http://me:secret@{far}", https_proxy=f"http://me:secret@{far}")
        with self.get("/x") as response:
            self.assertEqual(response.status, 200)
        self.assertNotIn("Proxy-Authorization", self.site.seen[-1][1])
        sock = self.connect(self.echo.server_address[1])
        sock.sendall(b"hello")
        self.assertEqual(sock.recv(5), b"hello")
        sock.close()
        self.assertEqual(seen, [None, "Basic bWU6c2VjcmV0"])

    def test_what_is_no_request_to_a_proxy_is_answered(self):
        self.start()
        for request in (b"GET / HTTP/1.1\r\n\r\n", b"GET ftp://a/ HTTP/1.1\r\n\r\n", b"CONNECT nowhere HTTP/1.1\r\n\r\n",
                        b"CONNECT a:99999 HTTP/1.1\r\n\r\n", b"GET http://[::1 HTTP/1.1\r\n\r\n", b"BREW http://a/ HTTP/1.1\r\n\r\n"):
            host, port = self.proxy.split(":")
            with socket.create_connection((host, int(port)), 10) as sock:
                sock.sendall(request)
                self.assertRegex(sock.recv(100), rb"HTTP/1.1 [45]\d\d ", request)

    def test_git_and_svn_reach_a_host_through_the_tunnel(self):
        import fetch_tunnel

        self.assertEqual(fetch_tunnel.destination(["a.org", "9418"]), ("a.org", 9418))
        self.assertEqual(fetch_tunnel.destination(["a.org", "svnserve", "-t"]), ("a.org", 3690))
        self.assertEqual(fetch_tunnel.destination(["a.org:77", "svnserve", "-t"]), ("a.org", 77))
        def through(port):
            return subprocess.run([sys.executable, fetch_tunnel.__file__, "127.0.0.1", str(port)], input=b"hello", capture_output=True,
                                  env={**os.environ, "http_proxy": f"http://{self.proxy}"}, timeout=20)

        self.start(allow=["127.0.0.1"])
        self.assertEqual(through(self.echo.server_address[1]).stdout, b"hello")
        self.start()
        self.assertIn(b"127.0.0.1 is not public", through(self.echo.server_address[1]).stderr)


class Tools(Running):
    """git and svn with a proxy that they do not know of themselves."""

    def served(self, *command):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen([part.replace("PORT", str(port)) for part in command], stderr=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.terminate)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                return port
        self.fail(f"{command} did not start")

    def test_sources_come_through_the_gateway(self):
        import fetch_sources

        folder = Path(self.path).parent
        run = lambda *command: subprocess.run(command, check=True, capture_output=True, cwd=folder)
        run("git", "init", "--quiet", "--initial-branch=main", "one")
        (folder / "one/a").write_text("1")
        run("git", "-C", "one", "add", "a")
        run("git", "-C", "one", "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "x")
        git = self.served("git", "daemon", "--export-all", f"--base-path={folder}", "--listen=127.0.0.1", "--port=PORT", str(folder))
        run("svnadmin", "create", "two")
        run("svn", "import", "--quiet", "--message", "x", "one/a", f"file://{folder}/two/a")
        svn = self.served("svnserve", "--daemon", "--foreground", "--listen-host=127.0.0.1", "--listen-port=PORT", f"--root={folder}")
        self.start(allow=["127.0.0.1"])
        before = os.environ.copy()
        self.addCleanup(lambda: (os.environ.clear(), os.environ.update(before)))
        os.environ.update(http_proxy=f"http://{self.proxy}", https_proxy=f"http://{self.proxy}", no_proxy="")
        tunnels = []
        real = gateway.Ways.tunnel
        gateway.Ways.tunnel = lambda ways, host, port: (tunnels.append(port), real(ways, host, port))[1]
        self.addCleanup(setattr, gateway.Ways, "tunnel", real)
        for source in ({"name": "g", "git": f"git://127.0.0.1:{git}/one", "rev": "main"},
                       {"name": "s", "svn": f"svn://127.0.0.1:{svn}/two", "rev": "1"}):
            fetch_sources.bring(source, None, folder, "3.11")
            self.assertEqual((folder / "src" / source["name"] / "a").read_text(), "1")
        self.assertEqual(set(tunnels), {git, svn})


class Pages(unittest.TestCase):
    def test_links_of_the_index_to_itself_come_back_here(self):
        index = Upstream.read("https://me:secret@index.example.org/simple/")
        text = b'"https://index.example.org/a" "https:\\/\\/index.example.org\\/b" "https://index.example.org:443/c" "https://other.org/d"'
        self.assertEqual(gateway.here(text, index), b'"http://index.example.org/a" "http:\\/\\/index.example.org\\/b" '
                         b'"http://index.example.org:443/c" "https://other.org/d"')
        index = Upstream.read("https://me:secret@index.example.org/api/pypi/simple")
        text = b'https://index.example.org/api/pypi/files/a https://index.example.org/api/npm/b'
        self.assertEqual(gateway.here(text, index), b'http://index.example.org/api/pypi/files/a https://index.example.org/api/npm/b')
        self.assertEqual(Upstream.read("https://me:p%40ss@h:8443").spellings(), ["h:8443"])
        self.assertEqual(Upstream.read("https://me:p%40ss@h").login, "me:p@ss")


if __name__ == "__main__":
    unittest.main()
