// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Channels. All that is done to one is done with its latch held, in one go:
 *
 *   sends                              receives
 *   closed: -EPIPE                     a value is there: takes the first, and if a
 *   a receiver waits: copies to where     sender waits, puts its value behind the last
 *      it wants it, ends its wait      a sender waits: copies from where it has it,
 *   there is room: puts it there          ends its wait
 *   else queues itself                 closed: -EPIPE
 *                                      else queues itself
 *
 * The memory of one who waits is used by whoever has claimed its wait, until that
 * one wakes it; wait.c says why it stays until then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chan.h"

kf_chan_t *kf_chan_create(size_t elem, size_t capacity)
{
	size_t size;
	kf_chan_t *c;

	if (__builtin_mul_overflow(elem, capacity, &size) ||
	    __builtin_add_overflow(size, sizeof(*c), &size))
		return NULL;
	c = calloc(1, size);
	if (c) {
		c->elem = elem;
		c->capacity = capacity;
	}
	return c;
}

int kf_chan_destroy(kf_chan_t *c)
{
	struct kf_worker *w;
	bool used;

	if (!c)
		return 0;
	w = kf_latch(kf_chan_latch(c));
	used = c->receivers.first || c->senders.first;
	kf_unlatch(w, kf_chan_latch(c));
	if (used)
		return -EBUSY;
	free(c);
	return 0;
}

static void kf_chan_copy(kf_chan_t *c, void *to, const void *from)
{
	if (to && c->elem)
		memcpy(to, from, c->elem);
}

/* Where the n-th value is, counted from the first. For TSan a place for each orders them. */
static char *kf_chan_slot(kf_chan_t *c, size_t n)
{
	size_t slot = c->head + n;

	return c->values + (slot < c->capacity ? slot : slot - c->capacity) * c->elem;
}

static void kf_chan_put_latched(kf_chan_t *c, const void *value)
{
	char *slot = kf_chan_slot(c, c->count++);

	if (kf_is_checked())
		kf_check_acquire(slot);
	kf_chan_copy(c, slot, value);
	if (kf_is_checked())
		kf_check_release(slot);
}

static void kf_chan_get_latched(kf_chan_t *c, void *value)
{
	char *slot = kf_chan_slot(c, 0);

	if (kf_is_checked())
		kf_check_acquire(slot);
	kf_chan_copy(c, value, slot);
	if (kf_is_checked())
		kf_check_release(slot);
	c->count--;
	if (++c->head == c->capacity)
		c->head = 0;
}

/* Ends the wait of the first in a queue, if there is one. Return: its place. */
static struct kf_place *kf_chan_meet_latched(struct kf_wait_queue *q, struct kf_wakes *wakes)
{
	struct kf_place *p = kf_claim_first_latched(q);

	if (p)
		kf_wakes_add(wakes, p->waiter);
	return p;
}

static int kf_chan_try_send_latched(kf_chan_t *c, const void *value, struct kf_wakes *wakes)
{
	struct kf_place *p;

	if (c->closed)
		return -EPIPE;
	p = kf_chan_meet_latched(&c->receivers, wakes);
	if (p)
		kf_chan_copy(c, p->value, value);
	else if (c->count < c->capacity)
		kf_chan_put_latched(c, value);
	else
		return -EAGAIN;
	return 0;
}

static int kf_chan_try_recv_latched(kf_chan_t *c, void *value, struct kf_wakes *wakes)
{
	bool buffered = c->count;
	struct kf_place *p;

	if (buffered)
		kf_chan_get_latched(c, value);
	p = kf_chan_meet_latched(&c->senders, wakes);
	if (p && buffered)
		kf_chan_put_latched(c, p->value);
	else if (p)
		kf_chan_copy(c, value, p->value);
	if (p || buffered)
		return 0;
	if (!c->closed)
		return -EAGAIN;
	if (kf_is_checked())
		kf_check_acquire(c);
	return -EPIPE;
}

/**
 * kf_chan_try_latched() - send or receive, if that needs no waiting
 * @c: the channel
 * @op: which
 * @value: what to send, or where what is received goes
 * @wakes: who is to be woken afterwards is added
 *
 * Return: 0, -EPIPE, -EAGAIN.
 */
__always_inline int kf_chan_try_latched(kf_chan_t *c, enum kf_case_op op, void *value,
					struct kf_wakes *wakes)
{
	if (op == KF_CASE_SEND)
		return kf_chan_try_send_latched(c, value, wakes);
	return kf_chan_try_recv_latched(c, value, wakes);
}

static int kf_chan_try(kf_chan_t *c, enum kf_case_op op, void *value)
{
	struct kf_wakes wakes;
	struct kf_worker *w;
	int err;

	if (!kf_chan_is_valid(c, op, value))
		return -EINVAL;
	kf_wakes_init(&wakes);
	w = kf_latch(kf_chan_latch(c));
	err = kf_chan_try_latched(c, op, value, &wakes);
	kf_unlatch_and_wake(w, kf_chan_latch(c), &wakes);
	return err;
}

/* Nothing could be done. @w: as the latch gave it, which is held and will be released. */
static __attribute__((noinline)) int kf_chan_wait_latched(kf_chan_t *c, enum kf_case_op op,
							  void *value, uint64_t deadline,
							  struct kf_worker *w)
{
	struct kf_wait_queue *q = kf_chan_queue(c, op), *latch = kf_chan_latch(c);
	struct kf_waiter me;
	struct kf_place place = { .waiter = &me, .value = value };
	int err;

	kf_waiter_init(&me);
	kf_queue_last_latched(q, &place);
	kf_unlatch(w, latch);
	err = kf_await(&me, kf_object(KF_OBJECT_CHAN, c), deadline);
	if (kf_likely(!err))
		return me.result;
	w = kf_latch(latch);
	kf_queue_leave_latched(q, &place);
	kf_unlatch(w, latch);
	return err;
}

static __always_inline int kf_chan_do(kf_chan_t *c, enum kf_case_op op, void *value,
				      uint64_t deadline)
{
	struct kf_wait_queue *latch = kf_chan_latch(c);
	struct kf_wakes wakes;
	struct kf_worker *w;
	int err;

	if (kf_unlikely(!kf_chan_is_valid(c, op, value)))
		return -EINVAL;
	kf_wakes_init(&wakes);
	w = kf_latch(latch);
	err = kf_chan_try_latched(c, op, value, &wakes);
	if (err == -EAGAIN)
		return kf_chan_wait_latched(c, op, value, deadline, w);
	kf_unlatch_and_wake(w, latch, &wakes);
	return err;
}

int kf_chan_send(kf_chan_t *c, const void *value)
{
	return kf_chan_do(c, KF_CASE_SEND, (void *)value, KF_FOREVER);
}

int kf_chan_trysend(kf_chan_t *c, const void *value)
{
	return kf_chan_try(c, KF_CASE_SEND, (void *)value);
}

int kf_chan_send_until(kf_chan_t *c, const void *value, uint64_t deadline)
{
	return kf_chan_do(c, KF_CASE_SEND, (void *)value, deadline);
}

int kf_chan_recv(kf_chan_t *c, void *value)
{
	return kf_chan_do(c, KF_CASE_RECV, value, KF_FOREVER);
}

int kf_chan_tryrecv(kf_chan_t *c, void *value)
{
	return kf_chan_try(c, KF_CASE_RECV, value);
}

int kf_chan_recv_until(kf_chan_t *c, void *value, uint64_t deadline)
{
	return kf_chan_do(c, KF_CASE_RECV, value, deadline);
}

/* All who wait in a queue are told that it is over. */
static void kf_chan_refuse_latched(struct kf_wait_queue *q, struct kf_wakes *wakes)
{
	struct kf_place *p;

	while ((p = kf_chan_meet_latched(q, wakes)))
		p->waiter->result = -EPIPE;
}

int kf_chan_close(kf_chan_t *c)
{
	struct kf_wakes wakes;
	struct kf_worker *w;
	bool was_closed;

	kf_wakes_init(&wakes);
	if (kf_is_checked())
		kf_check_release(c);
	w = kf_latch(kf_chan_latch(c));
	was_closed = c->closed;
	c->closed = true;
	kf_chan_refuse_latched(&c->receivers, &wakes);
	kf_chan_refuse_latched(&c->senders, &wakes);
	kf_unlatch_and_wake(w, kf_chan_latch(c), &wakes);
	return was_closed ? -EPIPE : 0;
}
