// SPDX-License-Identifier: GPL-2.0
/* Spawn, join, detach, exit, names, attributes, limits, what belongs to a fiber. */
#include <errno.h>
#include <fenv.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "parked.h"
#include "processors.h"
#include "run.h"
#include "slow.h"

static void *return_arg(void *arg)
{
	return arg;
}

static int return_seven(void *arg)
{
	return 7;
}

TEST(run_returns_the_value)
{
	ASSERT_EQ(7, kf_run(NULL, return_seven, NULL));
	/* And again: nothing is left of the first domain. */
	ASSERT_EQ(7, run(1, return_seven, NULL));
}

static int exit_with_nine(void *arg)
{
	kf_exit((void *)9);
}

TEST(exit_in_the_first_fiber_is_the_value)
{
	ASSERT_EQ(9, kf_run(NULL, exit_with_nine, NULL));
}

static int join_many(void *arg)
{
	enum { FIBERS = 5000 };
	static kf_fiber_t fibers[FIBERS];
	long i, n = slowly(FIBERS), sum = 0;
	void *value;

	for (i = 0; i < n; i++)
		if (kf_spawn(&fibers[i], NULL, return_arg, (void *)i))
			return -1;
	for (i = 0; i < n; i++) {
		if (kf_join(fibers[i], &value))
			return -2;
		sum += (long)value == i;
	}
	return sum;
}

TEST_F(processors, every_value_is_joined)
{
	ASSERT_EQ(slowly(5000), run(variant->n, join_many, NULL));
}

static atomic_int counter;

static void *count(void *arg)
{
	atomic_fetch_add(&counter, 1);
	return NULL;
}

static int detach_many(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .flags = KF_DETACHED, .name = "detached" };
	kf_fiber_t fiber;
	long i, n = slowly(3000);

	for (i = 0; i < n; i++) {
		if (kf_spawn(NULL, &attr, count, NULL))
			return -1;
		if (kf_spawn(&fiber, NULL, count, NULL) || kf_detach(fiber))
			return -2;
		if (i % 64 == 0)
			kf_yield();
	}
	return 0;
}

TEST_F(processors, run_waits_for_the_detached)
{
	ASSERT_EQ(0, run(variant->n, detach_many, NULL));
	ASSERT_EQ(2 * slowly(3000), atomic_load(&counter));
}

/* A tree: each fiber spawns two and joins them. */
static void *tree(void *arg)
{
	long depth = (long)arg;
	kf_fiber_t left, right;
	void *l, *r;

	if (!depth)
		return (void *)1;
	if (kf_spawn(&left, NULL, tree, (void *)(depth - 1)) ||
	    kf_spawn(&right, NULL, tree, (void *)(depth - 1)))
		return (void *)-1000000;
	if (kf_join(left, &l) || kf_join(right, &r))
		return (void *)-1000000;
	return (void *)((long)l + (long)r);
}

static int plant(void *arg)
{
	return (long)tree((void *)12);
}

TEST_F(processors, a_tree_of_8191_fibers)
{
	ASSERT_EQ(4096, run(variant->n, plant, NULL));
}

static void *join_other(void *arg)
{
	return (void *)(long)kf_join(*(kf_fiber_t *)arg, NULL);
}

static void *wait_for_permit(void *arg)
{
	kf_park(KF_FOREVER);
	return NULL;
}

/* Each wrong use has its error. Returns the number of the first that has not. */
static int misuse(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .flags = KF_DETACHED };
	kf_fiber_t waiting, detached, joiner, done;
	void *value;

	if (kf_join(kf_self(), NULL) != -EDEADLK)
		return 1;
	if (kf_join(0, NULL) != -ESRCH || kf_join(1ull << 32 | 0xfffffff, NULL) != -ESRCH)
		return 2;
	if (kf_unpark(0) != -ESRCH || kf_unpark(~0ull) != -ESRCH || kf_detach(5) != -ESRCH)
		return 3;
	if (kf_spawn(&detached, &attr, wait_for_permit, NULL))
		return 4;
	if (kf_join(detached, NULL) != -EINVAL || kf_detach(detached) != -EINVAL)
		return 5;
	if (kf_unpark(detached))
		return 6;
	if (kf_spawn(&waiting, NULL, wait_for_permit, NULL) ||
	    kf_spawn(&joiner, NULL, join_other, &waiting))
		return 7;
	wait_until_parked(waiting);
	wait_until_parked(joiner);
	if (kf_detach(waiting) != -EINVAL)
		return 8;
	if (kf_join(waiting, NULL) != -EINVAL)
		return 9;
	kf_unpark(waiting);
	if (kf_join(joiner, &value) || value)
		return 10;
	if (kf_join(joiner, NULL) != -ESRCH || kf_unpark(joiner) != -ESRCH)
		return 11;
	if (kf_spawn(&done, NULL, return_arg, NULL))
		return 12;
	if (kf_join(done, NULL) || kf_detach(done) != -ESRCH)
		return 13;
	if (kf_spawn(&done, NULL, NULL, NULL) != -EINVAL || kf_setname(NULL) != -EINVAL)
		return 14;
	return 0;
}

TEST(wrong_use_has_its_error)
{
	ASSERT_EQ(0, run(1, misuse, NULL));
}

static int attributes(void *arg)
{
	static const size_t bad_sizes[] = { 1, 4096, (16 << 10) - 1, (16 << 10) + 1, 3 << 16,
					    2ul << 30, ~0ul };
	struct {
		struct kf_attr attr;
		uint64_t tail;
	} longer = { .attr.size = sizeof(longer) };
	struct kf_attr attr = { .size = sizeof(attr), .flags = 0x80 };
	kf_fiber_t fiber;
	size_t i;

	if (kf_spawn(&fiber, &attr, return_arg, NULL) != -EINVAL)
		return 1;
	attr = (struct kf_attr){ .size = 4 };
	if (kf_spawn(&fiber, &attr, return_arg, NULL) != -EINVAL)
		return 2;
	for (i = 0; i < sizeof(bad_sizes) / sizeof(*bad_sizes); i++) {
		attr = (struct kf_attr){ .size = sizeof(attr), .stack_size = bad_sizes[i] };
		if (kf_spawn(&fiber, &attr, return_arg, NULL) != -EINVAL)
			return 3;
	}
	if (kf_spawn(&fiber, &longer.attr, return_arg, NULL) || kf_join(fiber, NULL))
		return 4;
	longer.tail = 1;
	if (kf_spawn(&fiber, &longer.attr, return_arg, NULL) != -E2BIG)
		return 5;
	for (i = 16 << 10; i <= 1ul << 30; i *= 2) {
		attr = (struct kf_attr){ .size = sizeof(attr), .stack_size = i };
		if (kf_spawn(&fiber, &attr, return_arg, NULL) || kf_join(fiber, NULL))
			return 6;
	}
	return 0;
}

TEST(attributes_are_checked)
{
	ASSERT_EQ(0, run(2, attributes, NULL));
}

static int too_many(void *arg)
{
	kf_fiber_t fibers[64];
	int n, i;

	for (n = 0; n < 64; n++)
		if (kf_spawn(&fibers[n], NULL, return_arg, NULL))
			break;
	if (kf_spawn(&fibers[n], NULL, return_arg, NULL) != -EAGAIN)
		return -1;
	for (i = 0; i < n; i++)
		if (kf_join(fibers[i], NULL))
			return -2;
	/* What has ended makes room. */
	if (kf_spawn(&fibers[0], NULL, return_arg, NULL) || kf_join(fibers[0], NULL))
		return -3;
	return n;
}

TEST(max_fibers_holds)
{
	struct kf_config config = { .size = sizeof(config), .processors = 1, .max_fibers = 33 };

	/* The first fiber is one of the 33. */
	ASSERT_EQ(32, kf_run(&config, too_many, NULL));
}

/* The compiler keeps errno's address; a fiber that was switched has another. */
static __attribute__((noipa)) int get_errno(void)
{
	return errno;
}

static __attribute__((noipa)) void set_errno(int value)
{
	errno = value;
}

/* errno and the rounding mode are the fiber's own, wherever it goes on. */
static void *keep_own_state(void *arg)
{
	int i, mode = (long)arg % 2 ? FE_UPWARD : FE_DOWNWARD;

	fesetround(mode);
	for (i = 0; i < 200; i++) {
		set_errno((long)arg);
		kf_yield();
		if (get_errno() != (long)arg || fegetround() != mode)
			return (void *)1;
		if (i % 50 == 0)
			kf_sleep(100000);
		if (get_errno() != (long)arg || fegetround() != mode)
			return (void *)2;
		if (i % 50 == 25)
			usleep(100);
		if (fegetround() != mode)
			return (void *)3;
	}
	return NULL;
}

static int many_states(void *arg)
{
	kf_fiber_t fibers[50];
	void *value;
	long i, bad = 0;

	for (i = 0; i < 50; i++)
		if (kf_spawn(&fibers[i], NULL, keep_own_state, (void *)(i + 1)))
			return -1;
	for (i = 0; i < 50; i++)
		bad += kf_join(fibers[i], &value) || value;
	return bad;
}

TEST_F(processors, errno_and_rounding_are_kept)
{
	ASSERT_EQ(0, run(variant->n, many_states, NULL));
}

static int names(void *arg)
{
	kf_fiber_t self = kf_self();

	if (!self || kf_setname("a name that is too long to be kept"))
		return 1;
	return kf_self() == self ? 0 : 2;
}

TEST(self_and_setname)
{
	ASSERT_EQ(0, kf_self());
	ASSERT_EQ(-EPERM, kf_setname("x"));
	ASSERT_EQ(0, kf_run(NULL, names, NULL));
	ASSERT_EQ(0, kf_self());
}

/* Ended fibers' blocks and stacks are used again, without new pages. */
static int reuse(void *arg)
{
	struct kf_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	uint64_t i, n = (uint64_t)slowly(10000);
	kf_fiber_t fiber;

	for (i = 0; i < 100; i++)
		if (kf_spawn(&fiber, NULL, return_arg, NULL) || kf_join(fiber, NULL))
			return -1;
	kf_stats(&before);
	for (i = 0; i < n; i++)
		if (kf_spawn(&fiber, NULL, return_arg, NULL) || kf_join(fiber, NULL))
			return -2;
	kf_stats(&after);
	if (after.fibers_spawned != before.fibers_spawned + n)
		return -3;
	if (after.fibers_allocated != before.fibers_allocated)
		return -4;
	return after.stack_faults - before.stack_faults;
}

TEST(spawn_and_join_reuse_warm_stacks)
{
	ASSERT_EQ(0, run(1, reuse, NULL));
}

TEST_HARNESS_MAIN
