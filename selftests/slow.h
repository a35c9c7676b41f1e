/* SPDX-License-Identifier: GPL-2.0 */
/* How often, and how many: on a kernel that checks everything less has to do. */
#ifndef KF_SELFTESTS_SLOW_H
#define KF_SELFTESTS_SLOW_H

#include <stdlib.h>

/*
 * @n, divided by KFIBER_SLOW if that is set, as selftests/run_kselftest.sh does on
 * kernels other than 6.12; not for what a test is about.
 */
static inline long slowly(long n)
{
	const char *slow = getenv("KFIBER_SLOW");
	long divisor = slow ? strtol(slow, NULL, 10) : 1;

	return divisor > 1 ? (n + divisor - 1) / divisor : n;
}

#endif /* KF_SELFTESTS_SLOW_H */
