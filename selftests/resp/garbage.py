#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Sends a server what is nearly a request, and then sees whether it lives.

Usage: garbage.py PORT

Each connection sends some right requests of which bytes were changed, left out or
doubled, reads what comes, and ends in one of the ways in which connections end.
"""
import random
import socket
import struct
import sys

CONNECTIONS = 200
RIGHT = [
    b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nhello\r\n",
    b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
    b"*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n",
    b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\nc\r\n",
    b"*1\r\n$11\r\nUNSUBSCRIBE\r\n",
    b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$2\r\nhi\r\n",
    b'SET "a b" \'c\'\r\n',
    b"PING\r\n",
    b"INFO\r\n",
]
ODD = [b"\r\n", b"\0", b"$", b"*", b"-1", b"99999999999", b"\xff", b'"', b"\n"]


def spoil(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([0, 1, 1, 3])):
        at = rng.randrange(len(data))
        how = rng.randrange(4)
        if how == 0:
            data[at] = rng.randrange(256)
        elif how == 1:
            del data[at]
        elif how == 2:
            data[at:at] = rng.choice(ODD)
        else:
            data[at:at] = data[at:at + rng.randrange(20)]
        if not data:
            break
    return bytes(data)


def disturb(rng, port):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        try:
            for _ in range(rng.randrange(1, 8)):
                sock.sendall(spoil(rng, rng.choice(RIGHT)))
            if rng.random() < 0.5:
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            elif rng.random() < 0.5:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (BrokenPipeError, ConnectionResetError):
            pass


def main():
    port = int(sys.argv[1])
    rng = random.Random(2)
    for _ in range(CONNECTIONS):
        disturb(rng, port)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall(b"ECHO alive\r\n")
        if sock.makefile("rb").read(11) != b"$5\r\nalive\r\n":
            sys.exit("it does not answer any more")


main()
