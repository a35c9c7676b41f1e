// SPDX-License-Identifier: GPL-2.0
/*
 * The end, in every case: of a function, a fiber, a thread, a process, the
 * descriptor; killed, closed, forked, executed. That nothing is left in the
 * kernel is seen by whoever unloads the module afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <dirent.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "run.h"
#include "slow.h"

/* For the tests that may take longer than the harness allows by itself. */
FIXTURE(slow)
{
};

FIXTURE_SETUP(slow)
{
}

FIXTURE_TEARDOWN(slow)
{
}

static int nothing(void *arg)
{
	return 0;
}

static void *yield_some(void *arg)
{
	int i;

	for (i = 0; i < 10; i++)
		kf_yield();
	return arg;
}

static void *block_a_while(void *arg)
{
	usleep(1000);
	return arg;
}

static void *block_for_ever(void *arg)
{
	return (void *)(long)pause();
}

static void *park_for_ever(void *arg)
{
	return (void *)(long)kf_park(KF_FOREVER);
}

static void *sleep_for_ever(void *arg)
{
	return (void *)(long)kf_sleep(KF_FOREVER - 1);
}

static void *compute_for_ever(void *arg)
{
	for (;;)
		kf_yield();
	return NULL;
}

static void *respawn_for_ever(void *arg)
{
	kf_fiber_t fiber;

	for (;;)
		if (!kf_spawn(&fiber, NULL, yield_some, NULL))
			kf_join(fiber, NULL);
	return NULL;
}

/* Fibers in every state there is. */
static int every_state(void *arg)
{
	static void *(*const kinds[])(void *) = {
		block_for_ever, park_for_ever, sleep_for_ever, compute_for_ever, respawn_for_ever,
		block_a_while,
	};
	int i;

	for (i = 0; i < slowly(60); i++)
		if (kf_spawn(NULL, NULL, kinds[i % 6], NULL))
			return -1;
	return 0;
}

static int exit_33(void *arg)
{
	if (every_state(NULL))
		_exit(1);
	kf_sleep(5 * MS);
	exit(33);
}

TEST(exit_in_a_fiber_ends_the_process)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(run(2, exit_33, NULL));
	status = wait_for(child);
	ASSERT_TRUE(WIFEXITED(status));
	ASSERT_EQ(33, WEXITSTATUS(status));
}

TEST_F(slow, killed_at_any_time)
{
	unsigned int seed = 1;
	int i;

	for (i = 0; i < 60; i++) {
		struct timespec delay = { .tv_nsec = rand_r(&seed) % (30 * MS) };
		pid_t child = fork();
		int status;

		if (!child)
			_exit(run(1 + i % 3, every_state, NULL));
		nanosleep(&delay, NULL);
		kill(child, SIGKILL);
		status = wait_for(child);
		ASSERT_TRUE(WIFSIGNALED(status));
	}
	ASSERT_EQ(0, run(2, nothing, NULL));
}

/* The lowest descriptor that is the device; -1 if there is none. */
static int device_fd(void)
{
	char path[64], target[64];
	int fd;

	for (fd = 3; fd < 64; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n > 0 && !strncmp(target, "/dev/kfiber", (size_t)n))
			return fd;
	}
	return -1;
}

static atomic_int ready;

static int wait_to_be_closed(void *arg)
{
	kf_fiber_t fiber;
	int i;

	for (i = 0; i < 20; i++)
		if (kf_spawn(&fiber, NULL, i % 2 ? park_for_ever : sleep_for_ever, NULL))
			return -1;
	kf_sleep(MS);
	atomic_store(&ready, 1);
	return (int)(long)park_for_ever(NULL);
}

static void *close_device(void *arg)
{
	while (!atomic_load(&ready))
		sched_yield();
	close(device_fd());
	return NULL;
}

TEST(closing_the_descriptor_ends_the_domain)
{
	pthread_t closer;

	ASSERT_EQ(0, pthread_create(&closer, NULL, close_device, NULL));
	ASSERT_EQ(-ESHUTDOWN, run(2, wait_to_be_closed, NULL));
	ASSERT_EQ(0, pthread_join(closer, NULL));
}

static void *end_thread(void *arg)
{
	syscall(SYS_exit, 0);
	return arg;
}

/*
 * A fiber ends its thread. Its joiner is told, the others go on. The calling
 * thread must survive, so this is tried on a thread that the library made.
 */
static void *end_made_thread(void *arg)
{
	pid_t process = getpid();

	while (syscall(SYS_gettid) == process) {
		/* Who is alone may come back to that thread for ever. */
		if (atomic_load(&ready))
			return arg;
		kf_sleep(MS / 10);
	}
	return end_thread(arg);
}

/* Holds the thread that called kf_run() in a system call until told. */
static void *hold_first_thread(void *arg)
{
	pid_t process = getpid();

	while (syscall(SYS_gettid) != process && !atomic_load(&ready))
		kf_sleep(MS / 10);
	while (!atomic_load(&ready))
		usleep(1000);
	return NULL;
}

static int threads_die(void *arg)
{
	struct kf_attr detached = { .size = sizeof(detached), .flags = KF_DETACHED };
	kf_fiber_t holder, dying[10], living[10];
	void *value;
	int i;

	if (kf_spawn(&holder, NULL, hold_first_thread, NULL))
		return 1;
	for (i = 0; i < 10; i++)
		if (kf_spawn(&dying[i], NULL, end_made_thread, NULL) ||
		    kf_spawn(&living[i], NULL, yield_some, (void *)1) ||
		    kf_spawn(NULL, &detached, end_made_thread, NULL))
			return 2;
	for (i = 0; i < 10; i++)
		if (kf_join(dying[i], &value) != -EFAULT)
			return 3;
	for (i = 0; i < 10; i++)
		if (kf_join(living[i], &value) || value != (void *)1)
			return 4;
	atomic_store(&ready, 1);
	return kf_join(holder, NULL) ? 5 : 0;
}

TEST(a_dying_thread_takes_only_its_fiber)
{
	ASSERT_EQ(0, run(2, threads_die, NULL));
}

static int exec_true(void *arg)
{
	kf_fiber_t fiber;
	int i;

	for (i = 0; i < 20; i++)
		if (kf_spawn(&fiber, NULL, i % 2 ? block_for_ever : compute_for_ever, NULL))
			return 1;
	kf_sleep(2 * MS);
	execl("/proc/self/exe", "lifecycle", "--exit-21", NULL);
	return 2;
}

/* Before main(): what this program is when a fiber has executed it. */
static void __attribute__((constructor)) be_executed(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--exit-21"))
		_exit(device_fd() < 0 && !run(1, nothing, NULL) ? 21 : 1);
}

TEST(exec_in_a_fiber)
{
	int i;

	for (i = 0; i < 10; i++) {
		pid_t child = fork();
		int status;

		if (!child)
			_exit(run(2, exec_true, NULL));
		status = wait_for(child);
		ASSERT_TRUE(WIFEXITED(status));
		ASSERT_EQ(21, WEXITSTATUS(status));
	}
}

static int unload(void *arg)
{
	if (!syscall(SYS_delete_module, "kfiber", O_NONBLOCK))
		return 1;
	return errno == EWOULDBLOCK ? 0 : 2;
}

TEST(the_module_cannot_be_unloaded_in_use)
{
	if (geteuid())
		SKIP(return, "only root may try to unload a module");
	ASSERT_EQ(0, run(2, unload, NULL));
}

/* A forked child of a plain thread has no domain, and may have one of its own. */
static void *fork_and_run(void *arg)
{
	pid_t child;

	while (!atomic_load(&ready))
		sched_yield();
	child = fork();
	if (!child)
		_exit(kf_self() || kf_unpark(1ull << 32) != -ESRCH || run(2, nothing, NULL));
	atomic_store(&ready, 2);
	return (void *)(long)wait_for(child);
}

static int stay_busy(void *arg)
{
	atomic_store(&ready, 1);
	while (atomic_load(&ready) < 2) {
		if (kf_sleep(MS / 10))
			return 1;
	}
	return 0;
}

TEST(a_forked_child_may_have_its_own_domain)
{
	pthread_t thread;
	void *status;

	ASSERT_EQ(0, pthread_create(&thread, NULL, fork_and_run, NULL));
	ASSERT_EQ(0, run(2, stay_busy, NULL));
	ASSERT_EQ(0, pthread_join(thread, &status));
	ASSERT_EQ(NULL, status);
}

static int count_entries(const char *path)
{
	DIR *dir = opendir(path);
	int n = 0;

	if (!dir)
		return -1;
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static int use_some(void *arg)
{
	kf_fiber_t fibers[20];
	int i;

	for (i = 0; i < 20; i++)
		if (kf_spawn(&fibers[i], NULL, i % 2 ? block_a_while : yield_some, NULL))
			return 1;
	for (i = 0; i < 20; i++)
		if (kf_join(fibers[i], NULL))
			return 2;
	return 0;
}

/* A thread that has been joined may take a moment to leave the process. */
static int threads_left(int expected)
{
	uint64_t end = kf_after(10000 * MS);
	int n;

	do {
		n = count_entries("/proc/self/task");
	} while (n > expected && kf_now() < end);
	return n;
}

static int count_lines(const char *path)
{
	FILE *file = fopen(path, "r");
	int c, n = 0;

	if (!file)
		return -1;
	while ((c = getc(file)) != EOF)
		n += c == '\n';
	fclose(file);
	return n;
}

TEST_F(slow, a_hundred_runs_leave_nothing)
{
	int fds, threads, maps, i;

	/* The first runs leave what glibc keeps: stacks of ended threads. */
	for (i = 0; i < 10; i++)
		ASSERT_EQ(0, run(2, use_some, NULL));
	fds = count_entries("/proc/self/fd");
	threads = threads_left(3);	/* itself, "." and ".." */
	maps = count_lines("/proc/self/maps");
	for (i = 0; i < slowly(100); i++)
		ASSERT_EQ(0, run(2, use_some, NULL));
	ASSERT_EQ(fds, count_entries("/proc/self/fd"));
	ASSERT_EQ(threads, threads_left(threads));
	/* glibc keeps up to 40 MiB of thread stacks: two mappings for each. */
	ASSERT_LE(count_lines("/proc/self/maps"), maps + 2 * 40);
}

static void *run_second(void *arg)
{
	return (void *)(long)run(1, nothing, NULL);
}

static int run_twice(void *arg)
{
	pthread_t thread;
	void *value;

	if (run(1, nothing, NULL) != -EPERM)
		return 1;
	if (pthread_create(&thread, NULL, run_second, NULL) || pthread_join(thread, &value))
		return 2;
	return (long)value == -EBUSY ? 0 : 3;
}

TEST(one_domain_at_a_time)
{
	ASSERT_EQ(0, run(2, run_twice, NULL));
	ASSERT_EQ(-EPERM, kf_spawn(NULL, NULL, yield_some, NULL));
	ASSERT_EQ(-EPERM, kf_join(1, NULL));
	ASSERT_EQ(-EPERM, kf_detach(1));
}

TEST(bad_configurations)
{
	struct {
		struct kf_config config;
		uint64_t tail;
	} longer = { .config.size = sizeof(longer) };
	struct kf_config config = { .size = 8 };

	ASSERT_EQ(-EINVAL, kf_run(NULL, NULL, NULL));
	ASSERT_EQ(-EINVAL, kf_run(&config, nothing, NULL));
	config = (struct kf_config){ .size = sizeof(config), .flags = 1 };
	ASSERT_EQ(-EINVAL, kf_run(&config, nothing, NULL));
	config = (struct kf_config){ .size = sizeof(config), .stack_size = 12345 };
	ASSERT_EQ(-EINVAL, kf_run(&config, nothing, NULL));
	config = (struct kf_config){ .size = sizeof(config), .processors = 1u << 20 };
	ASSERT_EQ(-EINVAL, kf_run(&config, nothing, NULL));
	config = (struct kf_config){ .size = sizeof(config), .max_fibers = ~0u };
	ASSERT_EQ(-EINVAL, kf_run(&config, nothing, NULL));
	ASSERT_EQ(0, kf_run(&longer.config, nothing, NULL));
	longer.tail = 1;
	ASSERT_EQ(-E2BIG, kf_run(&longer.config, nothing, NULL));
}

/* Signals at any time: over fibers that yield, park, sleep and block. */
static kf_fiber_t signalled;
static atomic_long signals;

static void on_signal(int signal)
{
	atomic_fetch_add(&signals, 1);
	kf_self();
	kf_unpark(signalled);
}

static void *be_interrupted(void *arg)
{
	struct timespec us = { .tv_nsec = 100000 };
	int i;

	for (i = 0; i < slowly(300); i++) {
		kf_yield();
		kf_sleep(MS / 10);
		nanosleep(&us, NULL);
	}
	return NULL;
}

static int count_permits(void *arg)
{
	struct itimerval timer = { { 0, 500 }, { 0, 500 } };
	kf_fiber_t fibers[20];
	int i, err = 0;

	signalled = kf_self();
	setitimer(ITIMER_REAL, &timer, NULL);
	for (i = 0; i < 20; i++)
		if (kf_spawn(&fibers[i], NULL, be_interrupted, NULL))
			return 1;
	/* Each comes from a handler, on whatever thread took the signal. */
	for (i = 0; i < 200; i++)
		err |= kf_park(kf_after(10000 * MS));
	for (i = 0; i < 20; i++)
		err |= kf_join(fibers[i], NULL);
	timer = (struct itimerval){ 0 };
	setitimer(ITIMER_REAL, &timer, NULL);
	return err;
}

TEST_F(slow, signal_handlers_may_unpark)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, run(2, count_permits, NULL));
	ASSERT_GE(atomic_load(&signals), 200);
}

/* A signal to a thread whose fiber blocks: the call ends as it would in a thread. */
static _Atomic pid_t reader;
static atomic_int read_ended;

static void *read_nothing(void *arg)
{
	int fds[2];
	char c;

	if (pipe(fds))
		return (void *)1;
	atomic_store(&reader, syscall(SYS_gettid));
	if (read(fds[0], &c, 1) != -1 || errno != EINTR)
		return (void *)2;
	atomic_store(&read_ended, 1);
	return NULL;
}

static int interrupt_reader(void *arg)
{
	kf_fiber_t fiber;
	void *value;

	signalled = 0;
	if (kf_spawn(&fiber, NULL, read_nothing, NULL))
		return 1;
	/* Again and again: a signal that comes before the read interrupts nothing. */
	while (!atomic_load(&read_ended)) {
		if (atomic_load(&reader))
			syscall(SYS_tgkill, getpid(), atomic_load(&reader), SIGUSR1);
		kf_sleep(MS);
	}
	return kf_join(fiber, &value) || value ? 2 : 0;
}

TEST(a_blocked_read_is_interrupted)
{
	struct sigaction action = { .sa_handler = on_signal };

	ASSERT_EQ(0, sigaction(SIGUSR1, &action, NULL));
	ASSERT_EQ(0, run(1, interrupt_reader, NULL));
	ASSERT_GE(atomic_load(&signals), 1);
}

TEST_HARNESS_MAIN
