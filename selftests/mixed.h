/* SPDX-License-Identifier: GPL-2.0 */
/* The same work for fibers and for plain threads, at once. */
#ifndef KF_SELFTESTS_MIXED_H
#define KF_SELFTESTS_MIXED_H

#include <pthread.h>
#include <stdlib.h>

#include "run.h"

/**
 * struct mixed - who does it
 * @processors: of the domain
 * @fibers: how many fibers
 * @threads: how many plain threads
 * @fn: what they do; NULL is the good end
 * @arg: its argument
 */
struct mixed {
	unsigned int processors;
	int fibers;
	int threads;
	void *(*fn)(void *arg);
	void *arg;
};

static inline int run_mixed_fibers(void *arg)
{
	struct mixed *m = arg;
	kf_fiber_t *fibers = calloc((size_t)m->fibers + 1, sizeof(*fibers));
	int i, bad = 0;

	for (i = 0; i < m->fibers; i++)
		bad += !!kf_spawn(&fibers[i], NULL, m->fn, m->arg);
	bad += join_each(fibers, m->fibers);
	free(fibers);
	return bad;
}

/* Return: how many did not come to a good end. */
static inline int run_mixed(struct mixed *m)
{
	pthread_t *threads = calloc((size_t)m->threads + 1, sizeof(*threads));
	int i, bad = 0;
	void *value;

	for (i = 0; i < m->threads; i++)
		if (pthread_create(&threads[i], NULL, m->fn, m->arg))
			abort();
	bad += run(m->processors, run_mixed_fibers, m);
	for (i = 0; i < m->threads; i++)
		bad += pthread_join(threads[i], &value) || value;
	free(threads);
	return bad;
}

/* Small numbers for who must not do the same as all the others. */
static inline unsigned int pick(unsigned int *seed, unsigned int n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % n;
}

/* Nothing is left of whoever waited. */
static inline int is_unused(const struct kf_wait_queue *q)
{
	return !q->latch && !q->first && !q->last;
}

/* No wake-up of the library's is left over: it would end this sleep at once. */
static inline int sleeps_soundly(void)
{
	uint64_t begin = kf_now();

	if (!kf_self())
		return 1;
	return kf_sleep(2 * MS) == 0 && kf_now() - begin >= 2 * MS && kf_park(0) == -ETIMEDOUT;
}

#endif /* KF_SELFTESTS_MIXED_H */
