// SPDX-License-Identifier: GPL-2.0
/*
 * Several are asked the same, and the first answer will do. All others are left with
 * theirs.
 */
#include "patterns.h"

#define REPLICAS 3

static void *ask(void *answers)
{
	int answer = 42;

	kf_chan_send(answers, &answer);
	return NULL;
}

void first_of_many(void)
{
	kf_chan_t *answers = channel(sizeof(int), 0);
	int answer, i;

	for (i = 0; i < REPLICAS; i++)
		spawn(ask, answers);
	kf_chan_recv(answers, &answer);
}

/* Who has the first answer closes: the others' sends end with -EPIPE, now and later. */
struct race {
	kf_chan_t *answers;
	kf_waitgroup_t asked;
};

static void *ask_in_race(void *arg)
{
	struct race *race = arg;
	int answer = 42;

	kf_chan_send(race->answers, &answer);
	kf_waitgroup_done(&race->asked);
	return NULL;
}

void first_of_many_mended(void)
{
	struct race race = { .answers = channel(sizeof(int), 0), .asked = KF_WAITGROUP_INIT };
	int answer, i;

	kf_waitgroup_add(&race.asked, REPLICAS);
	for (i = 0; i < REPLICAS; i++)
		spawn(ask_in_race, &race);
	kf_chan_recv(race.answers, &answer);
	kf_chan_close(race.answers);
	kf_waitgroup_wait(&race.asked);
	kf_chan_destroy(race.answers);
}
