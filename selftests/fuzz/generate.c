// SPDX-License-Identifier: GPL-2.0
/*
 * Programs by chance. Calls that are all random hardly ever get past SETUP, so
 * most programs begin with what a real one does, and arguments are right more
 * often than wrong.
 */
#include <linux/kfiber.h>
#include <string.h>
#include <sys/mman.h>

#include "calls.h"
#include "generate.h"
#include "random.h"

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#define PICK(random, array) ((array)[random_below(random, ARRAY_LENGTH(array))])

uint64_t interesting_value(uint64_t *random)
{
	static const uint64_t values[] = {
		0, 1, 2, 3, ~0ull, 1ull << 63, INT64_MAX, 1ull << 32, (1ull << 32) - 1,
		KFIBER_LOCAL_SLOTS - 1, KFIBER_LOCAL_SLOTS, KFIBER_LOCAL_SLOTS + 1,
		KFIBER_INBOX_SLOTS - 1, KFIBER_INBOX_SLOTS, KFIBER_INBOX_SLOTS + 1,
		KFIBER_NEVER - 1, 0xffff888000000000ull, 31, 32, 4095, 4096,
	};

	switch (random_below(random, 4)) {
	case 0:
		return random_next(random);
	case 1:					/* a name */
		return (1 + random_below(random, 3)) << 32 | random_below(random, 40);
	case 2:
		return random_below(random, 300);
	default:
		return PICK(random, values);
	}
}

/* Sizes of a struct: too small, cut short, longer than the kernel's, absurd. */
static uint64_t random_size(uint64_t *random)
{
	static const uint64_t sizes[] = {
		1, 3, 4, 8, 12, 15, 16, 20, 24, 28, 31, 32, 33, 40, 64, 120, 128, 200, 4095, 4096,
		4097, 0x7fffffff, 0xffffffff,
	};

	return random_below(random, 12) ? 0 : PICK(random, sizes);
}

static uint64_t random_limit(uint64_t *random)
{
	static const uint64_t limits[] = {
		0, 1, 2, 31, 32, 33, 64, 65, KFIBER_WORKERS_MAX, KFIBER_WORKERS_MAX + 1,
		KFIBER_FIBERS_MAX, KFIBER_FIBERS_MAX + 1, 0xffffffff,
	};

	return random_below(random, 4) ? 4 + random_below(random, 200) : PICK(random, limits);
}

static uint64_t random_processors(uint64_t *random)
{
	static const uint64_t odd[] = {
		0, 16, KFIBER_PROCESSORS_MAX, KFIBER_PROCESSORS_MAX + 1, 0xffffffff,
	};

	return random_below(random, 12) ? 1 + random_below(random, 4) : PICK(random, odd);
}

static uint64_t random_shift(uint64_t *random)
{
	static const uint64_t shifts[] = { 14, 14, 15, 16, 16, 17, 18, 18, 20, 29, 30 };
	static const uint64_t wrong[] = { 0, 1, 13, 31, 32, 63, 64, 0xffffffff };

	return random_below(random, 16) ? PICK(random, shifts) : PICK(random, wrong);
}

/* Ends of slots most: the tops of stacks and the edges of guards. */
static uint64_t random_offset(uint64_t *random)
{
	static const unsigned int shifts[] = { 14, 14, 15, 16, 16, 18, 18, 20, 30 };
	uint64_t slot = 1ull << PICK(random, shifts);
	uint64_t offset = slot * random_below(random, 5);

	switch (random_below(random, 8)) {
	case 0:
		return random_below(random, 8) * 4096;
	case 1:
		return offset + (slot >> 2);		/* above a guard */
	case 2:
		return offset + (slot >> 2) - 4096;
	case 3:
		return random_next(random);
	default:
		return slot + offset - (random_below(random, 6) << 12) -
		       8 * random_below(random, 9);
	}
}

static uint64_t random_count(uint64_t *random)
{
	static const uint64_t odd[] = {
		0, 17, 32, 33, 64, KFIBER_BATCH_MAX, KFIBER_BATCH_MAX + 1, 0xffffffff,
	};

	return random_below(random, 6) ? 1 + random_below(random, 6) : PICK(random, odd);
}

static uint64_t random_advice(uint64_t *random)
{
	/* Not those that are made to break memory: HWPOISON and SOFT_OFFLINE. */
	static const uint64_t advice[] = {
		MADV_NORMAL, MADV_WILLNEED, MADV_DONTNEED, MADV_DONTNEED, MADV_FREE, MADV_REMOVE,
		MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_HUGEPAGE, MADV_DONTDUMP,
		MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, 25 /* COLLAPSE: not in the headers yet */,
	};

	return PICK(random, advice);
}

static uint64_t random_pages(uint64_t *random)
{
	static const uint64_t pages[] = {
		0, 1, 1, 2, 3, 4, 16, 17, 64, 129, 512, 1ull << 20, 1ull << 30, (1ull << 30) + 1,
	};

	return PICK(random, pages);
}

static uint64_t random_us(uint64_t *random)
{
	static const uint64_t us[] = { 0, 1, 50, 200, 1000, 5000, 20000 };

	return PICK(random, us);
}

static uint64_t random_word(enum arg kind, uint64_t *random)
{
	return random_below(random, arg_words(kind).count);
}

static uint64_t random_arg(enum arg kind, uint64_t *random)
{
	switch (kind) {
	case ARG_NONE:
		return 0;
	case ARG_FD:
		return random_below(random, 3) ? 0 : random_below(random, FDS);
	case ARG_MAP:
		return random_below(random, MAPS);
	case ARG_TRACK:
		return random_below(random, TRACKS);
	case ARG_NAME:
		return random_below(random, 8) ? random_below(random, 12) :
						 interesting_value(random);
	case ARG_WORKER:
		return random_below(random, 8) ? 0 : random_below(random, 9);
	case ARG_SIZE:
		return random_size(random);
	case ARG_ZERO:
		return random_below(random, 24) ? 0 : interesting_value(random);
	case ARG_FLAGS:
		return random_below(random, 24) ? random_below(random, 2) :
						  interesting_value(random);
	case ARG_PROCESSORS:
		return random_processors(random);
	case ARG_LIMIT:
		return random_limit(random);
	case ARG_BYTES:
		return random_below(random, 3) ? 0 : random_below(random, 64) * 4096;
	case ARG_COUNT:
		return random_count(random);
	case ARG_SHIFT:
		return random_shift(random);
	case ARG_POINTER:
		return random_below(random, 24) ? 0 : 1 + random_below(random, 4);
	case ARG_OFFSET:
		return random_offset(random);
	case ARG_PAGES:
		return random_pages(random);
	case ARG_PROTECTION:
		return random_below(random, 8);
	case ARG_MAP_FLAGS:
		return random_below(random, 4) ? 0 : random_below(random, 64);
	case ARG_ADVICE:
		return random_advice(random);
	case ARG_US:
		return random_us(random);
	case ARG_INDEX:
		return random_below(random, 12) ? random_below(random, 8) :
						  random_below(random, 300);
	case ARG_VALUE:
		return interesting_value(random);
	case ARG_SEED:
		return 1 + random_below(random, 1000);
	case ARG_NTH:
		return 1 + random_below(random, 12);
	case ARG_TIMES:
		return 1 + random_below(random, 400);
	case ARG_TABLE:
	case ARG_FIELD:
	case ARG_HOW:
	case ARG_KIND:
	case ARG_SIGNAL:
	case ARG_FILE:
	case ARG_OTHER:
		return random_word(kind, random);
	}
	return 0;
}

static uint8_t random_op(uint64_t *random)
{
	unsigned int i, total = 0;
	uint64_t at;

	for (i = 0; i < nr_ops; i++)
		total += ops[i].weight;
	at = random_below(random, total);
	for (i = 0; at >= ops[i].weight; i++)
		at -= ops[i].weight;
	return i;
}

/* A value whose meaning is @how. */
static uint64_t random_value(enum how how, uint64_t *random)
{
	static const uint64_t states[] = {
		KFIBER_FREE, KFIBER_ACTIVE, KFIBER_PARKING, KFIBER_PARKED, KFIBER_PARKED,
		KFIBER_DEAD, KFIBER_PARKED | KFIBER_WAITS_WAKE,
		KFIBER_PARKING | KFIBER_WAITS_WAKE, KFIBER_PARKED | KFIBER_TIMEDOUT,
		KFIBER_ACTIVE | KFIBER_PERMIT | KFIBER_WAKE, KFIBER_PARKED | KFIBER_PINNED,
		KFIBER_PARKING | KFIBER_PINNED, KFIBER_ACTIVE | KFIBER_INTERRUPT,
		KFIBER_FREE | KFIBER_POOLED, KFIBER_PARKED | KFIBER_INTERACTIVE,
		KFIBER_PARKED | KFIBER_BACKGROUND, 5, 255,
	};

	switch (how) {
	case NAME:
		return random_arg(ARG_NAME, random);
	case TIME:
		return random_us(random);
	case STATE:
		return PICK(random, states);
	case ADD:
		return random_below(random, 9) - 4;
	default:
		return interesting_value(random);
	}
}

/* @tracks: how many there are; any of them makes it. */
static struct call random_call(unsigned int tracks, uint64_t *random)
{
	struct call call = {
		.track = random_below(random, tracks),
		.op = random_op(random),
	};
	const enum arg *kinds = ops[call.op].args;
	int i;

	for (i = 0; i < ARGS_MAX; i++) {
		if (i && kinds[i] == ARG_VALUE && kinds[i - 1] == ARG_HOW)
			call.args[i] = random_value(call.args[i - 1], random);
		else
			call.args[i] = random_arg(kinds[i], random);
	}
	return call;
}

/* Puts in what is written in the text form; what is track 0's there, @track makes. */
static void insert_text(struct program *p, unsigned int at, const char *text, unsigned int track)
{
	struct program more;

	program_parse(&more, text);
	while (more.count--) {
		if (!more.calls[more.count].track)
			more.calls[more.count].track = track;
		program_insert(p, at, &more.calls[more.count]);
	}
}

static void append_text(struct program *p, const char *text)
{
	insert_text(p, p->count, text, 0);
}

/* What does something only together, and hardly comes together by chance. */
static const char *const phrases[] = {
	"0 attach\n0 ready 0 0 0 4 0 1\n0 next\n",
	"0 next\n0 sleep 1000\n0 acquire\n",
	"0 push 0 1 40\n0 kick\n0 next\n",
	"0 set processor.next 0 name 2\n0 spin 5000\n",
	"0 set fiber.word 1 state 3\n0 set fiber.deadline 1 time 1000\n0 arm 0 0 0 1 0 1\n",
	"0 set worker.fiber 0 name 1\n0 set fiber.word 1 state 1\n0 exit\n",
	"0 set fiber.joiner 1 raw 1\n0 set worker.fiber 0 name 1\n0 set fiber.word 1 state 1\n"
	"0 exit\n",
	"0 touch 4 0x3ff8 2 1\n0 stack 4 0x3f00\n0 start 1 fork\n1 touch 4 0x3ff8 4 1\n",
	"0 fail 1\n0 alloc 0 0 0 40 14 8\n",
	"0 fail 2\n0 attach\n",
	"0 detach\n0 attach 0 0 3\n",
	"0 open 1\n0 fail 3\n0 setup 1 0 0 3 8 100\n0 setup 1 0 0 3 8 100\n",
	"0 unmap 0 0 1\n0 unmap 1 0 4\n0 unmap 2 0 1\n0 unmap 3 0 4\n0 unmap 4 0 6400\n"
	"0 close\n",
};

static void append_start(struct program *p, unsigned int track, uint64_t *random)
{
	struct call call = { .op = op_find("start"), .args = { track } };

	/* Threads more often than all the others. */
	call.args[1] = random_below(random, 3) ? 0 : random_word(ARG_KIND, random);
	program_insert(p, p->count, &call);
}

/* The way into the module that every real program goes. Return: its tracks. */
static unsigned int append_prelude(struct program *p, uint64_t *random)
{
	unsigned int track, tracks = 1 + random_below(random, TRACKS);
	struct call setup;

	append_text(p, "0 open 0\n0 setup 0 0 0 2 8 100\n");
	setup = p->calls[p->count - 1];
	setup.args[3] = 1 + random_below(random, 4);
	if (random_one_in(random, 4))
		setup.args[6] = 4096 * (1 + random_below(random, 40));
	p->calls[p->count - 1] = setup;

	append_text(p, "0 map 0 domain 0 0 1\n0 map 0 processors 0 1 4\n"
		       "0 map 0 workers 0 2 1\n0 map 0 fibers 0 3 4\n");
	if (random_below(random, 4))
		append_text(p, "0 map 0 stacks 14 4 400\n0 alloc 0 0 0 8 14\n");
	else
		append_text(p, "0 map 0 stacks 18 4 6400\n0 alloc 0 0 0 8 18\n");
	for (track = 1; track < tracks; track++)
		append_start(p, track, random);
	for (track = 0; track < tracks; track++) {
		struct call attach = { .track = track, .op = op_find("attach") };

		if (random_below(random, 4))
			program_insert(p, p->count, &attach);
	}
	return tracks;
}

void program_generate(struct program *p, uint64_t *random)
{
	unsigned int n, tracks = TRACKS;

	p->count = 0;
	if (random_below(random, 8))
		tracks = append_prelude(p, random);
	for (n = 1 + random_below(random, 24); n > 0; n--) {
		struct call call = random_call(tracks, random);

		if (random_one_in(random, 8))
			insert_text(p, p->count, PICK(random, phrases),
				    random_below(random, tracks));
		else
			program_insert(p, p->count, &call);
	}
}

/* Those that it has, or one more. */
static unsigned int program_tracks(const struct program *p, uint64_t *random)
{
	unsigned int i, tracks = 1;

	for (i = 0; i < p->count; i++)
		if (p->calls[i].track >= tracks)
			tracks = p->calls[i].track + 1;
	return tracks < TRACKS && random_one_in(random, 4) ? tracks + 1 : tracks;
}

static unsigned int random_place(const struct program *p, uint64_t *random)
{
	return random_below(random, p->count + 1);
}

static void mutate_insert(struct program *p, uint64_t *random)
{
	struct call call = random_call(program_tracks(p, random), random);

	program_insert(p, random_place(p, random), &call);
}

static void mutate_arg(struct program *p, uint64_t *random)
{
	struct call *call;
	unsigned int i;

	if (!p->count)
		return;
	call = &p->calls[random_below(random, p->count)];
	i = random_below(random, ARGS_MAX);
	while (i && !ops[call->op].args[i])
		i--;
	call->args[i] = random_arg(ops[call->op].args[i], random);
}

static void mutate_copy(struct program *p, uint64_t *random)
{
	struct call call;

	if (!p->count)
		return;
	call = p->calls[random_below(random, p->count)];
	if (random_one_in(random, 2))
		call.track = random_below(random, program_tracks(p, random));
	program_insert(p, random_place(p, random), &call);
}

static void mutate_swap(struct program *p, uint64_t *random)
{
	struct call *a, *b, tmp;

	if (!p->count)
		return;
	a = &p->calls[random_below(random, p->count)];
	b = &p->calls[random_below(random, p->count)];
	tmp = *a;
	*a = *b;
	*b = tmp;
}

/* A stretch of @other goes in somewhere. */
static void mutate_splice(struct program *p, const struct program *other, uint64_t *random)
{
	struct program from = *other;
	unsigned int at = random_place(p, random);
	unsigned int start, n;

	if (!from.count)
		return;
	start = random_below(random, from.count);
	n = 1 + random_below(random, from.count - start);
	while (n--)
		if (!program_insert(p, at, &from.calls[start + n]))
			return;
}

void program_mutate(struct program *p, const struct program *other, uint64_t *random)
{
	unsigned int n;

	for (n = 1 + random_below(random, 4); n > 0; n--) {
		switch (random_below(random, 11)) {
		case 0:
		case 1:
		case 2:
			mutate_insert(p, random);
			break;
		case 10:
			insert_text(p, random_place(p, random), PICK(random, phrases),
				    random_below(random, program_tracks(p, random)));
			break;
		case 3:
		case 4:
		case 5:
			mutate_arg(p, random);
			break;
		case 6:
			mutate_copy(p, random);
			break;
		case 7:
			mutate_swap(p, random);
			break;
		case 8:
			mutate_splice(p, other, random);
			break;
		case 9:
			if (p->count)
				program_remove(p, random_below(random, p->count), 1);
			break;
		}
	}
}
