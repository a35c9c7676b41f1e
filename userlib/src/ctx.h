/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Contexts, as those see them who wait, spawn and end; ctx.c says how they work. */
#ifndef KF_CTX_H
#define KF_CTX_H

#include "internal.h"

struct kf_ctx;
struct kf_scope;

/**
 * struct kf_member - a fiber, as the context sees it that it is under
 * @ctx: the context; it is held
 * @scope: that it belongs to, until it has ended; or NULL
 * @fiber: its name
 * @next: the next member; guarded by the context's latch, as is @link
 * @link: what points here; NULL while it is in no list
 */
struct kf_member {
	struct kf_ctx *ctx;
	struct kf_scope *scope;
	kf_fiber_t fiber;
	struct kf_member *next;
	struct kf_member **link;
};

/* While a fiber lives "value" in its block is where it is a member, or 0. */
static inline struct kf_member *kf_member(const struct kfiber_fiber_block *f)
{
	return (struct kf_member *)(uintptr_t)f->value;
}

bool kf_ctx_is_done(struct kf_ctx *ctx);
uint64_t kf_ctx_sooner(struct kf_ctx *ctx, uint64_t deadline);
uint64_t kf_member_deadline(const struct kfiber_fiber_block *self);
int kf_member_create(struct kf_ctx *ctx, struct kf_scope *scope, struct kf_member **member);
void kf_member_enter(struct kfiber_fiber_block *self, kf_fiber_t name);
void kf_member_end(struct kfiber_fiber_block *f, int result);
void kf_member_free(struct kf_member *m);

/* fiber.c */
int kf_spawn_under(kf_fiber_t *out, const struct kf_attr *attr, void *(*fn)(void *), void *arg,
		   struct kf_ctx *ctx, struct kf_scope *scope, uintptr_t site);

/* scope.c */
void kf_scope_ended(struct kf_scope *s, int result);

/* Is the calling fiber, whose word that is, or its context cancelled, and is it not masked? */
static inline bool kf_is_cancelled(const struct kfiber_fiber_block *self, uint64_t word)
{
	if (__builtin_expect(!(word & KFIBER_CANCELLED) && !self->value, 1) || self->masked)
		return false;
	return word & KFIBER_CANCELLED || kf_ctx_is_done(kf_member(self)->ctx);
}

#endif /* KF_CTX_H */
