/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the calls' implementations share: what arguments stand for. Results are of
 * no interest but for those that later calls use: any error is right, as long as
 * the kernel is well. errno is not looked at: the threads of a program share one
 * (see track.c).
 */
#ifndef FUZZ_CALL_H
#define FUZZ_CALL_H

#include <linux/kfiber.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "track.h"

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define PAGE 4096ul

static inline int call_fd(uint64_t place)
{
	return process.fds[place % FDS];
}

static inline struct map *call_map_at(uint64_t place)
{
	return &process.maps[place % MAPS];
}

/* Its size, or a page if there is none. Others may unmap it at any time. */
static inline uint64_t call_map_size(uint64_t place)
{
	uint64_t size = __atomic_load_n(&call_map_at(place)->size, __ATOMIC_RELAXED);

	return size ? size : PAGE;
}

/* A page-aligned address in a mapping, and of @pages what is left of it there. */
static inline uintptr_t call_range(uint64_t place, uint64_t offset, uint64_t *pages)
{
	uint64_t size = call_map_size(place);

	offset = offset % size & ~(PAGE - 1);
	if (*pages > (size - offset) / PAGE)
		*pages = (size - offset) / PAGE;
	return map_address(place % MAPS) + offset;
}

static inline uintptr_t call_address(uint64_t place, uint64_t offset)
{
	return map_address(place % MAPS) + offset % call_map_size(place);
}

/*
 * A fiber's name: the program's n-th one, as it is, of the next generation, of
 * generation 0; or any number.
 */
static inline uint64_t call_name(uint64_t value)
{
	if (value < NAMES)
		return __atomic_load_n(&shared->names[value], __ATOMIC_RELAXED);
	if (value < 2 * NAMES)
		return shared->names[value - NAMES] + (1ull << KFIBER_GENERATION_SHIFT);
	if (value < 3 * NAMES)
		return shared->names[value - 2 * NAMES] & KFIBER_INDEX_MASK;
	return value;
}

static inline uint32_t call_worker(const struct track *t, uint64_t value)
{
	return value ? value - 1 : t->worker;
}

static inline uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ull + t.tv_nsec;
}

/* call_ioctl.c */
void call_query(struct track *t, const uint64_t *args);
void call_setup(struct track *t, const uint64_t *args);
void call_shutdown(struct track *t, const uint64_t *args);
void call_attach(struct track *t, const uint64_t *args);
void call_detach(struct track *t, const uint64_t *args);
void call_acquire(struct track *t, const uint64_t *args);
void call_stats(struct track *t, const uint64_t *args);
void call_next(struct track *t, const uint64_t *args);
void call_kick(struct track *t, const uint64_t *args);
void call_trim(struct track *t, const uint64_t *args);
void call_slot(struct track *t, const uint64_t *args);
void call_watch(struct track *t, const uint64_t *args);
void call_processors(struct track *t, const uint64_t *args);
void call_begin(struct track *t, const uint64_t *args);
void call_wait(struct track *t, const uint64_t *args);
void call_forget(struct track *t, const uint64_t *args);
void call_aside(struct track *t, const uint64_t *args);
void call_interrupt(struct track *t, const uint64_t *args);
void call_ready(struct track *t, const uint64_t *args);
void call_arm(struct track *t, const uint64_t *args);
void call_alloc(struct track *t, const uint64_t *args);
void call_free(struct track *t, const uint64_t *args);
void call_unknown(struct track *t, const uint64_t *args);

/* call_file.c */
void call_open(struct track *t, const uint64_t *args);
void call_close(struct track *t, const uint64_t *args);
void call_dup(struct track *t, const uint64_t *args);
void call_other(struct track *t, const uint64_t *args);
void call_send(struct track *t, const uint64_t *args);
void call_receive(struct track *t, const uint64_t *args);
void call_file(struct track *t, const uint64_t *args);

/* call_memory.c */
void call_map(struct track *t, const uint64_t *args);
void call_unmap(struct track *t, const uint64_t *args);
void call_remap(struct track *t, const uint64_t *args);
void call_protect(struct track *t, const uint64_t *args);
void call_advise(struct track *t, const uint64_t *args);
void call_lock(struct track *t, const uint64_t *args);
void call_touch(struct track *t, const uint64_t *args);
void call_fill(struct track *t, const uint64_t *args);

/* call_store.c */
void call_remote(struct track *t, const uint64_t *args);
void call_set(struct track *t, const uint64_t *args);
void call_push(struct track *t, const uint64_t *args);
void call_dispatch(struct track *t, const uint64_t *args);
void call_scribble(struct track *t, const uint64_t *args);

/* call_task.c */
void call_start(struct track *t, const uint64_t *args);
void call_exit(struct track *t, const uint64_t *args);
void call_exec(struct track *t, const uint64_t *args);
void call_signal(struct track *t, const uint64_t *args);
void call_sleep(struct track *t, const uint64_t *args);
void call_spin(struct track *t, const uint64_t *args);
void call_yield(struct track *t, const uint64_t *args);
void call_pin(struct track *t, const uint64_t *args);
void call_unshare(struct track *t, const uint64_t *args);

#endif /* FUZZ_CALL_H */
