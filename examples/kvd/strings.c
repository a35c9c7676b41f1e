// SPDX-License-Identifier: GPL-2.0
/* Commands about values. */
#include <stdio.h>

#include "kvd.h"

#define NO_MEMORY	"OOM command not allowed when used memory > 'maxmemory'."

/**
 * struct set_options - what follows the value in SET
 * @unit: of @time in ms; 0: there is none
 */
struct set_options {
	bool only_new;
	bool only_there;
	unsigned int unit;
	struct slice time;
};

static struct key key_arg(const struct request *req, size_t i)
{
	return store_key(request_arg(req, i));
}

/* @every: how many arguments a key has, itself included */
static uint64_t shards_of(const struct request *req, size_t first, size_t every)
{
	uint64_t all = 0;
	size_t i;

	for (i = first; i < req->nr; i += every)
		all |= key_arg(req, i).shard;
	return all;
}

static void reply_value(struct buffer *out, const struct key *key)
{
	const struct record *record = store_find(key);

	if (record)
		reply_bulk(out, record_value(record));
	else
		reply_nil(out);
}

void cmd_get(struct client *client, const struct request *req)
{
	struct key key = key_arg(req, 1);

	store_lock(key.shard);
	reply_value(&client->out, &key);
	store_unlock(key.shard);
}

/* All values are of the same moment. */
void cmd_mget(struct client *client, const struct request *req)
{
	uint64_t all = shards_of(req, 1, 1);
	size_t i;

	reply_array(&client->out, req->nr - 1);
	store_lock(all);
	for (i = 1; i < req->nr; i++) {
		struct key key = key_arg(req, i);

		reply_value(&client->out, &key);
	}
	store_unlock(all);
}

/* Replies if they are wrong. */
static bool parse_set_options(struct buffer *out, const struct request *req,
			      struct set_options *set)
{
	size_t i;

	for (i = 3; i < req->nr; i++) {
		struct slice arg = request_arg(req, i);
		bool seconds = slice_is(arg, "ex");

		if (slice_is(arg, "nx") && !set->only_there) {
			set->only_new = true;
		} else if (slice_is(arg, "xx") && !set->only_new) {
			set->only_there = true;
		} else if ((seconds || slice_is(arg, "px")) && !set->unit && ++i < req->nr) {
			set->unit = seconds ? MSEC_PER_SEC : 1;
			set->time = request_arg(req, i);
		} else {
			reply_error(out, "ERR syntax error");
			return false;
		}
	}
	return true;
}

/* Replies if there cannot be such a time. */
static bool parse_expiry(struct buffer *out, const struct set_options *set, uint64_t *expires)
{
	uint64_t now = store_now();
	long long n;

	*expires = 0;
	if (!set->unit)
		return true;
	if (!slice_number(set->time, &n))
		reply_error(out, "ERR value is not an integer or out of range");
	else if (n <= 0 || (uint64_t)n > (INT64_MAX - now) / set->unit)
		reply_error(out, "ERR invalid expire time in 'set' command");
	else
		*expires = now + n * set->unit;
	return *expires;
}

void cmd_set(struct client *client, const struct request *req)
{
	struct set_options set = { 0 };
	struct key key = key_arg(req, 1);
	uint64_t expires;
	bool there;

	if (!parse_set_options(&client->out, req, &set) ||
	    !parse_expiry(&client->out, &set, &expires))
		return;
	store_lock(key.shard);
	there = store_find(&key);
	if (there ? set.only_new : set.only_there)
		reply_nil(&client->out);
	else if (store_set(&key, request_arg(req, 2), expires))
		reply_status(&client->out, "OK");
	else
		reply_error(&client->out, NO_MEMORY);
	store_unlock(key.shard);
}

/* Nobody sees some of them without the others, unless memory ends in between. */
void cmd_mset(struct client *client, const struct request *req)
{
	uint64_t all = shards_of(req, 1, 2);
	bool done = true;
	size_t i;

	if (req->nr % 2 == 0) {
		reply_error(&client->out, "ERR wrong number of arguments for 'mset' command");
		return;
	}
	store_lock(all);
	for (i = 1; i < req->nr && done; i += 2) {
		struct key key = key_arg(req, i);

		done = store_set(&key, request_arg(req, i + 1), 0);
	}
	store_unlock(all);
	if (done)
		reply_status(&client->out, "OK");
	else
		reply_error(&client->out, NO_MEMORY);
}

/* The key stays for as long as it would have. */
static void add_locked(struct buffer *out, const struct key *key, long long by)
{
	const struct record *record = store_find(key);
	long long number = 0;
	char text[24];
	int len;

	if (record && !slice_number(record_value(record), &number)) {
		reply_error(out, "ERR value is not an integer or out of range");
		return;
	}
	if (__builtin_add_overflow(number, by, &number)) {
		reply_error(out, "ERR increment or decrement would overflow");
		return;
	}
	len = snprintf(text, sizeof(text), "%lld", number);
	if (store_set(key, (struct slice){ text, len }, record ? record->expires : 0))
		reply_integer(out, number);
	else
		reply_error(out, NO_MEMORY);
}

static void add(struct client *client, const struct request *req, long long by)
{
	struct key key = key_arg(req, 1);

	store_lock(key.shard);
	add_locked(&client->out, &key, by);
	store_unlock(key.shard);
}

void cmd_incr(struct client *client, const struct request *req)
{
	add(client, req, 1);
}

void cmd_decr(struct client *client, const struct request *req)
{
	add(client, req, -1);
}

void cmd_incrby(struct client *client, const struct request *req)
{
	long long by;

	if (slice_number(request_arg(req, 2), &by))
		add(client, req, by);
	else
		reply_error(&client->out, "ERR value is not an integer or out of range");
}
