/* SPDX-License-Identifier: GPL-2.0 */
/* What pubsub.c and subscriber.c know of a subscriber, and nobody else. */
#ifndef KVD_SUBSCRIBER_H
#define KVD_SUBSCRIBER_H

#include <kfiber/kfiber.h>

#include "kvd.h"

/**
 * struct subscriber - a client that has subscribed to something
 * @fd: the client's
 * @writer: the fiber that sends
 * @lock: protects @queue, @ending and @dropped
 * @changed: something was put into @queue, or it is ending
 * @queue: what was not sent yet
 * @ending: nothing more will be put in
 * @dropped: it was too slow, and gets nothing more
 * @subscriptions: by channel, for tsearch(); the client's fiber's own
 * @channels: how many those are
 */
struct subscriber {
	int fd;
	kf_fiber_t writer;
	kf_mutex_t lock;
	kf_cond_t changed;
	struct buffer queue;
	bool ending;
	bool dropped;
	void *subscriptions;
	size_t channels;
};

#endif /* KVD_SUBSCRIBER_H */
