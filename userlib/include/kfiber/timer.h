/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Times to wait for: a timer comes once, a ticker again and again.
 *
 * Both belong to the fiber that starts them, which alone may wait. They are nothing but
 * a deadline in its memory: no thread, no descriptor, no timer in the kernel but the one
 * that the fiber has anyway. So they end with their owner, and nothing is left of one
 * that was never stopped. Others may stop them, which ends a wait.
 *
 * To start one is what makes it: its memory may hold anything before, and belongs to
 * the caller again when nobody waits for it or stops it any more.
 */
#ifndef KFIBER_TIMER_H
#define KFIBER_TIMER_H

#include <kfiber/sync.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/* What is in here is the library's own, and there only to give it a size. */
struct kf_alarm {
	uint64_t owner;
	uint64_t deadline;
	struct kf_wait_queue queue;
	uint32_t runs;
};

/**
 * typedef kf_ticker_t - a time that comes again and again
 */
typedef struct kf_ticker {
	struct kf_alarm alarm;
	uint64_t period;
} kf_ticker_t;

/**
 * kf_ticker_start() - let a ticker run
 * @t: the ticker; one that the caller has running, and nobody stops just now, begins anew
 * @period_ns: nanoseconds from now to the first tick, and from each to the next
 *
 * Return: 0, -EINVAL (a period of 0), -EPERM.
 */
int kf_ticker_start(kf_ticker_t *t, uint64_t period_ns);

/**
 * kf_ticker_wait() - wait for a tick
 * @t: a ticker that the caller has started
 *
 * Ticks are at whole periods from the start, however late those who wait for them
 * are: nothing drifts. One that has come already is taken at once, but only the last:
 * those before it are dropped, and counted.
 *
 * Return: how many ticks were dropped, 0 when the caller keeps up; -EPIPE (it was
 * stopped), -ECANCELED, -EPERM (another's, or never started).
 */
int kf_ticker_wait(kf_ticker_t *t);

/**
 * kf_ticker_stop() - let there be no more ticks
 * @t: a ticker that was started; stopping twice is harmless
 *
 * Context: any fiber or plain thread.
 * Return: 0.
 */
int kf_ticker_stop(kf_ticker_t *t);

/**
 * typedef kf_timer_t - a time that comes once
 */
typedef struct kf_timer {
	struct kf_alarm alarm;
} kf_timer_t;

/**
 * kf_timer_start() - let a timer run
 * @t: the timer; one that the caller has running, and nobody stops just now, begins anew
 * @ns: nanoseconds from now
 *
 * Return: 0, -EPERM.
 */
int kf_timer_start(kf_timer_t *t, uint64_t ns);

/**
 * kf_timer_wait() - wait for a timer
 * @t: a timer that the caller has started
 *
 * Return: 0, once for each start; then, and when it was stopped, -EPIPE; -ECANCELED, -EPERM
 * (another's, or never started).
 */
int kf_timer_wait(kf_timer_t *t);

/**
 * kf_timer_stop() - let it not come
 * @t: a timer that was started; stopping twice, or too late, is harmless
 *
 * Context: any fiber or plain thread.
 * Return: 0.
 */
int kf_timer_stop(kf_timer_t *t);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_TIMER_H */
