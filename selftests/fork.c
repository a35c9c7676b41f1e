// SPDX-License-Identifier: GPL-2.0
/* fork() in a fiber: the child has the one stack it runs on, and that is its own. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "run.h"

extern char **environ;

/* The exit status of a child, or -1 if it ended otherwise. */
static int exit_status(pid_t child)
{
	int status = wait_for(child);

	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void fill(volatile unsigned char *bytes, size_t size, int seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		bytes[i] = (unsigned char)(i * 7 + seed);
}

static int check(volatile unsigned char *bytes, size_t size, int seed)
{
	size_t i;

	for (i = 0; i < size; i++)
		if (bytes[i] != (unsigned char)(i * 7 + seed))
			return 1;
	return 0;
}

/* Both sides see what was there; neither sees what the other writes then. */
static int fork_here(void *arg)
{
	volatile unsigned char mark[3000];
	int status;
	pid_t child;

	fill(mark, sizeof(mark), 1);
	child = fork();
	if (!child) {
		if (check(mark, sizeof(mark), 1))
			_exit(1);
		fill(mark, sizeof(mark), 2);
		_exit(check(mark, sizeof(mark), 2) ? 2 : 42);
	}
	fill(mark, sizeof(mark), 3);
	status = exit_status(child);
	return check(mark, sizeof(mark), 3) ? 100 : status;
}

TEST(child_has_a_copy)
{
	ASSERT_EQ(42, run(2, fork_here, NULL));
}

/*
 * Who asks the kernel to keep the mapping over fork() gets a copy all the same: the
 * parent's pages must not go in where the copy is already.
 */
static int fork_kept(void *arg)
{
	volatile unsigned char here;
	uintptr_t page = (uintptr_t)&here & ~4095ul;

	if (madvise((void *)(page - 4096), 3 * 4096, MADV_KEEPONFORK))
		return 200;
	return fork_here(arg);
}

TEST(child_has_a_copy_whatever_madvise_says)
{
	ASSERT_EQ(42, run(2, fork_kept, NULL));
}

/* Recurses, forks at the bottom; the child walks all the way up, and down again. */
static __attribute__((noinline)) int deep(int depth)
{
	volatile unsigned char frame[4000];
	int result;

	fill(frame, sizeof(frame), depth);
	result = depth ? deep(depth - 1) : fork();
	return check(frame, sizeof(frame), depth) ? -2 : result;
}

static __attribute__((noinline)) int descend(int depth)
{
	volatile unsigned char frame[4000];
	int bad = 0;

	fill(frame, sizeof(frame), depth);
	if (depth)
		bad = descend(depth - 1);
	return bad + check(frame, sizeof(frame), depth);
}

static int fork_deep(void *arg)
{
	pid_t child = deep(30);

	if (!child)
		_exit(descend(40) ? 1 : 43);
	return child < 0 ? -1 : exit_status(child);
}

TEST(child_of_a_deep_stack_goes_up_and_deeper)
{
	ASSERT_EQ(43, run(2, fork_deep, NULL));
}

static void *fork_and_wait(void *arg)
{
	volatile unsigned char mark[5000];
	pid_t child;

	fill(mark, sizeof(mark), (long)arg);
	child = fork();
	if (!child)
		_exit(check(mark, sizeof(mark), (long)arg) || descend(20) ? 1 : 44);
	return (void *)(long)(exit_status(child) != 44);
}

static int fork_from_many(void *arg)
{
	kf_fiber_t fibers[16];

	return spawn_each(fibers, 16, fork_and_wait) ? -1 : join_each(fibers, 16);
}

TEST(forks_from_several_fibers_at_once)
{
	ASSERT_EQ(0, run(2, fork_from_many, NULL));
}

/* Another fiber's stack is not there in the child. */
static _Atomic(volatile char *) others_stack;

static void *show_stack(void *arg)
{
	volatile char mark = 1;

	atomic_store(&others_stack, &mark);
	kf_park(KF_FOREVER);
	return NULL;
}

static int look_at_other(void *arg)
{
	kf_fiber_t other;
	pid_t child;
	int status;

	if (kf_spawn(&other, NULL, show_stack, NULL))
		return 1;
	while (!atomic_load(&others_stack))
		kf_yield();
	child = fork();
	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		_exit(*atomic_load(&others_stack));
	}
	if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status))
		return 2;
	kf_unpark(other);
	return kf_join(other, NULL) || WTERMSIG(status) != SIGSEGV ? 3 : 0;
}

TEST(other_stacks_are_not_in_the_child)
{
	ASSERT_EQ(0, run(2, look_at_other, NULL));
}

static int five(void *arg)
{
	return 5;
}

/* The child is a plain thread: it may fork, have its own domain, be another. */
static int child_lives(void *arg)
{
	pid_t child = fork();

	if (!child) {
		if (kf_self() || kf_sleep(1) != -EPERM || kf_park(0) != -EPERM)
			_exit(1);
		child = fork();
		if (!child)
			_exit(run(2, fork_here, NULL));
		_exit(exit_status(child) == 42 && run(2, five, NULL) == 5 ? 45 : 2);
	}
	return exit_status(child);
}

TEST(a_child_may_fork_and_run_fibers)
{
	ASSERT_EQ(45, run(2, child_lives, NULL));
}

static int other_ways(void *arg)
{
	char *argv[] = { "sh", "-c", "exit 7", NULL };
	char line[16] = "";
	pid_t child;
	FILE *pipe;

	if (WEXITSTATUS(system("exit 3")) != 3)
		return 1;
	pipe = popen("echo hello", "r");
	if (!pipe || !fgets(line, sizeof(line), pipe) || strcmp(line, "hello\n") || pclose(pipe))
		return 2;
	if (posix_spawn(&child, "/bin/sh", NULL, NULL, argv, environ) || exit_status(child) != 7)
		return 3;
	child = fork();
	if (!child) {
		execv("/bin/sh", argv);
		_exit(1);
	}
	if (exit_status(child) != 7)
		return 4;
	child = vfork();
	if (!child)
		_exit(9);
	return exit_status(child) == 9 ? 0 : 5;
}

TEST(system_popen_spawn_exec_vfork)
{
	ASSERT_EQ(0, run(2, other_ways, NULL));
}

/*
 * A plain thread has a stack of its own, which the kernel copies as ever: of the fibers' nothing is
 * in the child, which may begin anew.
 */
static void *fork_plain(void *arg)
{
	volatile char *other = atomic_load(&others_stack);
	int status = -1;
	pid_t child;

	if (fork_here(NULL) != 42)
		return (void *)1l;
	child = fork();
	if (!child) {
		signal(SIGSEGV, SIG_DFL);
		_exit(*other);
	}
	if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) ||
	    WTERMSIG(status) != SIGSEGV)
		return (void *)2l;
	child = fork();
	if (!child)
		_exit(!kf_self() && run(2, five, NULL) == 5 ? 46 : 1);
	return (void *)(exit_status(child) == 46 ? 0l : 3l);
}

static int beside_a_plain_thread(void *arg)
{
	void *result = NULL;
	pthread_t thread;
	kf_fiber_t other;

	atomic_store(&others_stack, NULL);
	if (kf_spawn(&other, NULL, show_stack, NULL))
		return -1;
	while (!atomic_load(&others_stack))
		kf_yield();
	if (pthread_create(&thread, NULL, fork_plain, NULL) || pthread_join(thread, &result))
		return -2;
	kf_unpark(other);
	return kf_join(other, NULL) ? -3 : (int)(long)result;
}

TEST(a_plain_thread_forks)
{
	ASSERT_EQ(0, run(2, beside_a_plain_thread, NULL));
}

/* Each of several fibers has a command run at the same time, by all ways there are. */
static void *run_commands(void *arg)
{
	return (void *)(long)other_ways(NULL);
}

static int commands_from_many(void *arg)
{
	kf_fiber_t fibers[6];

	return spawn_each(fibers, 6, run_commands) ? -1 : join_each(fibers, 6);
}

TEST(system_popen_spawn_exec_vfork_from_several_fibers)
{
	ASSERT_EQ(0, run(2, commands_from_many, NULL));
}

/* Fibers come and go while others fork. */
static void *churn(void *arg)
{
	kf_fiber_t fiber;
	int i;

	for (i = 0; i < 200; i++)
		if (kf_spawn(&fiber, NULL, show_stack, NULL) || kf_unpark(fiber) ||
		    kf_join(fiber, NULL))
			return (void *)1;
	return NULL;
}

static int fork_under_load(void *arg)
{
	kf_fiber_t fibers[4];
	int i, bad = 0;

	if (spawn_each(fibers, 4, churn))
		return -1;
	for (i = 0; i < 20; i++)
		bad += fork_here(NULL) != 42;
	return bad + join_each(fibers, 4);
}

TEST(forks_while_fibers_come_and_go)
{
	ASSERT_EQ(0, run(2, fork_under_load, NULL));
}

TEST_HARNESS_MAIN
