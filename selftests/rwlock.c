// SPDX-License-Identifier: GPL-2.0
/* kf_rwlock_t: readers together, writers alone, and neither waits for ever. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "harness.h"
#include "mixed.h"
#include "processors.h"
#include "syscalls.h"

static bool is_fresh(const kf_rwlock_t *l)
{
	return !l->word && is_unused(&l->queue);
}

TEST(misuse_is_refused)
{
	kf_rwlock_t l = KF_RWLOCK_INIT;

	ASSERT_EQ(-EPERM, kf_rwlock_unlock(&l));
	ASSERT_EQ(0, kf_rwlock_rdlock(&l));
	ASSERT_EQ(0, kf_rwlock_tryrdlock(&l));
	ASSERT_EQ(-EBUSY, kf_rwlock_trywrlock(&l));
	ASSERT_EQ(0, kf_rwlock_unlock(&l));
	ASSERT_EQ(0, kf_rwlock_unlock(&l));
	ASSERT_EQ(-EPERM, kf_rwlock_unlock(&l));
	ASSERT_EQ(0, kf_rwlock_wrlock(&l));
	ASSERT_EQ(-EBUSY, kf_rwlock_trywrlock(&l));
	ASSERT_EQ(-EBUSY, kf_rwlock_tryrdlock(&l));
	ASSERT_EQ(0, kf_rwlock_unlock(&l));
	ASSERT_EQ(-EPERM, kf_rwlock_unlock(&l));
	ASSERT_TRUE(is_fresh(&l));
}

TEST(plain_threads_need_no_domain)
{
	kf_rwlock_t l = KF_RWLOCK_INIT;

	ASSERT_EQ(0, kf_rwlock_rdlock_until(&l, 0));
	ASSERT_EQ(-ETIMEDOUT, kf_rwlock_wrlock_until(&l, kf_after(2 * MS)));
	ASSERT_EQ(0, kf_rwlock_rdlock_until(&l, 0));
	ASSERT_EQ(0, kf_rwlock_unlock(&l));
	ASSERT_EQ(0, kf_rwlock_unlock(&l));
	ASSERT_EQ(0, kf_rwlock_wrlock_until(&l, 0));
	ASSERT_EQ(-ETIMEDOUT, kf_rwlock_rdlock_until(&l, kf_after(2 * MS)));
	ASSERT_EQ(0, kf_rwlock_unlock(&l));
	ASSERT_TRUE(is_fresh(&l));
}

/* --- readers together, writers alone -------------------------------------------- */

enum { ROUNDS = 3000 };

struct book {
	kf_rwlock_t l;
	atomic_int readers;
	atomic_int writers;
	atomic_bool met;
	atomic_uint seeds;
	bool impatient;
	atomic_long timeouts;
	long written[2];
};

static bool read_book(struct book *b, unsigned int *seed)
{
	long left;
	bool good;

	if (atomic_fetch_add(&b->readers, 1))
		atomic_store(&b->met, true);
	left = b->written[0];
	if (pick(seed, 4) == 0)
		kf_yield();
	good = left == b->written[1] && !atomic_load(&b->writers);
	atomic_fetch_sub(&b->readers, 1);
	return good;
}

static bool write_book(struct book *b, unsigned int *seed)
{
	bool good = !atomic_fetch_add(&b->writers, 1) && !atomic_load(&b->readers);

	b->written[0]++;
	if (pick(seed, 4) == 0)
		kf_yield();
	b->written[1]++;
	atomic_fetch_sub(&b->writers, 1);
	return good;
}

static void *read_and_write(void *arg)
{
	struct book *b = arg;
	unsigned int seed = atomic_fetch_add(&b->seeds, 1);
	int i = 0;

	while (i < ROUNDS) {
		bool writes = pick(&seed, 4) == 0, good;
		uint64_t patience = b->impatient ? pick(&seed, 150) * 1000ull : KF_FOREVER;
		int err = (writes ? kf_rwlock_wrlock_until : kf_rwlock_rdlock_until)
				(&b->l, kf_after(patience));

		if (err == -ETIMEDOUT && b->impatient) {
			atomic_fetch_add(&b->timeouts, 1);
			continue;
		}
		if (err)
			return (void *)1;
		good = (writes ? write_book : read_book)(b, &seed);
		if (kf_rwlock_unlock(&b->l) || !good)
			return (void *)2;
		i++;
	}
	return sleeps_soundly() ? NULL : (void *)3;
}

TEST_F(processors, writers_are_alone)
{
	struct book b = { .l = KF_RWLOCK_INIT };
	struct mixed m = { variant->n, 8, 2, read_and_write, &b };

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_TRUE(atomic_load(&b.met));
	ASSERT_TRUE(is_fresh(&b.l));
}

TEST_F(processors, writers_are_alone_beside_timeouts)
{
	struct book b = { .l = KF_RWLOCK_INIT, .impatient = true };
	struct mixed m = { variant->n, 8, 2, read_and_write, &b };

	ASSERT_EQ(0, run_mixed(&m));
	ASSERT_TRUE(is_fresh(&b.l));
}

/* --- nobody starves ---------------------------------------------------------------- */

static atomic_bool enough;

/* With another one like it there is always a reader. */
static void *read_on_and_on(void *arg)
{
	kf_rwlock_t *l = arg;

	while (!atomic_load(&enough)) {
		kf_rwlock_rdlock(l);
		kf_yield();
		kf_rwlock_unlock(l);
	}
	return NULL;
}

static int write_beside_readers(void *arg)
{
	kf_rwlock_t l = KF_RWLOCK_INIT;
	kf_fiber_t readers[4];
	int i, err = 0;

	atomic_store(&enough, false);
	for (i = 0; i < 4; i++)
		if (kf_spawn(&readers[i], NULL, read_on_and_on, &l))
			return 1;
	for (i = 0; i < 100 && !err; i++) {
		kf_yield();
		err = kf_rwlock_wrlock_until(&l, kf_after(10000 * MS));
		if (!err)
			kf_rwlock_unlock(&l);
	}
	atomic_store(&enough, true);
	for (i = 0; i < 4; i++)
		kf_join(readers[i], NULL);
	return err ? 2 : 0;
}

TEST_F(processors, a_writer_gets_in_beside_readers)
{
	ASSERT_EQ(0, run(variant->n, write_beside_readers, NULL));
}

/* A writer that loses patience lets those in whom it kept waiting. */
static void *write_until(void *arg)
{
	return (void *)(long)kf_rwlock_wrlock_until(arg, kf_after(1000 * MS));
}

static int read_behind_writer(void *arg)
{
	kf_rwlock_t l = KF_RWLOCK_INIT;
	kf_fiber_t writer;
	void *value;

	if (kf_rwlock_rdlock(&l) || kf_spawn(&writer, NULL, write_until, &l))
		return 1;
	while (!(((volatile kf_rwlock_t *)&l)->queue.first))
		kf_yield();
	if (kf_rwlock_tryrdlock(&l) != -EBUSY)
		return 2;
	/* This must be long before the first reader goes. */
	if (kf_rwlock_rdlock_until(&l, kf_after(60000 * MS)))
		return 3;
	if (kf_join(writer, &value) || value != (void *)-ETIMEDOUT)
		return 4;
	if (kf_rwlock_unlock(&l) || kf_rwlock_unlock(&l))
		return 5;
	return is_fresh(&l) ? 0 : 6;
}

TEST_F(processors, who_leaves_lets_others_in)
{
	ASSERT_EQ(0, run(variant->n, read_behind_writer, NULL));
}

/* --- system calls -------------------------------------------------------------------- */

static void *write_many(void *arg)
{
	kf_rwlock_t *l = arg;
	int i;

	for (i = 0; i < 30000; i++) {
		kf_rwlock_wrlock(l);
		kf_yield();
		kf_rwlock_unlock(l);
	}
	return NULL;
}

static int write_without_calls(void *arg)
{
	kf_rwlock_t l = KF_RWLOCK_INIT;
	kf_fiber_t other;

	if (kf_spawn(&other, NULL, write_many, &l))
		return -1;
	wait_for_spare();
	if (forbid_system_calls(1))
		return -2;
	write_many(&l);
	if (forbid_system_calls(0))
		return -3;
	return kf_join(other, NULL);
}

TEST(waiting_on_one_processor_makes_no_system_call)
{
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, run_without_slices(1, write_without_calls, NULL));
}

TEST_HARNESS_MAIN
