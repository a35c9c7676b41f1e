/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The delay points of the module (kmod/delay.h) and of the library
 * (userlib/src/delay.h), as a test sets them. Either may be built without.
 */
#ifndef KF_SELFTESTS_DELAY_H
#define KF_SELFTESTS_DELAY_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../userlib/src/delay.h"

#define DELAYS_DIR "/sys/kernel/debug/kfiber-delay/"

/**
 * struct delays - what is done at the points
 * @seed: where the decisions come from
 * @period: one arrival in so many is held up; 0: none
 * @kinds: a mask of enum kf_delay_kind
 * @points: which points of the module
 * @library_points: which points of the library
 * @spin_ns: the longest spin
 * @sleep_ns: the longest sleep
 */
struct delays {
	uint32_t seed;
	uint32_t period;
	uint32_t kinds;
	uint64_t points;
	uint64_t library_points;
	uint32_t spin_ns;
	uint32_t sleep_ns;
};

static inline bool delays_in_module(void)
{
	return !access(DELAYS_DIR "seed", W_OK);
}

static inline void delays_write(const char *name, uint64_t value)
{
	char path[64], text[32];
	int fd, n;

	snprintf(path, sizeof(path), DELAYS_DIR "%s", name);
	n = snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, (size_t)n) != n)
		printf("# %s cannot be set to %s\n", path, text);
	close(fd);
}

static inline void delays_set_in_module(const struct delays *d)
{
	delays_write("period", 0);
	delays_write("kinds", d->kinds);
	delays_write("points", d->points);
	delays_write("spin_ns", d->spin_ns);
	delays_write("sleep_us", d->sleep_ns / 1000);
	delays_write("seed", d->seed);
	delays_write("period", d->period);
}

/* Fewer arrivals than this and a point may be missed in the next run. */
#define DELAYS_RARE 10

/* Return: 1 if nobody has come to the point, else 0. */
static inline int delays_print_rare(const char *where, int number, const char *name,
				    unsigned long long count)
{
	if (count < DELAYS_RARE)
		printf("# reached %llu times in the %s: %d %s\n", count, where, number, name);
	return !count;
}

/* Return: how many points of the module nobody has come to. */
static inline int delays_missed_in_module(void)
{
	FILE *hits = fopen(DELAYS_DIR "hits", "r");
	unsigned long long count;
	char name[64];
	int number, missed = 0;

	if (!hits)
		return -1;
	while (fscanf(hits, "%d %63s %llu", &number, name, &count) == 3)
		missed += delays_print_rare("module", number, name, count);
	fclose(hits);
	return missed;
}

#ifdef KFIBER_DELAY_POINTS

/* Shared with all children, so that what they count is seen by the last test. */
static void __attribute__((constructor)) delays_share(void)
{
	void *map = mmap(NULL, sizeof(*kf_delay_state), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (map != MAP_FAILED)
		kf_delay_state = map;
}

static inline void delays_set(const struct delays *d)
{
	struct kf_delay_state *s = kf_delay_state;
	int i;

	delays_set_in_module(d);
	atomic_store(&s->period, 0);
	atomic_store(&s->kinds, d->kinds);
	atomic_store(&s->points, d->library_points);
	atomic_store(&s->spin_ns, d->spin_ns);
	atomic_store(&s->sleep_ns, d->sleep_ns);
	for (i = 0; i < KF_DELAY_NR; i++)
		atomic_store(&s->start[i], atomic_load(&s->hits[i]));
	atomic_store(&s->seed, d->seed);
	atomic_store(&s->period, d->period);
}

/* Return: how many points of the library nobody has come to. */
static inline int delays_missed_in_library(void)
{
	static const char names[] =
#define KF_DELAY_POINT(name) #name "\0"
#include "../userlib/src/delay_points.h"
#undef KF_DELAY_POINT
	;
	const char *name = names;
	int i, missed = 0;

	for (i = 0; i < KF_DELAY_NR; i++, name += strlen(name) + 1)
		missed += delays_print_rare("library", i, name,
					    atomic_load(&kf_delay_state->hits[i]));
	return missed;
}

#else

static inline void delays_set(const struct delays *d)
{
	delays_set_in_module(d);
}

static inline int delays_missed_in_library(void)
{
	return -1;
}

#endif /* KFIBER_DELAY_POINTS */
#endif /* KF_SELFTESTS_DELAY_H */
