"""Exits 0 if every attempt is denied, else 1, with a line for each that got through."""
import os
import socket
import sys
import threading

through = []


def attempt(what, function):
    try:
        result = function()
    except OSError as error:
        print(f"denied: {what}: {error}", flush=True)
    else:
        through.append(what)
        print(f"GOT THROUGH: {what}: {result}", flush=True)


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect(address)
        return "connected"


def send(family, address):
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        return f"{s.sendto(b'hello', address)} bytes sent"


def routes():
    with open("/proc/net/route") as f:
        found = [line.split()[0] for line in f.readlines()[1:]]
    if os.path.exists("/proc/net/ipv6_route"):
        with open("/proc/net/ipv6_route") as f:
            found += [line.split()[-1] for line in f if line.split()[-1] != "lo"]
    if not found:
        raise OSError("no routes")
    return sorted(set(found))


def loopback():
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer():
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"hello")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with socket.create_connection(server.getsockname(), timeout=5) as s:
            assert s.recv(5) == b"hello"


loopback()
print("loopback works", flush=True)

attempt("a route to anywhere", routes)
attempt("a name", lambda: socket.getaddrinfo("example.org", 80))
attempt("TCP", lambda: connect(socket.AF_INET, ("192.0.2.1", 53)))
attempt("TCP over IPv6", lambda: connect(socket.AF_INET6, ("2001:db8::1", 53)))
attempt("UDP", lambda: send(socket.AF_INET, ("192.0.2.1", 53)))
attempt("UDP over IPv6", lambda: send(socket.AF_INET6, ("2001:db8::1", 53)))
attempt("the engine's bridge", lambda: connect(socket.AF_INET, ("172.17.0.1", 22)))
attempt("a raw socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP))
attempt("a packet socket", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"):
    attempt(path, lambda path=path: connect(socket.AF_UNIX, path))

if through:
    sys.exit(f"{len(through)} attempts got through")
print("denied everywhere")
