/* SPDX-License-Identifier: GPL-2.0 */
/* The fixture of tests that are run with several numbers of processors. */
#ifndef KF_SELFTESTS_PROCESSORS_H
#define KF_SELFTESTS_PROCESSORS_H

#include "harness.h"

FIXTURE(processors)
{
};

FIXTURE_VARIANT(processors)
{
	unsigned int n;
};

FIXTURE_VARIANT_ADD(processors, one)
{
	.n = 1,
};

FIXTURE_VARIANT_ADD(processors, two)
{
	.n = 2,
};

FIXTURE_VARIANT_ADD(processors, more_than_cpus)
{
	.n = 7,
};

FIXTURE_SETUP(processors)
{
}

FIXTURE_TEARDOWN(processors)
{
}

#endif /* KF_SELFTESTS_PROCESSORS_H */
