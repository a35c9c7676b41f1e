// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a fiber waits for, in words. */
#include "object.h"
#include "text.h"

static const char *const kf_object_names[] = {
	[KF_OBJECT_FIBER] = "the end of",
	[KF_OBJECT_MUTEX] = "mutex",
	[KF_OBJECT_RWLOCK] = "rwlock",
	[KF_OBJECT_COND] = "condition",
	[KF_OBJECT_SEM] = "semaphore",
	[KF_OBJECT_WAITGROUP] = "wait group",
	[KF_OBJECT_ONCE] = "once",
	[KF_OBJECT_CHAN] = "channel",
	[KF_OBJECT_SELECT] = "select",
	[KF_OBJECT_TIMER] = "timer",
	[KF_OBJECT_CTX] = "context",
	[KF_OBJECT_FILE] = "file descriptor",
	[KF_OBJECT_LATCH] = "latch",
};

#define KF_NR_OBJECTS (sizeof(kf_object_names) / sizeof(kf_object_names[0]))

/**
 * kf_text_object() - write what an object is, and which
 * @t: where to
 * @d: the domain
 * @object: as kf_object() makes it; not touched
 */
void kf_text_object(struct kf_text *t, struct kf_domain *d, uint64_t object)
{
	enum kf_object_kind kind = kf_object_kind(object);
	uint64_t address = kf_object_address(object);

	kf_text_add(t, kind < KF_NR_OBJECTS ? kf_object_names[kind] : "object");
	kf_text_byte(t, ' ');
	if (kind == KF_OBJECT_FIBER)
		kf_text_fiber(t, d, (struct kfiber_fiber_block *)address);
	else if (kind == KF_OBJECT_FILE)
		kf_text_number(t, address, 10);
	else
		kf_text_hex(t, address);
}
