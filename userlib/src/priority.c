// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fibers that go before others, or after them. What makes them so is in their word, so that
 * whoever makes one runnable learns of it by the exchange that does; and as with a pinned
 * fiber, which the same test finds, the module is told, and queues it. Documentation/
 * priorities.rst has the rest. The flags are the fiber's own while it runs.
 */
#include <errno.h>

#include "internal.h"

/* Return: flags of a word. */
uint64_t kf_priority_flags(unsigned int priority)
{
	switch (priority) {
	case KF_PRIORITY_BACKGROUND:
		return KFIBER_BACKGROUND;
	case KF_PRIORITY_INTERACTIVE:
		return KFIBER_INTERACTIVE;
	}
	return 0;
}

static unsigned int kf_priority_of(uint64_t word)
{
	if (word & KFIBER_INTERACTIVE)
		return KF_PRIORITY_INTERACTIVE;
	return word & KFIBER_BACKGROUND ? KF_PRIORITY_BACKGROUND : KF_PRIORITY_NORMAL;
}

int kf_set_priority(unsigned int priority)
{
	_Atomic uint64_t *word;
	struct kf_worker *w = kf_fiber_worker();
	uint64_t old, new;

	if (!w)
		return -EPERM;
	if (priority > KF_PRIORITY_INTERACTIVE)
		return -EINVAL;
	word = kf_atomic64(&w->current->word);
	old = atomic_load_explicit(word, memory_order_relaxed);
	/* Others leave permits there meanwhile. */
	do {
		new = (old & ~KF_PRIORITIES) | kf_priority_flags(priority);
	} while (priority && !atomic_compare_exchange_weak_explicit(word, &old, new,
								    memory_order_relaxed,
								    memory_order_relaxed));
	return (int)kf_priority_of(old);
}
