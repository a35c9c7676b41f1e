/* SPDX-License-Identifier: GPL-2.0 */
/* To show that a stretch of code makes no system call. */
#ifndef KF_SELFTESTS_SYSCALLS_H
#define KF_SELFTESTS_SYSCALLS_H

#include <sys/mman.h>
#include <sys/prctl.h>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif
#define DISPATCH_OFF 0
#define DISPATCH_ON 1

static volatile char dispatch_selector;

/*
 * From now on each system call of this thread is a SIGSYS, which ends the test. A page
 * of this program that has to be read blocks, and that is a call of the library's:
 * mlockall() first.
 */
static inline int forbid_system_calls(int forbid)
{
	if (!forbid) {
		dispatch_selector = 0;
		return prctl(PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_OFF, 0, 0, 0);
	}
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_ON, 0, 0, &dispatch_selector))
		return -1;
	dispatch_selector = 1;
	return 0;
}

/* Until all have their stacks and the spare thread, which makes calls too, sleeps. */
static inline void wait_for_spare(void)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	do {
		kf_yield();
		kf_stats(&stats);
	} while (!stats.spares);
}

#endif /* KF_SELFTESTS_SYSCALLS_H */
