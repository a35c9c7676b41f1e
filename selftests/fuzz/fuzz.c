// SPDX-License-Identifier: GPL-2.0
/*
 * What makes a program depends on the seed, on its number, and on the corpus.
 * Without coverage the corpus is what was read, so equal seeds make equal
 * programs; with it, what joins the corpus depends on what the programs reach, and
 * that on how the kernel interleaves them.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "cover.h"
#include "fuzz.h"
#include "generate.h"
#include "health.h"
#include "random.h"
#include "run.h"

/* Programs between two times that the module is looked after. */
#define LOOK_AFTER 64u

/* How often a program is run again to see which new points are no accident. */
#define CONFIRM_RUNS 2

/* Runs that making a program shorter may take. */
#define SHORTEN_RUNS 24

static bool is_over(const struct fuzz *f)
{
	return f->end_ms && now_ms() >= f->end_ms;
}

/* --- one run ---------------------------------------------------------------------- */

/*
 * Where it survives the kernel: the host's file, or the log that is sent to it.
 * Written before the program runs, over the one before.
 */
static void remember(struct fuzz *f, const struct program *p)
{
	char text[PROGRAM_TEXT_MAX + 128];
	int n, length;

	if (f->last_fd < 0)
		f->last_fd = open(f->last ? f->last : "/dev/kmsg",
				  O_WRONLY | O_CLOEXEC | (f->last ? O_CREAT | O_TRUNC : 0), 0644);
	if (f->last_fd < 0)
		return;
	n = snprintf(text, sizeof(text), "%skfiber-fuzz: seed %" PRIu64 ", program %lu\n",
		     f->last ? "# " : "<7>", f->seed, f->number);
	if (f->last) {
		n += program_print(p, text + n, sizeof(text) - n);
		length = n;
		for (; n < f->last_length; n++)
			text[n] = '\n';
		f->last_length = length;
		if (pwrite(f->last_fd, text, n, 0) == n)
			return;
	} else if (write(f->last_fd, text, n) == n) {
		return;
	}
	perror("fuzz: the program is not remembered");
}

static bool complain(const char *what)
{
	printf("# WRONG: %s\n", what);
	fflush(stdout);
	return false;
}

static void show_program(const struct program *p)
{
	char text[PROGRAM_TEXT_MAX], *line, *save;

	program_print(p, text, sizeof(text));
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		printf("#   %s\n", line);
	fflush(stdout);
}

bool fuzz_look_after(struct fuzz *f)
{
	const char *wrong = health_idle();

	if (!wrong)
		wrong = health_run();
	return wrong ? complain(wrong) : true;
}

static bool run(struct fuzz *f, const struct program *p)
{
	const char *wrong = NULL;

	remember(f, p);
	f->runs++;
	if (!run_program(p))
		wrong = "processes do not die";
	else
		wrong = health_open();
	if (wrong) {
		complain(wrong);
		show_program(p);
		return false;
	}
	if (f->runs % LOOK_AFTER || fuzz_look_after(f))
		return true;
	printf("# it was one of the last %u programs; the last is\n", LOOK_AFTER);
	show_program(p);
	return false;
}

/* --- what is kept -------------------------------------------------------------------- */

static void forget(struct bits *bits)
{
	free(bits->words);
	bits->words = NULL;
}

static void know(struct corpus *c)
{
	bits_merge(&c->points, &cover_points);
	bits_merge(&c->blocks, &cover_blocks);
}

/* What @p, which has just run, reached for the first time, and reaches again. */
static bool confirm(struct fuzz *f, const struct program *p, struct bits *fresh)
{
	int i;

	*fresh = bits_copy(&cover_points);
	bits_subtract(fresh, &f->corpus.points);
	know(&f->corpus);
	for (i = 0; i < CONFIRM_RUNS && bits_count(fresh); i++) {
		if (!run(f, p))
			return false;
		bits_intersect(fresh, &cover_points);
	}
	return true;
}

/* Calls that the last run of @p did not get to do nothing for it. */
static void remove_dead_calls(struct program *p)
{
	unsigned int at;

	for (at = p->count; at > 0; at--)
		if (!run_was_made(at - 1))
			program_remove(p, at - 1, 1);
}

/*
 * Leaves calls out, many at a time first, for as long as all of @fresh is reached.
 * By bad luck one may miss it and stay as it was; that does no harm.
 */
static bool shorten(struct fuzz *f, struct program *p, const struct bits *fresh)
{
	unsigned int length, at, runs = 0;

	remove_dead_calls(p);
	for (length = p->count / 2; length; length /= 2) {
		for (at = p->count; at >= length; at -= length) {
			struct program shorter = *p;

			if (runs++ == SHORTEN_RUNS || is_over(f))
				return true;
			program_remove(&shorter, at - length, length);
			if (!run(f, &shorter))
				return false;
			if (bits_within(fresh, &cover_points))
				*p = shorter;
		}
	}
	return true;
}

/* Looks at what @p, which has just run, reached; it may join the corpus. */
static bool keep(struct fuzz *f, const struct program *program)
{
	struct program p = *program;
	struct bits fresh;
	bool right;

	if (!f->keeps)
		know(&f->corpus);
	if (bits_within(&cover_points, &f->corpus.points))
		return true;
	right = confirm(f, &p, &fresh);
	if (right && !bits_count(&fresh)) {
		f->unstable++;
	} else if (right) {
		right = shorten(f, &p, &fresh) && run(f, &p) && corpus_add(&f->corpus, &p, false);
		know(&f->corpus);
	}
	forget(&fresh);
	return right;
}

bool fuzz_replay(struct fuzz *f, const struct program *p)
{
	if (!run(f, p) || !corpus_add(&f->corpus, p, true))
		return false;
	know(&f->corpus);
	return true;
}

/* --- the loop ---------------------------------------------------------------------------- */

void fuzz_next(struct fuzz *f, struct program *p)
{
	uint64_t random = random_start(f->seed, ++f->number);
	const struct corpus *c = &f->corpus;

	if (!c->count || random_one_in(&random, 4)) {
		program_generate(p, &random);
		return;
	}
	*p = c->entries[random_below(&random, c->count)].program;
	program_mutate(p, &c->entries[random_below(&random, c->count)].program, &random);
}

static void progress(const struct fuzz *f, long start, unsigned long first)
{
	double seconds = (now_ms() - start) / 1000.0;

	printf("# %lu programs, %.1f a second, %lu calls, %lu faults, %lu killed", f->runs,
	       (f->runs - first) / seconds, run_counts.calls, run_counts.faults,
	       run_counts.killed);
	if (f->corpus.points.words)
		printf("; %zu blocks, %zu points, corpus %u, unstable %lu",
		       bits_count(&f->corpus.blocks), bits_count(&f->corpus.points),
		       f->corpus.count, f->unstable);
	printf("\n");
	fflush(stdout);
}

bool fuzz_programs(struct fuzz *f, unsigned long count)
{
	long start = now_ms(), shown = start;
	unsigned long n, first = f->runs;
	bool right = true;

	for (n = 0; right && (!count || n < count) && !is_over(f); n++) {
		struct program p;

		fuzz_next(f, &p);
		right = run(f, &p) && keep(f, &p);
		if (now_ms() - shown >= f->quiet_s * 1000l) {
			shown = now_ms();
			progress(f, start, first);
		}
	}
	progress(f, start, first);
	return right;
}
