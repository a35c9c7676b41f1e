// SPDX-License-Identifier: GPL-2.0
/*
 * The hot paths, each by itself, for a machine that counts instructions as nanoseconds:
 * bench/count compares what they cost with bench/instructions.
 *
 * A path is taken n times and 2n times; the difference is n of them without what it
 * took to begin and end. Each number is the least of some rounds, so the timer's
 * interrupt is in none: 2n times take less than from one to the next. Each path has a
 * domain of its own, which nothing was done in before.
 */
#include <fcntl.h>
#include <linux/kfiber.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "works.h"

#define ROUNDS 9

/**
 * struct path - a hot path
 * @name: in the table
 * @run: takes it @n times; returns how long they took
 * @n: 2n times are less than a tick of the clock
 */
struct path {
	const char *name;
	uint64_t (*run)(unsigned long n);
	unsigned long n;
};

static kf_fiber_t main_fiber, partner;
static unsigned long turns;
static bool over;

static void begin(void *(*fn)(void *))
{
	main_fiber = kf_self();
	turns = 0;
	over = false;
	if (kf_spawn(&partner, NULL, fn, NULL))
		bench_die("kf_spawn");
	kf_yield();
}

/* Everything was done that was counted, and no more. */
static void end(unsigned long n)
{
	if (turns != n)
		bench_die("turns");
	over = true;
	kf_unpark(partner);
	if (kf_join(partner, NULL))
		bench_die("kf_join");
}

static void *yields(void *arg)
{
	for (kf_yield(); !over; kf_yield())
		turns++;
	return NULL;
}

/* One of the two goes, the other comes. */
static uint64_t run_yield(unsigned long n)
{
	uint64_t start;
	unsigned long i;

	begin(yields);
	start = bench_now();
	for (i = 0; i < n / 2; i++)
		kf_yield();
	start = bench_now() - start;
	end(n / 2);
	return start;
}

static void *unparks(void *arg)
{
	for (;;) {
		if (kf_park(KF_FOREVER))
			bench_die("kf_park");
		if (over)
			return NULL;
		turns++;
		if (kf_unpark(main_fiber))
			bench_die("kf_unpark");
	}
}

/* There and back. */
static uint64_t run_unpark(unsigned long n)
{
	uint64_t start;
	unsigned long i;

	begin(unparks);
	start = bench_now();
	for (i = 0; i < n; i++)
		if (kf_unpark(partner) || kf_park(KF_FOREVER))
			bench_die("kf_park");
	start = bench_now() - start;
	end(n);
	return start;
}

/* The same with a deadline that is before the last one: each time the module is told. */
static uint64_t run_deadline(unsigned long n)
{
	static uint64_t deadline;
	uint64_t start;
	unsigned long i;

	if (!deadline)
		deadline = kf_after(1000000 * BENCH_MS);
	begin(unparks);
	start = bench_now();
	for (i = 0; i < n; i++)
		if (kf_unpark(partner) || kf_park(--deadline))
			bench_die("kf_park");
	start = bench_now() - start;
	end(n);
	return start;
}

static kf_chan_t *there, *back;

static void *echoes(void *arg)
{
	unsigned long value;

	while (!kf_chan_recv(there, &value)) {
		turns++;
		if (kf_chan_send(back, &value))
			bench_die("kf_chan_send");
	}
	return NULL;
}

/* A value goes there and comes back, through channels without a buffer. */
static uint64_t run_channel(unsigned long n)
{
	unsigned long i, value;
	uint64_t start;

	there = kf_chan_create(sizeof(value), 0);
	back = kf_chan_create(sizeof(value), 0);
	begin(echoes);
	start = bench_now();
	for (i = 0; i < n; i++)
		if (kf_chan_send(there, &i) || kf_chan_recv(back, &value) || value != i)
			bench_die("kf_chan_recv");
	start = bench_now() - start;
	kf_chan_close(there);
	end(n);
	kf_chan_destroy(there);
	kf_chan_destroy(back);
	return start;
}

/* Nobody else wants it. */
static uint64_t run_lock(unsigned long n)
{
	static kf_mutex_t mutex = KF_MUTEX_INIT;
	uint64_t start = bench_now();
	unsigned long i;

	for (i = 0; i < n; i++)
		if (kf_mutex_lock(&mutex) || kf_mutex_unlock(&mutex))
			bench_die("kf_mutex_lock");
	return bench_now() - start;
}

static void *count(void *arg)
{
	turns++;
	return arg;
}

/* A fiber is spawned, runs and is joined, on the stack that the last one had. */
static uint64_t run_spawn(unsigned long n)
{
	uint64_t start = bench_now();
	unsigned long i;
	kf_fiber_t fiber;
	void *value;

	turns = 0;
	for (i = 0; i < n; i++)
		if (kf_spawn(&fiber, NULL, count, &turns) || kf_join(fiber, &value) ||
		    value != &turns)
			bench_die("kf_spawn");
	start = bench_now() - start;
	if (turns != n)
		bench_die("turns");
	return start;
}

/* What grows stays until the domain ends: nobody is to begin with its stack. */
static struct bench_growth growth;
static kf_fiber_t *grown;
static unsigned long nr_grown;

static void *grow(void *arg)
{
	bench_grow(&growth);
	kf_park(KF_FOREVER);
	return NULL;
}

static uint64_t run_growth(unsigned long n, unsigned long pages)
{
	unsigned long i;

	growth = (struct bench_growth){ .pages = pages };
	grown = realloc(grown, (nr_grown + n) * sizeof(*grown));
	if (!grown)
		bench_die("realloc");
	for (i = 0; i < n; i++) {
		if (kf_spawn(&grown[nr_grown++], NULL, grow, NULL))
			bench_die("kf_spawn");
		kf_yield();
	}
	return growth.first;
}

/* The second page of a stack: one fault. */
static uint64_t run_growth_page(unsigned long n)
{
	return run_growth(n, 2);
}

/* All but the first page of 64 KiB. */
static uint64_t run_growth_64k(unsigned long n)
{
	return run_growth(n, 16);
}

static void end_growth(void)
{
	while (nr_grown) {
		kf_unpark(grown[--nr_grown]);
		kf_join(grown[nr_grown], NULL);
	}
}

static int ends[2];
static uint64_t blocks, taken;

static void *goes_on(void *arg)
{
	for (;;) {
		if (kf_park(KF_FOREVER))
			bench_die("kf_park");
		if (over)
			return NULL;
		taken += bench_now() - blocks;
		turns++;
		if (write(ends[1], "", 1) != 1)
			bench_die("write");
	}
}

/* A fiber blocks in read(); how long until the next one runs, on another thread. */
static uint64_t run_hand_over(unsigned long n)
{
	unsigned long i;
	char c;

	if (pipe(ends))
		bench_die("pipe");
	taken = 0;
	begin(goes_on);
	for (i = 0; i < n; i++) {
		kf_unpark(partner);
		blocks = bench_now();
		if (read(ends[0], &c, 1) != 1)
			bench_die("read");
	}
	end(n);
	close(ends[0]);
	close(ends[1]);
	return taken;
}

static void *reads(void *arg)
{
	char c;

	while (kf_read(ends[0], &c, 1, KF_FOREVER) == 1)
		turns++;
	return NULL;
}

/* A fiber waits for a byte, which is written, goes on with it and waits for the next one. */
static uint64_t run_file(unsigned long n)
{
	uint64_t start;
	unsigned long i;

	if (pipe(ends))
		bench_die("pipe");
	begin(reads);
	start = bench_now();
	for (i = 0; i < n; i++) {
		if (write(ends[1], "", 1) != 1)
			bench_die("write");
		kf_yield();
	}
	start = bench_now() - start;
	close(ends[1]);
	end(n);
	close(ends[0]);
	return start;
}

static void call(int fd, unsigned long command, void *args)
{
	if (ioctl(fd, command, args))
		bench_die("ioctl");
}

/* NEXT by itself, when a fiber is in the inbox: by a domain without a library. */
static uint64_t run_next(unsigned long n)
{
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 1, .max_workers = 2, .max_fibers = 64,
	};
	struct kfiber_simple worker = { .size = sizeof(worker) };
	__u64 name = 0;
	struct kfiber_fibers fibers = {
		.size = sizeof(fibers), .count = 1, .stack_shift = 18,
		.fibers = (uintptr_t)&name,
	};
	int fd = open("/dev/kfiber", O_RDWR);
	uint64_t all = 0, start;
	unsigned long i;

	if (fd < 0)
		bench_die("/dev/kfiber");
	call(fd, KFIBER_IOC_SETUP, &setup);
	call(fd, KFIBER_IOC_ALLOC, &fibers);
	fibers.stack_shift = 0;
	call(fd, KFIBER_IOC_ATTACH, &worker);
	for (i = 0; i < n; i++) {
		struct kfiber_next next = { .size = sizeof(next), .worker = worker.worker };

		call(fd, KFIBER_IOC_READY, &fibers);
		start = bench_now();
		call(fd, KFIBER_IOC_NEXT, &next);
		all += bench_now() - start;
		if (next.fiber != name)
			bench_die("NEXT");
	}
	call(fd, KFIBER_IOC_DETACH, &worker);
	close(fd);
	return all;
}

static uint64_t least(const struct path *p, unsigned long n)
{
	uint64_t least = UINT64_MAX;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		uint64_t took = p->run(n);

		if (took < least)
			least = took;
	}
	return least;
}

static void measure(const struct path *p)
{
	uint64_t once = least(p, p->n);

	bench_sample(p->name, (double)(least(p, 2 * p->n) - once) / (double)p->n);
}

static int path_main(void *arg)
{
	measure(arg);
	end_growth();
	return 0;
}

void bench_paths(void)
{
	static const struct path in_domain[] = {
		{ "yield", run_yield, 1000 },
		{ "unpark", run_unpark, 1000 },
		{ "deadline", run_deadline, 100 },
		{ "channel", run_channel, 1000 },
		{ "lock", run_lock, 1000 },
		{ "spawn", run_spawn, 1000 },
		{ "growth-page", run_growth_page, 128 },
		{ "growth-64k", run_growth_64k, 48 },
		{ "hand-over", run_hand_over, 32 },
		{ "file", run_file, 100 },
		{ 0 }
	};
	static const struct path next = { "next", run_next, 100 };
	const struct path *p;

	for (p = in_domain; p->name; p++) {
		struct kf_config config = { .size = sizeof(config), .processors = 1 };

		if (kf_run(&config, path_main, (void *)p))
			bench_die("kf_run");
	}
	measure(&next);
}
