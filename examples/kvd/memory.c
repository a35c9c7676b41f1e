// SPDX-License-Identifier: GPL-2.0
/*
 * How much memory there may be: all that clients can make the server keep is taken from
 * here. Who is refused says so to its client.
 *
 * What stays (keys, values, channels) leaves some of it to what is on its way: in a full
 * server one can still ask, and remove things. And of that, no buffer has more than a part.
 */
#include <stdlib.h>

#include "kvd.h"

static atomic_ullong used;

/* Never more than it may be, not even for a moment: others, who want less, would be refused. */
static bool charge(size_t size, uint64_t limit)
{
	unsigned long long before = atomic_load_explicit(&used, memory_order_relaxed);

	do {
		if (size > limit || before > limit - size)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(&used, &before, before + size,
							memory_order_relaxed,
							memory_order_relaxed));
	return true;
}

static void uncharge(size_t size)
{
	atomic_fetch_sub_explicit(&used, size, memory_order_relaxed);
}

/* For what stays. Returns zeroed memory or NULL. */
void *memory_get(size_t size)
{
	void *memory;

	if (!charge(size, options.max_memory / 8 * 7))
		return NULL;
	memory = calloc(1, size);
	if (!memory)
		uncharge(size);
	return memory;
}

/* For what is on its way. As realloc(): @memory is as it was when this returns NULL. */
void *memory_resize(void *memory, size_t old, size_t size)
{
	void *more;

	if (size > old && !charge(size - old, options.max_memory))
		return NULL;
	more = realloc(memory, size);
	if (!more) {
		if (size > old)
			uncharge(size - old);
		return NULL;
	}
	if (size < old)
		uncharge(old - size);
	return more;
}

void memory_free(void *memory, size_t size)
{
	if (!memory)
		return;
	free(memory);
	uncharge(size);
}

/* How much of it a single buffer may have. */
size_t memory_share(void)
{
	return options.max_memory / 8;
}

uint64_t memory_used(void)
{
	return atomic_load_explicit(&used, memory_order_relaxed);
}
