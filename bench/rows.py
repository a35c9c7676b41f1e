# SPDX-License-Identifier: GPL-2.0
"""What is measured: the rows of the table.

A row is a work that each of its peers does. A peer is a program in build/bench;
the first is the one that the others are compared with.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A work and those who do it.

    columns: what the table shows of it, each a Sample or a Memory
    quick: parameters of --quick, in the place of some of the others
    warm_up: rounds that are not counted
    instructions: it is also counted in instructions; not where time passes or
        where there are two processors
    series: a parameter and its values: each peer has a line for each of them
    fed: by bench/feeder, which starts the programs with pipes
    """
    name: str
    title: str
    work: str
    peers: tuple
    columns: tuple
    parameters: dict = field(default_factory=dict)
    quick: dict = field(default_factory=dict)
    rounds: int = 7
    warm_up: int = 1
    instructions: bool = False
    series: tuple = ()
    fed: bool = False

    def lines(self, quick, up_to):
        """Name, peer and parameters of each line of the table; of a series, those up to it."""
        parameters = {**self.parameters, **(self.quick if quick else {})}
        if not self.series:
            return [(peer, peer, parameters) for peer in self.peers]
        name, values = self.series
        values = values[:1] if quick else [v for v in values if v <= (up_to or v)]
        return [(f"{peer}, {value:,}", peer, {**parameters, name: value})
                for peer in self.peers for value in values]


@dataclass(frozen=True)
class Sample:
    """A number that the program says, divided by another.

    compared: its ratio to others' is of interest
    """
    metric: str
    title: str
    divisor: float = 1
    compared: bool = True


@dataclass(frozen=True)
class Memory:
    """What one phase has more of than another, for each of so many."""
    phase: str
    title: str
    kind: str = "used"
    before: str = "before"
    number: str = "stacks"


GROWING = ("anonymous", "kfiber", "threads", "boost-fiber", "go", "sigsegv", "userfaultfd")
LATENESS = (Sample("p50", "p50, us late", 1000), Sample("p99", "p99, us late", 1000))
STACKS = ("kfiber", "threads", "boost-fiber", "go")

NS = (Sample("ns", "ns"),)
MS = (Sample("ns", "ms", 1e6),)
SWITCH = {"n": 10000}
FEW = {"n": 200}
PROGRAM = {"processors": 2}
# 1,000 tasks, ten times; what no runtime can be below is 100 ms.
TEN_TIMES = (Sample("ns", "ms", 1e6), Sample("threads", "threads", compared=False))
SLEEPS = {"tasks": 1000, "sleeps": 10}
READS = {"tasks": 1000, "reads": 10, "interval_ms": 10}
FEW_SLEEPS = {"tasks": 100, "sleeps": 2}
FEW_READS = {"tasks": 100, "reads": 2}
LATE = (Sample("p50", "p50, us", 1000), Sample("worst", "worst, us", 1000))
FEW_HANDOVERS = {"n": 3}
HANDOVER = ("kfiber", "state-threads", "boost-fiber", "tokio", "go", "threads")
REQUESTS = (Sample("rate", "requests/s"), Sample("p50", "p50, ms", 1e6),
            Sample("p99", "p99, ms", 1e6))
HTTPD = ("kfiber", "threads", "go", "nginx")
COMMANDS = (Sample("set", "SET/s"), Sample("get", "GET/s"))

ROWS = [
    Row("yield", "A yield, one processor", "yield",
        ("kfiber", "coroutines", "boost-context", "state-threads", "boost-fiber", "tokio", "go",
         "threads"), NS, SWITCH, FEW, instructions=True),
    Row("unpark", "Park and unpark, there and back, one processor", "unpark",
        ("kfiber", "state-threads", "boost-fiber", "threads"), NS, SWITCH, FEW,
        instructions=True),
    Row("channel", "A channel without a buffer, there and back, one processor", "channel",
        ("kfiber", "boost-fiber", "tokio", "go", "threads"), NS,
        {**SWITCH, "processors": 1}, FEW, instructions=True),
    Row("channel-2", "The same, two processors", "channel",
        ("kfiber", "boost-fiber", "tokio", "go", "threads"), NS,
        {**SWITCH, "processors": 2}, FEW),
    Row("spawn", "Spawn, run and join, one processor", "spawn",
        ("kfiber", "coroutines", "boost-context", "state-threads", "boost-fiber", "tokio", "go",
         "threads"), NS, {"n": 5000}, FEW, instructions=True),
    Row("mutex", "10,000 x 100 under one mutex, two processors", "mutex",
        ("kfiber", "state-threads", "tokio", "go", "threads"), MS,
        {"tasks": 10000, "n": 100}, {"tasks": 100}),
    Row("ring", "A token round a ring of 503", "ring", ("kfiber", "go"), NS,
        {**PROGRAM, "tasks": 503, "n": 100}, {"n": 2}),
    Row("skynet", "Skynet: 1,000,000 leaves add up", "skynet", ("kfiber", "go"), MS,
        {**PROGRAM, "n": 1000000}, {"n": 1000}, rounds=3),
    Row("sieve", "The first 500 primes, a fiber each", "sieve", ("kfiber", "go"),
        (*MS, Sample("prime", "last", compared=False)), {**PROGRAM, "n": 500}, {"n": 20}, rounds=5),
    Row("producers", "8 producers and 8 consumers, a channel with room for 128", "producers",
        ("kfiber", "go"), NS, {**PROGRAM, "tasks": 8, "n": 20000}, {"n": 200}),
    Row("growth-64k", "A stack's first growth to 64 KiB", "growth", GROWING,
        (Sample("first", "first, us", 1000), Sample("first", "ns a page", 15),
         Sample("second", "again, us", 1000)),
        {"pages": 16, "stacks": 512}, {"stacks": 32}, instructions=True),
    Row("growth-1m", "A stack's first growth to 1 MiB", "growth", GROWING,
        (Sample("first", "first, us", 1000), Sample("first", "ns a page", 255),
         Sample("second", "again, us", 1000)),
        {"pages": 256, "stacks": 64}, {"stacks": 8}, instructions=True),
    Row("deep", "10,000 that went 64 KiB deep and wait", "deep", STACKS,
        (Memory("deep", "bytes each"), Memory("idle", "after 6 s"),
         Memory("trimmed", "trimmed")),
        {"pages": 16, "stacks": 10000, "idle_ms": 6000}, {"stacks": 500, "idle_ms": 100},
        rounds=3, warm_up=0),
    Row("parked", "10,000 that wait", "parked", STACKS,
        (Memory("parked", "bytes each"), Memory("parked", "page tables", "page_tables"),
         Memory("parked", "slab", "slab"),
         Sample("spawn_and_park", "spawn, us", 1000)),
        {"stacks": 10000}, {"stacks": 500}, rounds=3, warm_up=0),
    Row("million", "1,000,000 that wait", "parked", ("kfiber",),
        (Memory("parked", "bytes each"), Memory("parked", "of cgroup", "cgroup"),
         Sample("stack_bytes", "stack"), Memory("parked", "page tables", "page_tables"),
         Sample("block_bytes", "block"), Memory("parked", "slab", "slab"),
         Sample("spawn_and_park", "spawn, us", 1000)),
        {"stacks": 1000000}, {"stacks": 10000}, rounds=1, warm_up=0),
    Row("blocking", "1,000 x 10 usleep(10 ms)", "blocking", ("threads", "kfiber", "tokio", "go"),
        TEN_TIMES, SLEEPS, FEW_SLEEPS, rounds=5),
    Row("sleeps", "1,000 x 10 sleeps of 10 ms, the runtime's own", "sleeps",
        ("kfiber", "state-threads", "boost-fiber", "tokio", "go", "libuv"),
        TEN_TIMES, SLEEPS, FEW_SLEEPS, rounds=5),
    Row("reads-blocking", "1,000 x 10 read() of a pipe, a byte in 10 ms", "reads-blocking",
        ("threads", "kfiber", "tokio", "go"),
        TEN_TIMES, {**READS, "nonblocking": 0}, FEW_READS, rounds=5, fed=True),
    Row("reads", "The same, the runtime's own read", "reads",
        ("kfiber", "state-threads", "tokio", "go", "libuv"),
        TEN_TIMES, {**READS, "nonblocking": 1}, FEW_READS, rounds=5, fed=True),
    Row("sleepers-10k", "10,000 that sleep; 2,000 wake in a second", "sleeping",
        ("kfiber", "boost-fiber", "tokio", "go", "libuv", "threads"), LATENESS,
        {"tasks": 10000, "per_second": 2000}, {"tasks": 500}, rounds=5),
    # Not threads: the mappings of their stacks end at vm.max_map_count, 32,752 of them;
    # nor Boost.Fiber, for whose stacks there is not the memory. The row before is the warm-up.
    Row("sleepers-100k", "100,000 that sleep; 5,000 wake in a second", "sleeping",
        ("kfiber", "tokio", "go", "libuv"), LATENESS,
        {"tasks": 100000, "per_second": 5000}, {"tasks": 1000}, rounds=3, warm_up=0),
    Row("after-block", "Hand-over: who is ready while another blocks for 20 ms", "handover",
        HANDOVER, LATE, {"n": 50, "busy": 0, "ms": 20}, FEW_HANDOVERS, rounds=3),
    Row("after-hog", "Preemption: who is ready while another computes for 100 ms", "handover",
        HANDOVER, LATE, {"n": 20, "busy": 1, "ms": 100}, FEW_HANDOVERS, rounds=3),
    Row("httpd-64", "A file of 4 KiB by HTTP, 64 connections", "httpd", HTTPD, REQUESTS,
        {"connections": 64, "seconds": 6}, {"seconds": 1}, rounds=3),
    # The rows before are the warm-up of these two.
    Row("httpd-2000", "The same, 2,000 connections", "httpd", HTTPD, REQUESTS,
        {"connections": 2000, "seconds": 10}, {"connections": 200, "seconds": 2}, rounds=3,
        warm_up=0),
    Row("kvd", "redis-benchmark, by clients", "kvd", ("kfiber", "redis"), COMMANDS,
        {"requests": 10000}, {"requests": 500}, rounds=3, warm_up=0,
        series=("clients", (1, 50, 500))),
    Row("scale", "While so many fibers wait, one processor", "crowd", ("kfiber",),
        (Sample("yield", "yield"), Sample("unpark", "unpark, back"),
         Sample("channel", "channel, back"), Sample("spawn", "spawn, join")),
        SWITCH, FEW, rounds=3, warm_up=0,
        series=("tasks", (1000, 10000, 100000, 1000000)), instructions=True),
    Row("scale-producers", "Producers and consumers on 1, 2 and 4 processors", "producers",
        ("kfiber", "go"), NS, {"tasks": 8, "n": 20000}, FEW, rounds=5,
        series=("processors", (1, 2, 4))),
    Row("scale-skynet", "Skynet, 100,000 leaves, on 1, 2 and 4 processors", "skynet",
        ("kfiber", "go"), MS, {"n": 100000}, {"n": 1000}, rounds=5,
        series=("processors", (1, 2, 4))),
    Row("floor", "What nothing is below: a system call; a futex each way", "floor",
        ("threads",), (Sample("call", "call"), Sample("one", "futex, one CPU"),
                       Sample("two", "futex, two CPUs")),
        SWITCH, FEW, instructions=True),
]
