# SPDX-License-Identifier: GPL-2.0
"""Servers under load: wrk asks web servers, redis-benchmark those that keep values.

Server and client are on the same machine and share its CPUs. Each run has a server of
its own, on a port of its own, that is asked once before, and its answer compared.
"""

import csv
import http.client
import itertools
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build")
# Patience for a slow machine: nothing waits for it when things go well.
PATIENCE = 60
PORTS = itertools.count(20000)
FILE_NAME = "file.txt"
FILE_SIZE = 4096

NGINX = """\
daemon off;
user root;
pid {directory}/pid;
error_log stderr error;
worker_processes auto;
worker_rlimit_nofile 65536;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {directory}/files;
    }}
}}
"""


class Server:
    """One that runs in a directory of its own while this is entered."""

    def __init__(self, command):
        self.port = next(PORTS)
        self.command = command
        self.directory = self.process = None

    def __enter__(self):
        self.directory = tempfile.mkdtemp()
        files = os.path.join(self.directory, "files")
        os.mkdir(files)
        with open(os.path.join(files, FILE_NAME), "wb") as file:
            file.write(bytes(i % 10 + ord("0") for i in range(FILE_SIZE)))
        # pylint: disable-next=consider-using-with # it ends in __exit__()
        self.process = subprocess.Popen(self.command(self), cwd=files,
                                        stdout=subprocess.DEVNULL)
        self.wait_for_port()
        return self

    def __exit__(self, *exception):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.directory)

    def wait_for_port(self):
        """There is nothing else that all of them do when they are ready."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.05)
        sys.exit(f"bench/run: {self.command(self)} does not listen")


def peer_httpd(name):
    return lambda server: [os.path.join(BUILD, "bench", name), "httpd", f"port={server.port}"]


def kfiber_httpd(server):
    return [os.path.join(BUILD, "examples", "httpd"), "--bind", "127.0.0.1",
            "--port", str(server.port), "--max-connections", "4096"]


def nginx(server):
    config = os.path.join(server.directory, "nginx.conf")
    with open(config, "w", encoding="ascii") as file:
        file.write(NGINX.format(directory=server.directory, port=server.port))
    return [os.path.join(BUILD, "bench", "nginx"), "-e", "stderr", "-c", config]


def kfiber_kvd(server):
    return [os.path.join(BUILD, "examples", "kvd"), "--port", str(server.port)]


def redis(server):
    """By another name it checks files; the package redis-server would start one at once."""
    return ["bash", "-c", f"exec -a redis-server redis-check-rdb --port {server.port} "
            f"--save '' --appendonly no --dir {server.directory} --loglevel warning"]


HTTPD = {"kfiber": kfiber_httpd, "threads": peer_httpd("threads"), "go": peer_httpd("go"),
         "nginx": nginx}
KVD = {"kfiber": kfiber_kvd, "redis": redis}


def samples_of(text):
    words = (line.split() for line in text.splitlines() if line.startswith("sample "))
    return {name: float(value) for _, name, value in words}


def check_file(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request("GET", "/" + FILE_NAME)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    if response.status != 200 or body != bytes(i % 10 + ord("0") for i in range(FILE_SIZE)):
        sys.exit(f"bench/run: the server answers {response.status}, {len(body)} bytes")


def allow_many_files():
    """wrk, and some servers, take what they are given."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def load_httpd(_row, peer, parameters):
    allow_many_files()
    with Server(HTTPD[peer]) as server:
        check_file(server.port)
        done = subprocess.run(
            ["wrk", "-t2", f"-c{parameters['connections']}", f"-d{parameters['seconds']}s",
             "--timeout", f"{PATIENCE}s", "-s", os.path.join(TOP, "bench", "wrk.lua"),
             f"http://127.0.0.1:{server.port}/{FILE_NAME}"],
            stdout=subprocess.PIPE, text=True, check=True)
        check_file(server.port)
    result = samples_of(done.stdout)
    if result["errors"] or not result["requests"]:
        sys.exit(f"bench/run: {peer}: wrk says:\n{done.stdout}")
    return result


def check_value(port):
    """Three bytes are what redis-benchmark writes to this key, over and over."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as connection:
        connection.sendall(b"GET key:__rand_int__\r\n")
        answer = connection.recv(100)
    if not answer.startswith(b"$3\r\n"):
        sys.exit(f"bench/run: the server answers {answer}")


def load_kvd(_row, peer, parameters):
    """With one client each request waits for the one before: there are fewer."""
    requests = parameters["requests"] // (10 if parameters["clients"] == 1 else 1)
    with Server(KVD[peer]) as server:
        done = subprocess.run(
            ["redis-benchmark", "-p", str(server.port), "-t", "set,get", "--csv",
             "-c", str(parameters["clients"]), "-n", str(requests)],
            stdout=subprocess.PIPE, text=True, check=True)
        check_value(server.port)
    rates = {line["test"].lower(): float(line["rps"])
             for line in csv.DictReader(done.stdout.splitlines())}
    if set(rates) != {"set", "get"}:
        sys.exit(f"bench/run: {peer}: redis-benchmark says:\n{done.stdout}")
    return rates


# The works that are measured here, and by what.
LOADS = {"httpd": load_httpd, "kvd": load_kvd}
