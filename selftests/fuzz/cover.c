// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cover.h"
#include "program.h"

/* Documentation/dev-tools/kcov.rst; there is no uapi header in the packages. */
#define KCOV_INIT_TRACE		_IOR('c', 1, unsigned long)
#define KCOV_ENABLE		_IO('c', 100)
#define KCOV_TRACE_PC		0

/*
 * Blocks of the whole kernel that one call may run through before the rest is
 * lost. Every fork() copies the buffers' page tables, so more is slower.
 */
#define BUFFER_WORDS (32ul << 10)

/* More than any function is long: where the last ends is not known. */
#define LAST_FUNCTION 8192

/* Features there may be. */
#define FEATURES 256

struct bits cover_points;
struct bits cover_blocks;

static uint64_t text_start;
static uint64_t text_size;
static int kcov_fds[TRACKS];
static uint64_t *buffers[TRACKS];

size_t bits_count(const struct bits *bits)
{
	size_t i, n = 0;

	for (i = 0; i < bits->count; i++)
		n += __builtin_popcountll(bits->words[i]);
	return n;
}

struct bits bits_copy(const struct bits *bits)
{
	struct bits copy = { calloc(bits->count + 1, sizeof(uint64_t)), bits->count };

	if (!copy.words) {
		perror("fuzz");
		exit(1);
	}
	memcpy(copy.words, bits->words, bits->count * sizeof(uint64_t));
	return copy;
}

bool bits_within(const struct bits *bits, const struct bits *in)
{
	size_t i;

	for (i = 0; i < bits->count; i++)
		if (bits->words[i] & ~in->words[i])
			return false;
	return true;
}

void bits_intersect(struct bits *bits, const struct bits *with)
{
	size_t i;

	for (i = 0; i < bits->count; i++)
		bits->words[i] &= with->words[i];
}

void bits_subtract(struct bits *bits, const struct bits *without)
{
	size_t i;

	for (i = 0; i < bits->count; i++)
		bits->words[i] &= ~without->words[i];
}

void bits_merge(struct bits *into, const struct bits *bits)
{
	size_t i;

	for (i = 0; i < into->count; i++)
		into->words[i] |= bits->words[i];
}

static void bits_set(struct bits *bits, uint64_t bit)
{
	__atomic_fetch_or(&bits->words[bit / 64], 1ull << bit % 64, __ATOMIC_RELAXED);
}

static bool bits_share(struct bits *bits, size_t count)
{
	void *words = mmap(NULL, count * sizeof(uint64_t), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (words == MAP_FAILED)
		return false;
	*bits = (struct bits){ words, count };
	return true;
}

/* --- the module's functions -------------------------------------------------------- */

struct function {
	uint64_t address;
	char name[64];
};

static struct function *functions;
static unsigned int nr_functions;

static int compare_addresses(const void *a, const void *b)
{
	const struct function *f = a, *g = b;

	return f->address < g->address ? -1 : f->address > g->address;
}

static bool add_function(const struct function *f)
{
	static unsigned int room;

	if (nr_functions == room) {
		struct function *more = realloc(functions, (room * 2 + 64) * sizeof(*more));

		if (!more)
			return false;
		functions = more;
		room = room * 2 + 64;
	}
	functions[nr_functions++] = *f;
	return true;
}

/* Return: whether the kernel tells root what the module's functions are. */
static bool read_functions(void)
{
	FILE *symbols = fopen("/proc/kallsyms", "re");
	char line[512];

	while (symbols && fgets(line, sizeof(line), symbols)) {
		struct function f;
		char type;

		if (!strstr(line, "\t[kfiber]") ||
		    sscanf(line, "%" SCNx64 " %c %63s", &f.address, &type, f.name) != 3)
			continue;
		if ((type == 't' || type == 'T') && f.address && !add_function(&f))
			break;
	}
	if (symbols)
		fclose(symbols);
	if (!nr_functions)
		return false;
	qsort(functions, nr_functions, sizeof(*functions), compare_addresses);
	text_start = functions[0].address;
	text_size = functions[nr_functions - 1].address - text_start + LAST_FUNCTION;
	return true;
}

/* Not what the compiler made beside or of ours: rare branches, constructors. */
static bool is_ours(const struct function *f)
{
	return !strncmp(f->name, "kf_", 3) && !strchr(f->name, '.');
}

static bool open_kcov(unsigned int track)
{
	int fd = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	void *buffer;

	if (fd < 0 || ioctl(fd, KCOV_INIT_TRACE, BUFFER_WORDS))
		return false;
	buffer = mmap(NULL, BUFFER_WORDS * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED,
		      fd, 0);
	if (buffer == MAP_FAILED)
		return false;
	kcov_fds[track] = fd;
	buffers[track] = buffer;
	return true;
}

const char *cover_init(void)
{
	unsigned int i;
	size_t words;

	if (!read_functions())
		return "the kernel does not say where the module is";
	for (i = 0; i < TRACKS; i++) {
		if (open_kcov(i))
			continue;
		buffers[0] = NULL;
		return "this kernel has no KCOV";
	}
	for (words = 64; words * 64 < text_size * 8; words *= 2)
		;
	if (!bits_share(&cover_points, words) ||
	    !bits_share(&cover_blocks, (text_size + FEATURES) / 64 + 1)) {
		buffers[0] = NULL;
		return "there is no memory for it";
	}
	return NULL;
}

void cover_begin(void)
{
	if (!buffers[0])
		return;
	memset(cover_points.words, 0, cover_points.count * sizeof(uint64_t));
	memset(cover_blocks.words, 0, cover_blocks.count * sizeof(uint64_t));
}

void cover_enable(unsigned int track)
{
	if (!buffers[0])
		return;
	__atomic_store_n(buffers[track], 0, __ATOMIC_RELAXED);
	ioctl(kcov_fds[track], KCOV_ENABLE, KCOV_TRACE_PC);
}

static void add_point(uint64_t a, uint64_t b)
{
	uint64_t hash = (a * 0x9e3779b97f4a7c15ull ^ b) * 0xbf58476d1ce4e5b9ull;

	bits_set(&cover_points, (hash >> 32) & (cover_points.count * 64 - 1));
}

/*
 * The buffer: a count, then as many addresses. Collecting is traced as well, but
 * makes no call of the module's. A signal may come and make one, though; what it
 * adds beyond what was counted is lost.
 */
void cover_collect(unsigned int track)
{
	uint64_t *buffer = buffers[track];
	uint64_t i, n, last = 0;

	if (!buffers[0])
		return;
	n = __atomic_load_n(buffer, __ATOMIC_RELAXED);
	for (i = 1; i <= n && i < BUFFER_WORDS; i++) {
		uint64_t block = buffer[i] - text_start;

		if (block >= text_size)
			continue;
		bits_set(&cover_blocks, block);
		add_point(last, block + 1);
		last = block + 1;
	}
	__atomic_store_n(buffer, 0, __ATOMIC_RELAXED);
}

void cover_end(void)
{
	unsigned int i;

	for (i = 0; i < TRACKS; i++)
		cover_collect(i);
}

void cover_feature(unsigned int number)
{
	if (!buffers[0] || number >= FEATURES)
		return;
	bits_set(&cover_blocks, text_size + number);
	add_point(~0ull, number);
}

static bool is_reached(const struct bits *blocks, uint64_t from, uint64_t to)
{
	for (; from < to; from++)
		if (blocks->words[from / 64] >> from % 64 & 1)
			return true;
	return false;
}

unsigned int cover_functions(const struct bits *blocks, FILE *file, unsigned int *reached)
{
	unsigned int i, count = 0;

	*reached = 0;
	for (i = 0; i < nr_functions; i++) {
		uint64_t from = functions[i].address - text_start;
		uint64_t to = i + 1 < nr_functions ? functions[i + 1].address - text_start :
						     text_size;

		if (!is_ours(&functions[i]))
			continue;
		count++;
		if (is_reached(blocks, from, to))
			++*reached;
		else if (file)
			fprintf(file, "%s\n", functions[i].name);
	}
	return count;
}
