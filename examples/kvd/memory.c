// SPDX-License-Identifier: GPL-2.0
/*
 * How much memory there may be: all that clients can make the server keep is taken from
 * here. Who is refused says so to its client.
 */
#include <stdlib.h>

#include "kvd.h"

static atomic_ullong used;

static bool charge(size_t size)
{
	if (atomic_fetch_add_explicit(&used, size, memory_order_relaxed) + size <=
	    options.max_memory)
		return true;
	atomic_fetch_sub_explicit(&used, size, memory_order_relaxed);
	return false;
}

static void uncharge(size_t size)
{
	atomic_fetch_sub_explicit(&used, size, memory_order_relaxed);
}

/* Returns zeroed memory or NULL. */
void *memory_get(size_t size)
{
	void *memory;

	if (!charge(size))
		return NULL;
	memory = calloc(1, size);
	if (!memory)
		uncharge(size);
	return memory;
}

/* As realloc(): @memory is as it was when this returns NULL. */
void *memory_resize(void *memory, size_t old, size_t size)
{
	void *more;

	if (size > old && !charge(size - old))
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

uint64_t memory_used(void)
{
	return atomic_load_explicit(&used, memory_order_relaxed);
}
