// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Spawn sites: what is known of the stacks of the fibers that were spawned at one
 * place in the program. They are alike, so the next one begins with as much as
 * they usually need. (Go averages over all goroutines; it does not know the
 * place.)
 *
 * Sites are added to and never taken away while the domain runs, so that they are
 * found without a lock. Their numbers are of use when they are about right:
 * two threads may lose one of two counts.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "internal.h"

/* Every so many fibers a start that is no longer needed is halved. */
#define KF_SITE_DECAY 64u

static uint32_t kf_load(atomic_uint *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static void kf_store(atomic_uint *value, uint32_t to)
{
	atomic_store_explicit(value, to, memory_order_relaxed);
}

/* Fibonacci's hash: the golden ratio spreads what is near to each other. */
static struct kf_site *_Atomic *kf_site_bucket(struct kf_domain *d, uintptr_t address)
{
	return &d->sites[(address * 0x9e3779b97f4a7c15ull) >> (64 - KF_SITE_BITS)];
}

static struct kf_site *kf_site_find(struct kf_domain *d, uintptr_t address)
{
	struct kf_site *s = atomic_load_explicit(kf_site_bucket(d, address), memory_order_acquire);

	while (s && s->address != address)
		s = s->next;
	return s;
}

static struct kf_site *kf_site_add(struct kf_domain *d, uintptr_t address)
{
	struct kf_site *_Atomic *bucket = kf_site_bucket(d, address);
	struct kf_worker *w = kf_worker_self();
	struct kf_site *s;

	atomic_store(&w->busy, true);
	pthread_mutex_lock(&d->lock);
	s = kf_site_find(d, address);
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (s) {
			s->address = address;
			kf_store(&s->start, 1);
			kf_store(&s->high, 1);
			s->next = atomic_load_explicit(bucket, memory_order_relaxed);
			atomic_store_explicit(bucket, s, memory_order_release);
		}
	}
	pthread_mutex_unlock(&d->lock);
	atomic_store(&w->busy, false);
	return s;
}

/**
 * kf_site_spawns() - a fiber is about to be spawned
 * @d: the domain
 * @address: where
 *
 * Context: no critical section; may block.
 * Return: pages to begin its stack with, at least 1.
 */
uint32_t kf_site_spawns(struct kf_domain *d, uintptr_t address)
{
	struct kf_site *s = kf_site_find(d, address);
	uint32_t start, spawned;

	if (!s)
		s = kf_site_add(d, address);
	if (!s)
		return 1;
	spawned = kf_load(&s->spawned) + 1;
	kf_store(&s->spawned, spawned);
	start = kf_load(&s->start);
	if (spawned % KF_SITE_DECAY == 0 && start > 1) {
		start /= 2;
		kf_store(&s->start, start);
	}
	return start;
}

static void kf_site_raise(struct kf_site *s, uint32_t high)
{
	if (high > kf_load(&s->high))
		kf_store(&s->high, high);
}

/**
 * kf_site_learn() - a fiber has ended that needed more than it began with
 * @d: the domain
 * @f: the fiber
 *
 * Three parts of what was, one of what is: one deep fiber does not make all that
 * follow begin deep.
 */
void kf_site_learn(struct kf_domain *d, const struct kfiber_fiber_block *f)
{
	struct kf_site *s = kf_site_find(d, f->spawn_site);
	uint32_t start, high = f->stack_high;

	if (!s)
		return;
	kf_site_raise(s, high);
	start = kf_load(&s->start);
	if (high > start)
		start += (high - start + 3) / 4;
	kf_store(&s->start, start < KFIBER_START_MAX ? start : KFIBER_START_MAX);
}

void kf_sites_free(struct kf_domain *d)
{
	size_t i;

	for (i = 0; i < KF_SITE_BUCKETS; i++) {
		struct kf_site *s = d->sites[i];

		while (s) {
			struct kf_site *next = s->next;

			free(s);
			s = next;
		}
	}
}

/* What those need that have not ended. */
static void kf_sites_look(struct kf_domain *d)
{
	uint32_t i, end = atomic_load_explicit(&d->fibers_end, memory_order_acquire);

	for (i = 0; i < end; i++) {
		struct kfiber_fiber_block *f = &d->fiber_blocks[i];
		uint64_t word = atomic_load_explicit(kf_atomic64(&f->word), memory_order_acquire);
		uint32_t high = kf_read32(&f->stack_high);
		struct kf_site *s;

		if (kf_state(word) == KFIBER_FREE || high <= kf_read32(&f->stack_start))
			continue;
		s = kf_site_find(d, f->spawn_site);
		if (s)
			kf_site_raise(s, high);
	}
}

int kf_spawn_sites(struct kf_spawn_site *sites, int n)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	uint64_t page;
	int count = 0;
	size_t i;

	if (!d)
		return -ESRCH;
	page = (uint64_t)sysconf(_SC_PAGESIZE);
	kf_sites_look(d);
	for (i = 0; i < KF_SITE_BUCKETS; i++) {
		struct kf_site *s = atomic_load_explicit(&d->sites[i], memory_order_acquire);

		for (; s; s = s->next) {
			if (count < n)
				sites[count] = (struct kf_spawn_site){
					.address = (void *)s->address,
					.spawned = kf_load(&s->spawned),
					.high_water = kf_load(&s->high) * page,
					.start = kf_load(&s->start) * page,
				};
			count++;
		}
	}
	return count;
}
