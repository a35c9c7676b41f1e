// SPDX-License-Identifier: GPL-2.0
/*
 * What the memory system's calls do to stacks. A stack is memory like any other
 * to them, so each has an outcome, which is written down here; none may hurt the
 * kernel, and whoever takes pages from under a fiber has harmed that fiber only.
 */
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <linux/kfiber.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "harness.h"
#include "parked.h"
#include "run.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif

#define DEVICE "/dev/kfiber"
#define KIB 1024ul
#define PAGE 4096ul
#define SLOT (256 * KIB)
#define GUARD (64 * KIB)
#define LIVE (4 * PAGE)
#define ABOVE (1ul << 30)
#define STACKS (KFIBER_MAP_STACKS | 18ull << KFIBER_MAP_STACKS_SHIFT)

/* --- the scene: a parked fiber, and another that does things to its stack ------- */

/**
 * struct scene - what is there to be worked on
 * @fiber: it is parked
 * @live: LIVE bytes of its frame, whole pages, all written
 * @slot: where its slot begins
 * @absent: in its slot, below what it has
 * @arena: the first piece of the arena
 * @mapped: how long that is
 */
struct scene {
	kf_fiber_t fiber;
	unsigned char *live;
	unsigned char *slot;
	unsigned char *absent;
	unsigned char *arena;
	size_t mapped;
};

/**
 * struct play - what is done, and what comes of it
 * @act: done by the first fiber; 0 is good
 * @arg: for @act
 * @before: where the parked fiber goes before, deep down
 * @result: of @act
 * @damage: bytes that the parked fiber did not find as it left them
 * @later: not 0 if the domain did not work afterwards
 */
struct play {
	int (*act)(struct scene *s, void *arg);
	void *arg;
	size_t before;
	int result;
	long damage;
	int later;
};

static unsigned char *next_page(unsigned char *p)
{
	return (unsigned char *)(((uintptr_t)p + PAGE - 1) & ~(PAGE - 1));
}

/* Never 0, so that fresh pages differ everywhere. */
static unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 7) | 1;
}

static long damage(const volatile unsigned char *p, size_t n)
{
	long bad = 0;

	for (size_t i = 0; i < n; i++)
		bad += p[i] != pattern(i);
	return bad;
}

/* Uses that much stack, and returns. */
static __attribute__((noinline)) long deep(size_t bytes)
{
	volatile unsigned char *frame = __builtin_alloca(bytes + 1);

	for (size_t i = bytes; i; i -= i < 512 ? i : 512)
		frame[i - 1] = 1;
	return frame[bytes - 1] - 1;
}

static void *parked(void *arg)
{
	struct scene *s = arg;
	volatile unsigned char room[LIVE + PAGE];
	volatile unsigned char *live = next_page((unsigned char *)room);

	for (size_t i = 0; i < LIVE; i++)
		live[i] = pattern(i);
	s->live = (unsigned char *)live;
	kf_park(KF_FOREVER);
	return (void *)damage(live, LIVE);
}

static void *parked_deep(void *arg)
{
	const struct play *play = ((void **)arg)[1];

	if (play->before)
		deep(play->before);
	return parked(((void **)arg)[0]);
}

/* The lowest mapping of stacks: the begin of the arena. */
static void find_arena(struct scene *s)
{
	unsigned long start, end, offset;
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];

	while (maps && fgets(line, sizeof(line), maps)) {
		if (strstr(line, DEVICE) &&
		    sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) == 3 &&
		    offset == STACKS) {
			s->arena = (unsigned char *)start;
			s->mapped = end - start;
		}
	}
	if (maps)
		fclose(maps);
}

static void *works(void *arg)
{
	return (void *)deep(50 * KIB);
}

static int works_still(void)
{
	struct kf_attr other_class = { .size = sizeof(other_class), .stack_size = 1 << 20 };
	kf_fiber_t fibers[2];
	void *values[2];

	if (kf_spawn(&fibers[0], NULL, works, NULL) ||
	    kf_spawn(&fibers[1], &other_class, works, NULL))
		return -1;
	return kf_join(fibers[0], &values[0]) || kf_join(fibers[1], &values[1]) || values[0] ||
	       values[1];
}

static int perform(void *arg)
{
	struct play *play = arg;
	struct scene s = { .live = NULL };
	void *args[2] = { &s, play };
	void *value;

	if (kf_spawn(&s.fiber, NULL, parked_deep, args))
		return -1;
	wait_until_parked(s.fiber);
	find_arena(&s);
	s.slot = s.live - (size_t)(s.live - s.arena) % SLOT;
	s.absent = s.slot + GUARD + 4 * PAGE;
	play->result = play->act(&s, play->arg);
	kf_unpark(s.fiber);
	if (kf_join(s.fiber, &value))
		return -1;
	play->damage = (long)value;
	play->later = works_still();
	return 0;
}

static struct play perform_play(int (*act)(struct scene *s, void *arg), void *arg)
{
	struct play play = { .act = act, .arg = arg, .result = -1 };

	if (run(2, perform, &play))
		play.later = -1;
	return play;
}

/* Nothing was harmed, and @act was content. */
static void expect_harmless(struct __test_metadata *_metadata,
			    int (*act)(struct scene *s, void *arg), void *arg)
{
	struct play play = perform_play(act, arg);

	EXPECT_EQ(0, play.result);
	EXPECT_EQ(0, play.damage);
	EXPECT_EQ(0, play.later);
}

static int five(void *arg)
{
	return 5;
}

/* The process that did it ends by @signal; the next one is well. */
static void expect_death(struct __test_metadata *_metadata,
			 int (*act)(struct scene *s, void *arg), void *arg, int signal_number)
{
	struct rlimit none = { 0, 0 };
	pid_t child = fork();
	int status;

	if (!child) {
		signal(signal_number, SIG_DFL);
		setrlimit(RLIMIT_CORE, &none);
		perform_play(act, arg);
		_exit(0);
	}
	status = wait_for(child);
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(signal_number, WTERMSIG(status));
	EXPECT_EQ(5, run(2, five, NULL));
}

/* --- probes ------------------------------------------------------------------------ */

/* The kernel reads and writes there for us: what would be a signal is EFAULT. */
static bool can_write(void *p)
{
	int zero = open("/dev/zero", O_RDONLY);
	bool can = read(zero, p, 1) == 1;

	close(zero);
	return can;
}

static bool can_read(const void *p)
{
	bool can = false;
	int fds[2];

	if (!pipe(fds)) {
		can = write(fds[1], p, 1) == 1;
		close(fds[0]);
		close(fds[1]);
	}
	return can;
}

static long stack_pages(void)
{
	struct kf_stats s = { .size = sizeof(s) };

	return kf_stats(&s) ? -1 : (long)s.stack_pages;
}

static int failed(int result)
{
	return result ? -errno : 0;
}

/*
 * A child by fork(): it has its own stack, as a copy, and not that of the parked
 * fiber. Return: 0; 1 to 3 when not, a signal's number + 100 if it died.
 */
static int fork_here(struct scene *s)
{
	volatile unsigned char mine[2000];
	int status;
	pid_t child;

	for (size_t i = 0; i < sizeof(mine); i++)
		mine[i] = pattern(i);
	child = fork();
	if (!child) {
		if (damage(mine, sizeof(mine)))
			_exit(1);
		memset((void *)mine, 0, sizeof(mine));
		_exit(can_read(s->live) || can_write(s->live) ? 2 : 0);
	}
	status = wait_for(child);
	if (WIFSIGNALED(status))
		return 100 + WTERMSIG(status);
	return damage(mine, sizeof(mine)) ? 3 : WEXITSTATUS(status);
}

/* --- madvise ----------------------------------------------------------------------- */

enum range { ON_LIVE, ON_ARENA };

FIXTURE(advice) {
};

FIXTURE_SETUP(advice)
{
}

FIXTURE_TEARDOWN(advice)
{
}

/*
 * @advice, @range: what is said of what
 * @result: of madvise()
 * @damage: to the parked fiber's LIVE bytes
 * @child: what a fork afterwards comes to, as fork_here() says
 * @needs: what the kernel must have, as a file; NULL: nothing
 */
FIXTURE_VARIANT(advice)
{
	int advice;
	enum range range;
	int result;
	long damage;
	int child;
	const char *needs;
};

#define KSM "/sys/kernel/mm/ksm/run"
#define THP "/sys/kernel/mm/transparent_hugepage/enabled"

#define ADVICE(name, ...) \
	FIXTURE_VARIANT_ADD(advice, name) { .advice = MADV_##name, __VA_ARGS__ }

ADVICE(NORMAL, .range = ON_ARENA);
ADVICE(RANDOM, .range = ON_ARENA);
ADVICE(SEQUENTIAL, .range = ON_ARENA);
ADVICE(WILLNEED, .range = ON_ARENA);
/* The fiber has lost what was there. */
ADVICE(DONTNEED, .range = ON_LIVE, .damage = LIVE);
/* There is no file with a hole to be punched. */
ADVICE(REMOVE, .range = ON_LIVE, .result = -ENODEV);
/* The child has no stack, not even the one that it is on. */
ADVICE(DONTFORK, .range = ON_ARENA, .child = 100 + SIGSEGV);
ADVICE(DOFORK, .range = ON_ARENA);
/* For anonymous memory only. */
ADVICE(FREE, .range = ON_LIVE, .result = -EINVAL);
ADVICE(COLD, .range = ON_ARENA);
/* Nowhere to page out to: no backing store. */
ADVICE(PAGEOUT, .range = ON_ARENA);
ADVICE(POPULATE_READ, .range = ON_LIVE);
ADVICE(POPULATE_WRITE, .range = ON_LIVE);
/* For good: a special mapping cannot be told to be dumped again. */
ADVICE(DONTDUMP, .range = ON_ARENA);
ADVICE(DODUMP, .range = ON_ARENA, .result = -EINVAL);
/* Not possible for such a mapping, and not said. */
ADVICE(MERGEABLE, .range = ON_ARENA, .needs = KSM);
ADVICE(UNMERGEABLE, .range = ON_ARENA, .needs = KSM);
ADVICE(HUGEPAGE, .range = ON_ARENA, .needs = THP);
ADVICE(NOHUGEPAGE, .range = ON_ARENA, .needs = THP);
ADVICE(COLLAPSE, .range = ON_LIVE, .result = -EINVAL);
ADVICE(WIPEONFORK, .range = ON_ARENA, .result = -EINVAL);
/* Said, and yet nothing is kept: kf_fork_empty(). */
ADVICE(KEEPONFORK, .range = ON_ARENA);

static int advise(struct scene *s, void *arg)
{
	const FIXTURE_VARIANT(advice) *v = arg;

	if (v->range == ON_LIVE)
		return failed(madvise(s->live, LIVE, v->advice));
	return failed(madvise(s->arena, s->mapped, v->advice));
}

static int advise_and_fork(struct scene *s, void *arg)
{
	advise(s, arg);
	return fork_here(s);
}

TEST_F(advice, is_taken_or_refused)
{
	struct play play;

	if (variant->needs && access(variant->needs, F_OK))
		SKIP(return, "the kernel has no %s", variant->needs);
	play = perform_play(advise, (void *)variant);
	EXPECT_EQ(variant->result, play.result);
	EXPECT_EQ(variant->damage, play.damage);
	EXPECT_EQ(0, play.later);
}

TEST_F(advice, and_then_fork)
{
	struct play play = perform_play(advise_and_fork, (void *)variant);

	EXPECT_EQ(variant->child, play.result);
	EXPECT_EQ(variant->damage, play.damage);
	EXPECT_EQ(0, play.later);
}

/* Page by page, up to the first that may not be: the guard. */
static int populate_all(struct scene *s, void *arg)
{
	long before = stack_pages();

	if (!madvise(s->arena, s->mapped, MADV_POPULATE_WRITE) || errno != EFAULT)
		return 1;
	if (!madvise(s->absent, PAGE, MADV_POPULATE_WRITE) || errno != EFAULT)
		return 2;
	return stack_pages() - before > 1 ? 3 : 0;
}

TEST(populating_ends_at_a_guard)
{
	expect_harmless(_metadata, populate_all, NULL);
}

/* What was given back behind the module's back is counted until it is trimmed. */
static int give_back(struct scene *s, void *arg)
{
	long before = stack_pages();

	if (madvise(s->live, PAGE, MADV_DONTNEED) || stack_pages() != before)
		return 1;
	kf_trim();
	return stack_pages() < before ? 0 : 2;
}

TEST(trimming_counts_right_what_was_given_back)
{
	struct play play = perform_play(give_back, NULL);

	ASSERT_EQ(0, play.result);
	ASSERT_EQ(PAGE, play.damage);
	ASSERT_EQ(0, play.later);
}

/* --- munmap, mremap, mprotect ------------------------------------------------------ */

static int unmap_absent(struct scene *s, void *arg)
{
	return failed(munmap(s->absent, PAGE)) || fork_here(s);
}

/* The slot is in two mappings now: it still grows above the hole. */
TEST(munmap_below_what_is_used)
{
	expect_harmless(_metadata, unmap_absent, NULL);
}

static int unmap_live(struct scene *s, void *arg)
{
	munmap(s->live + PAGE, PAGE);
	kf_trim();
	return 0;
}

TEST(munmap_in_the_middle_of_a_stack_is_its_fibers_death)
{
	expect_death(_metadata, unmap_live, NULL, SIGSEGV);
}

static int unmap_slot(struct scene *s, void *arg)
{
	munmap(s->slot, SLOT);
	kf_trim();
	return 0;
}

TEST(munmap_of_a_stack_is_its_fibers_death)
{
	expect_death(_metadata, unmap_slot, NULL, SIGSEGV);
}

static int unmap_all(struct scene *s, void *arg)
{
	return munmap(s->arena, s->mapped);
}

TEST(munmap_of_the_arena_is_the_callers_death)
{
	expect_death(_metadata, unmap_all, NULL, SIGSEGV);
}

static int child_unmaps_all(struct scene *s, void *arg)
{
	pid_t child = fork();

	if (!child)
		_exit(munmap(s->arena, s->mapped));
	return WTERMSIG(wait_for(child)) == SIGSEGV ? fork_here(s) : 1;
}

TEST(munmap_in_a_child_harms_the_child)
{
	expect_harmless(_metadata, child_unmaps_all, NULL);
}

/* All but the move of as much to elsewhere; the slot is not touched by them. */
static int remap_refused(struct scene *s, void *arg)
{
	if (mremap(s->slot, SLOT, 2 * SLOT, MREMAP_MAYMOVE) != MAP_FAILED || errno != EFAULT)
		return 1;
	if (mremap(s->slot, SLOT, SLOT, MREMAP_MAYMOVE | MREMAP_DONTUNMAP) != MAP_FAILED ||
	    errno != EINVAL)
		return 2;
	/* Would be a second mapping of the same. */
	if (mremap(s->slot, 0, SLOT, MREMAP_MAYMOVE) != MAP_FAILED)
		return 3;
	return 0;
}

TEST(mremap_neither_grows_nor_copies)
{
	expect_harmless(_metadata, remap_refused, NULL);
}

static int remap_shrinks(struct scene *s, void *arg)
{
	/* The last two slots that are mapped are nobody's yet. */
	unsigned char *last = s->arena + s->mapped - 2 * SLOT;

	return mremap(last, 2 * SLOT, SLOT, 0) == last ? fork_here(s) : 1;
}

TEST(mremap_shrinks)
{
	struct play play = perform_play(remap_shrinks, NULL);

	ASSERT_EQ(0, play.result);
	ASSERT_EQ(0, play.damage);
}

/*
 * @above: a mapping above the arena, longer than all that a new thread maps. When it has gone
 * its place is taken first, from above: nobody else comes to where the slot was.
 */
static int remap_and_back(struct scene *s, void *above)
{
	unsigned char *there = mmap(NULL, SLOT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char *live = there + (s->live - s->slot);
	int result = 0;

	if ((unsigned char *)above < s->slot || munmap(above, ABOVE))
		return 6;
	if (mremap(s->slot, SLOT, SLOT, MREMAP_MAYMOVE | MREMAP_FIXED, there) != there)
		return 1;
	if (damage(live, LIVE) || can_read(s->live))
		result = 2;
	/* What is not where it was given out is left alone. */
	kf_trim();
	if (damage(live, LIVE))
		result = 3;
	if (fork_here(s))
		result = 4;
	if (mremap(there, SLOT, SLOT, MREMAP_MAYMOVE | MREMAP_FIXED, s->slot) != s->slot)
		return 5;
	kf_trim();
	return result;
}

TEST(mremap_moves_a_stack_with_its_pages)
{
	void *above = mmap(NULL, ABOVE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			   0);

	ASSERT_NE(MAP_FAILED, above);
	expect_harmless(_metadata, remap_and_back, above);
}

static int protect(struct scene *s, void *arg)
{
	int result = 0;

	if (mprotect(s->live, PAGE, PROT_READ) || !can_read(s->live) || can_write(s->live))
		result = 1;
	if (fork_here(s))
		result = 2;
	if (mprotect(s->live, PAGE, PROT_NONE) || can_read(s->live) || can_write(s->live))
		result = 3;
	if (fork_here(s))
		result = 4;
	kf_trim();
	if (mprotect(s->live, PAGE, PROT_READ | PROT_WRITE))
		result = 5;
	/* A protected page below what is used splits the mapping, and is no more. */
	if (mprotect(s->absent, PAGE, PROT_NONE) || can_read(s->absent))
		result = 6;
	return result;
}

TEST(mprotect_protects)
{
	expect_harmless(_metadata, protect, NULL);
}

/* As a library does that has code on its stacks. */
static int execute(struct scene *s, void *arg)
{
	static const unsigned char return_42[] = { 0xb8, 42, 0, 0, 0, 0xc3 };
	unsigned char saved[sizeof(return_42)];
	int result;

	if (mprotect(s->arena, s->mapped, PROT_READ | PROT_WRITE | PROT_EXEC))
		return -errno;
	memcpy(saved, s->live, sizeof(saved));
	memcpy(s->live, return_42, sizeof(return_42));
	result = ((int (*)(void))(uintptr_t)s->live)();
	memcpy(s->live, saved, sizeof(saved));
	return result == 42 ? fork_here(s) : 1;
}

TEST(stacks_may_be_executable)
{
	expect_harmless(_metadata, execute, NULL);
}

/* --- locked memory and limits ------------------------------------------------------ */

/* No lock can be had on a special mapping; nor is it filled with pages. */
static int lock(struct scene *s, void *arg)
{
	long before = stack_pages();

	if (mlock(s->live, LIVE) || munlock(s->live, LIVE))
		return 1;
	if (!mlock(s->arena, s->mapped) || errno != ENOMEM)
		return 2;
	if (syscall(SYS_mlock2, s->arena, s->mapped, MLOCK_ONFAULT) && errno != ENOMEM)
		return 3;
	if (mlockall(MCL_CURRENT))
		return 4;
	if (stack_pages() - before > 2)
		return 5;
	return fork_here(s);
}

TEST(mlock_does_not_fill_the_arena)
{
	expect_harmless(_metadata, lock, NULL);
}

static int lock_future(struct scene *s, void *arg)
{
	long before = stack_pages();

	/* What is mapped hereafter is the arena's next pieces, and another arena. */
	if (mlockall(MCL_CURRENT | MCL_FUTURE) || works_still())
		return 1;
	return stack_pages() - before > 64 ? 2 : fork_here(s);
}

TEST(mlockall_does_not_fill_what_comes)
{
	expect_harmless(_metadata, lock_future, NULL);
}

/* All that is mapped from then on is to be locked: more than the limit allows. */
TEST(lock_limits_are_for_addresses)
{
	struct rlimit limit = { 8ul << 20, 8ul << 20 };

	ASSERT_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	ASSERT_EQ(0, seteuid(65534));			/* no CAP_IPC_LOCK */
	if (eaccess(DEVICE, R_OK | W_OK))
		SKIP(return, "the device is not for everybody");
	ASSERT_EQ(0, mlockall(MCL_FUTURE));
	ASSERT_EQ(-ENOMEM, run(2, five, NULL));
	ASSERT_EQ(0, munlockall());
	ASSERT_EQ(5, run(2, five, NULL));
}

TEST(no_addresses_no_domain)
{
	struct rlimit limit = { 1ul << 30, 1ul << 30 };

	ASSERT_EQ(0, setrlimit(RLIMIT_AS, &limit));
	ASSERT_EQ(-ENOMEM, run(2, five, NULL));
}

static int harmless_act(struct scene *s, void *arg)
{
	return fork_here(s);
}

TEST(stacks_are_not_data)
{
	struct rlimit limit = { 64ul << 20, 64ul << 20 };

	ASSERT_EQ(0, setrlimit(RLIMIT_DATA, &limit));
	expect_harmless(_metadata, harmless_act, NULL);
}

/* --- other processes --------------------------------------------------------------- */

/* What a child, made without a copy of any stack, does to its parent. */
static int by_another(struct scene *s, int (*other)(struct scene *s, pid_t victim))
{
	pid_t victim = getpid(), child = fork();
	int status;

	if (!child)
		_exit(other(s, victim));
	status = wait_for(child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100 + WTERMSIG(status);
}

static bool remote(pid_t pid, void *where, void *bytes, size_t size, bool write)
{
	struct iovec here = { .iov_base = bytes, .iov_len = size };
	struct iovec there = { .iov_base = where, .iov_len = size };

	if (write)
		return process_vm_writev(pid, &here, 1, &there, 1, 0) == (ssize_t)size;
	return process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

static int other_copies(struct scene *s, pid_t victim)
{
	unsigned char bytes[2 * PAGE];

	if (!remote(victim, s->live, bytes, sizeof(bytes), false) || damage(bytes, sizeof(bytes)))
		return 1;
	if (!remote(victim, s->live, bytes, sizeof(bytes), true))
		return 2;
	/* Nobody makes a stack grow that is not his; the guard is one to all. */
	if (remote(victim, s->absent, bytes, 1, false) || remote(victim, s->absent, bytes, 1, true))
		return 3;
	return remote(victim, s->slot, bytes, 1, true) ? 4 : 0;
}

static int copy_from_outside(struct scene *s, void *arg)
{
	return by_another(s, other_copies);
}

TEST(process_vm_readv_and_writev)
{
	expect_harmless(_metadata, copy_from_outside, NULL);
}

static int other_advises(struct scene *s, pid_t victim)
{
	struct iovec range = { .iov_base = s->live, .iov_len = LIVE };
	int fd = syscall(SYS_pidfd_open, victim, 0);

	if (syscall(SYS_process_madvise, fd, &range, 1, MADV_COLD, 0) != LIVE)
		return 1;
	if (syscall(SYS_process_madvise, fd, &range, 1, MADV_PAGEOUT, 0) != LIVE)
		return 2;
	if (syscall(SYS_process_madvise, fd, &range, 1, MADV_WILLNEED, 0) != LIVE)
		return 3;
	return syscall(SYS_process_madvise, fd, &range, 1, MADV_COLLAPSE, 0) >= 0 ? 4 : 0;
}

static int advise_from_outside(struct scene *s, void *arg)
{
	return by_another(s, other_advises);
}

TEST(process_madvise_takes_nothing)
{
	expect_harmless(_metadata, advise_from_outside, NULL);
}

static int other_traces(struct scene *s, pid_t victim)
{
	uint64_t word;
	int result = 0;

	if (ptrace(PTRACE_SEIZE, victim, 0, 0) || ptrace(PTRACE_INTERRUPT, victim, 0, 0) ||
	    waitpid(victim, NULL, __WALL) != victim)
		return 1;
	errno = 0;
	word = ptrace(PTRACE_PEEKDATA, victim, s->live, 0);
	if (errno || damage((unsigned char *)&word, sizeof(word)))
		result = 2;
	if (ptrace(PTRACE_POKEDATA, victim, s->live, word))
		result = 3;
	errno = 0;
	if (ptrace(PTRACE_PEEKDATA, victim, s->absent, 0) != -1 || errno != EIO)
		result = 4;
	if (!ptrace(PTRACE_POKEDATA, victim, s->absent, 1))
		result = 5;
	ptrace(PTRACE_DETACH, victim, 0, 0);
	return result;
}

static int trace(struct scene *s, void *arg)
{
	return by_another(s, other_traces);
}

TEST(ptrace_peeks_and_pokes)
{
	expect_harmless(_metadata, trace, NULL);
}

/* --- /proc ------------------------------------------------------------------------- */

static int proc_mem(struct scene *s, void *arg)
{
	int fd = open("/proc/self/mem", O_RDWR);
	unsigned char bytes[PAGE];

	if (pread(fd, bytes, PAGE, (off_t)s->live) != PAGE || damage(bytes, PAGE))
		return 1;
	if (pwrite(fd, bytes, PAGE, (off_t)s->live) != PAGE)
		return 2;
	if (pread(fd, bytes, 1, (off_t)s->absent) != -1 || errno != EIO)
		return 3;
	if (pwrite(fd, bytes, 1, (off_t)s->slot) != -1 || errno != EIO)
		return 4;
	/* It writes to what is read-only, but not when that is shared. */
	if (mprotect(s->live, PAGE, PROT_READ) || pwrite(fd, bytes, 1, (off_t)s->live) != -1)
		return 5;
	close(fd);
	return mprotect(s->live, PAGE, PROT_READ | PROT_WRITE);
}

TEST(proc_mem_reads_and_writes)
{
	expect_harmless(_metadata, proc_mem, NULL);
}

/* Return: bytes, -1. */
static long read_all(const char *path)
{
	int fd = open(path, O_RDONLY);
	char bytes[4096];
	long all = 0, n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0)
		all += n;
	close(fd);
	return n < 0 ? -1 : all;
}

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return good;
}

static int proc_files(struct scene *s, void *arg)
{
	static const char *const files[] = {
		"/proc/self/maps", "/proc/self/smaps", "/proc/self/smaps_rollup",
		"/proc/self/numa_maps",
	};
	static const char *const clear[] = { "1", "2", "3", "4", "5" };
	int fd = open("/proc/self/pagemap", O_RDONLY);
	long before = stack_pages();
	uint64_t entries[SLOT / PAGE];
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (!access(files[i], F_OK) && read_all(files[i]) <= 0)
			return 1;
	if (pread(fd, entries, sizeof(entries), (uintptr_t)s->slot / PAGE * 8) != sizeof(entries))
		return 2;
	close(fd);
	/* Bit 63: present. What was read of is what there is. */
	if (!(entries[(s->live - s->slot) / PAGE] >> 63) ||
	    entries[(s->absent - s->slot) / PAGE] >> 63)
		return 3;
	for (i = 0; i < sizeof(clear) / sizeof(clear[0]); i++)
		if (!access("/proc/self/clear_refs", F_OK) &&
		    !write_text("/proc/self/clear_refs", clear[i]) && clear[i][0] != '4')
			return 4;
	/* Soft-dirty pages are written to by way of a fault. */
	if (!can_write(s->live + 1) || (s->live[1] = pattern(1), stack_pages() - before > 1))
		return 5;
	return fork_here(s);
}

TEST(proc_files_show_and_change_nothing)
{
	expect_harmless(_metadata, proc_files, NULL);
}

static int has_small_piece(struct scene *s, void *arg)
{
	return s->arena && s->mapped == 16 * SLOT ? 0 : 1;
}

TEST(an_arena_begins_with_a_small_piece)
{
	expect_harmless(_metadata, has_small_piece, NULL);
}

/* --- what else there is ------------------------------------------------------------ */

static int sync_and_look(struct scene *s, void *arg)
{
	unsigned char in_core[LIVE / PAGE];

	/* There is no file behind it that could be written to. */
	if (msync(s->live, LIVE, MS_ASYNC) || msync(s->live, LIVE, MS_INVALIDATE))
		return 1;
	if (!msync(s->live, LIVE, MS_SYNC) || errno != EINVAL)
		return 2;
	if (mincore(s->live, LIVE, in_core) || !in_core[0])
		return 3;
	return mincore(s->absent, PAGE, in_core) || in_core[0] ? 4 : 0;
}

TEST(msync_and_mincore)
{
	expect_harmless(_metadata, sync_and_look, NULL);
}

static int move_to_a_node(struct scene *s, void *arg)
{
	unsigned long nodes = 1;
	void *pages[1] = { s->live };
	int node = 0, status = -1000;

	if (syscall(SYS_move_pages, 0, 1ul, pages, NULL, &status, 0) || status != 0)
		return 1;
	syscall(SYS_move_pages, 0, 1ul, pages, &node, &status, MPOL_MF_MOVE);
	/* Pages that are not on the kernel's lists are not moved; the policy is kept. */
	if (syscall(SYS_mbind, s->arena, s->mapped, MPOL_BIND, &nodes, 8, MPOL_MF_MOVE))
		return -errno;
	return works_still() ? 2 : fork_here(s);
}

TEST(numa_policies_and_moves)
{
	if (access("/proc/self/numa_maps", F_OK))
		SKIP(return, "the kernel has no NUMA");
	expect_harmless(_metadata, move_to_a_node, NULL);
}

/*
 * Whatever a kernel lets one register, nobody waits for a page for ever. @arg:
 * the features that are asked for.
 */
static int userfault(struct scene *s, void *arg)
{
	static const uint64_t modes[] = { UFFDIO_REGISTER_MODE_MISSING, UFFDIO_REGISTER_MODE_WP };
	struct uffdio_api api = { .api = UFFD_API, .features = (uintptr_t)arg };
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		return 77;
	for (int i = 0; i < 2; i++) {
		struct uffdio_register range = {
			.range = { .start = (uintptr_t)s->slot, .len = SLOT }, .mode = modes[i],
		};
		struct uffdio_writeprotect wp = {
			.range = range.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP,
		};

		if (ioctl(fd, UFFDIO_REGISTER, &range))
			continue;
		if (modes[i] == UFFDIO_REGISTER_MODE_MISSING)
			return 1;
		ioctl(fd, UFFDIO_WRITEPROTECT, &wp);
		can_write(s->absent);
		if (!can_read(s->live))
			return 2;
		ioctl(fd, UFFDIO_UNREGISTER, &range.range);
	}
	close(fd);
	return fork_here(s);
}

static void expect_no_userfault(struct __test_metadata *_metadata, uint64_t features)
{
	struct play play = perform_play(userfault, (void *)features);

	if (play.result == 77)
		SKIP(return, "no userfaultfd with these features");
	EXPECT_EQ(0, play.result);
	EXPECT_EQ(0, play.damage);
	EXPECT_EQ(0, play.later);
}

TEST(userfaultfd_is_harmless)
{
	expect_no_userfault(_metadata, 0);
}

TEST(userfaultfd_that_protects_anything_is_harmless)
{
	expect_no_userfault(_metadata, UFFD_FEATURE_WP_ASYNC);
}

/* --- pages that others hold -------------------------------------------------------- */

/* The parked fiber was deeper before: what it left there is to be trimmed. */
static int trim_with_a_pin(struct scene *s, void *arg)
{
	struct iovec range = { .iov_len = PAGE };
	struct kf_stack_stats stats = { .size = sizeof(stats) };
	unsigned char *dead = next_page(s->live - 40 * KIB);
	char bytes[PAGE];
	int fds[2];

	if (pipe(fds))
		return 1;
	memset(dead, 'p', PAGE);
	range.iov_base = dead;
	if (vmsplice(fds[1], &range, 1, 0) != PAGE)
		return 2;
	if (kf_trim() > 0 && !can_read(dead))
		return 3;
	if (kf_stack_stats(s->fiber, &stats) || stats.committed < 100 * KIB)
		return 4;
	if (read(fds[0], bytes, PAGE) != PAGE || bytes[0] != 'p' || bytes[PAGE - 1] != 'p')
		return 5;
	close(fds[0]);
	close(fds[1]);
	kf_trim();
	return kf_stack_stats(s->fiber, &stats) || stats.committed > 50 * KIB ? 6 : 0;
}

TEST(what_is_pinned_is_not_trimmed)
{
	struct play play = { .act = trim_with_a_pin, .before = 110 * KIB };

	ASSERT_EQ(0, run(2, perform, &play));
	EXPECT_EQ(0, play.result);
	EXPECT_EQ(0, play.damage);
	EXPECT_EQ(0, play.later);
}

/* --- the device, without the library ----------------------------------------------- */

FIXTURE(device) {
	int fd;
	uint64_t fibers[4];
};

FIXTURE_SETUP(device)
{
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 1, .max_workers = 1, .max_fibers = 64,
	};
	struct kfiber_fibers alloc = {
		.size = sizeof(alloc), .count = 4, .stack_shift = 18,
		.fibers = (uintptr_t)self->fibers,
	};

	self->fd = open(DEVICE, O_RDWR);
	ASSERT_GE(self->fd, 0);
	ASSERT_EQ(0, ioctl(self->fd, KFIBER_IOC_SETUP, &setup));
	ASSERT_EQ(0, ioctl(self->fd, KFIBER_IOC_ALLOC, &alloc));
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
}

static unsigned char *map_slots(int fd, int protection, int flags, size_t first, size_t count)
{
	return mmap(NULL, count * SLOT, protection, flags, fd, (off_t)(STACKS + first * SLOT));
}

static uint64_t device_pages(int fd)
{
	struct kfiber_stats stats = { .size = sizeof(stats) };

	return ioctl(fd, KFIBER_IOC_STATS, &stats) ? ~0ull : stats.stack_pages;
}

TEST_F(device, populated_when_mapped_up_to_the_guard)
{
	unsigned char *p = map_slots(self->fd, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
				     0, 4);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, device_pages(self->fd));
	ASSERT_TRUE(can_write(p + SLOT - 1));
}

TEST_F(device, is_not_mapped_privately_or_read_only)
{
	int fd = open(DEVICE, O_RDONLY);
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 1, .max_workers = 1, .max_fibers = 64,
	};

	ASSERT_EQ(MAP_FAILED, map_slots(self->fd, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0, 1));
	ASSERT_EQ(EINVAL, errno);
	/* A mapping of a file that cannot be written to is not a shared one. */
	ASSERT_EQ(0, ioctl(fd, KFIBER_IOC_SETUP, &setup));
	ASSERT_EQ(MAP_FAILED, map_slots(fd, PROT_READ, MAP_SHARED, 0, 1));
	ASSERT_EQ(EINVAL, errno);
	close(fd);
}

TEST_F(device, read_only_stacks_are_zeros)
{
	unsigned char *p = map_slots(self->fd, PROT_READ, MAP_SHARED, 0, 1);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_TRUE(can_read(p + SLOT - 1));
	ASSERT_EQ(0, p[SLOT - 1]);
	ASSERT_FALSE(can_write(p + SLOT - 1));
	ASSERT_EQ(0, mprotect(p, SLOT, PROT_READ | PROT_WRITE));
	ASSERT_TRUE(can_write(p + SLOT - 1));
}

/* Pages belong to where they are mapped, and are counted there: that is one place. */
TEST_F(device, mapped_twice)
{
	unsigned char *one = map_slots(self->fd, PROT_READ | PROT_WRITE, MAP_SHARED, 2, 4), *two;
	struct kfiber_trim trim = { .size = sizeof(trim) };

	ASSERT_NE(MAP_FAILED, one);
	one[2 * SLOT - 1] = 1;
	/* Any part of it: from below, from above, within, all around. */
	for (size_t first = 0; first <= 6; first++)
		for (size_t count = 1; count <= 6; count++) {
			bool overlaps = first < 6 && first + count > 2;

			two = map_slots(self->fd, PROT_READ | PROT_WRITE, MAP_SHARED, first, count);
			ASSERT_EQ(overlaps, two == MAP_FAILED);
			ASSERT_TRUE(!overlaps || errno == EBUSY);
			if (!overlaps)
				munmap(two, count * SLOT);
		}
	/* In its own place it may be. */
	two = mmap(one, 2 * SLOT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, self->fd,
		   (off_t)(STACKS + 2 * SLOT));
	ASSERT_EQ(one, two);
	ASSERT_EQ(0, one[2 * SLOT - 1]);
	one[2 * SLOT - 1] = 1;
	/* Where it was before is free when it has been moved, but not for itself. */
	two = mremap(one, 2 * SLOT, 2 * SLOT, MREMAP_MAYMOVE | MREMAP_FIXED,
		     mmap(NULL, 2 * SLOT, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	ASSERT_NE(MAP_FAILED, two);
	ASSERT_EQ(MAP_FAILED, mmap(one, 2 * SLOT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
				   self->fd, (off_t)(STACKS + 2 * SLOT)));
	ASSERT_EQ(EBUSY, errno);
	ASSERT_EQ(1, two[2 * SLOT - 1]);
	/* Nothing is lost to the count: the pages of before are missed, those there are not. */
	two[2 * SLOT - 2 * PAGE] = 1;
	ASSERT_EQ(0, ioctl(self->fd, KFIBER_IOC_TRIM, &trim));
	ASSERT_LE(2, device_pages(self->fd));
	/* Gone is gone. */
	munmap(two, 2 * SLOT);
	munmap(one + 2 * SLOT, 2 * SLOT);
	two = map_slots(self->fd, PROT_READ | PROT_WRITE, MAP_SHARED, 0, 8);
	ASSERT_NE(MAP_FAILED, two);
	ASSERT_TRUE(can_write(two + 4 * SLOT - 1));
}

/* Old and emulated: another part of the file in the place of this one. */
TEST_F(device, pages_of_it_are_remapped)
{
	unsigned char *p = map_slots(self->fd, PROT_READ | PROT_WRITE, MAP_SHARED, 0, 4);

	ASSERT_NE(MAP_FAILED, p);
	p[SLOT - 1] = 1;
	ASSERT_EQ(0, munmap(p + 3 * SLOT, SLOT));
	ASSERT_EQ(0, remap_file_pages(p, SLOT, 0, (STACKS + 3 * SLOT) / PAGE, 0));
	ASSERT_EQ(0, p[SLOT - 1]);
	/* Not to what is mapped, in whose place it would be there twice. */
	ASSERT_EQ(-1, remap_file_pages(p, SLOT, 0, (STACKS + 2 * SLOT) / PAGE, 0));
	/* Not to where there is nothing. */
	ASSERT_EQ(-1, remap_file_pages(p, SLOT, 0, KFIBER_MAP_STACKS / PAGE, 0));
}

/* Tables are not for a child; one that asks for them gets them, and no more. */
TEST_F(device, tables_for_a_child)
{
	struct kfiber_fiber_block *blocks =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, KFIBER_MAP_FIBERS);
	uint64_t sp;
	pid_t child;

	ASSERT_NE(MAP_FAILED, blocks);
	sp = blocks->sp;
	ASSERT_TRUE(can_read(blocks));
	child = fork();
	if (!child)
		_exit(can_read(blocks));
	ASSERT_EQ(0, wait_for(child));
	ASSERT_EQ(0, madvise(blocks, PAGE, MADV_DOFORK));
	child = fork();
	if (!child) {
		blocks->sp = sp + 1;
		_exit(ioctl(self->fd, KFIBER_IOC_TRIM, NULL) && errno == EPERM ? 7 : 1);
	}
	ASSERT_EQ(7 << 8, wait_for(child));
	ASSERT_EQ(sp + 1, blocks->sp);
}

TEST_HARNESS_MAIN
