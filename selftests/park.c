// SPDX-License-Identifier: GPL-2.0
/* Park, unpark and yield: no wake-up is lost, and no system call is made. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <stdatomic.h>

#include "harness.h"
#include "slow.h"
#include "run.h"
#include "syscalls.h"

static void *yield_many(void *arg)
{
	long i;

	for (i = 0; i < (long)arg; i++)
		kf_yield();
	return NULL;
}

static int million_yields(void *arg)
{
	struct kf_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	kf_fiber_t other;
	int err;

	/* That yields, too: nobody else is there yet to use up yields of its own. */
	wait_for_spare();
	if (kf_spawn(&other, NULL, yield_many, (void *)500000l))
		return -1;
	kf_stats(&before);
	if (forbid_system_calls(1))
		return -2;
	yield_many((void *)500000l);
	if (forbid_system_calls(0))
		return -3;
	kf_stats(&after);
	err = kf_join(other, NULL);
	if (err || after.switches - before.switches < 999000)
		return -4;
	return after.calls - before.calls;
}

TEST(a_million_yields_make_no_system_call)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_without_slices(1, million_yields, NULL));
}

struct pair {
	kf_fiber_t one, two;
	long rounds;
	atomic_bool go;
	long turns;
};

static void *bounce(void *arg)
{
	struct pair *p = arg;
	kf_fiber_t peer = kf_self() == p->one ? p->two : p->one;
	long i;

	for (i = 0; i < p->rounds; i++) {
		if (kf_self() == p->one)
			kf_unpark(peer);
		if (kf_park(KF_FOREVER))
			return (void *)-1;
		p->turns++;			/* only the one that was woken */
		if (kf_self() == p->two)
			kf_unpark(peer);
	}
	return NULL;
}

/* Until both names are known. Not by a permit: it could merge with the first. */
static void *start_bounce(void *arg)
{
	struct pair *p = arg;

	while (!atomic_load(&p->go))
		kf_yield();
	return bounce(arg);
}

static int ping_pong(void *arg)
{
	struct pair p = { .rounds = (long)arg };
	void *a, *b;

	if (kf_spawn(&p.one, NULL, start_bounce, &p) || kf_spawn(&p.two, NULL, start_bounce, &p))
		return -1;
	atomic_store(&p.go, true);
	if (kf_join(p.one, &a) || kf_join(p.two, &b) || a || b)
		return -2;
	return p.turns == 2 * p.rounds ? 0 : -3;
}

FIXTURE(processors)
{
};

FIXTURE_VARIANT(processors)
{
	unsigned int n;
	long rounds;
};

FIXTURE_VARIANT_ADD(processors, one)
{
	.n = 1,
	.rounds = 1000000,
};

FIXTURE_VARIANT_ADD(processors, two)
{
	.n = 2,
	.rounds = 1000000,
};

FIXTURE_SETUP(processors)
{
}

FIXTURE_TEARDOWN(processors)
{
}

TEST_F(processors, ping_pong_a_million_times)
{
	ASSERT_EQ(0, run(variant->n, ping_pong, (void *)slowly(variant->rounds)));
}

/* A plain thread and a fiber: the thread waits for the fiber's count. */
struct thread_pair {
	_Atomic kf_fiber_t fiber;
	_Atomic long count;
	long rounds;
};

static void *unpark_by_thread(void *arg)
{
	struct thread_pair *p = arg;
	kf_fiber_t fiber;
	long i;

	while (!(fiber = atomic_load(&p->fiber)))
		sched_yield();
	for (i = 0; i < p->rounds; i++) {
		if (kf_unpark(fiber))
			return (void *)-1;
		while (atomic_load(&p->count) <= i)
			sched_yield();
	}
	return NULL;
}

static int parked_by_fiber(void *arg)
{
	struct thread_pair *p = arg;
	long i;

	atomic_store(&p->fiber, kf_self());
	for (i = 0; i < p->rounds; i++) {
		if (kf_park(KF_FOREVER))
			return -1;
		atomic_fetch_add(&p->count, 1);
	}
	return 0;
}

TEST_F(processors, plain_thread_unparks)
{
	struct thread_pair p = { .rounds = slowly(20000) };
	pthread_t thread;
	void *value;

	ASSERT_EQ(0, pthread_create(&thread, NULL, unpark_by_thread, &p));
	ASSERT_EQ(0, run(variant->n, parked_by_fiber, &p));
	ASSERT_EQ(0, pthread_join(thread, &value));
	ASSERT_EQ(NULL, value);
	ASSERT_EQ(p.rounds, atomic_load(&p.count));
}

/*
 * Several threads and fibers unpark one that counts what it is told: each
 * message is written before its unpark, so it must be seen after the park.
 */
enum { SENDERS = 4, MESSAGES = 50000 };

static _Atomic long messages;
static _Atomic kf_fiber_t receiver;

static void *send_messages(void *arg)
{
	long i, n = slowly(MESSAGES);

	while (!atomic_load(&receiver))
		sched_yield();
	for (i = 0; i < n; i++) {
		atomic_fetch_add(&messages, 1);
		kf_unpark(receiver);
	}
	return NULL;
}

static int receive_messages(void *arg)
{
	kf_fiber_t senders[SENDERS];
	long seen = 0;
	int i;

	for (i = 0; i < SENDERS; i++)
		if (kf_spawn(&senders[i], NULL, send_messages, NULL))
			return -1;
	atomic_store(&receiver, kf_self());
	while (seen < 2 * SENDERS * slowly(MESSAGES)) {
		if (kf_park(KF_FOREVER))
			return -2;
		seen += atomic_exchange(&messages, 0);
	}
	for (i = 0; i < SENDERS; i++)
		if (kf_join(senders[i], NULL))
			return -3;
	return 0;
}

TEST_F(processors, many_unpark_one)
{
	pthread_t threads[SENDERS];
	int i;

	for (i = 0; i < SENDERS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, send_messages, NULL));
	ASSERT_EQ(0, run(variant->n, receive_messages, NULL));
	for (i = 0; i < SENDERS; i++)
		ASSERT_EQ(0, pthread_join(threads[i], NULL));
}

/*
 * The fiber that was just woken is left to the processor that woke it, which
 * computes instead: another processor must take it, also after a time of waking
 * to and fro in which it had learnt not to.
 */
static atomic_bool has_run;

static void *run_when_woken(void *arg)
{
	if (kf_park(KF_FOREVER))
		return (void *)-1;
	atomic_store(&has_run, true);
	return NULL;
}

static int compute_beside(void *arg)
{
	kf_fiber_t woken;
	void *value;
	int i;

	for (i = 0; i < 20; i++) {
		uint64_t end;

		if (ping_pong((void *)1000l) || kf_spawn(&woken, NULL, run_when_woken, NULL))
			return 1;
		kf_yield();
		atomic_store(&has_run, false);
		kf_unpark(woken);
		end = kf_after(10000000000ull);
		while (!atomic_load(&has_run))
			if (kf_now() > end)
				return 2;
		if (kf_join(woken, &value) || value)
			return 3;
	}
	return 0;
}

TEST(who_computes_keeps_nobody_waiting)
{
	ASSERT_EQ(0, run(2, compute_beside, NULL));
}

static int one_permit(void *arg)
{
	/* Two unparks leave one permit; joins and sleeps do not take it. */
	kf_fiber_t other;

	if (kf_unpark(kf_self()) || kf_unpark(kf_self()))
		return 1;
	if (kf_spawn(&other, NULL, yield_many, (void *)10l) || kf_join(other, NULL))
		return 2;
	if (kf_sleep(1000000))
		return 3;
	if (kf_park(0))
		return 4;
	if (kf_park(0) != -ETIMEDOUT)
		return 5;
	return 0;
}

TEST(one_permit_is_kept)
{
	ASSERT_EQ(0, run(1, one_permit, NULL));
}

TEST(plain_threads_cannot_park)
{
	ASSERT_EQ(-EPERM, kf_park(0));
	ASSERT_EQ(-EPERM, kf_sleep(1));
	ASSERT_EQ(-ESRCH, kf_unpark(1ull << 32));
	kf_yield();
}

TEST_HARNESS_MAIN
