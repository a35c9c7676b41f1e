// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Contexts. Each has a latch, that of the queue of those who wait for its end, which
 * guards its lists: of contexts below it, and of members, the fibers that are under it.
 *
 *   waits (member)                     cancels
 *   looks: err is 0                    err = -ECANCELED
 *   parks                              tells each member to look (kf_tell)
 *
 * Either the look sees err, or the fiber is told after it: see park.c. A fiber that is
 * told for nothing, because it has left meanwhile, looks and waits on. That its system calls
 * are to be interrupted stays in its word, so it is written there with the latch held,
 * while the fiber is a member; who leaves, and may have to do with another context, clears
 * it after that; who enters one that is done writes it itself.
 *
 * The tree is cancelled from above, without recursion, and no two latches are held at
 * once. A context that is taken from its parent's list is in a list of whoever cancels
 * that, once in its life; one that is made below a parent that is done is born so.
 *
 * Who holds a context is counted; a list holds nothing. So who finds one in a list that
 * nobody holds any more leaves it to the one who frees it, who takes the parent's latch
 * to get it out of there.
 *
 * A deadline is looked at by whoever wants to know. Nobody has to be told when it comes:
 * a wait of a member ends at the sooner of two, and for system calls it is in its block while
 * it runs.
 */
#include <errno.h>
#include <stdlib.h>

#include "ctx.h"
#include "wait.h"

/* Members that are told at a time: the latch is free in between. */
#define KF_TELL_BATCH 32

/**
 * struct kf_ctx - a context
 * @queue: who waits for its end; its latch guards @children, @members and @told
 * @refs: who holds it
 * @err: 0, or why it is done; written once, with the latch held
 * @deadline: the soonest of its own and those above; immutable, as are the next three
 * @parent: held; NULL: the background
 * @key: of @value; NULL if it has none
 * @value: see there
 * @children: the first context below it
 * @next: the next child of the parent; the parent's latch, as is @link
 * @link: what points here; NULL while it is in no such list
 * @doomed: the next in the list of who cancels what is above it
 * @members: the first fiber under it
 * @told: the first of those that were told of its end
 */
struct kf_ctx {
	struct kf_wait_queue queue;
	atomic_uint refs;
	atomic_int err;
	uint64_t deadline;
	struct kf_ctx *parent;
	const void *key;
	void *value;
	struct kf_ctx *children;
	struct kf_ctx *next;
	struct kf_ctx **link;
	struct kf_ctx *doomed;
	struct kf_member *members;
	struct kf_member *told;
};

static struct kf_ctx kf_background = { .deadline = KF_FOREVER };

kf_ctx_t *kf_ctx_background(void)
{
	return &kf_background;
}

/* --- who holds it --------------------------------------------------------------- */

kf_ctx_t *kf_ctx_get(kf_ctx_t *ctx)
{
	if (ctx->parent)
		atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
	return ctx;
}

/* For one in a list. Return: false if nobody holds it any more. */
static bool kf_ctx_try_get(struct kf_ctx *ctx)
{
	unsigned int refs = atomic_load_explicit(&ctx->refs, memory_order_relaxed);

	while (refs)
		if (atomic_compare_exchange_weak_explicit(&ctx->refs, &refs, refs + 1,
							  memory_order_relaxed,
							  memory_order_relaxed))
			return true;
	return false;
}

static void kf_child_unlink_latched(struct kf_ctx *ctx)
{
	if (!ctx->link)
		return;
	*ctx->link = ctx->next;
	if (ctx->next)
		ctx->next->link = ctx->link;
	ctx->link = NULL;
}

/* Return: true if it is nobody's now. */
static bool kf_ctx_put(struct kf_ctx *ctx)
{
	if (kf_is_checked())
		kf_check_release(ctx);
	if (atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1)
		return false;
	if (kf_is_checked())
		kf_check_acquire(ctx);
	return true;
}

/* It may have been the last that held its parent, and so on. */
void kf_ctx_free(kf_ctx_t *ctx)
{
	while (ctx && ctx->parent && kf_ctx_put(ctx)) {
		struct kf_ctx *parent = ctx->parent;
		struct kf_worker *w = kf_latch(&parent->queue);

		kf_child_unlink_latched(ctx);
		kf_unlatch(w, &parent->queue);
		free(ctx);
		ctx = parent;
	}
}

/* --- making ----------------------------------------------------------------------- */

static void kf_child_link_latched(struct kf_ctx *parent, struct kf_ctx *ctx)
{
	ctx->next = parent->children;
	if (ctx->next)
		ctx->next->link = &ctx->next;
	parent->children = ctx;
	ctx->link = &parent->children;
}

static struct kf_ctx *kf_ctx_create(struct kf_ctx *parent, uint64_t deadline)
{
	struct kf_ctx *ctx = calloc(1, sizeof(*ctx));
	struct kf_worker *w;
	int err;

	if (!ctx)
		return NULL;
	atomic_store_explicit(&ctx->refs, 1, memory_order_relaxed);
	ctx->deadline = deadline < parent->deadline ? deadline : parent->deadline;
	ctx->parent = kf_ctx_get(parent);
	/* The background is never done, and so has no need to know. */
	if (!parent->parent)
		return ctx;
	w = kf_latch(&parent->queue);
	err = atomic_load_explicit(&parent->err, memory_order_relaxed);
	atomic_store_explicit(&ctx->err, err, memory_order_relaxed);
	if (!err)
		kf_child_link_latched(parent, ctx);
	kf_unlatch(w, &parent->queue);
	return ctx;
}

kf_ctx_t *kf_ctx_with_cancel(kf_ctx_t *parent)
{
	return kf_ctx_create(parent, KF_FOREVER);
}

kf_ctx_t *kf_ctx_with_deadline(kf_ctx_t *parent, uint64_t deadline)
{
	return kf_ctx_create(parent, deadline);
}

kf_ctx_t *kf_ctx_with_value(kf_ctx_t *parent, const void *key, void *value)
{
	struct kf_ctx *ctx = kf_ctx_create(parent, KF_FOREVER);

	if (ctx) {
		ctx->key = key;
		ctx->value = value;
	}
	return ctx;
}

void *kf_ctx_value(kf_ctx_t *ctx, const void *key)
{
	for (; ctx->parent; ctx = ctx->parent)
		if (key && ctx->key == key)
			return ctx->value;
	return NULL;
}

/* --- its end ------------------------------------------------------------------------- */

int kf_ctx_err(kf_ctx_t *ctx)
{
	int err = atomic_load_explicit(&ctx->err, memory_order_acquire);

	if (!err && ctx->deadline != KF_FOREVER && kf_now() >= ctx->deadline)
		err = -ETIMEDOUT;
	return err;
}

bool kf_ctx_is_done(struct kf_ctx *ctx)
{
	bool done = kf_ctx_err(ctx);

	if (done && kf_is_checked())
		kf_check_acquire(ctx);
	return done;
}

uint64_t kf_ctx_sooner(struct kf_ctx *ctx, uint64_t deadline)
{
	return ctx->deadline < deadline ? ctx->deadline : deadline;
}

static void kf_member_unlink_latched(struct kf_member *m)
{
	if (!m->link)
		return;
	*m->link = m->next;
	if (m->next)
		m->next->link = m->link;
	m->link = NULL;
}

static void kf_member_link_latched(struct kf_member **first, struct kf_member *m)
{
	m->next = *first;
	if (m->next)
		m->next->link = &m->next;
	*first = m;
	m->link = first;
}

/* Return: how many are to be told now. */
static int kf_ctx_take_members(struct kf_ctx *ctx, kf_fiber_t *names)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	struct kf_worker *w = kf_latch(&ctx->queue);
	struct kf_member *m;
	int n = 0;

	while (n < KF_TELL_BATCH && (m = ctx->members)) {
		kf_member_unlink_latched(m);
		kf_member_link_latched(&ctx->told, m);
		if (d)
			kf_set_interrupt(d, m->fiber);
		names[n++] = m->fiber;
	}
	kf_unlatch(w, &ctx->queue);
	return n;
}

static void kf_ctx_tell_members(struct kf_ctx *ctx)
{
	kf_fiber_t names[KF_TELL_BATCH];
	int i, n;

	while ((n = kf_ctx_take_members(ctx, names))) {
		struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);

		for (i = 0; d && i < n; i++)
			kf_tell(d, names[i], 0);
	}
}

/* Ends one, and puts those below it into a list. */
static void kf_ctx_end(struct kf_ctx *ctx, struct kf_ctx **doomed)
{
	struct kf_worker *w = kf_latch(&ctx->queue);
	struct kf_wakes wakes;
	struct kf_ctx *child;

	kf_wakes_init(&wakes);
	if (!atomic_load_explicit(&ctx->err, memory_order_relaxed)) {
		if (kf_is_checked())
			kf_check_release(ctx);
		atomic_store_explicit(&ctx->err, kf_ctx_err(ctx) ?: -ECANCELED,
				      memory_order_release);
		kf_claim_all_latched(&ctx->queue, &wakes);
	}
	while ((child = ctx->children)) {
		kf_child_unlink_latched(child);
		if (kf_ctx_try_get(child)) {
			child->doomed = *doomed;
			*doomed = child;
		}
	}
	kf_unlatch_and_wake(w, &ctx->queue, &wakes);
	kf_ctx_tell_members(ctx);
}

int kf_ctx_cancel(kf_ctx_t *ctx)
{
	struct kf_ctx *doomed = NULL, *next;

	if (!ctx->parent)
		return -EINVAL;
	kf_ctx_end(ctx, &doomed);
	while ((next = doomed)) {
		doomed = next->doomed;
		kf_ctx_end(next, &doomed);
		kf_ctx_free(next);
	}
	return 0;
}

/*
 * The background is never done, and outlives domains: a fiber that is gone with its domain
 * must have left nothing there.
 */
static int kf_background_wait(uint64_t deadline)
{
	struct kf_waiter me;

	kf_waiter_init(&me);
	return kf_await(&me, kf_object(KF_OBJECT_CTX, &kf_background), deadline);
}

int kf_ctx_wait_until(kf_ctx_t *ctx, uint64_t deadline)
{
	struct kf_wait_queue *q = &ctx->queue;
	struct kf_waiter me;
	struct kf_place place = { .waiter = &me };
	struct kf_worker *w;
	int err;

	if (!ctx->parent)
		return kf_background_wait(deadline);
	w = kf_latch(q);
	if (kf_ctx_err(ctx)) {
		kf_unlatch(w, q);
		return 0;
	}
	kf_waiter_init(&me);
	kf_queue_last_latched(q, &place);
	kf_unlatch(w, q);
	err = kf_await(&me, kf_object(KF_OBJECT_CTX, ctx), kf_ctx_sooner(ctx, deadline));
	if (!err)
		return 0;
	w = kf_latch(q);
	kf_queue_leave_latched(q, &place);
	kf_unlatch(w, q);
	return kf_ctx_is_done(ctx) ? 0 : err;
}

int kf_ctx_wait(kf_ctx_t *ctx)
{
	return kf_ctx_wait_until(ctx, KF_FOREVER);
}

/* --- members --------------------------------------------------------------------------- */

/* Return: 0, -ENOMEM; @member is NULL for the background, which nobody ends, and no scope. */
int kf_member_create(struct kf_ctx *ctx, struct kf_scope *scope, struct kf_member **member)
{
	*member = NULL;
	if (!ctx->parent && !scope)
		return 0;
	*member = calloc(1, sizeof(**member));
	if (!*member)
		return -ENOMEM;
	(*member)->ctx = kf_ctx_get(ctx);
	(*member)->scope = scope;
	return 0;
}

/* One that is in no list. */
void kf_member_free(struct kf_member *m)
{
	if (m)
		kf_ctx_free(m->ctx);
	free(m);
}

/*
 * When the system calls of a running fiber are to end, which has a member. With a clock of the
 * domain's own it is no time of the kernel's.
 */
uint64_t kf_member_deadline(const struct kfiber_fiber_block *self)
{
	if (kf_has_test_clock(atomic_load_explicit(&kf_domain, memory_order_relaxed)))
		return KFIBER_NEVER;
	return kf_member(self)->ctx->deadline;
}

/* What the calling fiber was made with, or has made, is to be found by its context. */
void kf_member_enter(struct kfiber_fiber_block *self, kf_fiber_t name)
{
	struct kf_member *m = kf_member(self);
	struct kf_worker *w;

	if (!m || !m->ctx->parent)
		return;
	m->fiber = name;
	w = kf_latch(&m->ctx->queue);
	kf_member_link_latched(&m->ctx->members, m);
	if (atomic_load_explicit(&m->ctx->err, memory_order_relaxed))
		kf_set_interrupt(atomic_load_explicit(&kf_domain, memory_order_relaxed), name);
	kf_unlatch(w, &m->ctx->queue);
	atomic_store_explicit(kf_atomic64(&self->deadline), kf_member_deadline(self),
			      memory_order_relaxed);
}

static void kf_member_leave(struct kfiber_fiber_block *f)
{
	struct kf_member *m = kf_member(f);
	struct kf_worker *w;

	if (!m)
		return;
	w = kf_latch(&m->ctx->queue);
	kf_member_unlink_latched(m);
	kf_unlatch(w, &m->ctx->queue);
	atomic_store_explicit(kf_atomic64(&f->deadline), KFIBER_NEVER, memory_order_relaxed);
	f->value = 0;
	kf_member_free(m);
}

/**
 * kf_member_end() - take a fiber that ends, or is gone, from its context and its scope
 * @f: its block
 * @result: for its scope
 *
 * May wait, and so return on another thread.
 */
void kf_member_end(struct kfiber_fiber_block *f, int result)
{
	struct kf_member *m = kf_member(f);
	struct kf_scope *scope = m ? m->scope : NULL;

	kf_member_leave(f);
	if (scope)
		kf_scope_ended(scope, result);
}

int kf_ctx_set_current(kf_ctx_t *ctx)
{
	struct kf_worker *w = kf_fiber_worker();
	struct kfiber_fiber_block *self;
	struct kf_member *m;

	if (!w)
		return -EPERM;
	self = w->current;
	if (kf_member_create(ctx, self->value ? kf_member(self)->scope : NULL, &m))
		return -ENOMEM;
	kf_member_leave(self);
	/* No context can say any more that its calls are to end. */
	kf_clear_interrupt(self);
	self->value = (uintptr_t)m;
	kf_member_enter(self, kf_self());
	return 0;
}

kf_ctx_t *kf_ctx_current(void)
{
	struct kf_worker *w = kf_fiber_worker();
	struct kf_member *m = w ? kf_member(w->current) : NULL;

	return m ? m->ctx : &kf_background;
}
