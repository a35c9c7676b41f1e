/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Channels: values from fiber to fiber, or plain thread, by copying. What
 * <kfiber/sync.h> says of waiting and deadlines holds here as well.
 */
#ifndef KFIBER_CHAN_H
#define KFIBER_CHAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * typedef kf_chan_t - a channel
 *
 * Values come out in the order in which they went in. Who waits to send or to receive
 * does so in order, too; a value goes from the sender's memory to that of a receiver
 * who waits, without a stop.
 */
typedef struct kf_chan kf_chan_t;

/**
 * kf_chan_create() - make a channel
 * @elem: bytes of a value; may be 0, for a channel that only tells
 * @capacity: values that it keeps when nobody receives; 0: a sender waits for its
 *	receiver
 *
 * Return: NULL if there is no memory.
 */
kf_chan_t *kf_chan_create(size_t elem, size_t capacity);

/**
 * kf_chan_destroy() - free a channel, and the values in it
 * @c: a channel that nobody uses any more, or NULL
 *
 * Return: 0, -EBUSY (somebody waits for it; nothing was done).
 */
int kf_chan_destroy(kf_chan_t *c);

/**
 * kf_chan_close() - say that nothing will be sent any more
 * @c: the channel
 *
 * Who waits to send gets -EPIPE; so does who waits to receive.
 *
 * Return: 0, -EPIPE (it was closed already).
 */
int kf_chan_close(kf_chan_t *c);

/**
 * kf_chan_send() - send a value
 * @c: the channel
 * @value: what to send; may be NULL if values have no bytes
 *
 * Return: 0; -EPIPE (the channel is closed), -EINVAL (no value).
 */
int kf_chan_send(kf_chan_t *c, const void *value);

/**
 * kf_chan_trysend() - send a value if that needs no waiting
 * @c: the channel
 * @value: what to send
 *
 * Return: 0, -EAGAIN, -EPIPE, -EINVAL.
 */
int kf_chan_trysend(kf_chan_t *c, const void *value);

/**
 * kf_chan_send_until() - send a value before a deadline
 * @c: the channel
 * @value: what to send
 * @deadline: absolute, or KF_FOREVER
 *
 * Return: 0, -ETIMEDOUT (it was not sent), -EPIPE, -EINVAL, -ECANCELED (see cancel.h).
 */
int kf_chan_send_until(kf_chan_t *c, const void *value, uint64_t deadline);

/**
 * kf_chan_recv() - receive a value
 * @c: the channel
 * @value: where it goes; NULL to drop it
 *
 * Return: 0; -EPIPE (the channel is closed and nothing is left in it; @value is as
 * it was).
 */
int kf_chan_recv(kf_chan_t *c, void *value);

/**
 * kf_chan_tryrecv() - receive a value if that needs no waiting
 * @c: the channel
 * @value: where it goes; NULL to drop it
 *
 * Return: 0, -EAGAIN, -EPIPE.
 */
int kf_chan_tryrecv(kf_chan_t *c, void *value);

/**
 * kf_chan_recv_until() - receive a value before a deadline
 * @c: the channel
 * @value: where it goes; NULL to drop it
 * @deadline: absolute, or KF_FOREVER
 *
 * Return: 0, -ETIMEDOUT, -EPIPE, -ECANCELED.
 */
int kf_chan_recv_until(kf_chan_t *c, void *value, uint64_t deadline);

enum kf_case_op {
	KF_CASE_SEND = 1,
	KF_CASE_RECV,
};

/**
 * struct kf_case - one of the things that kf_select() may do
 * @chan: the channel; a case with NULL never goes
 * @value: what to send, or where what is received goes
 * @op: KF_CASE_SEND, KF_CASE_RECV
 * @result: of the case that went: 0, or -EPIPE for a closed channel
 * @place: the library's own, while it waits
 *
 * By KF_SEND() and KF_RECV().
 */
struct kf_case {
	kf_chan_t *chan;
	void *value;
	enum kf_case_op op;
	int result;
	uint64_t place[9];
};

#define KF_SEND(chan, value) { (chan), (void *)(value), KF_CASE_SEND, 0, { 0 } }
#define KF_RECV(chan, value) { (chan), (void *)(value), KF_CASE_RECV, 0, { 0 } }

/**
 * kf_select() - do the one of several sends and receives that can be done first
 * @cases: what may be done; not used by another call meanwhile
 * @n: how many there are
 * @deadline: absolute, or KF_FOREVER; 0 to wait for nothing
 *
 * If several can be done the search for one begins at a random place. Channels may
 * be named more than once. Nothing is allocated, however many cases there are.
 *
 * Return: the index of the case that went, see @result there; -ETIMEDOUT (none),
 * -EINVAL (a case that is none, a value that is missing; nothing was done).
 */
int kf_select(struct kf_case *cases, int n, uint64_t deadline);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_CHAN_H */
