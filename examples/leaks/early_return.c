// SPDX-License-Identifier: GPL-2.0
/*
 * Work goes on beside us, and its result is asked for at the end; but on an error we return
 * before. Then nobody receives, and the sender waits for ever.
 */
#include "patterns.h"

static void *compute(void *results)
{
	int result = 42;

	kf_chan_send(results, &result);
	return NULL;
}

static int check_request(void)
{
	return -1;
}

static int handle(void)
{
	kf_chan_t *results = channel(sizeof(int), 0);
	int result;

	spawn(compute, results);
	if (check_request())
		return -1;
	kf_chan_recv(results, &result);
	kf_chan_destroy(results);
	return result;
}

void early_return(void)
{
	handle();
}

static int compute_in_scope(void *result)
{
	*(int *)result = 42;
	return 0;
}

/* A scope does not end before what was spawned in it, and there is nobody to forget. */
static int handle_in_scope(void)
{
	kf_scope_t scope;
	int result = 0, err;

	kf_scope_init(&scope);
	kf_scope_spawn(&scope, NULL, compute_in_scope, &result);
	err = check_request();
	if (err)
		kf_scope_cancel(&scope);
	kf_scope_wait(&scope);
	return err ? err : result;
}

void early_return_mended(void)
{
	handle_in_scope();
}
