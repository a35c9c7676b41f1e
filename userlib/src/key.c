// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fiber-local values. A fiber that has any has a table of them, by key, which hangs
 * from its block's "link": a block is in a pool or has a fiber, and pools use it for
 * the one, this for the other. Only the fiber itself uses its table.
 *
 * What is known of keys is in blocks, each as large as all before it together, which
 * stay where they are: who has a key needs no lock to look there.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Keys of the first block; and values of a fiber's first table. */
#define KF_KEYS_SHIFT 4
#define KF_KEYS (1u << KF_KEYS_SHIFT)
#define KF_KEY_BLOCKS (32 - KF_KEYS_SHIFT)

typedef void (*kf_destroy_fn)(void *value);

/**
 * struct kf_locals - a fiber's values
 * @count: how many there is room for
 * @values: by key
 */
struct kf_locals {
	unsigned int count;
	void *values[];
};

static pthread_mutex_t kf_keys_lock = PTHREAD_MUTEX_INITIALIZER;
static kf_destroy_fn *kf_key_blocks[KF_KEY_BLOCKS];

/* How many there are; stored when all about the last is there. */
static atomic_uint kf_keys;

/* Block n has KF_KEYS << n keys, the first of them (KF_KEYS << n) - KF_KEYS. */
static unsigned int kf_key_block(kf_key_t key)
{
	return 31u - KF_KEYS_SHIFT - (unsigned int)__builtin_clz(key + KF_KEYS);
}

static kf_destroy_fn *kf_key(kf_key_t key)
{
	unsigned int n = kf_key_block(key);

	return &kf_key_blocks[n][key + KF_KEYS - (KF_KEYS << n)];
}

static int kf_key_create_locked(kf_key_t *key, kf_destroy_fn destroy)
{
	unsigned int next = atomic_load_explicit(&kf_keys, memory_order_relaxed);
	kf_destroy_fn **block;

	if (next > UINT32_MAX - 2 * KF_KEYS)
		return -ENOMEM;
	block = &kf_key_blocks[kf_key_block(next)];
	if (!*block)
		*block = calloc((size_t)KF_KEYS << kf_key_block(next), sizeof(**block));
	if (!*block)
		return -ENOMEM;
	*kf_key(next) = destroy;
	*key = next;
	atomic_store_explicit(&kf_keys, next + 1, memory_order_release);
	return 0;
}

int kf_key_create(kf_key_t *key, void (*destroy)(void *value))
{
	int err;

	pthread_mutex_lock(&kf_keys_lock);
	err = kf_key_create_locked(key, destroy);
	pthread_mutex_unlock(&kf_keys_lock);
	return err;
}

static struct kf_locals *kf_locals(const struct kfiber_fiber_block *f)
{
	return (struct kf_locals *)(uintptr_t)f->link;
}

void *kf_getspecific(kf_key_t key)
{
	struct kf_worker *w = kf_fiber_worker();
	struct kf_locals *locals = w ? kf_locals(w->current) : NULL;

	return locals && key < locals->count ? locals->values[key] : NULL;
}

/* Makes room for a key, and for as many more again. */
static struct kf_locals *kf_locals_extend(struct kfiber_fiber_block *self, kf_key_t key)
{
	struct kf_locals *old = kf_locals(self), *new;
	unsigned int had = old ? old->count : 0, count = had ? had : KF_KEYS;

	while (count <= key)
		count = count < UINT32_MAX / 2 ? 2 * count : UINT32_MAX;
	new = calloc(1, sizeof(*new) + count * sizeof(new->values[0]));
	if (!new)
		return NULL;
	new->count = count;
	if (old)
		memcpy(new->values, old->values, had * sizeof(old->values[0]));
	/* A signal handler may look while this goes on. */
	atomic_signal_fence(memory_order_release);
	self->link = (uintptr_t)new;
	atomic_signal_fence(memory_order_release);
	free(old);
	return new;
}

int kf_setspecific(kf_key_t key, void *value)
{
	struct kf_worker *w = kf_fiber_worker();
	struct kf_locals *locals;

	if (!w)
		return -EPERM;
	if (key >= atomic_load_explicit(&kf_keys, memory_order_acquire))
		return -EINVAL;
	locals = kf_locals(w->current);
	if (!locals || key >= locals->count) {
		if (!value)
			return 0;
		locals = kf_locals_extend(w->current, key);
		if (!locals)
			return -ENOMEM;
	}
	locals->values[key] = value;
	return 0;
}

/* Return: true if there was a value: then there may be others again. */
static bool kf_locals_destroy(struct kfiber_fiber_block *self)
{
	bool had = false;
	kf_key_t key;

	/* Destroying may exchange the table. */
	for (key = 0; key < kf_locals(self)->count; key++) {
		void *value = kf_locals(self)->values[key];

		if (!value)
			continue;
		had = true;
		kf_locals(self)->values[key] = NULL;
		if (*kf_key(key))
			(*kf_key(key))(value);
	}
	return had;
}

/**
 * kf_locals_end() - destroy the calling fiber's values
 * @self: its block
 *
 * May wait, and so return on another thread. Destroying is cleaning up: a fiber that was
 * cancelled can wait for it.
 */
void kf_locals_end(struct kfiber_fiber_block *self)
{
	int round;

	if (!self->link)
		return;
	self->masked++;
	for (round = 0; round < KF_DESTROY_ROUNDS; round++)
		if (!kf_locals_destroy(self))
			break;
	kf_locals_drop(self);
}

/* What is left of a fiber that does not destroy its values. */
void kf_locals_drop(struct kfiber_fiber_block *f)
{
	struct kf_locals *locals = kf_locals(f);

	f->link = 0;
	free(locals);
}
