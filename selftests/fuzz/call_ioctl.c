// SPDX-License-Identifier: GPL-2.0
/* The ioctls. */
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "call.h"

/*
 * What is wrong with a pointer: nothing; it is NULL; it is an address of the
 * kernel's; it can be read only; what it points at is cut short by the end of
 * the mapping.
 */
enum pointer { GOOD, NO_POINTER, KERNELS, READ_ONLY, CUT };

/* In the page for arguments: room for names, beside the struct. */
#define NAMES_OFFSET 1024

/* A copy of @data, of which @size bytes matter, at @offset, or where @pointer says. */
static void *place_data(struct track *t, enum pointer pointer, const void *data, size_t size,
			size_t offset)
{
	char *pages = track_pages(t->number);

	if (pointer == NO_POINTER)
		return NULL;
	if (pointer == KERNELS)
		return (void *)0xffff888000001000ul;
	if (pointer == GOOD)
		return memcpy(pages + offset, data, size);
	mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE);
	if (pointer == CUT)
		memcpy(pages + 2 * PAGE - 8, data, 8);
	else
		memcpy(pages + PAGE, data, size);
	mprotect(pages + PAGE, PAGE, PROT_READ);
	return pages + (pointer == CUT ? 2 * PAGE - 8 : PAGE);
}

/**
 * call_ioctl() - an ioctl whose argument begins with its size
 * @t: who calls
 * @command: the command
 * @fields: the first of the call's arguments: descriptor, size, pointer
 * @data: the argument; in and out
 * @size: its right size
 *
 * What lies beyond @data is zero, or not if the size is an odd number.
 *
 * Return: as ioctl().
 */
static int call_ioctl(struct track *t, unsigned long command, const uint64_t *fields, void *data,
		      uint32_t size)
{
	uint32_t told = fields[1] ? fields[1] : size;
	enum pointer pointer = fields[2];
	char *pages = track_pages(t->number);
	void *at;
	int ret;

	*(uint32_t *)data = told;
	memset(pages, 0, NAMES_OFFSET);
	pages[size] = told & 1;
	at = place_data(t, pointer, data, size, 0);
	ret = ioctl(call_fd(fields[0]), command, at);
	if (pointer == GOOD)
		memcpy(data, at, size);
	return ret;
}

void call_query(struct track *t, const uint64_t *args)
{
	struct kfiber_query query = { .flags = args[3], .reserved = args[3] >> 32 };

	call_ioctl(t, KFIBER_IOC_QUERY, args, &query, sizeof(query));
}

void call_setup(struct track *t, const uint64_t *args)
{
	struct kfiber_setup setup = {
		.processors = args[3], .max_workers = args[4], .max_fibers = args[5],
		.stack_bytes_max = args[6], .pool_bytes = args[6] / 2, .flags = args[7],
		.processors_max = args[6] % 7 ? args[7] >> 32 : args[3] + 2,
		.slice_ns = args[6] % 3 ? KFIBER_SLICE_MIN : 0,
		.slack_ns = args[6] % 5 ? 0 : KFIBER_SLACK_MAX,
		.idle_ns = args[6] % 11 ? 0 : KFIBER_IDLE_MIN,
	};

	call_ioctl(t, KFIBER_IOC_SETUP, args, &setup, sizeof(setup));
}

static void call_simple(struct track *t, unsigned long command, const uint64_t *args,
			uint32_t worker)
{
	struct kfiber_simple simple = {
		.worker = worker, .flags = args[4], .reserved = args[4] >> 32,
	};

	if (!call_ioctl(t, command, args, &simple, sizeof(simple)) &&
	    command == KFIBER_IOC_ATTACH)
		t->worker = simple.worker;
}

void call_shutdown(struct track *t, const uint64_t *args)
{
	call_simple(t, KFIBER_IOC_SHUTDOWN, args, args[3]);
}

void call_attach(struct track *t, const uint64_t *args)
{
	call_simple(t, KFIBER_IOC_ATTACH, args, args[3]);
}

void call_detach(struct track *t, const uint64_t *args)
{
	call_simple(t, KFIBER_IOC_DETACH, args, call_worker(t, args[3]));
}

void call_acquire(struct track *t, const uint64_t *args)
{
	call_simple(t, KFIBER_IOC_ACQUIRE, args, call_worker(t, args[3]));
}

void call_stats(struct track *t, const uint64_t *args)
{
	struct kfiber_stats stats = { .flags = args[3] };

	call_ioctl(t, KFIBER_IOC_STATS, args, &stats, sizeof(stats));
}

/* What is to be run becomes the program's first name: others may go on with it. */
void call_next(struct track *t, const uint64_t *args)
{
	struct kfiber_next next = {
		.flags = args[3], .worker = call_worker(t, args[4]),
		.arm = args[5] ? call_name(args[5]) : 0, .reserved = args[6],
		.fiber = call_name(args[5]),
	};

	if (!call_ioctl(t, KFIBER_IOC_NEXT, args, &next, sizeof(next)) && next.fiber)
		__atomic_store_n(&shared->names[0], next.fiber, __ATOMIC_RELAXED);
}

void call_kick(struct track *t, const uint64_t *args)
{
	struct kfiber_kick kick = { .flags = args[3] };

	call_ioctl(t, KFIBER_IOC_KICK, args, &kick, sizeof(kick));
}

void call_trim(struct track *t, const uint64_t *args)
{
	struct kfiber_trim trim = { .flags = args[3] };

	call_ioctl(t, KFIBER_IOC_TRIM, args, &trim, sizeof(trim));
}

/* Of the slot at an offset of the class's arena. */
void call_slot(struct track *t, const uint64_t *args)
{
	struct kfiber_stack stack = {
		.flags = args[5],
		.offset = KFIBER_MAP_STACKS + (args[3] << KFIBER_MAP_STACKS_SHIFT) + args[4],
	};

	call_ioctl(t, KFIBER_IOC_STACK, args, &stack, sizeof(stack));
}

void call_watch(struct track *t, const uint64_t *args)
{
	struct kfiber_watch watch = {
		.flags = args[5], .fd = args[3] ? call_fd(args[3]) : -1, .percent = args[4] % 128,
	};

	call_ioctl(t, KFIBER_IOC_WATCH, args, &watch, sizeof(watch));
}

void call_processors(struct track *t, const uint64_t *args)
{
	struct kfiber_processors processors = { .flags = args[4], .count = args[3] };

	call_ioctl(t, KFIBER_IOC_PROCESSORS, args, &processors, sizeof(processors));
}

void call_begin(struct track *t, const uint64_t *args)
{
	struct kfiber_start start = {
		.flags = args[5], .fiber = call_name(args[3]), .pages = args[4], .reserved = args[5] >> 32,
	};

	call_ioctl(t, KFIBER_IOC_START, args, &start, sizeof(start));
}

/* A wait for the file, or what it would be good for. */
void call_wait(struct track *t, const uint64_t *args)
{
	struct kfiber_file file = {
		.fd = call_fd(args[3]), .operation = args[4] % (KFIBER_FILE_OPERATIONS + 1),
		.fiber = args[5] ? call_name(args[5]) : 0, .deadline = KFIBER_NEVER,
		.flags = args[7], .message_flags = args[7] >> 32,
	};

	if (file.operation == KFIBER_FILE_POLL) {
		file.events = args[6];
	} else {
		file.buffer = (uintptr_t)(track_pages(t->number) + NAMES_OFFSET);
		file.length = args[6];
	}
	call_ioctl(t, KFIBER_IOC_FILE, args, &file, sizeof(file));
}

/* Names come from, and ALLOC's go to, the program's names from the given one on. */
static void call_fibers(struct track *t, unsigned long command, const uint64_t *args)
{
	uint64_t names[KFIBER_BATCH_MAX];
	struct kfiber_fibers fibers = {
		.count = args[3], .stack_shift = args[4], .flags = args[7],
	};
	uint32_t i, n;
	void *at;

	for (i = 0; i < ARRAY_LENGTH(names); i++)
		names[i] = call_name(args[5] < NAMES ? (args[5] + i) % NAMES : args[5] + i);
	n = fibers.count < ARRAY_LENGTH(names) ? fibers.count : ARRAY_LENGTH(names);
	at = place_data(t, args[6], names, n * sizeof(names[0]), NAMES_OFFSET);
	fibers.fibers = (uintptr_t)at;
	if (call_ioctl(t, command, args, &fibers, sizeof(fibers)) ||
	    command != KFIBER_IOC_ALLOC || args[6] != GOOD)
		return;
	for (i = 0; i < fibers.count && i < n; i++)
		__atomic_store_n(&shared->names[(args[5] + i) % NAMES], ((uint64_t *)at)[i],
				 __ATOMIC_RELAXED);
}

void call_ready(struct track *t, const uint64_t *args)
{
	call_fibers(t, KFIBER_IOC_READY, args);
}

void call_arm(struct track *t, const uint64_t *args)
{
	call_fibers(t, KFIBER_IOC_ARM, args);
}

void call_forget(struct track *t, const uint64_t *args)
{
	call_fibers(t, KFIBER_IOC_FORGET, args);
}

/* In the past, or about to come. */
void call_aside(struct track *t, const uint64_t *args)
{
	struct timespec now;
	struct kfiber_aside aside = { .flags = args[3] };

	clock_gettime(CLOCK_MONOTONIC, &now);
	aside.until = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec + args[4] * 1000;
	call_ioctl(t, KFIBER_IOC_ASIDE, args, &aside, sizeof(aside));
}

void call_interrupt(struct track *t, const uint64_t *args)
{
	call_fibers(t, KFIBER_IOC_INTERRUPT, args);
}

void call_alloc(struct track *t, const uint64_t *args)
{
	call_fibers(t, KFIBER_IOC_ALLOC, args);
}

void call_free(struct track *t, const uint64_t *args)
{
	call_fibers(t, KFIBER_IOC_FREE, args);
}

/* Any number there is, with the type of ours or another. */
void call_unknown(struct track *t, const uint64_t *args)
{
	uint64_t zeros[16] = { 128 };
	unsigned long command = args[1] < 256 ? _IO(KFIBER_IOC_TYPE, args[1]) : args[1];

	ioctl(call_fd(args[0]), command, place_data(t, args[2], zeros, sizeof(zeros), 0));
}
