/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's harness, for machines that are emulated and shared: what takes a second
 * may take many, and half a minute is no proof that a test hangs.
 */
#ifndef KF_SELFTESTS_HARNESS_H
#define KF_SELFTESTS_HARNESS_H

#include "kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 120

#endif /* KF_SELFTESTS_HARNESS_H */
