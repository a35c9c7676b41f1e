/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fibers that were left behind: those that wait for what may never come, and a check for
 * tests that none is left over. Included by <kfiber/kfiber.h>.
 */
#ifndef KFIBER_LEAKS_H
#define KFIBER_LEAKS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * kf_leaks() - print the fibers that wait without an end
 * @fd: where to
 *
 * Those that are parked, have no deadline and do not wait for a file; and those that
 * have ended and were never joined, whose stacks are kept. For people, in no fixed form:
 * grouped by where they wait and where they were spawned, with how many there are and
 * for how long the oldest has waited. In a program that runs, most of these are well:
 * the leak is the group that grows.
 *
 * Of some it is known that they are not well, and said why. These come first:
 *
 * - the mutex is held by a fiber that has ended;
 * - the object lies on the stack of a fiber that has ended or returned from there;
 * - they join one another, or want each other's mutexes, in a circle;
 * - they wait for the end, or for a mutex, of one of these.
 *
 * Others go on meanwhile. A fiber's stack is walked while nobody can resume it;
 * a wake-up that comes then is not lost.
 *
 * Context: any fiber or plain thread while a domain runs. Not a signal handler.
 * Return: how many fibers were printed; -ESRCH (no domain runs), -ENOMEM, or why it could
 * not be written.
 */
int kf_leaks(int fd);

/** KF_LEAKS_SETTLE - kf_leaks_options.settle_ns unless it is given: 1 s, in ns */
#define KF_LEAKS_SETTLE 1000000000ull

/**
 * struct kf_leaks_options - what kf_leaks_check() lets pass
 * @size: sizeof(struct kf_leaks_options)
 * @settle_ns: how long others have to end; 0: KF_LEAKS_SETTLE
 * @ignore_names: fibers of these names; NULL or an array that ends with NULL
 * @ignore_spawners: fibers that were spawned in these functions; likewise. They are found
 *	by the program's symbols: a static function that was inlined has its caller's name
 */
struct kf_leaks_options {
	size_t size;
	uint64_t settle_ns;
	const char *const *ignore_names;
	const char *const *ignore_spawners;
};

/**
 * kf_leaks_check() - is the caller the only fiber that is left?
 * @fd: where to print those that are not ignored, if there are any after all; as
 *	kf_leaks() does, but whatever they do
 * @options: NULL or all zero for the defaults
 *
 * For the end of a test. Waits until the others have ended, parked: by sleeping, a
 * little longer each time. In a domain with KF_TEST_CLOCK that takes no time.
 *
 * Context: a fiber.
 * Return: how many are left: 0 is what a test wants; -EINVAL, -E2BIG (@options), -EPERM (a
 * plain thread), -ECANCELED, -ENOMEM, or why it could not be written.
 */
int kf_leaks_check(int fd, const struct kf_leaks_options *options);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_LEAKS_H */
