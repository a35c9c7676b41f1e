// SPDX-License-Identifier: GPL-2.0
/*
 * A program with all that fibers do, and planted bugs, for selftests/checkers.sh:
 * built for each sanitizer, and plain for valgrind.
 *
 * Usage: planted clean | exits | BUG...
 *
 * Bugs come one after the other, where one does not end the program. Ends with 0 if the fibers did what they should; what a checker says is for the
 * script. The functions with a bug have names that the script looks for.
 */
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS 1000000ull
#define ROUNDS 20
#define FIBERS 24

#define NEVER_INLINE __attribute__((noinline, noclone))

/* Frames of all sizes with red zones around what is in them. */
static NEVER_INLINE long go_deep(long depth)
{
	volatile char frame[200];

	memset((void *)frame, (int)depth, sizeof(frame));
	if (depth % 3 == 0)
		kf_yield();
	if (depth)
		return go_deep(depth - 1) + frame[depth] - depth;
	return 0;
}

/* Ends in the middle: nobody returns from the frames above. */
static NEVER_INLINE void end_deep(long depth)
{
	volatile char frame[100];

	memset((void *)frame, 1, sizeof(frame));
	if (depth > 0)
		end_deep(depth - 1);
	if (frame[5])
		kf_exit((void *)1);
}

static void *end_in_the_middle(void *depth)
{
	end_deep((long)depth);
	return NULL;
}

static void *deep(void *depth)
{
	return (void *)(go_deep((long)depth) + 1);
}

/* From below to above in one step, on a stack that was switched meanwhile. */
static NEVER_INLINE void jump_out(jmp_buf *env, long depth)
{
	volatile char frame[300];

	memset((void *)frame, 1, sizeof(frame));
	kf_yield();
	if (depth > 0)
		jump_out(env, depth - 1);
	if (frame[7])
		longjmp(*env, 1);
}

static void *jumps(void *arg)
{
	jmp_buf env;

	if (!setjmp(env))
		jump_out(&env, 5);
	return (void *)(go_deep(10) + 1);
}

/* Blocks, so that the others go on in another thread. */
static void *blocks(void *arg)
{
	char *text = malloc(100);

	usleep(2000);
	strcpy(text, "after");
	free(text);
	return (void *)1;
}

/* What one fiber hands to another without a lock: park and unpark order it. */
struct baton {
	kf_fiber_t waiter;
	char *text;
	_Atomic int taken;
};

static void *take_baton(void *arg)
{
	struct baton *baton = arg;

	kf_park(KF_FOREVER);
	return (void *)(long)(strcmp(baton->text, "baton") == 0);
}

static void *give_baton(void *arg)
{
	struct baton *baton = arg;

	baton->text = strdup("baton");
	kf_unpark(baton->waiter);
	return (void *)1;
}

static void *give_from_thread(void *arg)
{
	give_baton(arg);
	return NULL;
}

static void *sleeps(void *arg)
{
	kf_sleep(MS);
	return (void *)(go_deep(5) + 1);
}

static void *detached(void *arg)
{
	struct baton *baton = arg;

	go_deep(4);
	atomic_store(&baton->taken, 1);
	return NULL;
}

/* What objects order, each for a number of its own; plain threads come in, too. */
#define USERS 6

static kf_mutex_t mutex = KF_MUTEX_INIT;
static kf_rwlock_t rwlock = KF_RWLOCK_INIT;
static kf_cond_t cond = KF_COND_INIT;
static kf_sem_t sem = KF_SEM_INIT(1);
static kf_once_t once = KF_ONCE_INIT;
static int by_mutex, by_rwlock, by_cond, by_sem, by_once;

static void set_once(void)
{
	by_once = 1;
}

static void *use_objects(void *arg)
{
	kf_waitgroup_t *all = arg;
	int seen;

	kf_once(&once, set_once);
	seen = by_once;
	kf_mutex_lock(&mutex);
	by_mutex++;
	kf_yield();
	kf_mutex_unlock(&mutex);
	kf_sem_wait(&sem);
	by_sem++;
	kf_sem_post(&sem);
	kf_rwlock_rdlock(&rwlock);
	seen += by_rwlock < 0;
	kf_rwlock_unlock(&rwlock);
	kf_rwlock_wrlock(&rwlock);
	by_rwlock++;
	kf_rwlock_unlock(&rwlock);
	kf_mutex_lock(&mutex);
	by_cond++;
	kf_cond_broadcast(&cond);
	while (by_cond % USERS)
		kf_cond_wait(&cond, &mutex);
	kf_mutex_unlock(&mutex);
	kf_waitgroup_done(all);
	return (void *)(long)seen;
}

/* A value and what it points to. */
static void *send_texts(void *arg)
{
	kf_chan_t **c = arg;
	int i;

	for (i = 0; i < 10; i++) {
		char *text = strdup("sent");
		struct kf_case cases[] = { KF_SEND(c[0], &text), KF_SEND(c[1], &text) };

		if (i % 2)
			kf_chan_send(c[i % 4 / 2], &text);
		else
			kf_select(cases, 2, KF_FOREVER);
	}
	return (void *)1;
}

static int receive_texts(kf_chan_t **c, int n)
{
	struct kf_case cases[2];
	int bad = 0;
	char *text;

	for (; n > 0; n--) {
		cases[0] = (struct kf_case)KF_RECV(c[0], &text);
		cases[1] = (struct kf_case)KF_RECV(c[1], &text);
		kf_select(cases, 2, KF_FOREVER);
		bad += strcmp(text, "sent") != 0;
		free(text);
	}
	return bad;
}

static int share(void)
{
	kf_chan_t *c[] = { kf_chan_create(sizeof(char *), 0), kf_chan_create(sizeof(char *), 2) };
	kf_waitgroup_t all = KF_WAITGROUP_INIT;
	pthread_t thread, sender;
	kf_fiber_t fibers[USERS];
	int i, bad;

	kf_waitgroup_add(&all, USERS);
	pthread_create(&thread, NULL, use_objects, &all);
	pthread_create(&sender, NULL, send_texts, c);
	for (i = 1; i < USERS; i++)
		kf_spawn(&fibers[i], NULL, use_objects, &all);
	kf_spawn(&fibers[0], NULL, send_texts, c);
	kf_waitgroup_wait(&all);
	bad = by_mutex % USERS + by_sem % USERS + by_rwlock % USERS + by_cond % USERS;
	bad += receive_texts(c, 20);
	for (i = 0; i < USERS; i++)
		kf_join(fibers[i], NULL);
	pthread_join(thread, NULL);
	pthread_join(sender, NULL);
	kf_chan_destroy(c[0]);
	kf_chan_destroy(c[1]);
	return bad;
}

/* What is a fiber's own. */
static kf_key_t own;

static void *owns(void *arg)
{
	kf_setspecific(own, strdup("own"));
	kf_yield();
	return (void *)(long)!strcmp(kf_getspecific(own), "own");
}

static int hand_over(void *(*give)(void *), pthread_t *thread)
{
	struct kf_attr alone = { .size = sizeof(alone), .flags = KF_DETACHED };
	struct baton baton = { 0 };
	kf_fiber_t giver = 0;
	void *value = NULL;

	kf_spawn(&baton.waiter, NULL, take_baton, &baton);
	kf_yield();
	if (thread)
		pthread_create(thread, NULL, give, &baton);
	else
		kf_spawn(&giver, NULL, give, &baton);
	if (kf_join(baton.waiter, &value) || value != (void *)1)
		return 1;
	if (thread)
		pthread_join(*thread, NULL);
	else
		kf_join(giver, NULL);
	free(baton.text);
	if (kf_spawn(NULL, &alone, detached, &baton))
		return 1;
	while (!atomic_load(&baton.taken))
		kf_sleep(MS / 10);
	return 0;
}

/* Each round takes the stacks of the one before. */
static int clean(void *arg)
{
	static void *(*const kinds[])(void *) = {
		deep, end_in_the_middle, jumps, sleeps, blocks, owns,
	};
	const size_t nr_kinds = sizeof(kinds) / sizeof(kinds[0]);
	struct kf_attr large = { .size = sizeof(large), .stack_size = 1 << 20 };
	kf_fiber_t fibers[FIBERS];
	pthread_t thread;
	long round, i;
	void *value;

	kf_key_create(&own, free);
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < FIBERS; i++)
			if (kf_spawn(&fibers[i], i % 5 ? NULL : &large,
				     kinds[(size_t)(i + round) % nr_kinds], (void *)(i + round)))
				return 1;
		for (i = 0; i < FIBERS; i++)
			if (kf_join(fibers[i], &value) || value != (void *)1)
				return 2;
		if (hand_over(give_baton, NULL) || hand_over(give_from_thread, &thread))
			return 3;
		if (share())
			return 4;
	}
	return 0;
}

/* What it knows is known nowhere else. */
static void *parks_with_memory(void *arg)
{
	char *volatile memory = strdup("known");

	kf_setspecific(own, strdup("known to the fiber"));
	kf_waitgroup_done(arg);
	kf_park(KF_FOREVER);
	free(memory);
	return NULL;
}

/* Nothing is lost: everything that was allocated is known to some stack. */
static int exits(void *arg)
{
	static kf_waitgroup_t parking = KF_WAITGROUP_INIT;
	char *volatile memory = strdup("known too");
	kf_fiber_t fibers[FIBERS];
	int i;

	kf_key_create(&own, free);
	kf_waitgroup_add(&parking, FIBERS);
	for (i = 0; i < FIBERS; i++)
		if (kf_spawn(&fibers[i], NULL, parks_with_memory, &parking))
			return 1;
	kf_waitgroup_wait(&parking);
	kf_sleep(10 * MS);
	exit(memory ? 0 : 1);
}

/* --- the bugs ---------------------------------------------------------------- */

static NEVER_INLINE int use_freed_memory(volatile char *memory)
{
	return memory[3];
}

static void *frees(void *memory)
{
	kf_yield();
	free(memory);
	return NULL;
}

static int use_after_free(void *arg)
{
	char *memory = calloc(1, 10);
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, frees, memory);
	kf_join(fiber, NULL);
	return use_freed_memory(memory);
}

static NEVER_INLINE int write_past_frame(volatile size_t length)
{
	volatile char frame[32];
	size_t i;

	for (i = 0; i < length; i++)
		frame[i] = 1;
	return frame[0];
}

static void *overflows(void *arg)
{
	kf_yield();
	return (void *)(long)write_past_frame(33);
}

static int frame_overflow(void *arg)
{
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, overflows, NULL);
	return kf_join(fiber, NULL);
}

/* A variable of a function that has returned: on ASan's other stack. */
static NEVER_INLINE volatile int *leave_frame(void)
{
	volatile int variable = 5;
	volatile int *volatile address = &variable;

	kf_yield();
	return address;
}

static NEVER_INLINE int use_left_frame(volatile int *address)
{
	return *address;
}

static void *returns_frame(void *arg)
{
	volatile int *address = leave_frame();

	kf_yield();
	return (void *)(long)use_left_frame(address);
}

static int use_after_return(void *arg)
{
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, returns_frame, NULL);
	return kf_join(fiber, NULL);
}

static NEVER_INLINE int overflow_int(volatile int number)
{
	return number + 1;
}

static void *adds(void *arg)
{
	return (void *)(long)(overflow_int(0x7fffffff) == 1);
}

static int undefined(void *arg)
{
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, adds, NULL);
	return kf_join(fiber, NULL);
}

static int shared_counter;

static NEVER_INLINE void count_unlocked(void)
{
	shared_counter++;
}

static void *counts(void *arg)
{
	count_unlocked();
	kf_yield();
	return NULL;
}

/* On one processor, never two at once: the order of the two is still luck. */
static int race(void *arg)
{
	kf_fiber_t fibers[2];

	kf_spawn(&fibers[0], NULL, counts, NULL);
	kf_spawn(&fibers[1], NULL, counts, NULL);
	kf_join(fibers[0], NULL);
	kf_join(fibers[1], NULL);
	return shared_counter != 2;
}

/* A lock that both may have at once orders nothing. */
static kf_rwlock_t readers = KF_RWLOCK_INIT;

static NEVER_INLINE void count_as_reader(void)
{
	shared_counter++;
}

static void *reads_and_writes(void *arg)
{
	kf_rwlock_rdlock(&readers);
	count_as_reader();
	kf_rwlock_unlock(&readers);
	return NULL;
}

static int race_of_readers(void *arg)
{
	kf_fiber_t fibers[2];

	kf_spawn(&fibers[0], NULL, reads_and_writes, NULL);
	kf_spawn(&fibers[1], NULL, reads_and_writes, NULL);
	kf_join(fibers[0], NULL);
	kf_join(fibers[1], NULL);
	return shared_counter != 2;
}

/* A call depends on it: of a mere value the compiler makes a select, which is no fault. */
static NEVER_INLINE void branch_on_nothing(volatile int *number)
{
	if (*number)
		go_deep(1);
}

/* Valgrind does not look for callers where a stack has just begun: hence the frame. */
static void *reads_nothing(void *arg)
{
	volatile int *number = malloc(sizeof(*number));
	volatile char frame[1000];

	memset((void *)frame, 1, sizeof(frame));
	kf_yield();
	branch_on_nothing(number);
	free((void *)number);
	return (void *)(long)(frame[5] != 1);
}

static int uninitialised(void *arg)
{
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, reads_nothing, NULL);
	return kf_join(fiber, NULL);
}

static NEVER_INLINE char *allocate_and_forget(void)
{
	return strdup("forgotten");
}

static void *forgets(void *arg)
{
	return (void *)(long)(allocate_and_forget() == NULL);
}

static int leak(void *arg)
{
	kf_fiber_t fiber;

	kf_spawn(&fiber, NULL, forgets, NULL);
	return kf_join(fiber, NULL);
}

static const struct {
	const char *name;
	int (*fn)(void *arg);
	unsigned int processors;
} modes[] = {
	{ "clean", clean, 2 },
	{ "exits", exits, 2 },
	{ "leak", leak, 2 },
	{ "use_after_free", use_after_free, 2 },
	{ "frame_overflow", frame_overflow, 2 },
	{ "use_after_return", use_after_return, 2 },
	{ "undefined", undefined, 2 },
	{ "race", race, 1 },
	{ "race_of_readers", race_of_readers, 1 },
	{ "uninitialised", uninitialised, 2 },
};

static int run_mode(const char *name)
{
	struct kf_config config = { .size = sizeof(config), .max_fibers = 1000 };
	size_t i;
	int err;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(name, modes[i].name))
			continue;
		config.processors = modes[i].processors;
		err = kf_run(&config, modes[i].fn, NULL);
		if (err)
			fprintf(stderr, "planted: %s: %d\n", modes[i].name, err);
		return err ? 1 : 0;
	}
	fprintf(stderr, "Usage: planted clean | exits | BUG...\n");
	return 2;
}

int main(int argc, char **argv)
{
	char *volatile memory = strdup("known to main");
	int status = argc > 1 ? 0 : run_mode("");
	int i;

	for (i = 1; i < argc && status == 0; i++)
		status = run_mode(argv[i]);
	free(memory);
	return status;
}
