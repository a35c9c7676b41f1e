// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Scopes: a context, a count of fibers, and the first failure. A fiber's member (ctx.h)
 * says that it belongs to a scope, so that however it ends it is counted out: after its
 * fiber-local values are destroyed, or by the fault that ended it.
 *
 * Who counts the last one out may find the scope gone, as with any wait group: that is
 * the last that a fiber does with it.
 */
#include <errno.h>
#include <stdlib.h>

#include "ctx.h"

/**
 * struct kf_scope_start - what a fiber begins with
 * @fn: its function
 * @arg: the argument
 */
struct kf_scope_start {
	int (*fn)(void *arg);
	void *arg;
};

int kf_scope_init(kf_scope_t *s)
{
	if (!kf_self())
		return -EPERM;
	*s = (kf_scope_t){ .ctx = kf_ctx_with_cancel(kf_ctx_current()) };
	return s->ctx ? 0 : -ENOMEM;
}

static void *kf_scope_fiber(void *arg)
{
	struct kf_scope_start start = *(struct kf_scope_start *)arg;

	free(arg);
	return (void *)(intptr_t)start.fn(start.arg);
}

int kf_scope_spawn(kf_scope_t *s, const struct kf_attr *attr, int (*fn)(void *), void *arg)
{
	uintptr_t site = (uintptr_t)__builtin_return_address(0);
	struct kf_scope_start *start;
	int err;

	if (!kf_self())
		return -EPERM;
	if (!fn)
		return -EINVAL;
	start = malloc(sizeof(*start));
	if (!start)
		return -ENOMEM;
	*start = (struct kf_scope_start){ .fn = fn, .arg = arg };
	err = kf_waitgroup_add(&s->group, 1);
	if (!err) {
		err = kf_spawn_under(NULL, attr, kf_scope_fiber, start, s->ctx, s, site);
		if (err)
			kf_waitgroup_done(&s->group);
	}
	if (err)
		free(start);
	return err;
}

/* The first failure ends the rest. */
static void kf_scope_fail(kf_scope_t *s, int failure)
{
	int none = 0;

	if (__atomic_compare_exchange_n(&s->failure, &none, failure, false, __ATOMIC_ACQ_REL,
					__ATOMIC_RELAXED))
		kf_ctx_cancel(s->ctx);
}

/* A fiber of the scope has ended. */
void kf_scope_ended(kf_scope_t *s, int result)
{
	if (result < 0)
		kf_scope_fail(s, result);
	kf_waitgroup_done(&s->group);
}

int kf_scope_cancel(kf_scope_t *s)
{
	return kf_ctx_cancel(s->ctx);
}

int kf_scope_wait(kf_scope_t *s)
{
	if (kf_waitgroup_wait(&s->group)) {
		kf_scope_fail(s, -ECANCELED);
		kf_cancel_disable();
		kf_waitgroup_wait(&s->group);
		kf_cancel_enable();
	}
	kf_ctx_free(s->ctx);
	s->ctx = NULL;
	return __atomic_load_n(&s->failure, __ATOMIC_ACQUIRE);
}
