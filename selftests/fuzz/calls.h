/* SPDX-License-Identifier: GPL-2.0 */
/* The calls that a program can make. */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include "program.h"
#include "track.h"

/**
 * struct op - a kind of call
 * @name: in the text
 * @weight: how often it is made, compared with others
 * @fn: makes it. May be left by a signal handler at any access to memory
 * @modifies_next: it changes how the track's next call is made, and is no call itself
 * @args: what its arguments are
 */
struct op {
	const char *name;
	unsigned int weight;
	void (*fn)(struct track *t, const uint64_t *args);
	bool modifies_next;
	enum arg args[ARGS_MAX];
};

extern const struct op ops[];
extern const unsigned int nr_ops;

/* Return: its number, or -1. */
int op_find(const char *name);

/* Where a field lies in its table. */
struct field {
	enum table table;
	size_t stride;
	size_t offset;
	size_t width;
};

extern const struct field fields[];
extern const char *const field_names[];
extern const unsigned int nr_fields;

#endif /* FUZZ_CALLS_H */
