import sys

out, err = sys.stdout.buffer, sys.stderr.buffer


def line(stream, data):
    stream.write(data + b"\n")
    stream.flush()


line(out, b"before the bytes")
line(out, bytes(range(256)))
line(out, b"latin-1: caf\xe9")
line(out, b"utf-16: \xff\xfeh\x00i\x00")
line(out, b"cut short: \xf0\x9f\x90")
line(out, b"surrogate: \xed\xa0\x80")
line(err, b"on stderr: \xfe\x00\xff")
# One line of 200,000 bytes.
line(out, b"\x80" * 200_000)
line(out, b"after the bytes")
out.write(b"the end, without a newline")
out.flush()
