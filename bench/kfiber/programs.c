// SPDX-License-Identifier: GPL-2.0
/* Small programs that are all spawning and channels. */
#include <stdlib.h>

#include "works.h"

static unsigned long n;
static unsigned int processors;

static void spawn(kf_fiber_t *fiber, void *(*fn)(void *), void *arg)
{
	if (kf_spawn(fiber, NULL, fn, arg))
		bench_die("kf_spawn");
}

static void run(int (*fn)(void *))
{
	n = bench_parameter("n");
	processors = (unsigned int)bench_parameter("processors");
	bench_run(processors, 0, fn);
}

/* --- ring: a token goes round n times ----------------------------------------- */

struct member {
	kf_fiber_t fiber;
	kf_chan_t *in;
	kf_chan_t *out;
};

/* What comes goes on, one less; 0 ends the one it comes to, and all behind. */
static void *passes(void *arg)
{
	struct member *m = arg;
	unsigned long token;

	while (!kf_chan_recv(m->in, &token))
		if (kf_chan_send(m->out, &(unsigned long){ token + 1 }))
			bench_die("kf_chan_send");
	kf_chan_close(m->out);
	return NULL;
}

static int ring_main(void *arg)
{
	unsigned long members = bench_parameter("tasks"), i, token = 0;
	struct member *ring = bench_alloc(members, sizeof(*ring));
	uint64_t start;

	for (i = 0; i < members; i++)
		ring[i].in = kf_chan_create(sizeof(token), 0);
	/* The caller is the last of them. */
	for (i = 0; i < members - 1; i++) {
		ring[i].out = ring[i + 1].in;
		spawn(&ring[i].fiber, passes, &ring[i]);
	}
	start = bench_now();
	for (i = 0; i < n; i++)
		if (kf_chan_send(ring[0].in, &token) ||
		    kf_chan_recv(ring[members - 1].in, &token))
			bench_die("ring");
	bench_each(start, n * (members - 1));
	bench_counted(token, n * (members - 1));
	kf_chan_close(ring[0].in);
	for (i = 0; i < members - 1; i++)
		kf_join(ring[i].fiber, NULL);
	for (i = 0; i < members; i++)
		kf_chan_destroy(ring[i].in);
	free(ring);
	return 0;
}

void bench_ring(void)
{
	run(ring_main);
}

/* --- skynet: each has ten below it, n leaves; they add up their numbers ------------ */

struct node {
	kf_chan_t *up;
	unsigned long number;
	unsigned long leaves;
};

static void *adds_up(void *arg)
{
	struct node *me = arg, below[10];
	unsigned long sum = 0, value, i;
	kf_chan_t *c;

	if (me->leaves == 1) {
		kf_chan_send(me->up, &me->number);
		return NULL;
	}
	c = kf_chan_create(sizeof(value), 0);
	for (i = 0; i < 10; i++) {
		struct kf_attr attr = { .size = sizeof(attr), .flags = KF_DETACHED };

		below[i] = (struct node){
			c, me->number + i * (me->leaves / 10), me->leaves / 10
		};
		if (kf_spawn(NULL, &attr, adds_up, &below[i]))
			bench_die("kf_spawn");
	}
	for (i = 0; i < 10; i++) {
		if (kf_chan_recv(c, &value))
			bench_die("kf_chan_recv");
		sum += value;
	}
	kf_chan_destroy(c);
	kf_chan_send(me->up, &sum);
	return NULL;
}

static int skynet_main(void *arg)
{
	kf_chan_t *c = kf_chan_create(sizeof(unsigned long), 0);
	struct node root = { c, 0, n };
	uint64_t start = bench_now();
	unsigned long sum;
	kf_fiber_t fiber;

	spawn(&fiber, adds_up, &root);
	if (kf_chan_recv(c, &sum))
		bench_die("kf_chan_recv");
	bench_each(start, 1);
	bench_counted(sum, n * (n - 1) / 2);
	kf_join(fiber, NULL);
	kf_chan_destroy(c);
	return 0;
}

void bench_skynet(void)
{
	run(skynet_main);
}

/* --- sieve: a fiber for each prime lets through what it does not divide ----------- */

struct filter {
	kf_chan_t *in;
	kf_chan_t *out;
	unsigned long prime;
};

static void *filters(void *arg)
{
	struct filter *f = arg;
	unsigned long value;

	while (!kf_chan_recv(f->in, &value))
		if (value % f->prime && kf_chan_send(f->out, &value))
			break;
	kf_chan_close(f->in);
	return NULL;
}

static void *counts_up(void *arg)
{
	unsigned long value = 2;

	while (!kf_chan_send(arg, &value))
		value++;
	return NULL;
}

static int sieve_main(void *arg)
{
	kf_chan_t **chans = bench_alloc(n + 1, sizeof(*chans));
	struct filter *all = bench_alloc(n, sizeof(*all));
	kf_fiber_t *fibers = bench_alloc(n + 1, sizeof(*fibers));
	uint64_t start = bench_now();
	unsigned long i;

	chans[0] = kf_chan_create(sizeof(unsigned long), 0);
	spawn(&fibers[n], counts_up, chans[0]);
	for (i = 0; i < n; i++) {
		chans[i + 1] = kf_chan_create(sizeof(unsigned long), 0);
		all[i] = (struct filter){ .in = chans[i], .out = chans[i + 1] };
		if (kf_chan_recv(chans[i], &all[i].prime))
			bench_die("kf_chan_recv");
		spawn(&fibers[i], filters, &all[i]);
	}
	bench_each(start, 1);
	bench_sample("prime", (double)all[n - 1].prime);
	kf_chan_close(chans[n]);
	for (i = 0; i <= n; i++)
		kf_join(fibers[i], NULL);
	for (i = 0; i <= n; i++)
		kf_chan_destroy(chans[i]);
	free(fibers);
	free(all);
	free(chans);
	return 0;
}

void bench_sieve(void)
{
	run(sieve_main);
}

/* --- producers and consumers: n values each through a channel with room for 128 --- */

static void *produces(void *arg)
{
	unsigned long i;

	for (i = 0; i < n; i++)
		kf_chan_send(arg, &i);
	return NULL;
}

static void *consumes(void *arg)
{
	unsigned long value, sum = 0;

	while (!kf_chan_recv(arg, &value))
		sum += value;
	return (void *)sum;
}

static int producers_main(void *arg)
{
	unsigned long tasks = bench_parameter("tasks"), i, sum = 0;
	kf_fiber_t *fibers = bench_alloc(2 * tasks, sizeof(*fibers));
	kf_chan_t *c = kf_chan_create(sizeof(unsigned long), 128);
	uint64_t start = bench_now();

	for (i = 0; i < tasks; i++) {
		spawn(&fibers[i], produces, c);
		spawn(&fibers[tasks + i], consumes, c);
	}
	for (i = 0; i < tasks; i++)
		kf_join(fibers[i], NULL);
	kf_chan_close(c);
	for (i = 0; i < tasks; i++) {
		void *value;

		kf_join(fibers[tasks + i], &value);
		sum += (unsigned long)value;
	}
	bench_each(start, n * tasks);
	bench_counted(sum, tasks * (n * (n - 1) / 2));
	kf_chan_destroy(c);
	free(fibers);
	return 0;
}

void bench_producers(void)
{
	run(producers_main);
}
