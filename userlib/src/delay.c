// SPDX-License-Identifier: LGPL-2.1-or-later
/* What happens at a delay point, in test builds; kmod/delay.c is its like. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

/* Of those held up; else a process would be dead before it has done anything. */
#define KF_DELAY_KILL_PERIOD 64u

/* Lengths are a maximum divided by 1, 2, 4 and so on: short ones are common. */
#define KF_DELAY_LENGTHS 8u

struct kf_delay_state *kf_delay_state;

/* The finalizer of splitmix64: any change of the input changes half the bits. */
static uint64_t kf_delay_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

static uint32_t kf_delay_read(atomic_uint *field)
{
	return atomic_load_explicit(field, memory_order_relaxed);
}

static void kf_delay_spin(uint32_t ns)
{
	uint64_t end = kf_real_now() + ns;

	while (kf_real_now() < end)
		;
}

static void kf_delay_act(struct kf_delay_state *s, uint64_t chance)
{
	uint32_t kinds = kf_delay_read(&s->kinds);
	uint32_t shift = chance % KF_DELAY_LENGTHS;
	struct timespec pause = { .tv_nsec = kf_delay_read(&s->sleep_ns) >> shift };
	uint32_t kind = chance / KF_DELAY_LENGTHS % 4;

	if (kinds & KF_DELAY_BY_KILL && chance / 64 % KF_DELAY_KILL_PERIOD == 0)
		kill(getpid(), SIGKILL);
	else if (kinds & KF_DELAY_BY_SLEEP && kind == 0)
		nanosleep(&pause, NULL);
	else if (kinds & KF_DELAY_BY_YIELD && kind == 1)
		sched_yield();
	else if (kinds & KF_DELAY_BY_SPIN)
		kf_delay_spin(kf_delay_read(&s->spin_ns) >> shift);
}

/* Out of line: a point lies beside a switch, and errno is the thread's. */
KF_OUT_OF_LINE void kf_delay(enum kf_delay_point point)
{
	struct kf_delay_state *s = kf_delay_state;
	uint64_t n, start, chance;
	uint32_t period;
	int saved;

	if (!s)
		return;
	start = atomic_load_explicit(&s->start[point], memory_order_relaxed);
	n = atomic_fetch_add_explicit(&s->hits[point], 1, memory_order_relaxed) - start;
	period = kf_delay_read(&s->period);
	if (!period || !(atomic_load_explicit(&s->points, memory_order_relaxed) >> point & 1))
		return;
	chance = kf_delay_mix((uint64_t)kf_delay_read(&s->seed) << 32 ^
			      kf_delay_mix((uint64_t)point << 40 ^ n));
	if (chance % period)
		return;
	saved = errno;
	kf_delay_act(s, chance >> 32);
	errno = saved;
}
