/* SPDX-License-Identifier: GPL-2.0 */
/* What most of these tests begin and end with. */
#ifndef KF_SELFTESTS_RUN_H
#define KF_SELFTESTS_RUN_H

#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS 1000000ull

/* Runs @fn as the first fiber of a domain with that many processors. */
static inline int run(unsigned int processors, int (*fn)(void *), void *arg)
{
	struct kf_config config = { .size = sizeof(config), .processors = processors };

	return kf_run(&config, fn, arg);
}

/* What run() is given to run @fn and to end with it if it fails: fibers may be left over. */
static inline int or_exit(void *fn)
{
	int result = ((int (*)(void *))fn)(NULL);

	if (result) {
		fprintf(stderr, "# step %d\n", -result);
		_exit(1);
	}
	return 0;
}

/*
 * Likewise, where not one system call may be made: a machine that stands still for a
 * slice stops the tick, and who queues a fiber then makes a call to start it.
 */
static inline int run_without_slices(unsigned int processors, int (*fn)(void *), void *arg)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = processors, .slice_ns = KF_SLICE_NEVER,
	};

	return kf_run(&config, fn, arg);
}

/* Return: how many processors the domain has now. */
static inline unsigned int processors_used(void)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	return kf_stats(&stats) ? 0 : (unsigned int)stats.processors;
}

/* Spawns @n fibers, each with its number as @fn's argument. Return: 0, or why one was not. */
static inline int spawn_each(kf_fiber_t *fibers, int n, void *(*fn)(void *))
{
	int i, err = 0;

	for (i = 0; i < n && !err; i++)
		err = kf_spawn(&fibers[i], NULL, fn, (void *)(intptr_t)i);
	return err;
}

/* Return: how many did not come to a good end, which is NULL. */
static inline int join_each(const kf_fiber_t *fibers, int n)
{
	void *value;
	int i, bad = 0;

	for (i = 0; i < n; i++)
		bad += kf_join(fibers[i], &value) || value;
	return bad;
}

/* Return: the status of a child that has ended, as waitpid() gives it. */
static inline int wait_for(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) != child)
		if (errno != EINTR)
			return -1;
	return status;
}

#endif /* KF_SELFTESTS_RUN_H */
