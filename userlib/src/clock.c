// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The time. In a domain with KF_TEST_CLOCK it stands still while anything can happen,
 * and then jumps to the next deadline.
 *
 * Who waits for a time is known here, in a heap; no timer is set. That nothing else
 * can happen is known to the module: it sees fibers that block in system calls, as
 * workers that neither are here nor sleep there. So the last worker that goes to sleep
 * is woken at once and told (KFIBER_SETUP_QUIET; kmod/balance.h), with the processor:
 *
 *   fiber 1           fiber 2            fiber 3             module
 *   sleeps until 5    read(), blocks     sleeps until 3
 *   (heap: 5)                            (heap: 3, 5)
 *                                        worker: NEXT        a worker is elsewhere: sleep
 *                     read() returns,
 *                     sleeps until 4
 *                     worker: NEXT                           all sleep: told
 *                     time is 3, queues
 *                     fiber 3 and runs it
 *
 * - Two workers that go to sleep at once: the module decides under its lock, when the
 *   caller is in its list already. So the second sees the first.
 * - A fiber that is woken while its stack is trimmed is in no queue until the trimmer
 *   is done, and meanwhile the module does not call it quiet.
 * - A worker that dies was elsewhere before, or pinned; a pinned fiber that sleeps and dies
 *   with its thread is one case that this does not survive (kf_pin() says so). The module
 *   looks again when it is gone.
 * - A fiber that waits for a file is like one in a system call: somebody outside may be
 *   about to write. Time stands still for it, its own deadline included.
 * - Between being told and the jump nobody runs: who is told has the only processor,
 *   and is in a critical section. A plain thread may make a fiber runnable just then;
 *   it may do that at any time, and is not waited for.
 * - Told once: again only when some fiber has run since. When nobody waits for a time
 *   the worker asks anew and sleeps, as in any domain, until a plain thread comes.
 *   That is where a deadlock can be noticed: nothing is left that the clock could do.
 *
 * selftests/models/quiet.pml is a model of both sides.
 *
 * A fiber whose time has come is moved as the module's timer moves it: TIMEDOUT. It
 * may have been made runnable by a plain thread in the same moment; then that is what
 * its wait ends by.
 */
#include <time.h>

#include "queue.h"

static uint64_t kf_ask_clock(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * KF_NS_PER_S + (uint64_t)now.tv_nsec;
}

/* The kernel's, whatever the domain. */
uint64_t kf_real_now(void)
{
	return kf_ask_clock(CLOCK_MONOTONIC);
}

/*
 * The same, a tick behind at most. It is a load of what the kernel has stored there, on every
 * machine; kf_real_now() is a system call where the CPU's counter is of no use.
 */
uint64_t kf_now_coarse(void)
{
	return kf_ask_clock(CLOCK_MONOTONIC_COARSE);
}

/* The time that a domain's fibers have: for who is none, and tells of them. */
uint64_t kf_domain_now(const struct kf_domain *d)
{
	if (kf_has_test_clock(d))
		return atomic_load_explicit(&d->clock.now, memory_order_relaxed);
	return kf_real_now();
}

uint64_t kf_now(void)
{
	struct kf_worker *w = kf_fiber_worker();

	return w ? kf_domain_now(w->domain) : kf_real_now();
}

/* kf_since() when nobody keeps the time, and in all that is not usual. */
KF_RARELY uint64_t kf_ask_since(const struct kf_domain *d)
{
	if (kf_has_test_clock(d))
		return atomic_load_explicit(&d->clock.now, memory_order_relaxed);
	return kf_now_coarse();
}

uint64_t kf_after(uint64_t ns)
{
	uint64_t now = kf_now();

	return ns < KF_FOREVER - now ? now + ns : KF_FOREVER;
}

/* The next of a sequence of numbers: a splitmix64. */
uint64_t kf_mix(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

void kf_clock_init(struct kf_domain *d, uint64_t seed)
{
	d->clock.random = seed;
	d->clock.shuffles = seed;
	atomic_store_explicit(&d->clock.now, KF_TEST_CLOCK_START, memory_order_relaxed);
}

/* --- the heap of sleepers ------------------------------------------------------- */

static bool kf_comes_before(const struct kf_sleeper *a, const struct kf_sleeper *b)
{
	return a->deadline != b->deadline ? a->deadline < b->deadline : a->order < b->order;
}

static void kf_sleeper_link(struct kf_sleeper **link, struct kf_sleeper *s)
{
	*link = s;
	if (s)
		s->link = link;
}

/* @a, @b: two heaps, either may be empty. Return: the one of both. */
static struct kf_sleeper *kf_meld(struct kf_sleeper *a, struct kf_sleeper *b)
{
	struct kf_sleeper *first, *later;

	if (!a || !b)
		return a ? a : b;
	first = kf_comes_before(a, b) ? a : b;
	later = first == a ? b : a;
	kf_sleeper_link(&later->next, first->child);
	kf_sleeper_link(&first->child, later);
	first->next = NULL;
	return first;
}

/* Children become one heap: in pairs, and then these from the last to the first. */
static struct kf_sleeper *kf_meld_children(struct kf_sleeper *list)
{
	struct kf_sleeper *pairs = NULL, *all = NULL;

	while (list) {
		struct kf_sleeper *a = list, *b = a->next, *pair;

		list = b ? b->next : NULL;
		pair = kf_meld(a, b);
		pair->next = pairs;
		pairs = pair;
	}
	while (pairs) {
		struct kf_sleeper *pair = pairs;

		pairs = pair->next;
		pair->next = NULL;
		all = kf_meld(all, pair);
	}
	return all;
}

static void kf_heap_insert(struct kf_clock *c, struct kf_sleeper *s)
{
	kf_sleeper_link(&c->first, kf_meld(c->first, s));
}

static void kf_heap_remove(struct kf_clock *c, struct kf_sleeper *s)
{
	kf_sleeper_link(s->link, s->next);
	s->link = NULL;
	kf_sleeper_link(&c->first, kf_meld(c->first, kf_meld_children(s->child)));
}

/* --- sleeping ------------------------------------------------------------------- */

/**
 * kf_clock_sleep_critical() - have the caller's wait end at a time
 * @w: the caller's worker, of a test domain
 * @s: the caller's, until kf_clock_leave()
 * @deadline: later than now
 */
void kf_clock_sleep_critical(struct kf_worker *w, struct kf_sleeper *s, uint64_t deadline)
{
	struct kf_clock *c = &w->domain->clock;

	*s = (struct kf_sleeper){
		.deadline = deadline,
		.order = c->orders++,
		.fiber = kf_name(w->domain, w->current),
	};
	kf_heap_insert(c, s);
}

/* The wait is over, by whatever. */
void kf_clock_leave(struct kf_sleeper *s)
{
	struct kf_worker *w = kf_worker_self();

	kf_enter(w);
	if (s->link)
		kf_heap_remove(&w->domain->clock, s);
	kf_leave(w);
}

/* Ends a fiber's wait, and queues it if it was parked. */
static void kf_time_out_critical(struct kf_worker *w, kf_fiber_t name)
{
	_Atomic uint64_t *word = kf_atomic64(&kf_block(w->domain, name)->word);
	uint64_t old = atomic_load_explicit(word, memory_order_relaxed);
	uint64_t new;
	bool queue;

	do {
		queue = kf_state(old) == KFIBER_PARKED;
		if (kf_generation(old) != kf_generation(name) ||
		    (!queue && kf_state(old) != KFIBER_PARKING))
			return;
		new = old | KFIBER_TIMEDOUT;
		if (queue)
			new = (new & ~(KFIBER_STATE_MASK | KFIBER_WAITS_WAKE)) | KFIBER_ACTIVE;
	} while (!atomic_compare_exchange_weak_explicit(word, &old, new, memory_order_acq_rel,
							memory_order_relaxed));
	if (queue && old & KF_APART)
		kf_call_ready(w->domain, &name, 1);
	else if (queue)
		kf_push_last_critical(w, name);
}

/**
 * kf_clock_jump_critical() - all fibers wait: go on to when the first of them does not
 * @w: the caller, who was told so by the module
 *
 * Queues those whose time has come, in the order in which they began to wait.
 */
void kf_clock_jump_critical(struct kf_worker *w)
{
	struct kf_clock *c = &w->domain->clock;
	struct kf_sleeper *s = c->first;
	uint64_t now;

	if (!s)
		return;
	now = s->deadline;
	atomic_store_explicit(&c->now, now, memory_order_relaxed);
	for (; s && s->deadline == now; s = c->first) {
		kf_fiber_t name = s->fiber;

		kf_heap_remove(c, s);
		kf_time_out_critical(w, name);
	}
}
