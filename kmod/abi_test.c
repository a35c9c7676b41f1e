// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit: what the ABI header promised once stays so. main.c refuses to build
 * when a size changes; this says which field moved.
 */
#include <kunit/test.h>
#include <linux/kfiber.h>

struct abi_field {
	const char *name;
	size_t offset, want_offset;
	size_t size, want_size;
};

struct abi_struct {
	const char *name;
	size_t size, want_size;
	const struct abi_field *fields;
	size_t nr_fields;
};

#define FIELD(type, field, at, bytes)						\
	{ #type "." #field, offsetof(struct type, field), at, sizeof_field(struct type, field), bytes }
#define STRUCT(type, bytes)							\
	{ #type, sizeof(struct type), bytes, type##_fields, ARRAY_SIZE(type##_fields) }

static const struct abi_field kfiber_domain_block_fields[] = {
	FIELD(kfiber_domain_block, abi, 0, 4),
	FIELD(kfiber_domain_block, processors, 4, 4),
	FIELD(kfiber_domain_block, used, 8, 4),
	FIELD(kfiber_domain_block, reserved0, 12, 44),
	FIELD(kfiber_domain_block, now, 56, 8),
	FIELD(kfiber_domain_block, idle, 64, 4),
	FIELD(kfiber_domain_block, searching, 68, 4),
	FIELD(kfiber_domain_block, global, 72, 4),
	FIELD(kfiber_domain_block, waiters, 76, 4),
	FIELD(kfiber_domain_block, spares, 80, 4),
	FIELD(kfiber_domain_block, watching, 84, 4),
	FIELD(kfiber_domain_block, shutdown, 88, 4),
	FIELD(kfiber_domain_block, pressed, 92, 4),
	FIELD(kfiber_domain_block, ticking, 96, 4),
	FIELD(kfiber_domain_block, front, 100, 4),
	FIELD(kfiber_domain_block, reserved1, 104, 20),
	FIELD(kfiber_domain_block, pinned, 124, 4),
	FIELD(kfiber_domain_block, live, 128, 8),
	FIELD(kfiber_domain_block, reserved2, 136, 56),
	FIELD(kfiber_domain_block, handover, 192, 256),
	FIELD(kfiber_domain_block, wakeup, 448, 256),
	FIELD(kfiber_domain_block, wait, 704, 256),
};

static const struct abi_field kfiber_processor_block_fields[] = {
	FIELD(kfiber_processor_block, next, 0, 8),
	FIELD(kfiber_processor_block, ticks, 8, 8),
	FIELD(kfiber_processor_block, switches, 16, 8),
	FIELD(kfiber_processor_block, parks, 24, 8),
	FIELD(kfiber_processor_block, unparks, 32, 8),
	FIELD(kfiber_processor_block, calls, 40, 8),
	FIELD(kfiber_processor_block, spawns, 48, 8),
	FIELD(kfiber_processor_block, offer, 56, 8),
	FIELD(kfiber_processor_block, local_head, 64, 4),
	FIELD(kfiber_processor_block, reserved1, 68, 60),
	FIELD(kfiber_processor_block, local_tail, 128, 4),
	FIELD(kfiber_processor_block, reserved2, 132, 60),
	FIELD(kfiber_processor_block, inbox_head, 192, 4),
	FIELD(kfiber_processor_block, reserved3, 196, 60),
	FIELD(kfiber_processor_block, inbox_tail, 256, 4),
	FIELD(kfiber_processor_block, reserved4, 260, 60),
	FIELD(kfiber_processor_block, local, 320, 2048),
	FIELD(kfiber_processor_block, inbox, 2368, 1024),
	FIELD(kfiber_processor_block, run_queue, 3392, 256),
	FIELD(kfiber_processor_block, reserved5, 3648, 448),
};

static const struct abi_field kfiber_worker_block_fields[] = {
	FIELD(kfiber_worker_block, critical, 0, 4),
	FIELD(kfiber_worker_block, processor, 4, 4),
	FIELD(kfiber_worker_block, fiber, 8, 8),
	FIELD(kfiber_worker_block, preempt, 16, 4),
	FIELD(kfiber_worker_block, reserved0, 20, 4),
	FIELD(kfiber_worker_block, reserved, 24, 32),
	FIELD(kfiber_worker_block, pinned, 56, 8),
};

static const struct abi_field kfiber_fiber_block_fields[] = {
	FIELD(kfiber_fiber_block, word, 0, 8),
	FIELD(kfiber_fiber_block, sp, 8, 8),
	FIELD(kfiber_fiber_block, deadline, 16, 8),
	FIELD(kfiber_fiber_block, armed, 24, 8),
	FIELD(kfiber_fiber_block, joiner, 32, 8),
	FIELD(kfiber_fiber_block, value, 40, 8),
	FIELD(kfiber_fiber_block, link, 48, 8),
	FIELD(kfiber_fiber_block, wait_object, 56, 8),
	FIELD(kfiber_fiber_block, wait_since, 64, 8),
	FIELD(kfiber_fiber_block, spawn_site, 72, 8),
	FIELD(kfiber_fiber_block, name, 80, 16),
	FIELD(kfiber_fiber_block, processor, 96, 4),
	FIELD(kfiber_fiber_block, stack_shift, 100, 4),
	FIELD(kfiber_fiber_block, slot, 104, 4),
	FIELD(kfiber_fiber_block, stack_limit, 108, 4),
	FIELD(kfiber_fiber_block, stack_start, 112, 4),
	FIELD(kfiber_fiber_block, stack_pages, 116, 4),
	FIELD(kfiber_fiber_block, stack_high, 120, 4),
	FIELD(kfiber_fiber_block, masked, 124, 4),
};

static const struct abi_field kfiber_query_fields[] = {
	FIELD(kfiber_query, size, 0, 4),
	FIELD(kfiber_query, flags, 4, 4),
	FIELD(kfiber_query, abi, 8, 4),
	FIELD(kfiber_query, reserved, 12, 4),
	FIELD(kfiber_query, features, 16, 8),
};

static const struct abi_field kfiber_setup_fields[] = {
	FIELD(kfiber_setup, size, 0, 4),
	FIELD(kfiber_setup, flags, 4, 4),
	FIELD(kfiber_setup, processors, 8, 4),
	FIELD(kfiber_setup, max_workers, 12, 4),
	FIELD(kfiber_setup, max_fibers, 16, 4),
	FIELD(kfiber_setup, processors_max, 20, 4),
	FIELD(kfiber_setup, stack_bytes_max, 24, 8),
	FIELD(kfiber_setup, guard_bytes, 32, 8),
	FIELD(kfiber_setup, pool_bytes, 40, 8),
	FIELD(kfiber_setup, slice_ns, 48, 8),
	FIELD(kfiber_setup, slack_ns, 56, 8),
	FIELD(kfiber_setup, idle_ns, 64, 8),
};

static const struct abi_field kfiber_simple_fields[] = {
	FIELD(kfiber_simple, size, 0, 4),
	FIELD(kfiber_simple, flags, 4, 4),
	FIELD(kfiber_simple, worker, 8, 4),
	FIELD(kfiber_simple, reserved, 12, 4),
};

static const struct abi_field kfiber_next_fields[] = {
	FIELD(kfiber_next, size, 0, 4),
	FIELD(kfiber_next, flags, 4, 4),
	FIELD(kfiber_next, worker, 8, 4),
	FIELD(kfiber_next, reserved, 12, 4),
	FIELD(kfiber_next, arm, 16, 8),
	FIELD(kfiber_next, fiber, 24, 8),
};

static const struct abi_field kfiber_kick_fields[] = {
	FIELD(kfiber_kick, size, 0, 4),
	FIELD(kfiber_kick, flags, 4, 4),
};

static const struct abi_field kfiber_fibers_fields[] = {
	FIELD(kfiber_fibers, size, 0, 4),
	FIELD(kfiber_fibers, flags, 4, 4),
	FIELD(kfiber_fibers, count, 8, 4),
	FIELD(kfiber_fibers, stack_shift, 12, 4),
	FIELD(kfiber_fibers, fibers, 16, 8),
};

static const struct abi_field kfiber_stats_fields[] = {
	FIELD(kfiber_stats, size, 0, 4),
	FIELD(kfiber_stats, flags, 4, 4),
	FIELD(kfiber_stats, processors, 8, 4),
	FIELD(kfiber_stats, workers, 12, 4),
	FIELD(kfiber_stats, workers_peak, 16, 4),
	FIELD(kfiber_stats, spares, 20, 4),
	FIELD(kfiber_stats, fibers, 24, 4),
	FIELD(kfiber_stats, fibers_peak, 28, 4),
	FIELD(kfiber_stats, handovers, 32, 8),
	FIELD(kfiber_stats, returns, 40, 8),
	FIELD(kfiber_stats, steals, 48, 8),
	FIELD(kfiber_stats, sleeps, 56, 8),
	FIELD(kfiber_stats, wakeups, 64, 8),
	FIELD(kfiber_stats, timers, 72, 8),
	FIELD(kfiber_stats, stack_faults, 80, 8),
	FIELD(kfiber_stats, stack_pages, 88, 8),
	FIELD(kfiber_stats, stack_refused, 96, 8),
	FIELD(kfiber_stats, next_calls, 104, 8),
	FIELD(kfiber_stats, deaths, 112, 8),
	FIELD(kfiber_stats, stack_trimmed, 120, 8),
	FIELD(kfiber_stats, stack_grown, 128, 8),
	FIELD(kfiber_stats, stack_starts, 136, 8),
	FIELD(kfiber_stats, stack_dropped, 144, 8),
	FIELD(kfiber_stats, stack_used, 152, 8),
	FIELD(kfiber_stats, stack_idle, 160, 8),
	FIELD(kfiber_stats, pool_pages, 168, 8),
	FIELD(kfiber_stats, pool_warm, 176, 8),
	FIELD(kfiber_stats, pool_cold, 184, 8),
	FIELD(kfiber_stats, pool_made, 192, 8),
	FIELD(kfiber_stats, time, 200, 8),
	FIELD(kfiber_stats, preemptions, 208, 8),
	FIELD(kfiber_stats, idle, 216, 4),
	FIELD(kfiber_stats, global, 220, 4),
	FIELD(kfiber_stats, waiters, 224, 4),
	FIELD(kfiber_stats, preempted, 228, 4),
	FIELD(kfiber_stats, pinned, 232, 4),
	FIELD(kfiber_stats, blocked, 236, 4),
	FIELD(kfiber_stats, interrupts, 240, 8),
	FIELD(kfiber_stats, file_waits, 248, 8),
	FIELD(kfiber_stats, file_wakes, 256, 8),
	FIELD(kfiber_stats, file_waiting, 264, 8),
};

static const struct abi_field kfiber_trim_fields[] = {
	FIELD(kfiber_trim, size, 0, 4),
	FIELD(kfiber_trim, flags, 4, 4),
	FIELD(kfiber_trim, pages, 8, 8),
};

static const struct abi_field kfiber_stack_fields[] = {
	FIELD(kfiber_stack, size, 0, 4),
	FIELD(kfiber_stack, flags, 4, 4),
	FIELD(kfiber_stack, offset, 8, 8),
	FIELD(kfiber_stack, fiber, 16, 8),
	FIELD(kfiber_stack, stack_shift, 24, 4),
	FIELD(kfiber_stack, slot, 28, 4),
	FIELD(kfiber_stack, guard, 32, 4),
	FIELD(kfiber_stack, limit, 36, 4),
	FIELD(kfiber_stack, pages, 40, 4),
	FIELD(kfiber_stack, faults, 44, 4),
	FIELD(kfiber_stack, refused, 48, 4),
	FIELD(kfiber_stack, reason, 52, 4),
	FIELD(kfiber_stack, refused_offset, 56, 8),
};

static const struct abi_field kfiber_watch_fields[] = {
	FIELD(kfiber_watch, size, 0, 4),
	FIELD(kfiber_watch, flags, 4, 4),
	FIELD(kfiber_watch, fd, 8, 4),
	FIELD(kfiber_watch, percent, 12, 4),
};

static const struct abi_field kfiber_start_fields[] = {
	FIELD(kfiber_start, size, 0, 4),
	FIELD(kfiber_start, flags, 4, 4),
	FIELD(kfiber_start, fiber, 8, 8),
	FIELD(kfiber_start, pages, 16, 4),
	FIELD(kfiber_start, reserved, 20, 4),
};

static const struct abi_field kfiber_file_fields[] = {
	FIELD(kfiber_file, size, 0, 4),
	FIELD(kfiber_file, flags, 4, 4),
	FIELD(kfiber_file, fd, 8, 4),
	FIELD(kfiber_file, operation, 12, 4),
	FIELD(kfiber_file, fiber, 16, 8),
	FIELD(kfiber_file, deadline, 24, 8),
	FIELD(kfiber_file, buffer, 32, 8),
	FIELD(kfiber_file, length, 40, 8),
	FIELD(kfiber_file, address, 48, 8),
	FIELD(kfiber_file, address_length, 56, 4),
	FIELD(kfiber_file, message_flags, 60, 4),
	FIELD(kfiber_file, events, 64, 4),
	FIELD(kfiber_file, state, 68, 4),
	FIELD(kfiber_file, result, 72, 8),
};

static const struct abi_field kfiber_processors_fields[] = {
	FIELD(kfiber_processors, size, 0, 4),
	FIELD(kfiber_processors, flags, 4, 4),
	FIELD(kfiber_processors, count, 8, 4),
	FIELD(kfiber_processors, max, 12, 4),
};

static const struct abi_field kfiber_aside_fields[] = {
	FIELD(kfiber_aside, size, 0, 4),
	FIELD(kfiber_aside, flags, 4, 4),
	FIELD(kfiber_aside, until, 8, 8),
};

static const struct abi_struct abi_structs[] = {
	STRUCT(kfiber_domain_block, 960),
	STRUCT(kfiber_processor_block, 4096),
	STRUCT(kfiber_worker_block, 64),
	STRUCT(kfiber_fiber_block, 128),
	STRUCT(kfiber_query, 24),
	STRUCT(kfiber_setup, 72),
	STRUCT(kfiber_simple, 16),
	STRUCT(kfiber_next, 32),
	STRUCT(kfiber_kick, 8),
	STRUCT(kfiber_fibers, 24),
	STRUCT(kfiber_stats, 272),
	STRUCT(kfiber_trim, 16),
	STRUCT(kfiber_stack, 64),
	STRUCT(kfiber_watch, 16),
	STRUCT(kfiber_start, 24),
	STRUCT(kfiber_file, 80),
	STRUCT(kfiber_processors, 16),
	STRUCT(kfiber_aside, 16),
};

/* Each field is where the one before ends: a hole, or a field not listed, shows. */
static void abi_check_struct(struct kunit *test, const struct abi_struct *s)
{
	size_t i, end = 0;

	KUNIT_EXPECT_EQ_MSG(test, s->size, s->want_size, "%s", s->name);
	for (i = 0; i < s->nr_fields; i++) {
		const struct abi_field *f = &s->fields[i];

		KUNIT_EXPECT_EQ_MSG(test, f->offset, f->want_offset, "%s", f->name);
		KUNIT_EXPECT_EQ_MSG(test, f->size, f->want_size, "%s", f->name);
		KUNIT_EXPECT_EQ_MSG(test, f->offset, end, "before %s", f->name);
		end = f->offset + f->size;
	}
	KUNIT_EXPECT_EQ_MSG(test, s->size, end, "end of %s", s->name);
}

static void abi_structs_stay(struct kunit *test)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(abi_structs); i++)
		abi_check_struct(test, &abi_structs[i]);
}

struct abi_number {
	const char *name;
	u64 value, want;
};

#define NUMBER(name, want) { #name, name, want }

static const struct abi_number abi_ioctls[] = {
	NUMBER(KFIBER_IOC_QUERY, 0xe700),
	NUMBER(KFIBER_IOC_SETUP, 0xe701),
	NUMBER(KFIBER_IOC_SHUTDOWN, 0xe702),
	NUMBER(KFIBER_IOC_STATS, 0xe703),
	NUMBER(KFIBER_IOC_ATTACH, 0xe704),
	NUMBER(KFIBER_IOC_DETACH, 0xe705),
	NUMBER(KFIBER_IOC_NEXT, 0xe706),
	NUMBER(KFIBER_IOC_ACQUIRE, 0xe707),
	NUMBER(KFIBER_IOC_KICK, 0xe708),
	NUMBER(KFIBER_IOC_READY, 0xe709),
	NUMBER(KFIBER_IOC_ARM, 0xe70a),
	NUMBER(KFIBER_IOC_ALLOC, 0xe70b),
	NUMBER(KFIBER_IOC_FREE, 0xe70c),
	NUMBER(KFIBER_IOC_TRIM, 0xe70d),
	NUMBER(KFIBER_IOC_STACK, 0xe70e),
	NUMBER(KFIBER_IOC_WATCH, 0xe70f),
	NUMBER(KFIBER_IOC_START, 0xe710),
	NUMBER(KFIBER_IOC_INTERRUPT, 0xe711),
	NUMBER(KFIBER_IOC_FILE, 0xe712),
	NUMBER(KFIBER_IOC_FORGET, 0xe713),
	NUMBER(KFIBER_IOC_PROCESSORS, 0xe714),
	NUMBER(KFIBER_IOC_ASIDE, 0xe715),
};

static const struct abi_number abi_values[] = {
	NUMBER(KFIBER_ABI_VERSION, 1),
	NUMBER(KFIBER_FEATURE_HANDOVER, 1),
	NUMBER(KFIBER_FEATURE_TIMERS, 2),
	NUMBER(KFIBER_FEATURE_STACKS, 4),
	NUMBER(KFIBER_FEATURE_TRIM, 8),
	NUMBER(KFIBER_INDEX_MASK, 0xffffffff),
	NUMBER(KFIBER_GENERATION_SHIFT, 32),
	NUMBER(KFIBER_NO_PROCESSOR, 0xffffffff),
	NUMBER(KFIBER_NEVER, U64_MAX),
	NUMBER(KFIBER_STACK_SHIFT_MIN, 14),
	NUMBER(KFIBER_STACK_SHIFT_MAX, 30),
	NUMBER(KFIBER_BATCH_MAX, 256),
	NUMBER(KFIBER_GUARD_SHIFT_MAX, 16),
	NUMBER(KFIBER_ARENA_SHIFT_MAX, 42),
	NUMBER(KFIBER_LOCAL_SLOTS, 256),
	NUMBER(KFIBER_INBOX_SLOTS, 128),
	NUMBER(KFIBER_MAP_DOMAIN, 0),
	NUMBER(KFIBER_MAP_PROCESSORS, 1ull << 48),
	NUMBER(KFIBER_MAP_WORKERS, 2ull << 48),
	NUMBER(KFIBER_MAP_FIBERS, 3ull << 48),
	NUMBER(KFIBER_MAP_STACKS, 256ull << 48),
	NUMBER(KFIBER_MAP_STACKS_SHIFT, 48),
	NUMBER(KFIBER_STATE_MASK, 0xff),
	NUMBER(KFIBER_FREE, 0),
	NUMBER(KFIBER_ACTIVE, 1),
	NUMBER(KFIBER_PARKING, 2),
	NUMBER(KFIBER_PARKED, 3),
	NUMBER(KFIBER_DEAD, 4),
	NUMBER(KFIBER_PERMIT, 0x100),
	NUMBER(KFIBER_WAKE, 0x200),
	NUMBER(KFIBER_TIMEDOUT, 0x400),
	NUMBER(KFIBER_WAITS_WAKE, 0x800),
	NUMBER(KFIBER_KILLED, 0x1000),
	NUMBER(KFIBER_CONTAINED, 0x2000),
	NUMBER(KFIBER_INTERRUPT, 0x40000),
	NUMBER(KFIBER_INTERACTIVE, 0x10000),
	NUMBER(KFIBER_BACKGROUND, 0x20000),
	NUMBER(KFIBER_PINNED, 0x100000),
	NUMBER(KFIBER_POOLED, 0x200000),
	NUMBER(KFIBER_JOIN_DETACHED, 1),
	NUMBER(KFIBER_JOIN_ENDED, 2),
	NUMBER(KFIBER_JOIN_TAKEN, 3),
	NUMBER(KFIBER_NEXT_OFFER, 1),
	NUMBER(KFIBER_NEXT_NEED_SPARE, 2),
	NUMBER(KFIBER_NEXT_ONLY, 4),
	NUMBER(KFIBER_NEXT_DEADLOCK, 8),
	NUMBER(KFIBER_KICK_NO_SPARE, 1),
	NUMBER(KFIBER_SETUP_NO_HOLD, 1),
	NUMBER(KFIBER_SETUP_QUIET, 16),
	NUMBER(KFIBER_START_MAX, 128),
	NUMBER(KFIBER_REFUSED_NONE, 0),
	NUMBER(KFIBER_REFUSED_GUARD, 1),
	NUMBER(KFIBER_REFUSED_LIMIT, 2),
	NUMBER(KFIBER_REFUSED_OWNER, 3),
	NUMBER(KFIBER_REFUSED_DOMAIN, 4),
	NUMBER(KFIBER_REFUSED_USER, 5),
	NUMBER(KFIBER_REFUSED_MEMORY, 6),
	NUMBER(KFIBER_REFUSED_FREE, 7),
	NUMBER(KFIBER_FILE_READ, 0),
	NUMBER(KFIBER_FILE_WRITE, 1),
	NUMBER(KFIBER_FILE_RECV, 2),
	NUMBER(KFIBER_FILE_SEND, 3),
	NUMBER(KFIBER_FILE_POLL, 4),
	NUMBER(KFIBER_FILE_OPERATIONS, 5),
	NUMBER(KFIBER_FILE_DONE, 0),
	NUMBER(KFIBER_FILE_WAITS, 1),
	NUMBER(KFIBER_FILE_READY, 2),
	NUMBER(KFIBER_FILE_BLOCKS, 3),
	NUMBER(KFIBER_FILE_BUSY, 4),
};

static void abi_check_numbers(struct kunit *test, const struct abi_number *numbers, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		KUNIT_EXPECT_EQ_MSG(test, numbers[i].value, numbers[i].want, "%s", numbers[i].name);
}

static void abi_ioctls_stay(struct kunit *test)
{
	abi_check_numbers(test, abi_ioctls, ARRAY_SIZE(abi_ioctls));
}

static void abi_values_stay(struct kunit *test)
{
	abi_check_numbers(test, abi_values, ARRAY_SIZE(abi_values));
}

static struct kunit_case abi_cases[] = {
	KUNIT_CASE(abi_structs_stay),
	KUNIT_CASE(abi_ioctls_stay),
	KUNIT_CASE(abi_values_stay),
	{ }
};

static struct kunit_suite abi_suite = {
	.name = "kfiber_abi",
	.test_cases = abi_cases,
};
kunit_test_suite(abi_suite);

MODULE_DESCRIPTION("KUnit tests of kfiber's ABI");
MODULE_LICENSE("GPL");
