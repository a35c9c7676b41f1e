// SPDX-License-Identifier: GPL-2.0
/*
 * We wait for an answer, but not for long. The one who answers later finds nobody.
 */
#include "patterns.h"

static void *answer(void *answers)
{
	int value = 42;

	kf_sleep(20 * MS);
	kf_chan_send(answers, &value);
	return NULL;
}

void timeout(void)
{
	kf_chan_t *answers = channel(sizeof(int), 0);
	int value;

	spawn(answer, answers);
	kf_chan_recv_until(answers, &value, kf_after(MS));
}

/*
 * With room for the answer nobody has to be there to take it. The channel is freed by the
 * one that comes last: the asker holds it, and the answerer.
 */
struct question {
	kf_chan_t *answers;
	int holders;
};

static void put(struct question *q)
{
	if (__atomic_sub_fetch(&q->holders, 1, __ATOMIC_ACQ_REL))
		return;
	kf_chan_destroy(q->answers);
	free(q);
}

static void *answer_question(void *arg)
{
	struct question *q = arg;
	int value = 42;

	kf_sleep(20 * MS);
	kf_chan_send(q->answers, &value);
	put(q);
	return NULL;
}

void timeout_mended(void)
{
	struct question *q = calloc(1, sizeof(*q));
	int value;

	if (!q)
		exit(2);
	q->answers = channel(sizeof(int), 1);
	q->holders = 2;
	spawn(answer_question, q);
	kf_chan_recv_until(q->answers, &value, kf_after(MS));
	put(q);
}
