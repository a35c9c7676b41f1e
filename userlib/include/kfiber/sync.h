/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks and the like, for fibers and plain threads in any mixture.
 *
 * All are made by their initialiser, or by being all zero; nothing is allocated and
 * nothing has to be destroyed. Memory that an object lies in may be freed as soon
 * as no call of it goes on or will be made: right after the unlock, the wait or the
 * post that tells its caller so. They belong to one process: not to be shared with
 * another, not to be copied, and after a fork the child may use only those that
 * nobody waited for or held.
 *
 * A fiber waits parked, without a thread; a plain thread waits in the kernel (by
 * futex). Calls that need not wait make no system call. Those that wake make one
 * only if an idle processor or a plain thread has to be told.
 *
 * Deadlines are absolute nanoseconds of CLOCK_MONOTONIC: kf_after(), KF_FOREVER. What
 * can be had at once is given even when the deadline has passed. Those that have no
 * deadline wait for ever. Signal handlers may call none of these.
 */
#ifndef KFIBER_SYNC_H
#define KFIBER_SYNC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/*
 * Who waits, in their order. What is in here and in the objects is the library's
 * own, and there only to give them a size.
 */
struct kf_wait_queue {
	uintptr_t latch;
	void *first;
	void *last;
};

#define KF_WAIT_QUEUE_INIT { 0, NULL, NULL }

/**
 * typedef kf_mutex_t - a lock that one at a time has
 *
 * It belongs to nobody in particular: another fiber or thread may unlock it. It does
 * not nest. Who runs and asks gets it before those who have to be woken first, which
 * is what makes it fast; but who has waited for 1 ms is handed it by the next unlock.
 */
typedef struct kf_mutex {
	uint32_t word;
	struct kf_wait_queue queue;
} kf_mutex_t;

#define KF_MUTEX_INIT { 0, KF_WAIT_QUEUE_INIT }

/**
 * kf_mutex_lock() - take a mutex
 * @m: the mutex
 *
 * Return: 0.
 */
int kf_mutex_lock(kf_mutex_t *m);

/**
 * kf_mutex_trylock() - take a mutex that is free
 * @m: the mutex
 *
 * Return: 0, -EBUSY.
 */
int kf_mutex_trylock(kf_mutex_t *m);

/**
 * kf_mutex_lock_until() - take a mutex before a deadline
 * @m: the mutex
 * @deadline: absolute, or KF_FOREVER
 *
 * Return: 0, -ETIMEDOUT.
 */
int kf_mutex_lock_until(kf_mutex_t *m, uint64_t deadline);

/**
 * kf_mutex_unlock() - give a mutex back
 * @m: a mutex that is locked
 *
 * Return: 0, -EPERM (it is not locked).
 */
int kf_mutex_unlock(kf_mutex_t *m);

/**
 * typedef kf_cond_t - a place to wait until something has changed
 */
typedef struct kf_cond {
	struct kf_wait_queue queue;
} kf_cond_t;

#define KF_COND_INIT { KF_WAIT_QUEUE_INIT }

/**
 * kf_cond_wait() - unlock a mutex, wait for a signal, lock the mutex
 * @c: the condition
 * @m: a mutex that the caller has locked
 *
 * Between the unlock and the wait no signal is missed by one who had locked @m in
 * between. There are no spurious wake-ups, but others may have locked @m first, so
 * what was waited for should be looked at again.
 *
 * Return: 0; -EPERM (@m is not locked; nothing was done).
 */
int kf_cond_wait(kf_cond_t *c, kf_mutex_t *m);

/**
 * kf_cond_wait_until() - the same, until a deadline
 * @c: the condition
 * @m: a mutex that the caller has locked
 * @deadline: absolute, or KF_FOREVER
 *
 * Return: 0, -ETIMEDOUT, both with @m locked; -EPERM.
 */
int kf_cond_wait_until(kf_cond_t *c, kf_mutex_t *m, uint64_t deadline);

/**
 * kf_cond_signal() - wake the one that has waited longest
 * @c: the condition
 *
 * Return: 0.
 */
int kf_cond_signal(kf_cond_t *c);

/**
 * kf_cond_broadcast() - wake all that wait
 * @c: the condition
 *
 * Return: 0.
 */
int kf_cond_broadcast(kf_cond_t *c);

/**
 * typedef kf_sem_t - a number of units, which are taken and given back
 *
 * Who waits gets the next unit that is posted, in the order of waiting.
 */
typedef struct kf_sem {
	uint32_t word;
	struct kf_wait_queue queue;
} kf_sem_t;

/** KF_SEM_MAX - the most units that a semaphore can have */
#define KF_SEM_MAX 0x7fffffffu

#define KF_SEM_INIT(n) { (n), KF_WAIT_QUEUE_INIT }

/**
 * kf_sem_wait() - take a unit
 * @s: the semaphore
 *
 * Return: 0.
 */
int kf_sem_wait(kf_sem_t *s);

/**
 * kf_sem_trywait() - take a unit if there is one
 * @s: the semaphore
 *
 * Return: 0, -EAGAIN.
 */
int kf_sem_trywait(kf_sem_t *s);

/**
 * kf_sem_wait_until() - take a unit before a deadline
 * @s: the semaphore
 * @deadline: absolute, or KF_FOREVER
 *
 * Return: 0, -ETIMEDOUT.
 */
int kf_sem_wait_until(kf_sem_t *s, uint64_t deadline);

/**
 * kf_sem_post() - give a unit
 * @s: the semaphore
 *
 * Return: 0, -EOVERFLOW (it has KF_SEM_MAX).
 */
int kf_sem_post(kf_sem_t *s);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_SYNC_H */
