// SPDX-License-Identifier: GPL-2.0
/* Channels: every value comes out once, in order, and goes straight to who waits. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <malloc.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "harness.h"
#include "mixed.h"
#include "parked.h"
#include "processors.h"
#include "syscalls.h"

TEST(misuse_is_refused)
{
	long value = 1;
	kf_chan_t *c = kf_chan_create(sizeof(value), 0);

	ASSERT_EQ(NULL, kf_chan_create(SIZE_MAX / 2, 4));
	ASSERT_EQ(NULL, kf_chan_create(1, SIZE_MAX - 8));
	ASSERT_EQ(0, kf_chan_destroy(NULL));
	ASSERT_NE(NULL, c);
	ASSERT_EQ(-EINVAL, kf_chan_send(c, NULL));
	ASSERT_EQ(-EINVAL, kf_chan_trysend(c, NULL));
	ASSERT_EQ(-EINVAL, kf_chan_send_until(c, NULL, 0));
	ASSERT_EQ(-EAGAIN, kf_chan_trysend(c, &value));
	ASSERT_EQ(-EAGAIN, kf_chan_tryrecv(c, &value));
	ASSERT_EQ(0, kf_chan_close(c));
	ASSERT_EQ(-EPIPE, kf_chan_close(c));
	ASSERT_EQ(-EPIPE, kf_chan_send(c, &value));
	ASSERT_EQ(-EPIPE, kf_chan_trysend(c, &value));
	ASSERT_EQ(-EPIPE, kf_chan_recv(c, &value));
	ASSERT_EQ(-EPIPE, kf_chan_tryrecv(c, NULL));
	ASSERT_EQ(1, value);
	ASSERT_EQ(0, kf_chan_destroy(c));
}

TEST(plain_threads_need_no_domain)
{
	kf_chan_t *c = kf_chan_create(sizeof(int), 2);
	int i, value;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, kf_chan_send(c, &i));
	errno = 77;
	ASSERT_EQ(-ETIMEDOUT, kf_chan_send_until(c, &i, kf_after(2 * MS)));
	ASSERT_EQ(77, errno);
	/* What is in it comes out after the end, too. */
	ASSERT_EQ(0, kf_chan_close(c));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, kf_chan_recv(c, &value));
		ASSERT_EQ(i, value);
	}
	ASSERT_EQ(-EPIPE, kf_chan_recv(c, &value));
	ASSERT_EQ(0, kf_chan_destroy(c));
}

TEST(values_without_bytes)
{
	kf_chan_t *c = kf_chan_create(0, 3);

	ASSERT_EQ(0, kf_chan_send(c, NULL));
	ASSERT_EQ(0, kf_chan_send(c, NULL));
	ASSERT_EQ(0, kf_chan_send(c, NULL));
	ASSERT_EQ(-EAGAIN, kf_chan_trysend(c, NULL));
	ASSERT_EQ(0, kf_chan_recv(c, NULL));
	ASSERT_EQ(0, kf_chan_trysend(c, NULL));
	ASSERT_EQ(0, kf_chan_destroy(c));
}

/* --- every value once, in its sender's order ------------------------------------- */

enum { SENDERS = 4, VALUES = 2000 };

struct value {
	int sender;
	int number;
	char rest[40];
};

struct flow {
	kf_chan_t *c;
	atomic_int who;
	atomic_int senders_left;
	atomic_long received;
	atomic_long sum;
	bool impatient;
};

static uint64_t patience(struct flow *f, unsigned int *seed)
{
	return f->impatient ? kf_after(pick(seed, 150) * 1000ull) : KF_FOREVER;
}

static void *send_values(struct flow *f, int sender, unsigned int seed)
{
	struct value v = { .sender = sender };

	while (v.number < VALUES) {
		int err;

		memset(v.rest, v.number, sizeof(v.rest));
		err = kf_chan_send_until(f->c, &v, patience(f, &seed));
		if (err && (err != -ETIMEDOUT || !f->impatient))
			return (void *)1;
		v.number += !err;
		if (pick(&seed, 16) == 0)
			kf_yield();
	}
	/* The last closes the door. */
	if (atomic_fetch_sub(&f->senders_left, 1) == 1 && kf_chan_close(f->c))
		return (void *)2;
	return NULL;
}

static void *receive_values(struct flow *f, unsigned int seed)
{
	int last[SENDERS] = { -1, -1, -1, -1 };

	for (;;) {
		struct value v = { 0 };
		int err = kf_chan_recv_until(f->c, &v, patience(f, &seed));

		if (err == -EPIPE)
			return NULL;
		if (err == -ETIMEDOUT && f->impatient)
			continue;
		if (err || v.number <= last[v.sender] || v.rest[39] != (char)v.number)
			return (void *)3;
		last[v.sender] = v.number;
		atomic_fetch_add(&f->received, 1);
		atomic_fetch_add(&f->sum, v.number);
	}
}

/* Half of them send: so do half of the fibers, and some of the threads. */
static void *flow(void *arg)
{
	struct flow *f = arg;
	int who = atomic_fetch_add(&f->who, 1);
	void *err;

	if (who % 2 == 0 && who / 2 < SENDERS)
		err = send_values(f, who / 2, (unsigned int)who);
	else
		err = receive_values(f, (unsigned int)who);
	return err || sleeps_soundly() ? err : (void *)4;
}

static int all_values(unsigned int processors, size_t capacity, int threads, bool impatient)
{
	struct flow f = {
		.c = kf_chan_create(sizeof(struct value), capacity),
		.senders_left = SENDERS,
		.impatient = impatient,
	};
	struct mixed m = { processors, 2 * SENDERS - threads, threads, flow, &f };

	if (run_mixed(&m))
		return 1;
	if (atomic_load(&f.received) != SENDERS * VALUES)
		return 2;
	if (atomic_load(&f.sum) != (long)SENDERS * VALUES * (VALUES - 1) / 2)
		return 3;
	return kf_chan_destroy(f.c) ? 4 : 0;
}

TEST_F(processors, every_value_comes_once)
{
	ASSERT_EQ(0, all_values(variant->n, 0, 0, false));
	ASSERT_EQ(0, all_values(variant->n, 1, 0, false));
	ASSERT_EQ(0, all_values(variant->n, 7, 0, false));
}

TEST_F(processors, every_value_comes_once_with_threads)
{
	ASSERT_EQ(0, all_values(variant->n, 0, 3, false));
	ASSERT_EQ(0, all_values(variant->n, 7, 3, false));
}

TEST_F(processors, every_value_comes_once_beside_timeouts)
{
	ASSERT_EQ(0, all_values(variant->n, 0, 2, true));
	ASSERT_EQ(0, all_values(variant->n, 3, 2, true));
}

/* --- hand-over ---------------------------------------------------------------------- */

static void *receive_one(void *arg)
{
	long value = 0;
	int err = kf_chan_recv(arg, &value);

	return (void *)(err ? err : value);
}

/* A capacity of its own does not matter: the value is the waiter's at once. */
static int hand_over(void *arg)
{
	kf_chan_t *c = kf_chan_create(sizeof(long), (size_t)arg);
	kf_fiber_t receiver;
	long value = 42;
	void *got;

	if (kf_spawn(&receiver, NULL, receive_one, c))
		return 1;
	wait_until_parked(receiver);
	if (kf_chan_destroy(c) != -EBUSY)
		return 2;
	if (kf_chan_trysend(c, &value) || kf_chan_tryrecv(c, &value) != -EAGAIN)
		return 3;
	value = 43;
	if (kf_join(receiver, &got) || got != (void *)42)
		return 4;
	return kf_chan_destroy(c) ? 5 : 0;
}

TEST_F(processors, a_value_goes_straight_to_who_waits)
{
	ASSERT_EQ(0, run(variant->n, hand_over, (void *)0));
	ASSERT_EQ(0, run(variant->n, hand_over, (void *)3));
}

static void *send_one(void *arg)
{
	long value = 5;

	return (void *)(long)kf_chan_send(arg, &value);
}

static int close_on_waiters(void *arg)
{
	kf_chan_t *c = kf_chan_create(sizeof(long), 1);
	kf_fiber_t fibers[3];
	long value = 4;
	void *got;
	int i;

	/* Receivers, of an empty one. */
	for (i = 0; i < 3; i++)
		kf_spawn(&fibers[i], NULL, receive_one, c);
	for (i = 0; i < 3; i++)
		wait_until_parked(fibers[i]);
	if (kf_chan_close(c))
		return 1;
	for (i = 0; i < 3; i++)
		if (kf_join(fibers[i], &got) || got != (void *)-EPIPE)
			return 2;
	if (kf_chan_destroy(c))
		return 3;
	/* Senders, of a full one: theirs is not in it afterwards. */
	c = kf_chan_create(sizeof(long), 1);
	kf_chan_send(c, &value);
	for (i = 0; i < 3; i++)
		kf_spawn(&fibers[i], NULL, send_one, c);
	for (i = 0; i < 3; i++)
		wait_until_parked(fibers[i]);
	if (kf_chan_close(c))
		return 4;
	for (i = 0; i < 3; i++)
		if (kf_join(fibers[i], &got) || got != (void *)-EPIPE)
			return 5;
	if (kf_chan_recv(c, &value) || value != 4 || kf_chan_recv(c, &value) != -EPIPE)
		return 6;
	return kf_chan_destroy(c) ? 7 : 0;
}

TEST_F(processors, close_ends_all_waits)
{
	ASSERT_EQ(0, run(variant->n, close_on_waiters, NULL));
}

/* Who waits to send is before who comes when there is room. */
static int keep_order(void *arg)
{
	kf_chan_t *c = kf_chan_create(sizeof(long), 1);
	kf_fiber_t sender;
	long value = 4;

	kf_chan_send(c, &value);
	if (kf_spawn(&sender, NULL, send_one, c))
		return 1;
	wait_until_parked(sender);
	if (kf_chan_recv(c, &value) || value != 4)
		return 2;
	if (kf_chan_trysend(c, &value) != -EAGAIN)
		return 3;
	if (kf_chan_recv(c, &value) || value != 5)
		return 4;
	return kf_join(sender, NULL) || kf_chan_destroy(c) ? 5 : 0;
}

TEST_F(processors, senders_do_not_overtake)
{
	ASSERT_EQ(0, run(variant->n, keep_order, NULL));
}

static int time_out(void *arg)
{
	kf_chan_t *c = kf_chan_create(sizeof(long), 0);
	uint64_t begin = kf_now();
	long value = 6;

	if (kf_chan_send_until(c, &value, begin + 10 * MS) != -ETIMEDOUT ||
	    kf_now() < begin + 10 * MS)
		return 1;
	/* It was not sent. */
	if (kf_chan_tryrecv(c, &value) != -EAGAIN)
		return 2;
	if (kf_chan_recv_until(c, &value, kf_after(5 * MS)) != -ETIMEDOUT)
		return 3;
	if (kf_chan_trysend(c, &value) != -EAGAIN)
		return 4;
	return kf_chan_destroy(c) ? 5 : 0;
}

TEST_F(processors, a_deadline_ends_the_wait)
{
	ASSERT_EQ(0, run(variant->n, time_out, NULL));
}

/* Who has the last value may destroy the channel. It is large: free() unmaps it. */
static int destroy_after_last(void *arg)
{
	int round;

	mallopt(M_MMAP_THRESHOLD, 1 << 16);
	for (round = 0; round < 1000; round++) {
		kf_chan_t *c = kf_chan_create(sizeof(long), 1 << 14);
		kf_fiber_t sender;
		long value;

		if (kf_spawn(&sender, NULL, send_one, c))
			return 1;
		if (round % 3 == 0)
			kf_yield();
		if (kf_chan_recv(c, &value) || value != 5 || kf_chan_destroy(c))
			return 2;
		kf_join(sender, NULL);
	}
	return 0;
}

TEST_F(processors, the_last_value_may_be_followed_by_destroy)
{
	ASSERT_EQ(0, run(variant->n, destroy_after_last, NULL));
}

/* --- system calls --------------------------------------------------------------------- */

struct two { kf_chan_t *ping, *pong; };

static void *echo(void *arg)
{
	struct two *t = arg;
	long value;

	while (!kf_chan_recv(t->ping, &value))
		kf_chan_send(t->pong, &value);
	return NULL;
}

static int go_round(void *arg)
{
	struct kf_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	struct two t = {
		kf_chan_create(sizeof(long), (size_t)arg),
		kf_chan_create(sizeof(long), (size_t)arg),
	};
	long i, value, bad = 0;
	kf_fiber_t other;

	if (kf_spawn(&other, NULL, echo, &t))
		return -1;
	wait_for_spare();
	kf_stats(&before);
	if (forbid_system_calls(1))
		return -2;
	for (i = 0; i < 50000; i++) {
		kf_chan_send(t.ping, &i);
		kf_chan_recv(t.pong, &value);
		bad += value != i;
	}
	if (forbid_system_calls(0))
		return -3;
	kf_stats(&after);
	kf_chan_close(t.ping);
	if (bad || kf_join(other, NULL) || kf_chan_destroy(t.ping) || kf_chan_destroy(t.pong))
		return -4;
	return after.calls - before.calls;
}

TEST(a_round_on_one_processor_makes_no_system_call)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_without_slices(1, go_round, (void *)0));
	ASSERT_EQ(0, run_without_slices(1, go_round, (void *)1));
}

TEST_HARNESS_MAIN
