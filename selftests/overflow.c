// SPDX-License-Identifier: GPL-2.0
/* What is said of a stack that overflows, and faults that end only their fiber. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "death.h"
#include "run.h"
#include "slow.h"

#define KIB 1024ul

/* Where children leave what their parent should know. */
static struct shared {
	kf_fiber_t fiber;
	int value;
} *shared;

__attribute__((constructor))
static void map_shared(void)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* --- faults ----------------------------------------------------------------- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winfinite-recursion"

static KEPT int recurse(int depth)
{
	volatile char frame[4000];

	frame[0] = (char)depth;
	frame[sizeof(frame) - 1] = (char)recurse(depth + 1);
	return frame[0] + frame[sizeof(frame) - 1];
}

#pragma GCC diagnostic pop

static KEPT void *deep_fiber(void *arg)
{
	return (void *)(long)recurse(0);
}

static KEPT void *null_fiber(void *arg)
{
	volatile int *nowhere = arg;

	/* Neither a compiler nor an analyzer shall know what is in it. */
	__asm__ volatile("" : "+r" (nowhere));
	/* cppcheck-suppress nullPointer */
	*nowhere = 1;
	return NULL;
}

static KEPT void *call_null_fiber(void *arg)
{
	void (*volatile fn)(void) = (void (*)(void))arg;

	fn();
	return NULL;
}

static KEPT void *divide_fiber(void *arg)
{
	int some = 1, zero = 0;

	__asm__ volatile("" : "+r" (some), "+r" (zero));
	/* cppcheck-suppress zerodiv */
	return (void *)(long)(some / zero);
}

/* Unmasked and pending in the x87 unit: whoever waits for it gets it. */
static KEPT void *x87_fiber(void *arg)
{
	unsigned short control = 0x37b;			/* zero divide */

	__asm__ volatile("fldcw %0\n\tfldz\n\tfld1\n\tfdivp\n\tfwait" : : "m"(control));
	return NULL;
}

static KEPT void *illegal_fiber(void *arg)
{
	__builtin_trap();
	return NULL;
}

/* Behind a file's end. */
static KEPT void *bus_fiber(void *arg)
{
	int fd = memfd_create("empty", 0);
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	*(volatile char *)page = 1;
	return NULL;
}

/* Spawns a fiber and waits for it. Return: as kf_join(). */
static KEPT int spawn_one(void *(*fn)(void *), const char *name, unsigned int flags, size_t limit)
{
	struct kf_attr attr = {
		.size = sizeof(attr), .name = name, .flags = flags, .stack_limit = limit,
	};
	int err = kf_spawn(&shared->fiber, &attr, fn, NULL);

	return err ? err : kf_join(shared->fiber, NULL);
}

/* --- reports ---------------------------------------------------------------- */

static KEPT int overflow_first(void *arg)
{
	return spawn_one(deep_fiber, "deep", 0, 0);
}

static int overflow(void *arg)
{
	return run(2, overflow_first, NULL);
}

TEST(an_overflow_is_reported)
{
	struct death death;
	char id[80];

	die(&death, overflow, NULL);
	ASSERT_KILLED(&death, SIGSEGV);
	snprintf(id, sizeof(id), "fiber 0x%llx (index %u, generation %u) \"deep\"",
		 (unsigned long long)shared->fiber, (unsigned int)shared->fiber,
		 (unsigned int)(shared->fiber >> 32));
	ASSERT_SAID(&death, "kfiber: stack overflow: SIGSEGV at 0x");
	ASSERT_SAID(&death, id);
	ASSERT_SAID(&death, "spawned at spawn_one+0x");
	ASSERT_SAID(&death, "why: in the guard: the stack is full\n");
	ASSERT_SAID(&death, "stack: 192 KiB of 192 KiB, at most 192 KiB so far; guard 64 KiB\n");
	ASSERT_SAID(&death, "#0 recurse+0x");
	ASSERT_SAID(&death, " more\n");
	ASSERT_SAID(&death, "deep_fiber+0x");
	ASSERT_EQ(NULL, strstr(death.text, "contain"));
}

static KEPT int overflow_limit_first(void *arg)
{
	return spawn_one(deep_fiber, "limited", 0, 64 * KIB);
}

static int overflow_limit(void *arg)
{
	return run(2, overflow_limit_first, NULL);
}

TEST(a_fibers_own_limit_is_reported)
{
	struct death death;

	die(&death, overflow_limit, NULL);
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_SAID(&death, "kfiber: stack overflow: SIGSEGV at 0x");
	ASSERT_SAID(&death, "why: beyond the fiber's own stack limit\n");
	ASSERT_SAID(&death, "stack: 64 KiB of 64 KiB, at most 64 KiB so far; guard 64 KiB\n");
	ASSERT_SAID(&death, "#0 recurse+0x");
}

static int overflow_domain(void *arg)
{
	struct kf_config config = {
		.size = sizeof(config), .processors = 2, .stack_bytes_max = 64 * KIB,
	};

	return kf_run(&config, overflow_first, NULL);
}

TEST(the_domains_limit_is_reported)
{
	struct death death;

	die(&death, overflow_domain, NULL);
	ASSERT_KILLED(&death, SIGBUS);
	ASSERT_SAID(&death, "kfiber: no memory for a stack: SIGBUS at 0x");
	ASSERT_SAID(&death, "why: the domain's limit for all stacks is reached\n");
	ASSERT_SAID(&death, "\"deep\"");
	ASSERT_SAID(&death, "#0 recurse+0x");
}

/* The guard below a fiber's frames. */
static void *volatile guard_of_parked;

static KEPT void *parked_fiber(void *arg)
{
	guard_of_parked = (char *)__builtin_frame_address(0) - 200 * KIB;
	kf_park(KF_FOREVER);
	return NULL;
}

static KEPT void *poke(void *arg)
{
	*(volatile char *)guard_of_parked = 1;
	return NULL;
}

static int poke_first(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .name = "parked" };
	kf_fiber_t fiber;
	pthread_t thread;

	kf_spawn(&fiber, &attr, parked_fiber, NULL);
	while (!guard_of_parked)
		kf_sleep(MS);
	if (arg)
		poke(NULL);
	pthread_create(&thread, NULL, poke, NULL);
	return pthread_join(thread, NULL);
}

static int poke_run(void *arg)
{
	return run(2, poke_first, arg);
}

TEST(others_in_a_stack_are_told_from_its_owner)
{
	struct death death;

	die(&death, poke_run, "a fiber");
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_SAID(&death, "\"main\"\n");
	ASSERT_SAID(&death, "it is the stack of fiber 0x");
	ASSERT_SAID(&death, "\"parked\"\n");
	ASSERT_SAID(&death, "#0 poke+0x");

	die(&death, poke_run, NULL);
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_SAID(&death, "in a plain thread\n");
	ASSERT_SAID(&death, "\"parked\"\n");
	ASSERT_SAID(&death, "#0 poke+0x");
}

/* --- nothing to report ------------------------------------------------------ */

static int null_first(void *arg)
{
	null_fiber(NULL);
	return 0;
}

static int null_run(void *arg)
{
	return run(1, null_first, NULL);
}

static int kill_first(void *arg)
{
	kill(getpid(), (int)(long)arg);
	return 0;
}

static int kill_run(void *arg)
{
	return run(1, kill_first, arg);
}

TEST(other_faults_are_left_alone)
{
	struct death death;

	die(&death, null_run, NULL);
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_SILENT(&death);
	die(&death, kill_run, (void *)SIGSEGV);
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_SILENT(&death);
	die(&death, kill_run, (void *)SIGFPE);
	ASSERT_KILLED(&death, SIGFPE);
	ASSERT_SILENT(&death);
}

static int ignore(void *arg)
{
	signal(SIGSEGV, SIG_IGN);
	return run(1, kill_first, (void *)SIGSEGV) || run(1, null_first, NULL);
}

/* As without us: who sends it is ignored, a fault is not. */
TEST(ignored_faults)
{
	struct death death;

	die(&death, ignore, NULL);
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_SILENT(&death);
}

/* --- the program's own handlers --------------------------------------------- */

static void exit_7(int signal, siginfo_t *info, void *context)
{
	_exit(info->si_addr && info->si_code == SEGV_MAPERR ? 7 : 8);
}

static void install(void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	sigaction(SIGSEGV, &action, NULL);
}

static int overflow_with_handler(void *arg)
{
	install(exit_7, 0);
	return overflow(NULL);
}

TEST(the_handler_from_before_comes_after_the_report)
{
	struct death death;

	die(&death, overflow_with_handler, NULL);
	ASSERT_EQ(7, WEXITSTATUS(death.status));
	ASSERT_SAID(&death, "kfiber: stack overflow: SIGSEGV at 0x");
}

static sigjmp_buf jump_buffer;

static void jump_back(int signal, siginfo_t *info, void *context)
{
	siglongjmp(jump_buffer, 1);
}

static int probe_first(void *arg)
{
	volatile int faults = 0;

	/* Twice: the signal must not stay blocked. */
	if (sigsetjmp(jump_buffer, 0))
		faults++;
	if (faults < 2)
		null_fiber(NULL);
	return 0;
}

static int probe_run(void *arg)
{
	install(jump_back, SA_NODEFER);
	return run(1, probe_first, NULL);
}

TEST(a_program_may_recover_by_itself)
{
	struct death death;

	die(&death, probe_run, NULL);
	ASSERT_EXITED(&death);
	ASSERT_SILENT(&death);
}

static int overflow_later_first(void *arg)
{
	install(exit_7, SA_ONSTACK);
	return overflow_first(NULL);
}

static int overflow_later(void *arg)
{
	return run(1, overflow_later_first, NULL);
}

TEST(a_later_handler_wins)
{
	struct death death;

	die(&death, overflow_later, NULL);
	ASSERT_EQ(7, WEXITSTATUS(death.status));
	ASSERT_SILENT(&death);
}

static int install_first(void *arg)
{
	install(exit_7, SA_ONSTACK);
	return 0;
}

TEST(a_later_handler_stays)
{
	struct sigaction action;

	ASSERT_EQ(0, run(1, install_first, NULL));
	ASSERT_EQ(0, sigaction(SIGSEGV, NULL, &action));
	ASSERT_TRUE(action.sa_sigaction == exit_7);
	/* And is not covered, for it may call ours. */
	ASSERT_EQ(0, run(1, kill_first, 0));
	ASSERT_EQ(0, sigaction(SIGSEGV, NULL, &action));
	ASSERT_TRUE(action.sa_sigaction == exit_7);
}

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };

/* How many of them have a handler? */
static int handled(void)
{
	struct sigaction action;
	int i, n = 0;

	for (i = 0; i < 4; i++)
		n += !sigaction(signals[i], NULL, &action) && action.sa_handler != SIG_DFL;
	return n;
}

static int handled_first(void *arg)
{
	return handled();
}

TEST(handlers_are_there_while_a_domain_runs)
{
	struct kf_config config = { .size = sizeof(config), .flags = KF_NO_FAULT_HANDLER };
	int i;

	for (i = 0; i < 4; i++)
		signal(signals[i], SIG_DFL);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(4, run(1, handled_first, NULL));
		ASSERT_EQ(0, handled());
	}
	ASSERT_EQ(0, kf_run(&config, handled_first, NULL));
}

static int overflow_unhandled(void *arg)
{
	struct kf_config config = { .size = sizeof(config), .flags = KF_NO_FAULT_HANDLER };

	return kf_run(&config, overflow_first, NULL);
}

static int spawn_unhandled(void *arg)
{
	return spawn_one(null_fiber, NULL, KF_CONTAIN_FAULTS, 0);
}

TEST(without_the_handler)
{
	struct kf_config config = { .size = sizeof(config), .flags = KF_NO_FAULT_HANDLER };
	struct death death;

	die(&death, overflow_unhandled, NULL);
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_SILENT(&death);
	ASSERT_EQ(-EINVAL, kf_run(&config, spawn_unhandled, NULL));
	config.flags |= KF_CONTAIN_FAULTS;
	ASSERT_EQ(-EINVAL, kf_run(&config, handled_first, NULL));
	config.flags = 1u << 31;
	ASSERT_EQ(-EINVAL, kf_run(&config, handled_first, NULL));
}

/* --- alternate stacks ------------------------------------------------------- */

static int alt_first(void *arg)
{
	int threads = 0;
	stack_t stack;
	int i;

	/* Blocks: other workers come into play. */
	for (i = 0; i < 20; i++) {
		usleep(1000);
		sigaltstack(NULL, &stack);
		threads += !(stack.ss_flags & SS_DISABLE);
		kf_sleep(MS);
	}
	return threads;
}

TEST(workers_have_alternate_stacks)
{
	static char own[64 * KIB];
	stack_t stack = { .ss_sp = own, .ss_size = sizeof(own) }, now;

	ASSERT_EQ(20, run(1, alt_first, NULL));
	ASSERT_EQ(0, sigaltstack(NULL, &now));
	ASSERT_EQ(SS_DISABLE, now.ss_flags);
	ASSERT_EQ(0, sigaltstack(&stack, NULL));
	ASSERT_EQ(20, run(1, alt_first, NULL));
	ASSERT_EQ(0, sigaltstack(NULL, &now));
	ASSERT_TRUE(now.ss_sp == own);
	stack.ss_flags = SS_DISABLE;
	sigaltstack(&stack, NULL);
}

/* --- containment ------------------------------------------------------------ */

#define CONTAINED(fn) spawn_one(fn, #fn, KF_CONTAIN_FAULTS, 0)

static int contain_first(void *arg)
{
	void *(*const fns[])(void *) = {
		null_fiber, call_null_fiber, divide_fiber, x87_fiber, illegal_fiber, bus_fiber,
		deep_fiber,
	};
	volatile double one = 1;
	unsigned int i, round;

	for (round = 0; round < 3; round++)
		for (i = 0; i < sizeof(fns) / sizeof(fns[0]); i++)
			if (spawn_one(fns[i], NULL, KF_CONTAIN_FAULTS, 0) != -EFAULT)
				return 1 + (int)i;
	/* What a dead one left pending in the unit would come here. */
	__asm__ volatile("fwait");
	return one / 3 * 3 == 1 ? 0 : 100;
}

static int contain_run(void *arg)
{
	return run(2, contain_first, NULL);
}

TEST(faults_end_only_their_fiber)
{
	struct death death;

	die(&death, contain_run, NULL);
	ASSERT_EXITED(&death);
	ASSERT_SAID(&death, "kfiber: fault: SIGSEGV at 0x0 in fiber 0x");
	ASSERT_SAID(&death, "#0 null_fiber+0x");
	ASSERT_SAID(&death, "#0 call_null_fiber+0x");
	ASSERT_SAID(&death, "kfiber: fault: SIGFPE at 0x");
	ASSERT_SAID(&death, "contained: fiber 0x");
}

static int contain_main(void *arg)
{
	struct kf_config config = { .size = sizeof(config), .flags = KF_CONTAIN_FAULTS };

	return kf_run(&config, null_first, NULL) == -EFAULT ? 0 : 1;
}

TEST(the_first_fiber_too)
{
	struct death death;

	die(&death, contain_main, NULL);
	ASSERT_EXITED(&death);
	ASSERT_SAID(&death, "contained: fiber 0x");
}

static void *masking_fiber(void *arg)
{
	sigset_t mask;

	sigfillset(&mask);
	sigdelset(&mask, SIGSEGV);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	return null_fiber(arg);
}

/* On the thread of the dead one, most of the time. */
static void *masked_fiber(void *arg)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	return (void *)(long)sigismember(&mask, SIGUSR1);
}

static int mask_first(void *arg)
{
	kf_fiber_t fiber;
	long blocked = 0;
	void *value;
	int i;

	for (i = 0; i < 20; i++) {
		if (CONTAINED(masking_fiber) != -EFAULT || kf_spawn(&fiber, NULL, masked_fiber, NULL))
			return 1;
		kf_join(fiber, &value);
		blocked += (long)value;
	}
	return (int)blocked;
}

static int mask_run(void *arg)
{
	return run(1, mask_first, NULL);
}

TEST(the_signal_mask_is_the_workers_again)
{
	struct death death;

	die(&death, mask_run, NULL);
	ASSERT_EXITED(&death);
}

#define MANY 2000

/* One after the other, joined and detached: all is used again. */
static int many_first(void *arg)
{
	struct kf_stats before = { .size = sizeof(before) }, after = { .size = sizeof(after) };
	long i, many = slowly(MANY);

	for (i = 0; i < many; i++) {
		if (i == many / 10)
			kf_stats(&before);
		if (i % 2) {
			if (CONTAINED(deep_fiber) != -EFAULT)
				return 1;
		} else if (kf_spawn(NULL, &(struct kf_attr){
				.size = sizeof(struct kf_attr),
				.flags = KF_CONTAIN_FAULTS | KF_DETACHED }, deep_fiber, NULL)) {
			return 2;
		}
	}
	while (kf_stats(&after), after.fibers_live > 1)
		kf_sleep(MS);
	kf_trim();
	kf_stats(&after);
	if (after.fibers_allocated > before.fibers_allocated + 32 || after.workers > 32)
		return 3;
	/* A page or two for each that is pooled, not 48; others keep theirs warm. */
	return arg || after.stack_pages < 4 * after.fibers_allocated ? 0 : 4;
}

static int many_run(void *arg)
{
	return run(arg ? 2 : 1, many_first, arg);
}

TEST(thousands_of_overflows_leak_nothing)
{
	struct death death;

	die(&death, many_run, NULL);
	ASSERT_EXITED(&death);
	/* The first ones are reported; not all, or the text would not fit. */
	ASSERT_SAID(&death, "contained: fiber 0x");
	ASSERT_SAID(&death, " contained faults were not reported\n");
	die(&death, many_run, "two processors");
	ASSERT_EXITED(&death);
}

static atomic_int gathered;

/* All at the same time, on as many threads. */
static void *gather_fiber(void *arg)
{
	atomic_fetch_add(&gathered, 1);
	while (gathered < 4)
		usleep(100);
	return deep_fiber(NULL);
}

static int gather_first(void *arg)
{
	struct kf_attr attr = {
		.size = sizeof(attr), .flags = arg ? KF_CONTAIN_FAULTS : 0,
	};
	kf_fiber_t fibers[4];
	int i, round, bad = 0;

	for (round = 0; round < 50; round++) {
		gathered = 0;
		for (i = 0; i < 4; i++)
			bad += kf_spawn(&fibers[i], &attr, gather_fiber, NULL) != 0;
		for (i = 0; i < 4; i++)
			bad += kf_join(fibers[i], NULL) != -EFAULT;
	}
	return bad;
}

static int gather_run(void *arg)
{
	return run(4, gather_first, arg);
}

TEST(overflows_on_several_workers_at_once)
{
	struct death death;

	die(&death, gather_run, "contained");
	ASSERT_EXITED(&death);
	die(&death, gather_run, NULL);
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_SAID(&death, "kfiber: stack overflow: SIGSEGV at 0x");
}

/* --- reports of several at once ---------------------------------------------- */

enum { CROWD = 4 };

static void *crowd_fiber(void *arg)
{
	atomic_fetch_add(&gathered, 1);
	while (gathered < CROWD)
		usleep(100);
	return deep_fiber(NULL);
}

static int crowd_first(void *arg)
{
	struct kf_attr attr = {
		.size = sizeof(attr), .flags = arg ? KF_CONTAIN_FAULTS : 0,
	};
	kf_fiber_t fibers[CROWD];
	int i, bad = 0;

	for (i = 0; i < CROWD; i++)
		bad += kf_spawn(&fibers[i], &attr, crowd_fiber, NULL) != 0;
	for (i = 0; i < CROWD; i++)
		bad += kf_join(fibers[i], NULL) != -EFAULT;
	return bad;
}

/* How many threads of a process are in a handler that blocks all signals. */
static int in_handler(pid_t pid)
{
	char path[64], line[128];
	struct dirent *entry;
	int n = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (entry = readdir(tasks))) {
		FILE *status;

		snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", pid, entry->d_name);
		status = fopen(path, "re");
		while (status && fgets(line, sizeof(line), status))
			if (!strncmp(line, "SigBlk:", 7))
				n += strtoull(line + 7, NULL, 16) >> (SIGSEGV - 1) & 1;
		if (status)
			fclose(status);
	}
	if (tasks)
		closedir(tasks);
	return n;
}

/*
 * As die(), but nothing is read before all have overflowed: stderr is full, so the first is in
 * the middle of its report then.
 */
static void die_in_a_crowd(struct death *death, void *contained)
{
	struct rlimit no_core = { 0 };
	int fds[2], tries = 0;
	char full[4096];
	size_t before;
	pid_t child;

	memset(full, '.', sizeof(full));
	if (pipe2(fds, O_NONBLOCK))
		exit(1);
	before = (size_t)fcntl(fds[1], F_SETPIPE_SZ, 4096);
	if (write(fds[1], full, before) != (ssize_t)before || fcntl(fds[0], F_SETFL, 0) ||
	    fcntl(fds[1], F_SETFL, 0))
		exit(1);
	fflush(NULL);
	child = fork();
	if (!child) {
		setrlimit(RLIMIT_CORE, &no_core);
		dup2(fds[1], STDERR_FILENO);
		close(fds[1]);
		_exit(run(CROWD, crowd_first, contained));
	}
	close(fds[1]);
	while (in_handler(child) < CROWD && tries++ < 3000)
		usleep(10000);
	death->text[read_all(fds[0], death->text, sizeof(death->text) - 1)] = '\0';
	memmove(death->text, death->text + before, strlen(death->text + before) + 1);
	close(fds[0]);
	death->status = wait_for(child);
}

/* Reports that are whole: nothing of another comes between a title and the last line. */
static int whole_reports(const char *text, const char *last)
{
	const char *title = "kfiber: stack overflow: ", *at = text;
	int n = 0;

	while (at) {
		const char *end = strstr(at, last), *next;

		if (strncmp(at, title, strlen(title)) || !end)
			return -1;
		next = strstr(at + 1, title);
		if (next && next < end)
			return -1;
		at = next;
		n++;
	}
	return n;
}

TEST(of_overflows_at_once_the_one_that_ends_the_process_is_reported)
{
	struct death death;

	die_in_a_crowd(&death, NULL);
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_EQ(1, whole_reports(death.text, " kf_fiber_start+0x")) TH_LOG("%s", death.text);
}

TEST(contained_overflows_at_once_are_reported_one_after_another)
{
	struct death death;

	die_in_a_crowd(&death, "contained");
	ASSERT_EXITED(&death);
	ASSERT_EQ(CROWD, whole_reports(death.text, "kfiber:   contained: fiber 0x"))
		TH_LOG("%s", death.text);
}

/* --- what cannot be contained ----------------------------------------------- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winfinite-recursion"

/* Of each step, what is called goes deeper than the step itself. */
static KEPT int recurse_calling(void (*call)(void))
{
	volatile int depth = 0;

	call();
	depth += recurse_calling(call);
	return depth;
}

#pragma GCC diagnostic pop

static void *yielding_fiber(void *arg)
{
	return (void *)(long)recurse_calling(kf_yield);
}

static void *volatile kept;

static KEPT void allocate(void)
{
	kept = malloc(2000);
}

static void *allocating_fiber(void *arg)
{
	return (void *)(long)recurse_calling(allocate);
}

static void touch_null(int signal)
{
	null_fiber(NULL);
}

static void *signalled_fiber(void *arg)
{
	signal(SIGUSR1, touch_null);
	raise(SIGUSR1);
	return NULL;
}

static int refuse_first(void *arg)
{
	return spawn_one(*(void *(**)(void *))arg, NULL, KF_CONTAIN_FAULTS, 0);
}

static int refuse_run(void *arg)
{
	return run(2, refuse_first, arg);
}

FIXTURE(refused)
{
};

FIXTURE_VARIANT(refused)
{
	void *(*fn)(void *);
	const char *why;
};

FIXTURE_VARIANT_ADD(refused, in_a_critical_section)
{
	.fn = yielding_fiber, .why = "the library was in a critical section",
};

FIXTURE_VARIANT_ADD(refused, in_the_heap)
{
	.fn = allocating_fiber, .why = "the heap may be locked",
};

FIXTURE_VARIANT_ADD(refused, in_a_signal_handler)
{
	.fn = signalled_fiber, .why = "a signal handler was running",
};

FIXTURE_SETUP(refused)
{
}

FIXTURE_TEARDOWN(refused)
{
}

TEST_F(refused, ends_the_process)
{
	struct death death;

	die(&death, refuse_run, (void *)&variant->fn);
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_SAID(&death, "it cannot be contained: ");
	ASSERT_SAID(&death, variant->why);
}

/* The child shares all memory, and looks like the worker that it is not. */
static void *vfork_fiber(void *arg)
{
	pid_t child = vfork();

	if (!child) {
		null_fiber(NULL);
		_exit(0);
	}
	shared->value = wait_for(child);
	return NULL;
}

static int vfork_run(void *arg)
{
	void *(*fn)(void *) = vfork_fiber;

	return run(1, refuse_first, (void *)&fn);
}

TEST(a_child_of_vfork_is_no_fiber)
{
	struct death death;

	die(&death, vfork_run, NULL);
	ASSERT_EXITED(&death);
	ASSERT_TRUE(WIFSIGNALED(shared->value));
	ASSERT_EQ(SIGSEGV, WTERMSIG(shared->value));
}

/* --- with little room ----------------------------------------------------------- */

#define SLOT_BYTES (256 * KIB)
#define GUARD_BYTES (64 * KIB)

static long room;
static kf_chan_t *channel;

/* Calls it with so many bytes left above the guard; its caller is in the topmost page. */
static KEPT void call_with_room(void (*call)(void))
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0), top = (here | 4095) + 1;
	volatile char *low = __builtin_alloca(here - (top - SLOT_BYTES + GUARD_BYTES) - room);

	__asm__ volatile("" : : "r" (low));
	call();
	__asm__ volatile("" : : "r" (low));
}

static void receive(void)
{
	static int value;

	kf_chan_recv(channel, &value);
}

static void *receiving_fiber(void *arg)
{
	call_with_room(receive);
	return NULL;
}

/* Return: 3 if it is gone, and its place in the channel's queue is not. */
static int receive_first(void *arg)
{
	struct kf_attr attr = { .size = sizeof(attr), .flags = KF_CONTAIN_FAULTS };
	kf_fiber_t fiber;

	channel = kf_chan_create(sizeof(int), 0);
	if (!channel || kf_spawn(&fiber, &attr, receiving_fiber, NULL))
		return 1;
	kf_yield();
	kf_cancel(fiber);
	kf_join(fiber, NULL);
	return kf_chan_destroy(channel) ? 3 : 0;
}

static int receive_run(void *arg)
{
	return run(1, receive_first, arg);
}

/* Return: how many overflows ended the process; -1 if one left what it must not. */
static int die_with_little_room(int (*fn)(void *))
{
	struct death death;
	int refused = 0;

	for (room = 64; room <= 1024; room += 16) {
		die(&death, fn, NULL);
		if (WIFEXITED(death.status) && WEXITSTATUS(death.status)) {
			printf("# %ld bytes: exit %d: %s\n", room, WEXITSTATUS(death.status),
			       death.text);
			fflush(stdout);
			return -1;
		}
		refused += WIFSIGNALED(death.status);
	}
	return refused;
}

TEST(who_overflows_in_a_wait_leaves_no_place_queued)
{
	ASSERT_LT(0, die_with_little_room(receive_run));
}

static kf_fiber_t sleeper;
static bool sleeper_ran;

static void *sleeping_fiber(void *arg)
{
	kf_park(KF_FOREVER);
	sleeper_ran = true;
	return NULL;
}

static void unpark(void)
{
	kf_unpark(sleeper);
}

static void *unparking_fiber(void *arg)
{
	call_with_room(unpark);
	return NULL;
}

/*
 * Return: 3 if who was to be woken cannot be any more. In the background we come after it; but
 * for when we have waited for long.
 */
static int unpark_first(void *arg)
{
	const uint64_t end = kf_after(20 * 1000000000ull);
	struct kf_attr background = {
		.size = sizeof(background), .priority = KF_PRIORITY_BACKGROUND,
	};

	kf_set_priority(KF_PRIORITY_BACKGROUND);
	if (kf_spawn(&sleeper, &background, sleeping_fiber, NULL))
		return 1;
	kf_yield();
	spawn_one(unparking_fiber, NULL, KF_CONTAIN_FAULTS, 0);
	kf_unpark(sleeper);
	while (!sleeper_ran && kf_now() < end)
		kf_yield();
	/* Not by the domain's end, which would wait for it. */
	if (!sleeper_ran)
		_exit(3);
	return 0;
}

static int unpark_run(void *arg)
{
	return run(1, unpark_first, arg);
}

TEST(who_overflows_in_a_wake_up_loses_nobody)
{
	ASSERT_LT(0, die_with_little_room(unpark_run));
}

/* --- frames larger than the guard -------------------------------------------- */

#define VICTIM_BYTES (150 * KIB)

static char *volatile victim_bytes;

static void *victim_fiber(void *arg)
{
	volatile char bytes[VICTIM_BYTES];

	memset((void *)bytes, 'v', sizeof(bytes));
	victim_bytes = (char *)bytes;
	kf_park(KF_FOREVER);
	return NULL;
}

static void *idle_fiber(void *arg)
{
	kf_park(KF_FOREVER);
	return NULL;
}

/* A frame of about 1 MiB, that ends in the middle of what the victim has. */
#define FRAME_BYTES ((size_t)((char *)__builtin_frame_address(0) - victim_bytes - VICTIM_BYTES / 2))

static KEPT void *jump_fiber(void *arg)
{
	volatile char *frame = __builtin_alloca(FRAME_BYTES);

	frame[0] = 'j';
	return NULL;
}

__attribute__((optimize("stack-clash-protection")))
static KEPT void *probe_fiber(void *arg)
{
	volatile char *frame = __builtin_alloca(FRAME_BYTES);

	frame[0] = 'j';
	return NULL;
}

/* Slots are given out in order: four lie between. */
static int jump_first(void *arg)
{
	size_t i, bad = 0;

	kf_spawn(NULL, NULL, victim_fiber, NULL);
	for (i = 0; i < 3; i++)
		kf_spawn(NULL, NULL, idle_fiber, NULL);
	while (!victim_bytes)
		kf_sleep(MS);
	spawn_one(arg ? probe_fiber : jump_fiber, "jumper", 0, 0);
	for (i = 0; i < VICTIM_BYTES; i++)
		bad += victim_bytes[i] != 'v';
	_exit(bad ? 9 : 0);
}

static int jump_run(void *arg)
{
	return run(2, jump_first, arg);
}

TEST(a_frame_of_a_megabyte_and_stack_clash_protection)
{
	struct death death;

	/* Into pages that another stack has: nobody can see that. */
	die(&death, jump_run, NULL);
	ASSERT_TRUE(WIFEXITED(death.status));
	ASSERT_EQ(9, WEXITSTATUS(death.status));
	ASSERT_SILENT(&death);
	/* Page for page: into the guard. */
	die(&death, jump_run, "protected");
	ASSERT_KILLED(&death, SIGSEGV);
	ASSERT_SAID(&death, "why: in the guard: the stack is full\n");
	ASSERT_SAID(&death, "#0 probe_fiber+0x");
}

TEST_HARNESS_MAIN
