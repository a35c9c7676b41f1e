/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Scopes: fibers that belong together, and end before the one that made them goes on
 * (structured concurrency). The first that fails cancels the others::
 *
 *	kf_scope_t scope;
 *
 *	err = kf_scope_init(&scope);
 *	if (err)
 *		return err;
 *	err = kf_scope_spawn(&scope, NULL, fetch, &one);
 *	if (!err)
 *		err = kf_scope_spawn(&scope, NULL, fetch, &two);
 *	if (err)
 *		kf_scope_cancel(&scope);
 *	return kf_scope_wait(&scope) ?: err;
 */
#ifndef KFIBER_SCOPE_H
#define KFIBER_SCOPE_H

#include <kfiber/ctx.h>
#include <kfiber/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

struct kf_attr;

/**
 * typedef kf_scope_t - a scope
 *
 * A variable of the function that waits for its end. What is in it is the library's own.
 */
typedef struct kf_scope {
	kf_ctx_t *ctx;
	kf_waitgroup_t group;
	int failure;
} kf_scope_t;

/**
 * kf_scope_init() - open a scope
 * @s: the scope; kf_scope_wait() closes it
 *
 * Its fibers are under a context of its own, below the caller's current one.
 *
 * Return: 0, -ENOMEM, -EPERM.
 */
int kf_scope_init(kf_scope_t *s);

/**
 * kf_scope_spawn() - make a fiber that belongs to a scope
 * @s: the scope: the caller's own, or one that the caller belongs to
 * @attr: NULL or all zero for the defaults
 * @fn: its function; a negative result is a failure, as of all functions here
 * @arg: the function's argument
 *
 * Nobody joins it. A fault that is contained is a failure, -EFAULT; what a fiber hands to
 * kf_exit() is taken for an int. Do not end the thread under it: then its end is not seen.
 *
 * Return: as kf_spawn().
 */
int kf_scope_spawn(kf_scope_t *s, const struct kf_attr *attr, int (*fn)(void *), void *arg);

/**
 * kf_scope_cancel() - end a scope early
 * @s: the scope: the caller's own, or one that the caller belongs to
 *
 * Its fibers are cancelled, those that are spawned from now on as well.
 *
 * Return: 0.
 */
int kf_scope_cancel(kf_scope_t *s);

/**
 * kf_scope_wait() - wait until all fibers of a scope have ended, and close it
 * @s: the caller's own
 *
 * If the caller is cancelled, so is the scope, and it is waited for all the same.
 *
 * Return: 0; what the first failure was: the negative result of a fiber, or -ECANCELED
 * because the caller was cancelled.
 */
int kf_scope_wait(kf_scope_t *s);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_SCOPE_H */
