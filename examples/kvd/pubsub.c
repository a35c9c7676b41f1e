// SPDX-License-Identifier: GPL-2.0
/*
 * Channels, and who has subscribed to them.
 *
 * Both ways are trees: the channels by name, and each subscriber's subscriptions by channel. So
 * neither the names that clients choose nor their number make anything slow.
 */
#include <kfiber/kfiber.h>
#include <search.h>
#include <string.h>

#include "subscriber.h"

/* What tsearch() takes for a node; who puts something in takes as much more, for the limit. */
#define NODE_SIZE	48

LIST_HEAD(subscription_list, subscription);

/**
 * struct channel - a name that somebody has subscribed to
 * @name: its bytes are behind the struct; or, to look for one, somebody else's
 * @subscriptions: not empty
 */
struct channel {
	struct slice name;
	struct subscription_list subscriptions;
};

/**
 * struct subscription - a subscriber at a channel
 * @link: in @channel's list
 */
struct subscription {
	LIST_ENTRY(subscription) link;
	struct channel *channel;
	struct subscriber *subscriber;
};

/* Protects the tree and the lists; who writes changes them, who publishes reads them. */
static kf_rwlock_t lock = KF_RWLOCK_INIT;
static void *channels;

static int compare_channels(const void *a, const void *b)
{
	const struct slice *x = &((const struct channel *)a)->name;
	const struct slice *y = &((const struct channel *)b)->name;
	int order = memcmp(x->at, y->at, x->len < y->len ? x->len : y->len);

	if (order)
		return order;
	return (x->len > y->len) - (x->len < y->len);
}

static int compare_subscriptions(const void *a, const void *b)
{
	const struct channel *x = ((const struct subscription *)a)->channel;
	const struct channel *y = ((const struct subscription *)b)->channel;

	return (x > y) - (x < y);
}

static struct channel *find_channel(struct slice name)
{
	struct channel wanted = { .name = name };
	struct channel **found = tfind(&wanted, &channels, compare_channels);

	return found ? *found : NULL;
}

static size_t channel_size(const struct channel *channel)
{
	return sizeof(*channel) + channel->name.len + NODE_SIZE;
}

/* Returns NULL when memory is short. */
static struct channel *make_channel(struct slice name)
{
	struct channel *channel = memory_get(sizeof(*channel) + name.len + NODE_SIZE);

	if (!channel)
		return NULL;
	channel->name = (struct slice){ memcpy(channel + 1, name.at, name.len), name.len };
	if (tsearch(channel, &channels, compare_channels))
		return channel;
	memory_free(channel, channel_size(channel));
	return NULL;
}

static void free_channel_if_empty(struct channel *channel)
{
	if (!LIST_EMPTY(&channel->subscriptions))
		return;
	tdelete(channel, &channels, compare_channels);
	memory_free(channel, channel_size(channel));
}

static struct subscription *find_subscription(struct subscriber *sub, struct channel *channel)
{
	struct subscription wanted = { .channel = channel };
	struct subscription **found = tfind(&wanted, &sub->subscriptions, compare_subscriptions);

	return found ? *found : NULL;
}

/* Returns false when memory is short. */
static bool join(struct subscriber *sub, struct channel *channel)
{
	struct subscription *subscription = memory_get(sizeof(*subscription) + NODE_SIZE);

	if (!subscription)
		return false;
	subscription->channel = channel;
	subscription->subscriber = sub;
	if (!tsearch(subscription, &sub->subscriptions, compare_subscriptions)) {
		memory_free(subscription, sizeof(*subscription) + NODE_SIZE);
		return false;
	}
	LIST_INSERT_HEAD(&channel->subscriptions, subscription, link);
	sub->channels++;
	return true;
}

static void leave(struct subscription *subscription)
{
	struct subscriber *sub = subscription->subscriber;
	struct channel *channel = subscription->channel;

	tdelete(subscription, &sub->subscriptions, compare_subscriptions);
	sub->channels--;
	LIST_REMOVE(subscription, link);
	memory_free(subscription, sizeof(*subscription) + NODE_SIZE);
	free_channel_if_empty(channel);
}

static bool subscribe(struct subscriber *sub, struct slice name)
{
	struct channel *channel = find_channel(name);
	bool done;

	if (!channel)
		channel = make_channel(name);
	if (!channel)
		return false;
	done = find_subscription(sub, channel) || join(sub, channel);
	free_channel_if_empty(channel);
	return done;
}

/* @name: NULL if there was nothing to leave */
static void confirm(struct buffer *out, const char *what, const struct slice *name, size_t n)
{
	reply_array(out, 3);
	reply_text(out, what);
	if (name)
		reply_bulk(out, *name);
	else
		reply_nil(out);
	reply_integer(out, (long long)n);
}

/* Nothing is published meanwhile, so what is comes after the confirmation. */
void cmd_subscribe(struct client *client, const struct request *req)
{
	struct subscriber *sub = client->subscriber ? client->subscriber : subscriber_start(client);
	size_t i;

	if (!sub) {
		reply_error(&client->out, "ERR out of memory");
		return;
	}
	client->subscriber = sub;
	kf_rwlock_wrlock(&lock);
	for (i = 1; i < req->nr; i++) {
		struct slice name = request_arg(req, i);

		if (subscribe(sub, name))
			confirm(&client->out, "subscribe", &name, sub->channels);
		else
			reply_error(&client->out, "ERR out of memory");
	}
	subscriber_reply(client);
	kf_rwlock_unlock(&lock);
	if (!sub->channels)
		subscriber_end(client);
}

static void unsubscribe(struct client *client, struct slice name)
{
	struct subscriber *sub = client->subscriber;
	struct channel *channel = sub ? find_channel(name) : NULL;
	struct subscription *subscription = channel ? find_subscription(sub, channel) : NULL;

	if (subscription)
		leave(subscription);
	confirm(&client->out, "unsubscribe", &name, sub ? sub->channels : 0);
}

/* A tree's root is a node, whose first member is what was put in. */
static struct subscription *any_subscription(const struct subscriber *sub)
{
	return sub->subscriptions ? *(struct subscription **)sub->subscriptions : NULL;
}

static void unsubscribe_all(struct client *client)
{
	struct subscriber *sub = client->subscriber;
	struct subscription *subscription = sub ? any_subscription(sub) : NULL;

	if (!subscription)
		confirm(&client->out, "unsubscribe", NULL, 0);
	for (; subscription; subscription = any_subscription(sub)) {
		confirm(&client->out, "unsubscribe", &subscription->channel->name,
			sub->channels - 1);
		leave(subscription);
	}
}

/* With the last one it is no subscriber any more. */
void cmd_unsubscribe(struct client *client, const struct request *req)
{
	size_t i;

	kf_rwlock_wrlock(&lock);
	for (i = 1; i < req->nr; i++)
		unsubscribe(client, request_arg(req, i));
	if (req->nr == 1)
		unsubscribe_all(client);
	kf_rwlock_unlock(&lock);
	if (client->subscriber && !client->subscriber->channels)
		subscriber_end(client);
}

/* The client ends. Context: cancellation is disabled. */
void pubsub_leave(struct client *client)
{
	struct subscription *subscription;

	if (!client->subscriber)
		return;
	kf_rwlock_wrlock(&lock);
	while ((subscription = any_subscription(client->subscriber)))
		leave(subscription);
	kf_rwlock_unlock(&lock);
	subscriber_end(client);
}

static size_t tell_all(struct slice name, struct slice message)
{
	const struct channel *channel = find_channel(name);
	const struct subscription *subscription;
	size_t n = 0;

	if (!channel)
		return 0;
	for (subscription = LIST_FIRST(&channel->subscriptions); subscription;
	     subscription = LIST_NEXT(subscription, link)) {
		subscriber_tell(subscription->subscriber, message);
		n++;
	}
	return n;
}

void cmd_publish(struct client *client, const struct request *req)
{
	struct slice name = request_arg(req, 1);
	struct buffer message = { 0 };
	size_t n = 0;

	reply_array(&message, 3);
	reply_text(&message, "message");
	reply_bulk(&message, name);
	reply_bulk(&message, request_arg(req, 2));
	if (!message.failed) {
		kf_rwlock_rdlock(&lock);
		n = tell_all(name, (struct slice){ message.data, message.end });
		kf_rwlock_unlock(&lock);
		count(&counters.published, n);
		reply_integer(&client->out, (long long)n);
	} else {
		reply_error(&client->out, "ERR out of memory");
	}
	buffer_free(&message);
}
