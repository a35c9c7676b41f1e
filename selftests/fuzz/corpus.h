/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The corpus: programs that reached what none had reached before, each shortened
 * to what it needs for that.
 */
#ifndef FUZZ_CORPUS_H
#define FUZZ_CORPUS_H

#include <stdbool.h>

#include "cover.h"
#include "program.h"

struct corpus_entry {
	struct program program;
	struct bits blocks;
	bool from_file;
};

/**
 * struct corpus - what is known
 * @entries: programs
 * @count: how many
 * @room: for how many
 * @points: all that was reached; no words: there is no coverage
 * @blocks: likewise
 */
struct corpus {
	struct corpus_entry *entries;
	unsigned int count;
	unsigned int room;
	struct bits points;
	struct bits blocks;
};

void corpus_init(struct corpus *c);

/* Adds what ran last. Return: false without memory. */
bool corpus_add(struct corpus *c, const struct program *p, bool from_file);

/*
 * Reads the files of @directory, in the order of their names, and calls @fn for
 * each. Return: how many there were; -1: a file is wrong, or @fn said false.
 */
int corpus_read(const char *directory, bool (*fn)(const struct program *p, void *data), void *data);

/*
 * Writes programs that together reach all blocks that the corpus reaches, few
 * and short ones, one file each, named by what is in it.
 * Return: how many, or -1.
 */
int corpus_write(const struct corpus *c, const char *directory);

#endif /* FUZZ_CORPUS_H */
