// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Select: one wait with a place in several channels.
 *
 *   takes the latches of all channels, in the order of their addresses
 *   looks whether a case can go: then that is all
 *   queues a place for each case
 *   releases the latches, waits
 *   takes each channel's latch in turn, and its place out
 *
 * All latches at once, because two selects may have each other's channels: if one
 * queued its places one after the other it could be claimed by one channel while it
 * claims somebody in another. So nobody who looks for a peer is to be found by one.
 * One who waits for a latch has only latches of lower addresses, so nobody waits in a
 * circle.
 *
 * Of several peers that come at once the one that moves the waiter's state has its
 * case; the others find a place whose waiter is CLAIMED and take the next one.
 *
 * The places, and the order of the channels, are in the caller's array of cases.
 */
#include <errno.h>

#include "chan.h"

/**
 * struct kf_case_place - what is in kf_case.place
 * @place: the place in a queue
 * @next: the case with the next higher channel's address
 */
struct kf_case_place {
	struct kf_place place;
	struct kf_case *next;
};

_Static_assert(sizeof(struct kf_case_place) <= sizeof(((struct kf_case *)NULL)->place),
	       "struct kf_case has too little room");

static struct kf_case_place *kf_case_place(struct kf_case *c)
{
	return (struct kf_case_place *)c->place;
}

static struct kf_case *kf_case_next(struct kf_case *c)
{
	return kf_case_place(c)->next;
}

/*
 * A sequence for each thread: where fibers go on matters little to who wants luck. A
 * test domain has its own. @w: the caller's worker, in a critical section, or NULL
 */
static KF_OUT_OF_LINE uint64_t kf_random(struct kf_worker *w)
{
	static __thread uint64_t state __attribute__((tls_model("initial-exec")));

	if (w && kf_has_test_clock(w->domain))
		return kf_mix(&w->domain->clock.random);
	if (!state)
		state = (uintptr_t)&state;
	return kf_mix(&state);
}

/* --- the order of channels ------------------------------------------------------ */

static struct kf_case *kf_cases_merge(struct kf_case *a, struct kf_case *b)
{
	struct kf_case *first = NULL, **end = &first;

	while (a && b) {
		struct kf_case **least = (uintptr_t)a->chan <= (uintptr_t)b->chan ? &a : &b;

		*end = *least;
		end = &kf_case_place(*end)->next;
		*least = *end;
	}
	*end = a ? a : b;
	return first;
}

/* Return: the first of those that have a channel, by the channels' addresses. */
static struct kf_case *kf_cases_sort(struct kf_case *cases, int n)
{
	if (n == 0 || (n == 1 && !cases->chan))
		return NULL;
	if (n == 1) {
		kf_case_place(cases)->next = NULL;
		return cases;
	}
	return kf_cases_merge(kf_cases_sort(cases, n / 2),
			      kf_cases_sort(cases + n / 2, n - n / 2));
}

/* The next case with another channel. */
static struct kf_case *kf_case_other(struct kf_case *c)
{
	kf_chan_t *chan = c->chan;

	while (c && c->chan == chan)
		c = kf_case_next(c);
	return c;
}

static struct kf_worker *kf_latch_cases(struct kf_case *first)
{
	struct kf_worker *w = NULL;
	struct kf_case *c;

	for (c = first; c; c = kf_case_other(c))
		w = kf_latch(kf_chan_latch(c->chan));
	return w;
}

/* A channel may be gone as soon as its latch is released, but not yet its case. */
static void kf_unlatch_cases(struct kf_worker *w, struct kf_case *first, struct kf_wakes *wakes)
{
	struct kf_case *c;

	for (c = first; c; c = kf_case_other(c))
		kf_unlatch_only(w, kf_chan_latch(c->chan));
	kf_wakes_send(w, wakes);
	if (w)
		kf_leave(w);
}

/* --- waiting ---------------------------------------------------------------------- */

static bool kf_cases_are_valid(const struct kf_case *cases, int n)
{
	int i;

	if (n < 0 || (n && !cases))
		return false;
	for (i = 0; i < n; i++) {
		const struct kf_case *c = &cases[i];

		if (c->op != KF_CASE_SEND && c->op != KF_CASE_RECV)
			return false;
		if (c->chan && !kf_chan_is_valid(c->chan, c->op, c->value))
			return false;
	}
	return true;
}

/* Return: which case went, -EAGAIN. */
static int kf_cases_try_latched(struct kf_worker *w, struct kf_case *cases, int n,
				struct kf_wakes *wakes)
{
	int i = n > 1 ? (int)(kf_random(w) % (unsigned int)n) : 0, left;

	for (left = n; left > 0; left--, i = i + 1 < n ? i + 1 : 0) {
		struct kf_case *c = &cases[i];
		int err = c->chan ? kf_chan_try_latched(c->chan, c->op, c->value, wakes) : -EAGAIN;

		if (err != -EAGAIN) {
			c->result = err;
			return i;
		}
	}
	return -EAGAIN;
}

static void kf_cases_queue_latched(struct kf_case *first, struct kf_waiter *me)
{
	struct kf_case *c;

	for (c = first; c; c = kf_case_next(c)) {
		struct kf_place *p = &kf_case_place(c)->place;

		p->waiter = me;
		p->value = c->value;
		kf_queue_last_latched(kf_chan_queue(c->chan, c->op), p);
	}
}

/* Takes out what is still queued; of the case that went nothing is. */
static void kf_cases_leave(struct kf_case *first, struct kf_case *went)
{
	struct kf_case *c;

	for (c = first; c; c = kf_case_next(c)) {
		struct kf_worker *w;

		if (c == went)
			continue;
		w = kf_latch(kf_chan_latch(c->chan));
		kf_queue_leave_latched(kf_chan_queue(c->chan, c->op), &kf_case_place(c)->place);
		kf_unlatch(w, kf_chan_latch(c->chan));
	}
}

/* Return: which case went, or why none did. */
static int kf_select_wait(struct kf_case *cases, struct kf_case *first, struct kf_waiter *me,
			  uint64_t deadline)
{
	int err = kf_await(me, kf_object(KF_OBJECT_SELECT, cases), deadline);
	struct kf_case *went;

	if (err) {
		kf_cases_leave(first, NULL);
		return err;
	}
	went = (struct kf_case *)((char *)me->place - offsetof(struct kf_case, place));
	kf_cases_leave(first, went);
	went->result = me->result;
	return (int)(went - cases);
}

int kf_select(struct kf_case *cases, int n, uint64_t deadline)
{
	struct kf_case *first;
	struct kf_wakes wakes;
	struct kf_waiter me;
	struct kf_worker *w;
	int went;

	if (!kf_cases_are_valid(cases, n))
		return -EINVAL;
	first = kf_cases_sort(cases, n);
	kf_wakes_init(&wakes);
	w = kf_latch_cases(first);
	went = kf_cases_try_latched(w, cases, n, &wakes);
	if (went == -EAGAIN && deadline) {
		kf_waiter_init(&me);
		kf_cases_queue_latched(first, &me);
	}
	kf_unlatch_cases(w, first, &wakes);
	if (went != -EAGAIN)
		return went;
	if (!deadline)
		return -ETIMEDOUT;
	return kf_select_wait(cases, first, &me, deadline);
}
