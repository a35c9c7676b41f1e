#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Asks two servers the same, and compares what they answer, byte by byte.

Usage: compare.py PORT PORT

The requests are drawn from a sequence that is the same each time: commands that both
know, with arguments right and wrong, whole and in pieces. Times to live are 1000 s, of which
some may be over when they are asked for.
"""
import random
import re
import socket
import sys

REQUESTS = 400
KEYS = [b"a", b"b", b"c", b"", b"with\r\nlines", b"\0\xff"]
VALUES = [b"", b"1", b"-5", b"007", b"9223372036854775807", b"text", b"a" * 5000, b"$3\r\nxyz"]
NUMBERS = [b"1000", b"0", b"-1", b"ten", b"9223372036854775807", b"1.5", b" 1"]


def draw_command(rng):
    key = lambda: rng.choice(KEYS)
    value = lambda: rng.choice(VALUES)
    options = [b"EX", b"1000", b"NX", b"XX", b"nx", b"PX", b"1000000", b"0", b"bad"]
    return rng.choice([
        lambda: [b"GET", key()],
        lambda: [b"SET", key(), value()],
        lambda: [b"SET", key(), value()] + rng.choices(options, k=rng.randint(1, 3)),
        lambda: [b"MGET"] + [key() for _ in range(rng.randint(0, 4))],
        lambda: [b"MSET"] + [rng.choice([key, value])() for _ in range(rng.randint(0, 6))],
        lambda: [b"INCR", key()],
        lambda: [b"decr", key()],
        lambda: [b"INCRBY", key(), rng.choice(NUMBERS)],
        lambda: [b"DEL", key(), key()],
        lambda: [b"Exists", key(), key()],
        lambda: [b"EXPIRE", key(), rng.choice(NUMBERS)],
        lambda: [b"TTL", key()],
        lambda: [b"PERSIST", key()],
        lambda: [b"DBSIZE"],
        lambda: [b"PING"] + [value() for _ in range(rng.randint(0, 2))],
        lambda: [b"ECHO", value()],
        lambda: [b"GET"],
        lambda: [b"SELECT", b"0"],
        lambda: [b"PUBLISH", key(), value()],
    ])()


def as_bulk(args):
    return b"*%d\r\n" % len(args) + b"".join(b"$%d\r\n%s\r\n" % (len(a), a) for a in args)


def inline(args):
    return b" ".join(b'"' + b"".join(b"\\x%02x" % c for c in a) + b'"' for a in args) + b"\r\n"


def ask(port, pieces, end):
    """Sends all pieces, and reads until the marker comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        got = b""
        for piece in pieces:
            sock.sendall(piece)
        while not got.endswith(end):
            more = sock.recv(65536)
            if not more:
                break
            got += more
    return re.sub(rb":9\d\d\r", rb":1000\r", got)


def cut(rng, data):
    while data:
        size = rng.choice([1, 3, 100, 10000, len(data)])
        yield data[:size]
        data = data[size:]


def main():
    ports = [int(arg) for arg in sys.argv[1:3]]
    rng = random.Random(1)
    for number in range(REQUESTS // 10):
        commands = [draw_command(rng) for _ in range(10)]
        data = b"".join(rng.choice([as_bulk, as_bulk, inline])(c) for c in commands)
        marker = b"the end %d" % number
        pieces = list(cut(rng, data + as_bulk([b"ECHO", marker])))
        answers = [ask(port, pieces, marker + b"\r\n") for port in ports]
        if answers[0] != answers[1]:
            print("commands:", *commands, sep="\n")
            print("answers:", *answers, sep="\n")
            sys.exit(1)


main()
