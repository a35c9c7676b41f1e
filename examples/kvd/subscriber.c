// SPDX-License-Identifier: GPL-2.0
/*
 * What a subscriber is to be sent: messages, and the replies to its commands, in the order
 * in which they are put in. Who publishes does not wait; a fiber of the subscriber's own
 * sends. What a slow one leaves waiting is limited: then its connection ends.
 *
 *	the client's fiber		who publishes		the writer
 *	subscriber_start()
 *					subscriber_tell()	takes all, sends it
 *	subscriber_reply()		subscriber_tell()	...
 *	leaves its channels
 *	subscriber_end(): "ending"				sends what is left, ends
 *	joins the writer
 *
 * The last is not told anything after it has left its channels: pubsub.c's lock.
 */
#include <kfiber/kfiber.h>
#include <sys/socket.h>

#include "subscriber.h"

/* Everything that waits, in one piece. Returns false at the end. */
static bool take_all(struct subscriber *sub, struct buffer *out)
{
	bool some;

	kf_mutex_lock(&sub->lock);
	while (!buffer_len(&sub->queue) && !sub->ending)
		kf_cond_wait(&sub->changed, &sub->lock);
	*out = sub->queue;
	sub->queue = (struct buffer){ 0 };
	some = buffer_len(out);
	kf_mutex_unlock(&sub->lock);
	return some;
}

/*
 * Waiting for something to send cannot be cancelled, sending it can. When that fails the
 * client's fiber is woken by the end of the connection.
 */
static void *write_all(void *arg)
{
	struct subscriber *sub = arg;
	struct buffer out;

	kf_cancel_disable();
	while (take_all(sub, &out)) {
		kf_cancel_enable();
		if (!client_send(sub->fd, &out))
			shutdown(sub->fd, SHUT_RDWR);
		kf_cancel_disable();
		buffer_free(&out);
	}
	kf_cancel_enable();
	return NULL;
}

/* Returns NULL when memory is short. */
struct subscriber *subscriber_start(struct client *client)
{
	const struct kf_attr attr = { .size = sizeof(attr), .name = "subscriber" };
	struct subscriber *sub = memory_get(sizeof(*sub));

	if (!sub)
		return NULL;
	sub->fd = client->fd;
	if (kf_spawn(&sub->writer, &attr, write_all, sub)) {
		memory_free(sub, sizeof(*sub));
		return NULL;
	}
	return sub;
}

static void put_locked(struct subscriber *sub, const void *data, size_t len)
{
	if (sub->dropped)
		return;
	buffer_put(&sub->queue, data, len);
	if (sub->queue.failed || buffer_len(&sub->queue) > options.max_backlog) {
		sub->dropped = true;
		count(&counters.dropped, 1);
		shutdown(sub->fd, SHUT_RDWR);
		buffer_free(&sub->queue);
	}
	kf_cond_signal(&sub->changed);
}

/* A client's fiber that is cancelled says its last this way, and takes the lock all the same. */
void subscriber_tell(struct subscriber *sub, struct slice message)
{
	kf_cancel_disable();
	kf_mutex_lock(&sub->lock);
	put_locked(sub, message.at, message.len);
	kf_mutex_unlock(&sub->lock);
	kf_cancel_enable();
}

/* What the client's commands have said so far; nothing while a reply is not whole. */
void subscriber_reply(struct client *client)
{
	struct buffer *out = &client->out;

	if (!buffer_len(out) || out->failed)
		return;
	subscriber_tell(client->subscriber,
			(struct slice){ out->data + out->start, buffer_len(out) });
	buffer_take(out, buffer_len(out));
}

/*
 * The client has left all channels. Waits until everything is sent, or cannot be.
 * Context: cancellation is disabled.
 */
void subscriber_end(struct client *client)
{
	struct subscriber *sub = client->subscriber;

	subscriber_reply(client);
	kf_mutex_lock(&sub->lock);
	sub->ending = true;
	kf_cond_signal(&sub->changed);
	kf_mutex_unlock(&sub->lock);
	kf_join(sub->writer, NULL);
	buffer_free(&sub->queue);
	memory_free(sub, sizeof(*sub));
	client->subscriber = NULL;
}
