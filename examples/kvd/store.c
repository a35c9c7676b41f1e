// SPDX-License-Identifier: GPL-2.0
/*
 * The keys, their values and when they expire: hash tables, one for each of 64 shards
 * with a lock of its own.
 *
 * A table that has become too small, or too large, is replaced by another one bit by
 * bit: each call for a key of the shard moves some buckets, so that no client ever waits
 * for all of them. Meanwhile a key is in either of the two.
 *
 * Keys that expire are dropped when they are looked for; those that nobody looks for by a
 * fiber that goes round.
 *
 * Clients choose the keys. The hash has a secret of the process, so that they cannot
 * choose them to be in one bucket.
 */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <sodium.h>
#include <string.h>

#include "../common/program.h"
#include "kvd.h"

/* What store_lock() takes is a bit for each. */
#define SHARDS		64u
#define SIZE_MIN	16u
/* Moved by each call: enough to be done before a table has grown by half. */
#define BUCKETS_MOVED	4
/* The fiber that goes round looks at so many buckets of each shard, so often. */
#define SWEEP_BUCKETS	16
#define SWEEP_NS	(20 * NSEC_PER_MSEC)

/** struct table - buckets; their number is a power of two, or 0 */
struct table {
	struct record **buckets;
	size_t size;
};

/**
 * struct shard - a part of the keys
 * @lock: protects the rest, and the records
 * @now: where new keys go
 * @old: what is being moved; no buckets: nothing is
 * @moved: buckets of @old that are empty by now, from the first
 * @keys: in both
 * @swept: the next bucket of @now to look at for keys that have expired
 */
struct shard {
	kf_mutex_t lock;
	struct table now;
	struct table old;
	size_t moved;
	size_t keys;
	size_t swept;
};

static struct shard shards[SHARDS];
static unsigned char secret[crypto_shorthash_KEYBYTES];
static kf_fiber_t sweeper;

/* In ms. The clock that deadlines are measured by: nobody can set it. */
uint64_t store_now(void)
{
	return kf_now() / NSEC_PER_MSEC;
}

struct key store_key(struct slice name)
{
	struct key key = { .name = name };

	_Static_assert(sizeof(key.hash) == crypto_shorthash_BYTES, "the hash is 64 bits");
	crypto_shorthash((unsigned char *)&key.hash, (const unsigned char *)name.at, name.len,
			 secret);
	key.shard = 1ull << (key.hash % SHARDS);
	return key;
}

/* All of @shards, each a bit; a caller takes what it needs at once. */
void store_lock(uint64_t which)
{
	for (; which; which &= which - 1)
		kf_mutex_lock(&shards[__builtin_ctzll(which)].lock);
}

void store_unlock(uint64_t which)
{
	for (; which; which &= which - 1)
		kf_mutex_unlock(&shards[__builtin_ctzll(which)].lock);
}

/* --- tables ---------------------------------------------------------------------- */

static size_t record_size(const struct record *record)
{
	return sizeof(*record) + record->key_len + record->value_len;
}

static void table_free(struct table *table)
{
	memory_free(table->buckets, table->size * sizeof(*table->buckets));
	*table = (struct table){ 0 };
}

/* The low bits are the shard's. */
static struct record **bucket(const struct table *table, uint64_t hash)
{
	return &table->buckets[hash / SHARDS & (table->size - 1)];
}

static void move_buckets(struct shard *shard)
{
	int n;

	for (n = 0; n < BUCKETS_MOVED && shard->moved < shard->old.size; n++) {
		struct record *record, **from = &shard->old.buckets[shard->moved++];

		while ((record = *from)) {
			struct record **to = bucket(&shard->now, record->hash);

			*from = record->next;
			record->next = *to;
			*to = record;
		}
	}
	if (shard->moved == shard->old.size)
		table_free(&shard->old);
}

/* Without memory for it the table stays as it is, and is slower for its size. */
static void resize(struct shard *shard, size_t size)
{
	struct record **buckets = memory_get(size * sizeof(*buckets));

	if (!buckets)
		return;
	shard->old = shard->now;
	shard->now = (struct table){ buckets, size };
	shard->moved = 0;
	shard->swept = 0;
}

static void tend_table(struct shard *shard)
{
	size_t size = shard->now.size;

	if (shard->old.size)
		move_buckets(shard);
	else if (!size)
		resize(shard, SIZE_MIN);
	else if (shard->keys > size)
		resize(shard, size * 2);
	else if (size > SIZE_MIN && shard->keys < size / 8)
		resize(shard, size / 2);
}

static struct record **find_in(const struct table *table, const struct key *key)
{
	struct record **at;

	if (!table->size)
		return NULL;
	for (at = bucket(table, key->hash); *at; at = &(*at)->next)
		if ((*at)->hash == key->hash && (*at)->key_len == key->name.len &&
		    !memcmp((*at)->data, key->name.at, key->name.len))
			return at;
	return NULL;
}

static void drop(struct shard *shard, struct record **at)
{
	struct record *record = *at;

	*at = record->next;
	memory_free(record, record_size(record));
	shard->keys--;
}

static bool is_over(const struct record *record, uint64_t now)
{
	return record->expires && record->expires <= now;
}

/* Returns where the pointer to it is, NULL if there is none, or no more. */
static struct record **look_up(struct shard *shard, const struct key *key)
{
	struct record **at;

	tend_table(shard);
	at = find_in(&shard->now, key);
	if (!at)
		at = find_in(&shard->old, key);
	if (!at || !(*at)->expires || !is_over(*at, store_now()))
		return at;
	drop(shard, at);
	count(&counters.expired, 1);
	return NULL;
}

static struct shard *shard_of(const struct key *key)
{
	return &shards[__builtin_ctzll(key->shard)];
}

/* --- keys: the caller has locked the shard ------------------------------------------ */

/* Returns NULL if there is none. It is there until the shard is unlocked or changed. */
struct record *store_find(const struct key *key)
{
	struct record **at = look_up(shard_of(key), key);

	return at ? *at : NULL;
}

static struct record *make_record(const struct key *key, struct slice value, uint64_t expires)
{
	struct record *record = memory_get(sizeof(*record) + key->name.len + value.len);

	if (!record)
		return NULL;
	record->hash = key->hash;
	record->expires = expires;
	record->key_len = key->name.len;
	record->value_len = value.len;
	memcpy(record->data, key->name.at, key->name.len);
	memcpy(record->data + key->name.len, value.at, value.len);
	return record;
}

/* Returns false when memory is short; then all is as it was. */
bool store_set(const struct key *key, struct slice value, uint64_t expires)
{
	struct shard *shard = shard_of(key);
	struct record **at = look_up(shard, key);
	struct record *record;

	if (!at && !shard->now.size)
		return false;
	record = make_record(key, value, expires);
	if (!record)
		return false;
	if (at)
		drop(shard, at);
	at = bucket(&shard->now, key->hash);
	record->next = *at;
	*at = record;
	shard->keys++;
	return true;
}

/* Returns whether it was there. */
bool store_remove(const struct key *key)
{
	struct shard *shard = shard_of(key);
	struct record **at = look_up(shard, key);

	if (at)
		drop(shard, at);
	return at;
}

/* --- all of them --------------------------------------------------------------------- */

static void free_records(struct table *table)
{
	size_t i;

	for (i = 0; i < table->size; i++) {
		struct record *record, *next;

		for (record = table->buckets[i]; record; record = next) {
			next = record->next;
			memory_free(record, record_size(record));
		}
	}
	table_free(table);
}

/* One shard at a time: what is locked for long is only what nobody finds any more. */
void store_clear(void)
{
	unsigned int i;

	for (i = 0; i < SHARDS; i++) {
		struct table now, old;

		store_lock(1ull << i);
		now = shards[i].now;
		old = shards[i].old;
		shards[i].now = (struct table){ 0 };
		shards[i].old = (struct table){ 0 };
		shards[i].keys = 0;
		store_unlock(1ull << i);
		free_records(&now);
		free_records(&old);
	}
}

/* Keys that have expired and were not dropped yet are counted, as Redis does. */
size_t store_size(void)
{
	size_t keys = 0;
	unsigned int i;

	for (i = 0; i < SHARDS; i++) {
		store_lock(1ull << i);
		keys += shards[i].keys;
		store_unlock(1ull << i);
	}
	return keys;
}

static void sweep_bucket(struct shard *shard, struct record **at, uint64_t now)
{
	while (*at) {
		if (is_over(*at, now)) {
			drop(shard, at);
			count(&counters.expired, 1);
		} else {
			at = &(*at)->next;
		}
	}
}

/* A table is moved to its end first, so that no key can hide in the other one. */
static void sweep(struct shard *shard)
{
	uint64_t now = store_now();
	int n;

	for (n = 0; n < SWEEP_BUCKETS; n++) {
		if (shard->old.size)
			move_buckets(shard);
		else if (shard->now.size)
			sweep_bucket(shard, &shard->now.buckets[shard->swept++ & (shard->now.size - 1)],
				     now);
	}
	tend_table(shard);
}

/* Until it is cancelled. */
static void *sweep_round(void *arg)
{
	unsigned int i;

	(void)arg;
	while (!kf_sleep(SWEEP_NS)) {
		for (i = 0; i < SHARDS; i++) {
			if (kf_mutex_lock(&shards[i].lock))
				return NULL;
			sweep(&shards[i]);
			kf_mutex_unlock(&shards[i].lock);
		}
	}
	return NULL;
}

/* Context: the first fiber. Return: 0 or a negative errno. */
int store_start(void)
{
	const struct kf_attr attr = { .size = sizeof(attr), .name = "expiry" };

	if (sodium_init() < 0)
		return -EIO;
	crypto_shorthash_keygen(secret);
	return kf_spawn(&sweeper, &attr, sweep_round, NULL);
}

/* Context: the first fiber, when there are no clients any more. */
void store_stop(void)
{
	kf_cancel(sweeper);
	kf_join(sweeper, NULL);
	store_clear();
}
