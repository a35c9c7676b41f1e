/* SPDX-License-Identifier: GPL-2.0 */
/* Making programs, and others from them. Equal states of @random, equal programs. */
#ifndef FUZZ_GENERATE_H
#define FUZZ_GENERATE_H

#include "program.h"

void program_generate(struct program *p, uint64_t *random);

/* @other: where calls may be taken from; may be @p itself. */
void program_mutate(struct program *p, const struct program *other, uint64_t *random);

/* A value that is more likely than others to be at an edge of something. */
uint64_t interesting_value(uint64_t *random);

#endif /* FUZZ_GENERATE_H */
