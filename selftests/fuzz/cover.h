/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Coverage: which parts of the module a program reached. KCOV gives it for what
 * the kernel does on behalf of a task: calls, page faults, switches. What runs in
 * interrupts and work items (timers, irq_work, the end of a domain) it does not
 * see; there the module's own counters stand in, as "features".
 *
 * A program's points are the pairs of blocks that ran one after the other, and
 * features. They are bits of a hash with some eight times as many bits as the
 * module's text has bytes, so that different ones rarely meet.
 */
#ifndef FUZZ_COVER_H
#define FUZZ_COVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/**
 * struct bits - a set of points, or of blocks
 * @words: the bits
 * @count: of words
 */
struct bits {
	uint64_t *words;
	size_t count;
};

size_t bits_count(const struct bits *bits);
struct bits bits_copy(const struct bits *bits);
/* Are all of @bits in @in? */
bool bits_within(const struct bits *bits, const struct bits *in);
void bits_intersect(struct bits *bits, const struct bits *with);
void bits_subtract(struct bits *bits, const struct bits *without);
void bits_merge(struct bits *into, const struct bits *bits);

/*
 * Of the program that runs or ran last; shared with its processes. The features
 * are behind the blocks.
 */
extern struct bits cover_points;
extern struct bits cover_blocks;

/* Return: NULL, or why there is no coverage; then the rest does nothing. */
const char *cover_init(void);

/* Forgets what the last program reached; none of its processes is left. */
void cover_begin(void);

/* In the track's own thread: at its start, and after each of its calls. */
void cover_enable(unsigned int track);
void cover_collect(unsigned int track);
void cover_feature(unsigned int number);

/* When all are gone: what those reached that were killed in a call. */
void cover_end(void);

/**
 * cover_functions() - what the module's functions are, and which were reached
 * @blocks: all that were
 * @file: gets a line for each that was not; NULL: none
 * @reached: out: how many were
 *
 * Return: how many there are.
 */
unsigned int cover_functions(const struct bits *blocks, FILE *file, unsigned int *reached);

#endif /* FUZZ_COVER_H */
