/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Locks and the like, for fibers and plain threads in any mixture.
 *
 * All are made by their initialiser, or by being all zero; nothing is allocated and
 * nothing has to be destroyed. Memory that an object lies in may be freed as soon as
 * nobody needs the object any more: right after the unlock or the wait that shows it.
 * Calls of others that have done their part do not touch it.
 *
 * They belong to one process: not to be shared with another, not to be copied, and
 * after a fork the child may use only those that nobody waited for or held.
 *
 * A fiber waits parked, without a thread; a plain thread waits in the kernel (by
 * futex). Calls that need not wait make no system call. Those that wake make one
 * only if an idle processor or a plain thread has to be told.
 *
 * Deadlines are absolute nanoseconds of CLOCK_MONOTONIC: kf_after(), KF_FOREVER. What
 * can be had at once is given even when the deadline has passed. Those that have no
 * deadline wait for ever. Signal handlers may call none of these.
 *
 * Every wait of a fiber also ends with -ECANCELED, which is not said again below, when the
 * fiber is cancelled (<kfiber/cancel.h>): then the caller has nothing to give back.
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
	uint32_t holder;
	struct kf_wait_queue queue;
} kf_mutex_t;

#define KF_MUTEX_INIT { 0, 0, KF_WAIT_QUEUE_INIT }

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

/**
 * typedef kf_rwlock_t - a lock for many readers at once, or one writer
 *
 * In the order in which they came: who waits lets nobody pass but those who came
 * before, so neither readers nor writers starve. So who reads must not ask to read
 * again: a writer may have come in between, and wait for the first.
 */
typedef struct kf_rwlock {
	uint32_t word;
	struct kf_wait_queue queue;
} kf_rwlock_t;

#define KF_RWLOCK_INIT { 0, KF_WAIT_QUEUE_INIT }

/**
 * kf_rwlock_rdlock() - come in to read
 * @l: the lock
 *
 * Return: 0.
 */
int kf_rwlock_rdlock(kf_rwlock_t *l);

/**
 * kf_rwlock_tryrdlock() - come in to read, if nobody is in the way
 * @l: the lock
 *
 * Return: 0, -EBUSY.
 */
int kf_rwlock_tryrdlock(kf_rwlock_t *l);

/**
 * kf_rwlock_rdlock_until() - come in to read before a deadline
 * @l: the lock
 * @deadline: absolute, or KF_FOREVER
 *
 * Return: 0, -ETIMEDOUT.
 */
int kf_rwlock_rdlock_until(kf_rwlock_t *l, uint64_t deadline);

/**
 * kf_rwlock_wrlock() - come in to write
 * @l: the lock
 *
 * Return: 0.
 */
int kf_rwlock_wrlock(kf_rwlock_t *l);

/**
 * kf_rwlock_trywrlock() - come in to write, if nobody is in the way
 * @l: the lock
 *
 * Return: 0, -EBUSY.
 */
int kf_rwlock_trywrlock(kf_rwlock_t *l);

/**
 * kf_rwlock_wrlock_until() - come in to write before a deadline
 * @l: the lock
 * @deadline: absolute, or KF_FOREVER
 *
 * Return: 0, -ETIMEDOUT.
 */
int kf_rwlock_wrlock_until(kf_rwlock_t *l, uint64_t deadline);

/**
 * kf_rwlock_unlock() - go, whatever one came in for
 * @l: the lock
 *
 * Return: 0, -EPERM (nobody is in).
 */
int kf_rwlock_unlock(kf_rwlock_t *l);

/**
 * typedef kf_waitgroup_t - a count of what is still to be done
 *
 * Add before what is counted begins, so in general before kf_spawn().
 */
typedef struct kf_waitgroup {
	uint32_t word;
	struct kf_wait_queue queue;
} kf_waitgroup_t;

#define KF_WAITGROUP_INIT { 0, KF_WAIT_QUEUE_INIT }

/**
 * kf_waitgroup_add() - count up, or down
 * @g: the wait group
 * @n: by how much
 *
 * At 0 all waits end. Those that begin afterwards wait for what is added then.
 *
 * Return: 0; -EINVAL (more was done than there was), -EOVERFLOW (2^31): then the
 * count is as it was.
 */
int kf_waitgroup_add(kf_waitgroup_t *g, int n);

/**
 * kf_waitgroup_done() - count one down
 * @g: the wait group
 *
 * Return: 0, -EINVAL (it was 0).
 */
int kf_waitgroup_done(kf_waitgroup_t *g);

/**
 * kf_waitgroup_wait() - wait until the count is 0
 * @g: the wait group
 *
 * Return: 0.
 */
int kf_waitgroup_wait(kf_waitgroup_t *g);

/**
 * kf_waitgroup_wait_until() - the same, until a deadline
 * @g: the wait group
 * @deadline: absolute, or KF_FOREVER
 *
 * Return: 0, -ETIMEDOUT.
 */
int kf_waitgroup_wait_until(kf_waitgroup_t *g, uint64_t deadline);

/**
 * typedef kf_once_t - what is done by the first who comes
 */
typedef struct kf_once {
	uint32_t word;
	uint64_t runner;
	struct kf_wait_queue queue;
} kf_once_t;

#define KF_ONCE_INIT { 0, 0, KF_WAIT_QUEUE_INIT }

/**
 * kf_once() - see to it that a function has been called, once
 * @o: which time this is
 * @fn: the function
 *
 * Who comes while it runs waits until it has returned. If its fiber ends in it, by
 * kf_exit() or a fault, they wait for ever.
 *
 * Return: 0; -EDEADLK (called by @fn itself), -EINVAL (no function).
 */
int kf_once(kf_once_t *o, void (*fn)(void));

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_SYNC_H */
