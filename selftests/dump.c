// SPDX-License-Identifier: GPL-2.0
/* kf_dump(): each fiber is there, with what it does or waits for. */
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"
#include "parked.h"
#include "run.h"

static char text[64 << 10];

/* What kf_dump() writes. */
static int dump(void)
{
	int fd = memfd_create("dump", 0);
	int err = kf_dump(fd);
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return err;
}

/* The line of the fiber with that name. Return: whether @what is in it. */
static int says(const char *name, const char *what)
{
	char quoted[32], *line, *end;

	snprintf(quoted, sizeof(quoted), "\"%s\": ", name);
	line = strstr(text, quoted);
	if (!line) {
		printf("# no fiber \"%s\" in:\n%s", name, text);
		return 0;
	}
	end = strchrnul(line, '\n');
	if (memmem(line, (size_t)(end - line), what, strlen(what)))
		return 1;
	printf("# \"%s\" does not say \"%s\": %.*s\n", name, what, (int)(end - line), line);
	return 0;
}

static kf_mutex_t mutex = KF_MUTEX_INIT;
static kf_rwlock_t rwlock = KF_RWLOCK_INIT;
static kf_cond_t cond = KF_COND_INIT;
static kf_sem_t sem = KF_SEM_INIT(0);
static kf_waitgroup_t group = KF_WAITGROUP_INIT;
static kf_chan_t *chan;
static kf_ctx_t *ctx;
static kf_fiber_t parked;
static int pipe_fds[2];

static void *do_park(void *arg)
{
	kf_park(KF_FOREVER);
	return NULL;
}

static void *do_park_until(void *arg)
{
	kf_park(kf_after(3600 * 1000 * MS));
	return NULL;
}

static void *do_sleep(void *arg)
{
	kf_sleep(3600 * 1000 * MS);
	return NULL;
}

static void *do_timer(void *arg)
{
	kf_timer_t t;

	kf_timer_start(&t, 3600 * 1000 * MS);
	kf_timer_wait(&t);
	return NULL;
}

static void *do_ctx(void *arg)
{
	kf_ctx_wait(ctx);
	return NULL;
}

static void *do_kf_read(void *arg)
{
	char byte;

	kf_read(pipe_fds[0], &byte, 1, KF_FOREVER);
	return NULL;
}

static void *do_pin(void *arg)
{
	kf_pin();
	return do_park(NULL);
}

static void *do_join(void *arg)
{
	kf_join(parked, NULL);
	return NULL;
}

static void *do_lock(void *arg)
{
	kf_mutex_lock(&mutex);
	kf_mutex_unlock(&mutex);
	return NULL;
}

static void *do_rdlock(void *arg)
{
	kf_rwlock_rdlock(&rwlock);
	kf_rwlock_unlock(&rwlock);
	return NULL;
}

static void *do_wait(void *arg)
{
	static kf_mutex_t lock = KF_MUTEX_INIT;

	kf_mutex_lock(&lock);
	kf_cond_wait(&cond, &lock);
	kf_mutex_unlock(&lock);
	return NULL;
}

static void *do_sem(void *arg)
{
	kf_sem_wait(&sem);
	return NULL;
}

static void *do_group(void *arg)
{
	kf_waitgroup_wait(&group);
	return NULL;
}

static void *do_recv(void *arg)
{
	int value;

	kf_chan_recv(chan, &value);
	return NULL;
}

static void *do_select(void *arg)
{
	int value;
	struct kf_case cases[] = { KF_RECV(chan, &value) };

	kf_select(cases, 1, KF_FOREVER);
	return NULL;
}

static void *do_read(void *arg)
{
	char byte;

	return (void *)(intptr_t)read(pipe_fds[0], &byte, 1);
}

static void *do_end(void *arg)
{
	return NULL;
}

static const struct {
	const char *name;
	void *(*fn)(void *arg);
	const char *says;
} waits[] = {
	{ "parks", do_park, "waiting for an unpark, for " },
	{ "parks-until", do_park_until, " s so far, for at most 3" },
	{ "sleeps", do_sleep, "waiting for time (sleep), for " },
	{ "timer", do_timer, "waiting for timer 0x" },
	{ "context", do_ctx, "waiting for context 0x" },
	{ "reads-parked", do_kf_read, "waiting for file descriptor " },
	{ "pinned", do_pin, " s so far, pinned to its thread" },
	{ "joins", do_join, "waiting for the end of fiber 0x" },
	{ "locks", do_lock, "waiting for mutex 0x" },
	{ "reads-locked", do_rdlock, "waiting for rwlock 0x" },
	{ "waits", do_wait, "waiting for condition 0x" },
	{ "sem", do_sem, "waiting for semaphore 0x" },
	{ "group", do_group, "waiting for wait group 0x" },
	{ "receives", do_recv, "waiting for channel 0x" },
	{ "selects", do_select, "waiting for select 0x" },
	{ "reads", do_read, "blocked in the kernel or waits for a processor, worker " },
	{ "ends", do_end, "ended, not joined" },
};

#define NR_WAITS (sizeof(waits) / sizeof(waits[0]))

static int all_said(void)
{
	size_t i;
	int good = 1;

	for (i = 0; i < NR_WAITS; i++)
		good &= says(waits[i].name, waits[i].says);
	return good && says("main", "running on processor ") && strstr(text, "spawned at dump_all");
}

static void let_go(const kf_fiber_t *fibers)
{
	int value = 0;

	size_t i;

	for (i = 0; i < NR_WAITS; i++) {
		kf_unpark(fibers[i]);
		if (waits[i].fn == do_sleep || waits[i].fn == do_timer || waits[i].fn == do_kf_read)
			kf_cancel(fibers[i]);
	}
	kf_ctx_cancel(ctx);
	kf_mutex_unlock(&mutex);
	kf_rwlock_unlock(&rwlock);
	kf_cond_signal(&cond);
	kf_sem_post(&sem);
	kf_waitgroup_done(&group);
	kf_chan_send(chan, &value);
	kf_chan_send(chan, &value);
	if (write(pipe_fds[1], "12", 2) != 2)
		exit(1);
}

static __attribute__((noipa)) int dump_all(void *arg)
{
	kf_fiber_t fibers[NR_WAITS];
	struct kf_attr attr = { .size = sizeof(attr) };
	int good, tries = 0;
	size_t i;

	chan = kf_chan_create(sizeof(int), 0);
	ctx = kf_ctx_with_cancel(kf_ctx_background());
	kf_mutex_lock(&mutex);
	kf_rwlock_wrlock(&rwlock);
	kf_waitgroup_add(&group, 1);
	if (pipe(pipe_fds))
		return 1;
	for (i = 0; i < NR_WAITS; i++) {
		attr.name = waits[i].name;
		if (kf_spawn(&fibers[i], &attr, waits[i].fn, NULL))
			return 2;
		if (!i)
			parked = fibers[0];
	}
	/* Each gets there in its own time. */
	do {
		kf_sleep(10 * MS);
		if (dump())
			return 3;
		good = all_said();
	} while (!good && ++tries < 500);
	let_go(fibers);
	for (i = 0; i < NR_WAITS; i++)
		if (waits[i].fn != do_park)
			kf_join(fibers[i], NULL);
	kf_ctx_free(ctx);
	kf_chan_destroy(chan);
	return good ? 0 : 4;
}

TEST(each_says_what_it_waits_for)
{
	ASSERT_EQ(0, run(2, dump_all, NULL));
}

/* The time that a dump gives @name's wait, in ns; negative: none. */
static int64_t so_far(const char *name)
{
	char quoted[32];
	const char *line;
	double s;

	snprintf(quoted, sizeof(quoted), "\"%s\": ", name);
	line = strstr(text, quoted);
	line = line ? strstr(line, ", for ") : NULL;
	return line && sscanf(line, ", for %lf s so far", &s) == 1 ? (int64_t)(s * 1e9) : -1;
}

#define TICK_MAX (10 * MS)
#define DUMP_TOO_LONG 4

/* By this time at the earliest, and at the latest that long ago. */
static int dump_since(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .name = "parks" };
	uint64_t spawned = kf_now(), parked_by;
	int64_t least, most, said;
	kf_fiber_t fiber;

	if (kf_spawn(&fiber, &attr, do_park, NULL))
		return 1;
	wait_until_parked(fiber);
	parked_by = kf_now();
	kf_sleep(50 * MS);
	least = (int64_t)(kf_now() - parked_by);
	if (dump())
		return 2;
	most = (int64_t)(kf_now() - spawned + TICK_MAX);
	said = so_far("parks");
	kf_unpark(fiber);
	kf_join(fiber, NULL);
	/* It is printed in whole milliseconds. */
	if (said + (int64_t)MS < least)
		return 3;
	return said > most ? DUMP_TOO_LONG : 0;
}

/* Time that is made: to the nanosecond. */
static int dump_since_by_test_clock(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .name = "parks" };
	kf_fiber_t fiber;

	if (kf_spawn(&fiber, &attr, do_park, NULL))
		return 1;
	kf_sleep(3600 * 1000 * MS);
	if (dump())
		return 2;
	kf_unpark(fiber);
	kf_join(fiber, NULL);
	return so_far("parks") == (int64_t)(3600 * 1000 * MS) ? 0 : 3;
}

TEST(for_how_long_is_told)
{
	struct kf_config config = { .size = sizeof(config), .flags = KF_TEST_CLOCK };
	int i, err;

	/* The domain's time is late if the CPU that keeps it stands still: not each time. */
	for (i = 0; i < 20; i++) {
		err = run(2, dump_since, NULL);
		if (err != DUMP_TOO_LONG)
			break;
	}
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, kf_run(&config, dump_since_by_test_clock, NULL));
}

static int dump_badly(void *arg)
{
	return kf_dump(-1) == -EBADF ? 0 : 1;
}

TEST(what_cannot_be_written_is_told)
{
	ASSERT_EQ(-ESRCH, kf_dump(STDERR_FILENO));
	ASSERT_EQ(0, run(1, dump_badly, NULL));
}

static void *dump_from_thread(void *arg)
{
	return (void *)(intptr_t)dump();
}

static int thread_dumps(void *arg)
{
	pthread_t thread;
	void *value;

	if (pthread_create(&thread, NULL, dump_from_thread, NULL))
		return 1;
	pthread_join(thread, &value);
	return value || !says("main", "worker ");
}

TEST(a_plain_thread_may_ask)
{
	ASSERT_EQ(0, run(1, thread_dumps, NULL));
}

/* Beside fibers that come and go: nothing is touched that may be gone. */
static void *come_and_go(void *arg)
{
	kf_mutex_t *lock = calloc(1, sizeof(*lock));
	kf_fiber_t fiber;

	kf_mutex_lock(lock);
	if (kf_spawn(&fiber, NULL, do_end, NULL))
		return NULL;
	kf_mutex_lock_until(lock, kf_after(MS));
	kf_join(fiber, NULL);
	free(lock);
	return NULL;
}

static int dump_busy(void *arg)
{
	kf_fiber_t fibers[8];
	int round, i;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < 8; i++)
			if (kf_spawn(&fibers[i], NULL, come_and_go, NULL))
				return 1;
		if (dump())
			return 2;
		for (i = 0; i < 8; i++)
			kf_join(fibers[i], NULL);
	}
	return 0;
}

TEST(others_go_on_meanwhile)
{
	ASSERT_EQ(0, run(3, dump_busy, NULL));
}

TEST_HARNESS_MAIN
