/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Programs: what the fuzzer makes, runs, keeps and shows. A program is a list of
 * calls, each with the number of the track that makes it. A track is a thread
 * or a process of its own; 0 is there from the start, the others are started by
 * a call of another. Calls of one track are made in order, those of different
 * tracks side by side.
 *
 * The text form has a line for each call: track, name, arguments. Arguments at
 * the end that are 0 are left out, '#' begins a comment.
 *
 *   0 open 0
 *   0 setup 0 0 0 2 8 64
 *   0 start 1 thread
 *   1 attach 0
 */
#ifndef FUZZ_PROGRAM_H
#define FUZZ_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define TRACKS 6
#define CALLS_MAX 48
#define ARGS_MAX 8

/* What a call can name by a small number: places in tables of the program's. */
#define FDS 4
#define MAPS 8
#define NAMES 64

/* What an argument means; generate.c has the values that are worth trying. */
enum arg {
	ARG_NONE,
	ARG_FD,			/* a descriptor's place */
	ARG_MAP,		/* a mapping's place */
	ARG_TRACK,
	ARG_NAME,		/* a fiber: see call_name() */
	ARG_WORKER,		/* 0: the track's own; else one more than the number */
	ARG_SIZE,		/* of a struct; 0: the right one */
	ARG_ZERO,		/* flags that are not there, reserved fields */
	ARG_FLAGS,		/* with a bit or two that are there */
	ARG_PROCESSORS,
	ARG_LIMIT,		/* most workers, most fibers */
	ARG_BYTES,		/* most bytes of all stacks; 0: any */
	ARG_COUNT,		/* of names */
	ARG_SHIFT,		/* a stack class */
	ARG_POINTER,		/* 0: a good one; else what is wrong with it */
	ARG_OFFSET,		/* in a mapping, bytes */
	ARG_PAGES,
	ARG_PROTECTION,
	ARG_MAP_FLAGS,		/* see call_map() */
	ARG_ADVICE,		/* madvise()'s */
	ARG_US,			/* microseconds */
	ARG_INDEX,		/* of a block */
	ARG_VALUE,
	ARG_SEED,
	ARG_NTH,		/* which failure point fails */
	ARG_TIMES,
	ARG_TABLE,		/* the following are words in the text */
	ARG_FIELD,
	ARG_HOW,
	ARG_KIND,
	ARG_SIGNAL,
	ARG_FILE,
	ARG_OTHER,
};

/* A table of the module's that can be mapped. */
enum table { DOMAIN, PROCESSORS, WORKERS, FIBERS, STACKS, NOWHERE };

/* How the value that is written to a field comes from the argument. */
enum how { RAW, NAME, TIME, STATE, ADD };

struct call {
	uint8_t track;
	uint8_t op;
	uint64_t args[ARGS_MAX];
};

struct program {
	unsigned int count;
	struct call calls[CALLS_MAX];
};

/**
 * struct words - the names of an argument's values
 * @words: by value; NULL: the argument is a number
 * @count: how many
 */
struct words {
	const char *const *words;
	unsigned int count;
};

struct words arg_words(enum arg kind);

/* Return: whether there is still room. */
bool program_insert(struct program *p, unsigned int at, const struct call *call);
void program_remove(struct program *p, unsigned int at, unsigned int count);

/* Room for any program's text. */
#define PROGRAM_TEXT_MAX (CALLS_MAX * 160)

/* Return: its length, without the 0 that ends it. */
size_t program_print(const struct program *p, char *text, size_t size);

/*
 * Return: 0, or the number of the line that is wrong. Lines beyond CALLS_MAX
 * calls are wrong, too.
 */
int program_parse(struct program *p, const char *text);

/* Return: 0, -1 with errno, or the number of the line that is wrong. */
int program_read(struct program *p, const char *path);

/* The same for the same text: names a file of the corpus. */
uint32_t program_hash(const struct program *p);

#endif /* FUZZ_PROGRAM_H */
