// SPDX-License-Identifier: GPL-2.0
/*
 * Containment and the C library, in a program that has it as a library: nothing
 * is contained beneath a function of libc's, which may hold a lock.
 */
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <search.h>
#include <signal.h>
#include <stdint.h>

#include "harness.h"
#include "death.h"

static int *volatile nowhere;
static const char *volatile no_string = (const char *)1;

static KEPT void fault(void)
{
	*nowhere = 1;
}

static int faulty_compare(const void *a, const void *b)
{
	fault();
	return 0;
}

static void *sorting_fiber(void *arg)
{
	int numbers[] = { 2, 1 };

	qsort(numbers, 2, sizeof(numbers[0]), faulty_compare);
	return NULL;
}

static void *once_fiber(void *arg)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fault);
	return NULL;
}

/* The stream is locked while the string is looked at. */
static void *printing_fiber(void *arg)
{
	fprintf(stdout, "%s", no_string);
	return NULL;
}

static void *volatile kept;

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winfinite-recursion"

/* What malloc() calls goes deeper than one step of this. */
static KEPT int recurse_allocating(void)
{
	volatile int depth = 0;

	kept = malloc(2000);
	depth += recurse_allocating();
	return depth;
}

#pragma GCC diagnostic pop

static void *allocating_fiber(void *arg)
{
	return (void *)(long)recurse_allocating();
}

static void *plain_fiber(void *arg)
{
	fault();
	return NULL;
}

/* Innermost, and holding nothing. */
static void *measuring_fiber(void *arg)
{
	volatile size_t length = strlen(no_string);

	return (void *)length;
}

static void *copying_fiber(void *arg)
{
	char bytes[300] = { 0 };

	memcpy(nowhere, bytes, sizeof(bytes));
	return NULL;
}

static int first(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .flags = KF_CONTAIN_FAULTS };
	kf_fiber_t fiber;

	if (kf_spawn(&fiber, &attr, *(void *(**)(void *))arg, NULL))
		return 1;
	return kf_join(fiber, NULL) == -EFAULT ? 0 : 2;
}

static int start(void *fn)
{
	return run(2, first, fn);
}

FIXTURE(libc)
{
};

FIXTURE_VARIANT(libc)
{
	void *(*fn)(void *);
	const char *refused;
	const char *function;
};

FIXTURE_VARIANT_ADD(libc, calls_back)
{
	.fn = sorting_fiber, .refused = "the C library may hold a lock", .function = "qsort",
};

FIXTURE_VARIANT_ADD(libc, calls_once)
{
	.fn = once_fiber, .refused = "the C library may hold a lock", .function = "once_fiber",
};

FIXTURE_VARIANT_ADD(libc, holds_a_stream)
{
	.fn = printing_fiber, .refused = "the C library may hold a lock",
	.function = "printing_fiber",
};

FIXTURE_VARIANT_ADD(libc, holds_the_heap)
{
	.fn = allocating_fiber, .refused = "the heap may be locked",
	.function = "recurse_allocating",
};

FIXTURE_VARIANT_ADD(libc, is_not_there)
{
	.fn = plain_fiber, .function = "plain_fiber",
};

FIXTURE_VARIANT_ADD(libc, is_innermost)
{
	.fn = measuring_fiber, .function = "measuring_fiber",
};

FIXTURE_VARIANT_ADD(libc, is_innermost_and_writes)
{
	.fn = copying_fiber, .function = "copying_fiber",
};

FIXTURE_SETUP(libc)
{
}

FIXTURE_TEARDOWN(libc)
{
}

TEST_F(libc, faults)
{
	struct death death;

	die(&death, start, (void *)&variant->fn);
	if (variant->refused) {
		ASSERT_KILLED(&death, SIGSEGV);
		ASSERT_SAID(&death, "it cannot be contained: ");
		ASSERT_SAID(&death, variant->refused);
	} else {
		ASSERT_EXITED(&death);
		ASSERT_SAID(&death, "contained: fiber 0x");
	}
	ASSERT_SAID(&death, variant->function);
}

TEST_HARNESS_MAIN
