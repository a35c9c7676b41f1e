/* SPDX-License-Identifier: GPL-2.0 */
/* Random numbers that are the same on every machine: xorshift64*. */
#ifndef FUZZ_RANDOM_H
#define FUZZ_RANDOM_H

#include <stdbool.h>
#include <stdint.h>

static inline uint64_t random_next(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

/* From 0 to @bound - 1; 0 if that is nothing. */
static inline uint64_t random_below(uint64_t *state, uint64_t bound)
{
	return bound ? (random_next(state) >> 16) % bound : 0;
}

/* True once in @n times. */
static inline bool random_one_in(uint64_t *state, unsigned int n)
{
	return random_below(state, n) == 0;
}

/* The state for the @number-th of several sequences; never 0, which stays 0. */
static inline uint64_t random_start(uint64_t seed, uint64_t number)
{
	uint64_t state = seed * 0x9e3779b97f4a7c15ull + number * 0xbf58476d1ce4e5b9ull + 1;

	state ^= state >> 31;
	return state ? state : 1;
}

#endif /* FUZZ_RANDOM_H */
