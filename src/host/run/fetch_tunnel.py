#!/usr/bin/env python3
"""For git:// and svn://, which know no proxy: connects standard input and output to a host through the proxy of `http_proxy`.

git calls it with host and port; svn with host or host:port, then with words that it would send to a shell there.
"""

import os, socket, sys, threading, urllib.parse

SVN_PORT = 3690


def destination(arguments):
    place = urllib.parse.urlsplit("//" + arguments[0])
    return place.hostname, int(arguments[1]) if arguments[1:2] and arguments[1].isdigit() else place.port or SVN_PORT


def main():
    host, port = destination(sys.argv[1:])
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    proxy = urllib.parse.urlsplit(os.environ["http_proxy"])
    with socket.create_connection((proxy.hostname, proxy.port)) as connection:
        connection.sendall(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = connection.recv(1)
            if not byte:
                sys.exit("the proxy broke off")
            head += byte
        status = head.split(b"\r\n")[0].decode("latin-1").split(None, 2)
        if status[1] != "200":
            sys.exit(status[2])

        def send():
            while data := os.read(0, 65536):
                connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)

        threading.Thread(target=send, daemon=True).start()
        while data := connection.recv(65536):
            while data:
                data = data[os.write(1, data):]


if __name__ == "__main__":
    main()
