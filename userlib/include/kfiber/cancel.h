/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cancelling: a fiber is told that what it does is not needed any more.
 *
 * It is told once, and that stays. From then on each of its calls that would have to
 * wait ends with -ECANCELED instead, until the fiber has ended: it returns from function
 * to function, cleaning up behind it, as after any other error. A call that need not wait
 * does what it ever does, and one that was given something before it was cancelled (a lock,
 * a value from a channel, a permit) returns with it; then the next wait ends. What
 * computes is left alone, and may ask kf_cancelled(). A system call that blocks, or is made
 * later and begins to, ends with EINTR, as by a signal.
 *
 * Cleanup code that has to wait itself masks this: kf_cancel_disable().
 *
 * Waiting for a lock can be cancelled too. So look at what kf_mutex_lock() returns, or
 * mask it. kf_cond_wait() returns -ECANCELED with the mutex locked. Plain threads are not
 * cancelled.
 */
#ifndef KFIBER_CANCEL_H
#define KFIBER_CANCEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * typedef kf_fiber_t - the name of a fiber
 *
 * A generation and an index: the name of a fiber that has ended is never the
 * name of another one (until 2^32 fibers have used the same index). 0 is no
 * fiber.
 */
typedef uint64_t kf_fiber_t;

/**
 * kf_cancel() - tell a fiber that it is not needed any more
 * @fiber: any fiber of this process, oneself included
 *
 * Does not wait until it has ended: that is what kf_join() is for. What the caller wrote
 * before is seen by the fiber when a call has returned -ECANCELED. To cancel a fiber
 * twice changes nothing.
 *
 * Context: any fiber, plain thread or signal handler of the process.
 * Return: 0 (also when it was cancelled before), -ESRCH (it has ended).
 */
int kf_cancel(kf_fiber_t fiber);

/**
 * kf_cancelled() - is the calling fiber cancelled?
 *
 * For loops that compute. Costs a load or two.
 *
 * Return: 1 if a call that has to wait would end with -ECANCELED; 0 if not, while that
 * is disabled, and in a plain thread.
 */
int kf_cancelled(void);

/**
 * kf_cancel_disable() - let the calling fiber wait, and block, even if it is cancelled
 *
 * For code that must not be cut short: that cleans up, or puts in order again what
 * others use. Nests. What has been cancelled, or is while this lasts, is so afterwards.
 *
 * Return: 0, -EPERM (a plain thread).
 */
int kf_cancel_disable(void);

/**
 * kf_cancel_enable() - end what the last kf_cancel_disable() began
 *
 * Return: 0, -EINVAL (it is not disabled), -EPERM.
 */
int kf_cancel_enable(void);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_CANCEL_H */
