# SPDX-License-Identifier: GPL-2.0
"""gdb commands that show the fibers of a process or of its core dump.

    (gdb) source tools/gdb/kfiber.py
    (gdb) kfiber list           or -where, which unwinds each fiber that waits
    (gdb) kfiber bt 12          or a name, or "all"; options of bt may follow
    (gdb) kfiber frame 12       up, down, "info locals" are the fiber's from now on
    (gdb) kfiber frame off

Nothing is asked of the library's symbols: where the device is mapped tells what
is there, by the offsets of <linux/kfiber.h>, and the layout of what lies there
is frozen with it.

Registers cannot be set in a core, and must not be in a process that goes on. So a
fiber that does not run is shown as the caller of the selected thread's newest
frame: an unwinder says of that frame that its caller's registers are the ones
which the context switch has saved on the fiber's stack.
"""

import struct
import time

import gdb
from gdb.unwinder import Unwinder

# <linux/kfiber.h>
MAP_SHIFT = 48
MAP_WORKERS = 0x0002000000000000
MAP_FIBERS = 0x0003000000000000
MAP_STACKS = 0x0100000000000000
WORKER = struct.Struct("<2IQ48x")
BLOCK = struct.Struct("<10Q16s8I")
GENERATION_SHIFT = 32
STATE_MASK = 0xFF
FREE, ACTIVE, PARKING, PARKED, DEAD = range(5)
WAITS_WAKE = 0x800
KILLED = 0x1000
JOIN_NAMES = 1 << GENERATION_SHIFT
NEVER = (1 << 64) - 1

# What a fiber waits for: the kind in the highest byte, see userlib/src/object.h.
OBJECT_SHIFT = 56
OBJECT_FILE = 11
OBJECTS = ("the end of", "mutex", "rwlock", "condition", "semaphore", "wait group", "once",
           "channel", "select", "timer", "context", "file descriptor", "latch")

PAGE = 4096

# What userlib/arch/*/switch.S leaves at the stack pointer: registers by their
# offset, and how long it is. fn: where a fiber that has not begun has its function.
FRAMES = {
    "i386:x86-64": {
        "registers": {"r15": 8, "r14": 16, "r13": 24, "r12": 32, "rbx": 40, "rbp": 48, "rip": 56},
        "sp": "rsp",
        "pc": "rip",
        "fn": "r12",
        "size": 64,
    },
}


class Mapping:
    """A piece of the device in the process."""

    def __init__(self, start, end, offset):
        self.start = start
        self.end = end
        self.offset = offset


def mappings():
    """Where /dev/kfiber is mapped."""
    found = []
    for line in gdb.execute("info proc mappings", to_string=True).splitlines():
        words = line.split()
        if len(words) >= 5 and words[-1] == "/dev/kfiber":
            found.append(Mapping(*(int(words[i], 16) for i in (0, 1, 3))))
    if not found:
        raise gdb.GdbError("There is no kfiber domain in this process.")
    return found


def read(address, size):
    """Bytes, or None where there is no memory."""
    try:
        return bytes(gdb.selected_inferior().read_memory(address, size))
    except gdb.MemoryError:
        return None


def word_at(address):
    """64 bits of memory."""
    data = read(address, 8)
    if data is None:
        raise gdb.GdbError("There is no memory at 0x%x." % address)
    return struct.unpack("<Q", data)[0]


def layout():
    """The frame that the context switch of this architecture makes."""
    name = gdb.selected_inferior().architecture().name()
    if name not in FRAMES:
        raise gdb.GdbError("kfiber does not know the context switch of %s." % name)
    return FRAMES[name]


class Fiber:
    """A control block, as it was read."""

    def __init__(self, index, data, arenas):
        fields = BLOCK.unpack(data)
        self.index = index
        self.word, self.sp, self.deadline = fields[0:3]
        self.joiner = fields[4]
        self.wait_object, self.wait_since, self.spawn_site = fields[7:10]
        self.name = fields[10].split(b"\0")[0].decode(errors="replace")
        self.shift, self.slot = fields[12:14]
        self.pages = fields[16]
        self.state = self.word & STATE_MASK
        self.full_name = self.word >> GENERATION_SHIFT << GENERATION_SHIFT | index
        base = arenas.get(self.shift)
        self.bottom = None if base is None else base + (self.slot << self.shift)
        self.thread = None
        self.claimed = False

    def has(self, address):
        """Is this in its stack?"""
        return self.bottom is not None and self.bottom < address <= self.bottom + (1 << self.shift)

    def is_saved(self):
        """Are its registers on its stack?"""
        return self.state in (ACTIVE, PARKED) and not self.runs() and self.has(self.sp)

    def runs(self):
        """Is a thread on its stack, or says that it runs it, from a signal's stack?"""
        return self.thread is not None or self.claimed

    def has_begun(self):
        """A new fiber's stack has the one frame that was prepared, at its top."""
        return self.sp + layout()["size"] != self.bottom + (1 << self.shift)

    def saved(self):
        """The registers that are saved, by name."""
        frame = layout()
        registers = {r: word_at(self.sp + at) for r, at in frame["registers"].items()}
        registers[frame["sp"]] = self.sp + frame["size"]
        return registers


def threads_by_stack(fibers):
    """Finds which thread is on which fiber's stack, if any."""
    selected, sp_name = gdb.selected_thread(), layout()["sp"]
    try:
        for thread in gdb.selected_inferior().threads():
            thread.switch()
            sp = int(gdb.newest_frame().read_register(sp_name)) & NEVER
            for fiber in fibers:
                if fiber.has(sp):
                    fiber.thread = thread
    finally:
        if selected is not None:
            selected.switch()


def read_table(found, offset, entry):
    """The entries of one of the device's tables: numbers and bytes."""
    for m in found:
        if m.offset >> MAP_SHIFT != offset >> MAP_SHIFT:
            continue
        first = (m.offset & ((1 << MAP_SHIFT) - 1)) // entry.size
        # It grows by pages, and has no holes below its end. In a core what was not
        # there reads as zeros.
        for page in range(m.start, m.end, PAGE):
            data = read(page, PAGE)
            if data is None or not any(data):
                break
            for at in range(0, PAGE, entry.size):
                yield first + (page - m.start + at) // entry.size, data[at : at + entry.size]


def read_arenas(found):
    """Where slot 0 of each class is."""
    arenas = {}
    for m in found:
        if m.offset >= MAP_STACKS:
            base = m.start - (m.offset & ((1 << MAP_SHIFT) - 1))
            arenas.setdefault((m.offset - MAP_STACKS) >> MAP_SHIFT, base)
    return arenas


def read_fibers():
    """All fibers that exist and are not free, by index."""
    found = mappings()
    arenas = read_arenas(found)
    claimed = {WORKER.unpack(data)[2] for _, data in read_table(found, MAP_WORKERS, WORKER)}
    fibers = [Fiber(index, data, arenas) for index, data in read_table(found, MAP_FIBERS, BLOCK)]
    fibers = [f for f in fibers if f.word >> GENERATION_SHIFT and f.state != FREE]
    threads_by_stack(fibers)
    for fiber in fibers:
        fiber.claimed = fiber.full_name in claimed
    return fibers


def symbol(address):
    """<function+offset>, or a number."""
    text = gdb.format_address(address) if hasattr(gdb, "format_address") else None
    if text is None:
        text = gdb.execute("output/a %d" % address, to_string=True)
    return text.split("<", 1)[1].rstrip(">") if "<" in text else "0x%x" % address


def now_here():
    """Nanoseconds of CLOCK_MONOTONIC: of a process on this machine, not of a core."""
    connection = gdb.selected_inferior().connection
    if connection is None or connection.type != "native":
        return None
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def seconds(ns):
    """For people."""
    return "%.3f s" % (ns / 1e9)


def object_name(word):
    """What lies at an address, and where; a file has a number."""
    kind = word >> OBJECT_SHIFT
    address = word & ((1 << OBJECT_SHIFT) - 1)
    name = OBJECTS[kind] if kind < len(OBJECTS) else "object"
    return "%s %s" % (name, address if kind == OBJECT_FILE else symbol(address))


def waits_for(fiber, joined, now):
    """What a fiber is doing, in words."""
    if fiber.state == DEAD:
        return "died with its thread" if fiber.word & KILLED else "is to be joined"
    if fiber.thread:
        return "on thread %s (%s)" % (fiber.thread.num, fiber.thread.name or fiber.thread.ptid[1])
    if fiber.claimed:
        return "on a thread that is in a signal handler"
    if fiber.state == ACTIVE:
        return "to run"
    words = []
    if fiber.full_name in joined:
        words.append("the end of %d" % joined[fiber.full_name].index)
    elif fiber.wait_object:
        words.append(object_name(fiber.wait_object))
    elif not fiber.word & WAITS_WAKE:
        words.append("an unpark")
    if fiber.deadline != NEVER:
        left = "" if now is None else ", %s from now" % seconds(fiber.deadline - now)
        words.append("time %s%s" % (seconds(fiber.deadline), left))
    if fiber.state == PARKED:
        so_far = "" if now is None else ", %s ago" % seconds(now - fiber.wait_since)
        words.append("since %s%s" % (seconds(fiber.wait_since), so_far))
    return ", ".join(words) or "a wake-up of the library"


def state_of(fiber):
    """One word."""
    if fiber.runs():
        return "running"
    if fiber.state == ACTIVE:
        return "runnable" if fiber.has_begun() else "new"
    return {PARKING: "parking", PARKED: "parked", DEAD: "dead"}.get(fiber.state, "?")


class SavedRegisters(Unwinder):
    """Gives the newest frame of the selected thread a fiber for its caller."""

    def __init__(self):
        super().__init__("kfiber")
        self.registers = None
        self.at = None

    def __call__(self, pending):
        if self.registers is None:
            return None
        frame = layout()
        here = (int(pending.read_register(frame["sp"])), int(pending.read_register(frame["pc"])))
        if here != self.at:
            return None
        # A caller is to be above whom it called: say that this frame is right below.
        sp = gdb.Value(self.registers[frame["sp"]] - frame["size"])
        info = pending.create_unwind_info(FrameId(sp, pending.read_register(frame["pc"])))
        for name, value in self.registers.items():
            like = pending.read_register(name)
            info.add_saved_register(name, gdb.Value(value).cast(like.type))
        return info

    def enter(self, fiber):
        """The selected thread's newest frame was called by @fiber."""
        self.leave()
        newest, frame = gdb.newest_frame(), layout()
        self.at = (int(newest.read_register(frame["sp"])), int(newest.read_register(frame["pc"])))
        self.registers = fiber.saved()
        gdb.invalidate_cached_frames()

    def leave(self):
        """As it was."""
        self.registers = None
        gdb.invalidate_cached_frames()


class FrameId:
    """What gdb tells frames apart by."""

    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


UNWINDER = SavedRegisters()
gdb.unwinder.register_unwinder(None, UNWINDER, replace=True)


def first_frame():
    """The fiber's newest frame, once the unwinder is in. Functions inlined into the
    thread's newest frame are frames of their own for gdb."""
    frame = gdb.newest_frame()
    while frame is not None and frame.type() == gdb.INLINE_FRAME:
        frame = frame.older()
    frame = frame.older() if frame is not None else None
    if frame is None:
        raise gdb.GdbError("The stack of this fiber cannot be unwound.")
    return frame


def find(fibers, text):
    """By its index, its full name as the library has it, or the name it was given."""
    for fiber in fibers:
        if text in (str(fiber.index), str(fiber.full_name), hex(fiber.full_name)):
            return fiber
    named = [fiber for fiber in fibers if fiber.name == text]
    if not named:
        raise gdb.GdbError("There is no fiber %s." % text)
    return named[0]


def print_saved(fiber, options):
    """The backtrace of a fiber whose registers are on its stack."""
    UNWINDER.enter(fiber)
    try:
        level = first_frame().level()
        if options.isdigit():
            options = str(int(options) + level)
        shown = False
        for line in gdb.execute("backtrace " + options, to_string=True).splitlines():
            if line.startswith("#"):
                number, rest = line[1:].split(None, 1)
                shown = int(number) >= level
                line = "#%-2d %s" % (int(number) - level, rest)
            if shown:
                print(line)
    finally:
        UNWINDER.leave()


def print_backtrace(fiber, options):
    """Where a fiber is."""
    print('Fiber %d "%s" (%s)' % (fiber.index, fiber.name, state_of(fiber)))
    if fiber.thread:
        gdb.execute("thread apply %d -q backtrace %s" % (fiber.thread.num, options))
    elif not fiber.is_saved():
        print("Its registers are not on its stack.")
    elif not fiber.has_begun():
        print("#0  %s, called by nobody yet" % symbol(fiber.saved()[layout()["fn"]]))
    else:
        print_saved(fiber, options)


class Prefix(gdb.Command):
    """Fibers: list, bt, frame."""

    def __init__(self):
        super().__init__("kfiber", gdb.COMMAND_STACK, gdb.COMPLETE_NONE, True)


def where(fiber):
    """The function that called the library and has not come back."""
    if not fiber.is_saved() or not fiber.has_begun():
        return None
    UNWINDER.enter(fiber)
    try:
        frame = first_frame()
        while frame is not None and (frame.name() or "").startswith("kf_"):
            frame = frame.older()
        return frame.name() if frame is not None else None
    finally:
        UNWINDER.leave()


class List(gdb.Command):
    """List the fibers: number, state, name, pages of stack, what it waits for.

    With -where also the function that waits, which takes longer, and for a process
    with very many fibers very long. A fiber's spawner is shown as well."""

    def __init__(self):
        super().__init__("kfiber list", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        """What gdb calls."""
        if argument not in ("", "-where"):
            raise gdb.GdbError("kfiber list takes -where, and nothing else.")
        fibers = read_fibers()
        joined = {f.joiner: f for f in fibers if f.joiner >= JOIN_NAMES}
        now = now_here()
        print("%6s %-8s %-16s %5s  %s" % ("fiber", "state", "name", "pages", "waits for"))
        for f in fibers:
            spawner = "; spawned at %s" % symbol(f.spawn_site) if f.spawn_site else ""
            function = where(f) if argument else None
            place = "; in %s" % function if function else ""
            print("%6d %-8s %-16s %5d  %s%s%s" %
                  (f.index, state_of(f), f.name, f.pages, waits_for(f, joined, now), place,
                   spawner))


class Backtrace(gdb.Command):
    """Show where a fiber is: kfiber bt FIBER|all [OPTIONS OF bt]."""

    def __init__(self):
        super().__init__("kfiber bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        """What gdb calls."""
        words = gdb.string_to_argv(argument)
        if not words:
            raise gdb.GdbError("Which fiber? Its number, its name, or all.")
        fibers, options = read_fibers(), " ".join(words[1:])
        if words[0] != "all":
            print_backtrace(find(fibers, words[0]), options)
            return
        for fiber in fibers:
            print_backtrace(fiber, options)
            print()


class Frame(gdb.Command):
    """Look around in a fiber that does not run: kfiber frame FIBER|off.

    It is shown as the caller of what the selected thread is in, until "off"."""

    def __init__(self):
        super().__init__("kfiber frame", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        """What gdb calls."""
        UNWINDER.leave()
        if argument == "off":
            return
        fiber = find(read_fibers(), argument)
        if not fiber.is_saved() or not fiber.has_begun():
            raise gdb.GdbError("This fiber has no saved frames; see kfiber list.")
        UNWINDER.enter(fiber)
        first_frame().select()
        gdb.execute("frame")


Prefix()
List()
Backtrace()
Frame()
