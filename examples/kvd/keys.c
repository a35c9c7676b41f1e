// SPDX-License-Identifier: GPL-2.0
/* Commands about keys. */
#include "kvd.h"

#define NEVER_EXPIRES	-1
#define NO_SUCH_KEY	-2

static bool exists(const struct key *key)
{
	return store_find(key);
}

/* One key after the other: Redis does not promise that others see all or nothing. */
static void count_keys(struct client *client, const struct request *req,
		       bool (*counts)(const struct key *key))
{
	long long n = 0;
	size_t i;

	for (i = 1; i < req->nr; i++) {
		struct key key = store_key(request_arg(req, i));

		store_lock(key.shard);
		n += counts(&key);
		store_unlock(key.shard);
	}
	reply_integer(&client->out, n);
}

void cmd_del(struct client *client, const struct request *req)
{
	count_keys(client, req, store_remove);
}

void cmd_exists(struct client *client, const struct request *req)
{
	count_keys(client, req, exists);
}

/* A time that is over removes the key. @ms: from now */
static bool expire_locked(const struct key *key, long long ms)
{
	struct record *record = store_find(key);

	if (!record)
		return false;
	if (ms <= 0)
		return store_remove(key);
	record->expires = store_now() + ms;
	return true;
}

static void expire_in(struct client *client, const struct request *req, const char *name,
		      unsigned int unit)
{
	struct key key = store_key(request_arg(req, 1));
	bool done;
	long long n;

	if (!slice_number(request_arg(req, 2), &n)) {
		reply_error(&client->out, "ERR value is not an integer or out of range");
		return;
	}
	if (__builtin_mul_overflow(n, unit, &n) || n > INT64_MAX - (int64_t)store_now()) {
		reply_error(&client->out, "ERR invalid expire time in '%s' command", name);
		return;
	}
	store_lock(key.shard);
	done = expire_locked(&key, n);
	store_unlock(key.shard);
	reply_integer(&client->out, done);
}

void cmd_expire(struct client *client, const struct request *req)
{
	expire_in(client, req, "expire", MSEC_PER_SEC);
}

void cmd_pexpire(struct client *client, const struct request *req)
{
	expire_in(client, req, "pexpire", 1);
}

/* In ms, or NEVER_EXPIRES, or NO_SUCH_KEY. */
static long long time_to_live(const struct request *req)
{
	struct key key = store_key(request_arg(req, 1));
	long long left = NO_SUCH_KEY;
	const struct record *record;

	store_lock(key.shard);
	record = store_find(&key);
	if (record) {
		uint64_t now = store_now();

		left = NEVER_EXPIRES;
		if (record->expires)
			left = record->expires > now ? (long long)(record->expires - now) : 0;
	}
	store_unlock(key.shard);
	return left;
}

void cmd_ttl(struct client *client, const struct request *req)
{
	long long left = time_to_live(req);

	reply_integer(&client->out, left < 0 ? left : (left + 500) / (long long)MSEC_PER_SEC);
}

void cmd_pttl(struct client *client, const struct request *req)
{
	reply_integer(&client->out, time_to_live(req));
}

void cmd_persist(struct client *client, const struct request *req)
{
	struct key key = store_key(request_arg(req, 1));
	struct record *record;
	bool done;

	store_lock(key.shard);
	record = store_find(&key);
	done = record && record->expires;
	if (done)
		record->expires = 0;
	store_unlock(key.shard);
	reply_integer(&client->out, done);
}

void cmd_dbsize(struct client *client, const struct request *req)
{
	(void)req;
	reply_integer(&client->out, (long long)store_size());
}

void cmd_flushall(struct client *client, const struct request *req)
{
	(void)req;
	store_clear();
	reply_status(&client->out, "OK");
}
