/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a running program knows. Each process has a copy of its own of what is
 * in struct process; struct shared is one for all, the fuzzer itself included.
 */
#ifndef FUZZ_TRACK_H
#define FUZZ_TRACK_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <ucontext.h>

#include "program.h"

enum track_state { TRACK_IDLE, TRACK_STARTED, TRACK_DONE };

/**
 * struct track_report - what others know of a track
 * @pid: its process
 * @tid: its thread
 * @state: enum track_state
 * @call: which call it makes; for the report of one that is stuck
 */
struct track_report {
	pid_t pid;
	pid_t tid;
	int state;
	unsigned int call;
};

/**
 * struct shared - shared by all processes of a program
 * @program: what they run
 * @names: fibers' names; by ALLOC and NEXT
 * @tracks: see there
 * @ended: counts tracks that ended; a futex
 * @calls: that were made
 * @faults: SIGSEGV and SIGBUS that were survived
 */
struct shared {
	struct program program;
	uint64_t names[NAMES];
	struct track_report tracks[TRACKS];
	uint32_t ended;
	uint64_t calls;
	uint64_t faults;
};

extern struct shared *shared;

/* A mapping of the device. */
struct map {
	enum table table;
	unsigned int shift;
	size_t size;
};

/**
 * struct process - what the threads of a process have in common
 * @fds: -1: closed
 * @maps: @size 0: there is none. Each has its own fixed place, map_address()
 * @sockets: where descriptors are passed on; one pair for the whole program
 */
struct process {
	int fds[FDS];
	struct map maps[MAPS];
	int sockets[2];
};

extern struct process process;

/**
 * struct track - what a track knows of itself
 * @number: which
 * @worker: what the last ATTACH said
 * @faults: it survived
 * @nth: the next call's failure point that fails; 0: none
 * @stack: where the next call's stack begins; 0: it is made on the track's own
 * @fault: where a signal handler goes on
 * @back: the track's own stack, while a call is made on another
 */
struct track {
	unsigned int number;
	uint32_t worker;
	unsigned int faults;
	int nth;
	uintptr_t stack;
	sigjmp_buf fault;
	ucontext_t back;
};

/* Starts a track, with clone() flags; called on any stack. */
void track_start(unsigned int number, unsigned long flags);
void track_end(void) __attribute__((noreturn));

/* Every process of a program has a mapping at the same address, or none. */
static inline uintptr_t map_address(unsigned int map)
{
	return 0x100000000000ul + ((uintptr_t)map << 43);
}

/*
 * Where a track's arguments lie, in each process: a page, a page that can only be
 * read, and then nothing.
 */
static inline char *track_pages(unsigned int number)
{
	return (char *)(0x0f0000000000ul + ((uintptr_t)number << 20));
}

/* The first process of a program: runs it, and ends. */
void track_run_program(void) __attribute__((noreturn));

/* What call_exec() becomes: another program, with the same descriptors. */
void track_after_exec(void);

#endif /* FUZZ_TRACK_H */
