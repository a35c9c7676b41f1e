/* SPDX-License-Identifier: GPL-2.0 */
/* The loop: programs are made, run, looked at, kept. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stdbool.h>
#include <stdint.h>

#include "corpus.h"

/**
 * struct fuzz - a run of the fuzzer
 * @seed: what the programs come from
 * @last: file that the program to be run is written to first; NULL: the kernel's
 *	log is told its seed and number
 * @last_fd: that, once it is open; -1
 * @last_length: how much of it the program before took
 * @keeps: programs that reach something new are shortened and kept
 * @quiet_s: seconds between lines of progress
 * @end_ms: when to stop, by now_ms(); 0: not by time
 * @corpus: what is known
 * @number: programs that were made
 * @runs: programs that were run, those that were shortened or tried again too
 * @unstable: programs that reached something new once, and then not again
 */
struct fuzz {
	uint64_t seed;
	const char *last;
	int last_fd;
	int last_length;
	bool keeps;
	unsigned int quiet_s;
	long end_ms;
	struct corpus corpus;
	unsigned long number;
	unsigned long runs;
	unsigned long unstable;
};

/* Return, each: false when the kernel or the module is not in order. */

/* Programs of a corpus, as they are. */
bool fuzz_replay(struct fuzz *f, const struct program *p);

/* @count programs of the seed, or until the time is over; 0: until then. */
bool fuzz_programs(struct fuzz *f, unsigned long count);

/* That everything a program made is gone, and that the module works. */
bool fuzz_look_after(struct fuzz *f);

/* The next program of the seed. With coverage it depends on that, too. */
void fuzz_next(struct fuzz *f, struct program *p);

#endif /* FUZZ_FUZZ_H */
