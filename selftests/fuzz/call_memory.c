// SPDX-License-Identifier: GPL-2.0
/* Mappings, and touching them. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "call.h"

/* Pages that one call touches at most: memory must not run out. */
#define TOUCH_MAX 24
#define POPULATE_MAX 256

static const uint64_t table_offsets[] = {
	KFIBER_MAP_DOMAIN, KFIBER_MAP_PROCESSORS, KFIBER_MAP_WORKERS, KFIBER_MAP_FIBERS,
	KFIBER_MAP_STACKS, 0,
};

/* The bits of map's flags. */
#define MAP_IT_PRIVATE		1
#define MAP_IT_EXEC		2
#define MAP_IT_READ_ONLY	4
#define MAP_IT_POPULATED	8
#define MAP_IT_LOCKED		16
#define MAP_IT_ELSEWHERE	32	/* not where the table begins, but a slot further */

void call_map(struct track *t, const uint64_t *args)
{
	struct map *map = call_map_at(args[3]);
	enum table table = args[1] % (NOWHERE + 1);
	uint64_t flags = args[6], size = args[4] * PAGE;
	uint64_t offset = table_offsets[table] + args[5] * PAGE;
	int protection = flags & MAP_IT_READ_ONLY ? PROT_READ : PROT_READ | PROT_WRITE;

	if (table == STACKS || table == NOWHERE)
		offset |= args[2] << KFIBER_MAP_STACKS_SHIFT;
	if (flags & MAP_IT_ELSEWHERE)
		offset += 1ull << (args[2] % 32);
	if (flags & MAP_IT_EXEC)
		protection |= PROT_EXEC;
	if (flags & (MAP_IT_POPULATED | MAP_IT_LOCKED) && size > POPULATE_MAX * PAGE)
		size = POPULATE_MAX * PAGE;
	if (mmap((void *)map_address(args[3] % MAPS), size, protection,
		 MAP_FIXED | (flags & MAP_IT_PRIVATE ? MAP_PRIVATE : MAP_SHARED) |
		 (flags & MAP_IT_POPULATED ? MAP_POPULATE : 0) |
		 (flags & MAP_IT_LOCKED ? MAP_LOCKED : 0), call_fd(args[0]), offset) == MAP_FAILED)
		return;
	map->table = table;
	map->shift = args[2];
	map->size = size;
}

void call_unmap(struct track *t, const uint64_t *args)
{
	struct map *map = call_map_at(args[0]);
	uint64_t pages = args[2];
	uintptr_t at = call_range(args[0], args[1], &pages);

	munmap((void *)at, pages * PAGE);
	if (at == map_address(args[0] % MAPS) && pages * PAGE == map->size)
		map->size = 0;
}

/* In its place, if it goes to where it is; else to the other's place. */
void call_remap(struct track *t, const uint64_t *args)
{
	struct map *from = call_map_at(args[0]), *to = call_map_at(args[4]);
	uint64_t pages = args[2];
	uintptr_t at = call_range(args[0], args[1], &pages);
	bool moves = from != to;

	if (mremap((void *)at, pages * PAGE, args[3] * PAGE,
		   moves ? MREMAP_MAYMOVE | MREMAP_FIXED : 0,
		   map_address(args[4] % MAPS)) == MAP_FAILED)
		return;
	if (moves)
		*to = *from;
	to->size = args[3] * PAGE;
}

void call_protect(struct track *t, const uint64_t *args)
{
	uint64_t pages = args[2];
	uintptr_t at = call_range(args[0], args[1], &pages);

	mprotect((void *)at, pages * PAGE, args[3] & 7);
}

void call_advise(struct track *t, const uint64_t *args)
{
	uint64_t pages = args[2];
	uintptr_t at = call_range(args[0], args[1], &pages);
	bool populates = args[3] == MADV_POPULATE_READ || args[3] == MADV_POPULATE_WRITE;

	if (populates && pages > POPULATE_MAX)
		pages = POPULATE_MAX;
	madvise((void *)at, pages * PAGE, args[3]);
}

void call_lock(struct track *t, const uint64_t *args)
{
	uint64_t pages = args[2] < TOUCH_MAX ? args[2] : TOUCH_MAX;
	uintptr_t at = call_range(args[0], args[1], &pages);

	if (args[3] & 1)
		munlock((void *)at, pages * PAGE);
	else
		mlock((void *)at, pages * PAGE);
}

/* Downwards, as stacks go; each page may be a fault that ends the call. */
void call_touch(struct track *t, const uint64_t *args)
{
	uintptr_t at = call_address(args[0], args[1]);
	uint64_t n = args[2] < TOUCH_MAX ? args[2] : TOUCH_MAX;

	for (; n; n--, at -= PAGE) {
		volatile char *byte = (char *)at;

		if (args[3] & 1)
			*byte = n;
		else
			(void)*byte;
	}
}

/* The kernel's own access. */
void call_fill(struct track *t, const uint64_t *args)
{
	uint64_t pages = args[2] < TOUCH_MAX ? args[2] : TOUCH_MAX;
	uintptr_t at = call_range(args[0], args[1], &pages);
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	read(fd, (void *)at, pages * PAGE);
	close(fd);
}
