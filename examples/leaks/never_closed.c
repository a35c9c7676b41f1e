// SPDX-License-Identifier: GPL-2.0
/*
 * Workers take jobs until there are no more; but nobody says that there are no more.
 */
#include "patterns.h"

#define WORKERS 4
#define JOBS 10

static void *work(void *jobs)
{
	int job;

	while (!kf_chan_recv(jobs, &job))
		kf_yield();
	return NULL;
}

void never_closed(void)
{
	kf_chan_t *jobs = channel(sizeof(int), 0);
	int i;

	for (i = 0; i < WORKERS; i++)
		spawn(work, jobs);
	for (i = 0; i < JOBS; i++)
		kf_chan_send(jobs, &i);
}

/* The one who sends closes; who owns the channel waits for all, and destroys it. */
void never_closed_mended(void)
{
	kf_chan_t *jobs = channel(sizeof(int), 0);
	kf_fiber_t workers[WORKERS];
	int i;

	for (i = 0; i < WORKERS; i++)
		if (kf_spawn(&workers[i], NULL, work, jobs))
			exit(2);
	for (i = 0; i < JOBS; i++)
		kf_chan_send(jobs, &i);
	kf_chan_close(jobs);
	for (i = 0; i < WORKERS; i++)
		kf_join(workers[i], NULL);
	kf_chan_destroy(jobs);
}
