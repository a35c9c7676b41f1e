/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Contexts: what belongs to one task, over all its fibers: until when it makes sense,
 * whether it does still, and what everybody in it has to know.
 *
 * They are a tree. To cancel one is to cancel all below it; a deadline and the values hold
 * below it as well. A fiber has one context at a time, its current one, which the fibers
 * that it spawns begin with. When that is done (cancelled, or its deadline has come) the
 * fiber's waits end with -ECANCELED, as if by kf_cancel(), and kf_cancel_disable() masks
 * both; kf_ctx_err() tells which it was. Unlike a cancelled fiber, one with another context
 * can wait again.
 *
 * A context is there for as long as somebody holds it: who made it, until kf_ctx_free(); the
 * fibers whose current one it is; the contexts below it. So it can be freed right after it
 * was handed to a fiber. To free is not to cancel.
 *
 * Nothing of this needs a thread or a timer of its own: a deadline is one more that a wait
 * has. Without contexts it costs a load for each wait.
 */
#ifndef KFIBER_CTX_H
#define KFIBER_CTX_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/** typedef kf_ctx_t - a context */
typedef struct kf_ctx kf_ctx_t;

/**
 * kf_ctx_background() - the root of all contexts
 *
 * Is never done, and need not be freed. Fibers that nobody gave another have this one.
 *
 * Context: any.
 * Return: it.
 */
kf_ctx_t *kf_ctx_background(void);

/**
 * kf_ctx_with_cancel() - make a context that can be cancelled
 * @parent: below which
 *
 * Context: any fiber or plain thread.
 * Return: the context, NULL when memory is short. It is the caller's to free.
 */
kf_ctx_t *kf_ctx_with_cancel(kf_ctx_t *parent);

/**
 * kf_ctx_with_deadline() - make a context that is done at a deadline, or before
 * @parent: below which; its deadline holds too
 * @deadline: absolute, or KF_FOREVER
 *
 * The deadline ends waits of this library; a system call that blocks it leaves alone.
 *
 * Context: any fiber or plain thread.
 * Return: the context, NULL when memory is short. It is the caller's to free.
 */
kf_ctx_t *kf_ctx_with_deadline(kf_ctx_t *parent, uint64_t deadline);

/**
 * kf_ctx_with_value() - make a context that has a value
 * @parent: below which
 * @key: an address that stands for what the value is: of a variable of the caller's
 * @value: the caller's, which has to stay for as long as the context
 *
 * Context: any fiber or plain thread.
 * Return: the context, NULL when memory is short. It is the caller's to free.
 */
kf_ctx_t *kf_ctx_with_value(kf_ctx_t *parent, const void *key, void *value);

/**
 * kf_ctx_value() - look a value up
 * @ctx: the context
 * @key: its key
 *
 * Return: of @ctx, or of the nearest above it that has one; NULL if none has.
 */
void *kf_ctx_value(kf_ctx_t *ctx, const void *key);

/**
 * kf_ctx_cancel() - end a context, and all below it
 * @ctx: the context
 *
 * To cancel twice, or one whose deadline has come, changes nothing.
 *
 * Context: any fiber or plain thread.
 * Return: 0, -EINVAL (the background).
 */
int kf_ctx_cancel(kf_ctx_t *ctx);

/**
 * kf_ctx_err() - is a context done, and why?
 * @ctx: the context
 *
 * Context: any.
 * Return: 0 (it is not), -ECANCELED, -ETIMEDOUT; what it was first, for ever.
 */
int kf_ctx_err(kf_ctx_t *ctx);

/**
 * kf_ctx_wait() - wait until a context is done
 * @ctx: the context
 *
 * Context: any fiber or plain thread.
 * Return: 0 when it is; -ECANCELED (the caller was cancelled before).
 */
int kf_ctx_wait(kf_ctx_t *ctx);

/**
 * kf_ctx_wait_until() - the same, until a deadline
 * @ctx: the context
 * @deadline: absolute, or KF_FOREVER
 *
 * Context: any fiber or plain thread.
 * Return: 0, -ECANCELED, -ETIMEDOUT (@deadline has come, the context's own has not).
 */
int kf_ctx_wait_until(kf_ctx_t *ctx, uint64_t deadline);

/**
 * kf_ctx_set_current() - put the calling fiber under a context
 * @ctx: the context
 *
 * Until it sets another one, or ends. To return to the one it had, hold that meanwhile:
 * kf_ctx_get(kf_ctx_current()).
 *
 * Return: 0, -ENOMEM, -EPERM (a plain thread).
 */
int kf_ctx_set_current(kf_ctx_t *ctx);

/**
 * kf_ctx_current() - the context that the calling fiber is under
 *
 * Return: the context, the background in a plain thread. It is there for as long as it is
 * the current one, and not the caller's to free.
 */
kf_ctx_t *kf_ctx_current(void);

/**
 * kf_ctx_get() - hold a context
 * @ctx: one that is there
 *
 * Context: any.
 * Return: @ctx, once more to be freed.
 */
kf_ctx_t *kf_ctx_get(kf_ctx_t *ctx);

/**
 * kf_ctx_free() - hold a context no longer
 * @ctx: what the caller has made or got; NULL and the background are left alone
 *
 * Context: any fiber or plain thread.
 */
void kf_ctx_free(kf_ctx_t *ctx);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_CTX_H */
