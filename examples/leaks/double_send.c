// SPDX-License-Identifier: GPL-2.0
/*
 * One result is expected. On a failure it is sent, but there the function does not
 * end, and sends another.
 */
#include "patterns.h"

static int work(int *result)
{
	*result = 0;
	return -5;
}

static void *work_and_send(void *results)
{
	int result, err = work(&result);

	if (err)
		kf_chan_send(results, &err);
	kf_chan_send(results, &result);
	return NULL;
}

void double_send(void)
{
	kf_chan_t *results = channel(sizeof(int), 0);
	int result;

	spawn(work_and_send, results);
	kf_chan_recv(results, &result);
}

/* One way out, with one send. */
static void *work_and_send_once(void *results)
{
	int result, err = work(&result);

	if (err)
		result = err;
	kf_chan_send(results, &result);
	return NULL;
}

void double_send_mended(void)
{
	kf_chan_t *results = channel(sizeof(int), 1);
	int result;

	spawn(work_and_send_once, results);
	kf_chan_recv(results, &result);
	kf_chan_destroy(results);
}
