// SPDX-License-Identifier: GPL-2.0
/* Stores to the shared pages. */
#include <string.h>
#include <sys/uio.h>

#include "call.h"
#include "calls.h"
#include "generate.h"
#include "random.h"

#define FIELD(table, type, member) \
	{ table, sizeof(struct type), offsetof(struct type, member), \
	  sizeof(((struct type *)0)->member) }
/* An array's elements: of the first block. */
#define ELEMENTS(table, type, member) \
	{ table, sizeof(uint64_t), offsetof(struct type, member), sizeof(uint64_t) }

const struct field fields[] = {
	FIELD(DOMAIN, kfiber_domain_block, idle),
	FIELD(DOMAIN, kfiber_domain_block, searching),
	FIELD(DOMAIN, kfiber_domain_block, global),
	FIELD(DOMAIN, kfiber_domain_block, shutdown),
	FIELD(DOMAIN, kfiber_domain_block, live),
	FIELD(PROCESSORS, kfiber_processor_block, next),
	FIELD(PROCESSORS, kfiber_processor_block, ticks),
	FIELD(PROCESSORS, kfiber_processor_block, local_head),
	FIELD(PROCESSORS, kfiber_processor_block, local_tail),
	FIELD(PROCESSORS, kfiber_processor_block, inbox_head),
	FIELD(PROCESSORS, kfiber_processor_block, inbox_tail),
	ELEMENTS(PROCESSORS, kfiber_processor_block, local),
	ELEMENTS(PROCESSORS, kfiber_processor_block, inbox),
	FIELD(WORKERS, kfiber_worker_block, critical),
	FIELD(WORKERS, kfiber_worker_block, processor),
	FIELD(WORKERS, kfiber_worker_block, fiber),
	FIELD(FIBERS, kfiber_fiber_block, word),
	FIELD(FIBERS, kfiber_fiber_block, sp),
	FIELD(FIBERS, kfiber_fiber_block, deadline),
	FIELD(FIBERS, kfiber_fiber_block, armed),
	FIELD(FIBERS, kfiber_fiber_block, joiner),
	FIELD(FIBERS, kfiber_fiber_block, processor),
	FIELD(FIBERS, kfiber_fiber_block, stack_shift),
	FIELD(FIBERS, kfiber_fiber_block, slot),
};

const char *const field_names[] = {
	"domain.idle", "domain.searching", "domain.global", "domain.shutdown", "domain.live",
	"processor.next", "processor.ticks", "processor.local_head", "processor.local_tail",
	"processor.inbox_head", "processor.inbox_tail", "processor.local", "processor.inbox",
	"worker.critical", "worker.processor", "worker.fiber",
	"fiber.word", "fiber.sp", "fiber.deadline", "fiber.armed", "fiber.joiner",
	"fiber.processor", "fiber.stack_shift", "fiber.slot",
};

const unsigned int nr_fields = ARRAY_LENGTH(fields);
_Static_assert(ARRAY_LENGTH(fields) == ARRAY_LENGTH(field_names), "each field has a name");

/* Another process's. */
void call_remote(struct track *t, const uint64_t *args)
{
	uint64_t value = args[3];
	struct iovec local = { .iov_base = &value, .iov_len = sizeof(value) };
	struct iovec remote = {
		.iov_base = (void *)call_address(args[1], args[2]), .iov_len = sizeof(value),
	};
	pid_t pid = __atomic_load_n(&shared->tracks[args[0] % TRACKS].pid, __ATOMIC_RELAXED);

	if (pid <= 0)
		return;
	process_vm_writev(pid, &local, 1, &remote, 1, 0);
	process_vm_readv(pid, &local, 1, &remote, 1, 0);
}

/* Return: where the field is, or 0 if its table is not mapped. */
static uintptr_t field_address(const struct track *t, const struct field *field, uint64_t index)
{
	unsigned int i;

	if (field->table == WORKERS)
		index = call_worker(t, index);
	for (i = 0; i < MAPS; i++) {
		uint64_t size = call_map_size(i), offset = index * field->stride + field->offset;

		if (process.maps[i].size && process.maps[i].table == field->table)
			return map_address(i) + offset % (size - field->width + 1);
	}
	return 0;
}

static void store_field(const struct track *t, const struct field *field, uint64_t index,
			enum how how, uint64_t value)
{
	uintptr_t at = field_address(t, field, index);
	uint64_t old;

	if (!at)
		return;
	old = field->width == 8 ? *(volatile uint64_t *)at : *(volatile uint32_t *)at;
	if (how == NAME)
		value = call_name(value);
	else if (how == TIME)
		value = now() + value * 1000;
	else if (how == STATE)
		value |= old & ~KFIBER_INDEX_MASK;
	else if (how == ADD)
		value += old;
	if (field->width == 8)
		*(volatile uint64_t *)at = value;
	else
		*(volatile uint32_t *)at = value;
}

void call_set(struct track *t, const uint64_t *args)
{
	store_field(t, &fields[args[0] % nr_fields], args[1], args[2], args[3]);
}

/* As a real worker queues: slot, then tail. */
void call_push(struct track *t, const uint64_t *args)
{
	struct field tail = {
		PROCESSORS, sizeof(struct kfiber_processor_block),
		offsetof(struct kfiber_processor_block, local_tail), sizeof(uint32_t),
	};
	uint64_t n;

	for (n = 0; n < args[2]; n++) {
		uintptr_t at = field_address(t, &tail, args[0]);
		struct kfiber_processor_block *block = (void *)(at - tail.offset);

		if (!at)
			return;
		__atomic_store_n(&block->local[block->local_tail % KFIBER_LOCAL_SLOTS],
				 call_name(args[1] + n % 8), __ATOMIC_RELAXED);
		__atomic_store_n(&block->local_tail, block->local_tail + 1, __ATOMIC_RELEASE);
	}
}

/* As a processor looks that dispatches for a while, and always has a next one. */
void call_dispatch(struct track *t, const uint64_t *args)
{
	struct field next = {
		PROCESSORS, sizeof(struct kfiber_processor_block),
		offsetof(struct kfiber_processor_block, next), sizeof(uint64_t),
	};
	uint64_t end = now() + args[2] % 1000000 * 1000;

	while (now() < end) {
		struct kfiber_processor_block *block = (void *)field_address(t, &next, args[0]);

		if (!block)
			return;
		__atomic_store_n(&block->next, call_name(args[1]), __ATOMIC_RELAXED);
		__atomic_store_n(&block->ticks, block->ticks + 1, __ATOMIC_RELAXED);
	}
}

/* For a while, here and there in a table. */
void call_scribble(struct track *t, const uint64_t *args)
{
	uint64_t n, random = random_start(args[1], 0);

	for (n = 0; n < args[2]; n++) {
		const struct field *field = &fields[random_below(&random, nr_fields)];
		uint64_t index = random_below(&random, 8);
		enum how how = random_below(&random, ADD + 1);
		uint64_t value = how == RAW ? interesting_value(&random) :
					      random_below(&random, 8);

		if (args[0] == NOWHERE || field->table == args[0])
			store_field(t, field, index, how, value);
	}
}
