// SPDX-License-Identifier: GPL-2.0
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "corpus.h"

void corpus_init(struct corpus *c)
{
	struct bits none = { NULL, 0 };

	*c = (struct corpus){ .points = none, .blocks = none };
	if (!cover_points.words)
		return;
	c->points = bits_copy(&cover_points);
	c->blocks = bits_copy(&cover_blocks);
	memset(c->points.words, 0, c->points.count * sizeof(uint64_t));
	memset(c->blocks.words, 0, c->blocks.count * sizeof(uint64_t));
}

bool corpus_add(struct corpus *c, const struct program *p, bool from_file)
{
	if (c->count == c->room) {
		unsigned int room = c->room ? c->room * 2 : 64;
		struct corpus_entry *entries = realloc(c->entries, room * sizeof(*entries));

		if (!entries)
			return false;
		c->entries = entries;
		c->room = room;
	}
	c->entries[c->count++] = (struct corpus_entry){
		.program = *p, .blocks = bits_copy(&cover_blocks), .from_file = from_file,
	};
	return true;
}

static int is_program(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return n > 4 && !strcmp(entry->d_name + n - 4, ".txt");
}

int corpus_read(const char *directory, bool (*fn)(const struct program *p, void *data), void *data)
{
	struct dirent **files;
	int i, n = scandir(directory, &files, is_program, alphasort);
	bool right = true;

	for (i = 0; i < n; i++) {
		char path[PATH_MAX];
		struct program p;
		int wrong;

		snprintf(path, sizeof(path), "%s/%s", directory, files[i]->d_name);
		free(files[i]);
		if (!right)
			continue;
		wrong = program_read(&p, path);
		if (wrong)
			fprintf(stderr, "fuzz: %s: %s %d\n", path,
				wrong < 0 ? "cannot be read:" : "line", wrong < 0 ? errno : wrong);
		right = !wrong && fn(&p, data);
	}
	if (n >= 0)
		free(files);
	return right ? n : -1;
}

static bool write_program(const struct program *p, const char *directory)
{
	char path[PATH_MAX], text[PROGRAM_TEXT_MAX];
	FILE *file;

	program_print(p, text, sizeof(text));
	snprintf(path, sizeof(path), "%s/%08x.txt", directory, program_hash(p));
	file = fopen(path, "we");
	if (!file)
		return false;
	fputs(text, file);
	return !fclose(file);
}

/* How many blocks of @left an entry reaches, for each of its calls. */
static double worth(const struct corpus_entry *entry, const struct bits *left)
{
	struct bits reached = bits_copy(&entry->blocks);
	size_t n;

	bits_intersect(&reached, left);
	n = bits_count(&reached);
	free(reached.words);
	return (double)n / (entry->program.count + 4);
}

/* Each time the one that is worth most, until nothing is left to reach. */
int corpus_write(const struct corpus *c, const char *directory)
{
	struct bits left = bits_copy(&c->blocks);
	int written = 0;

	if (mkdir(directory, 0755) && errno != EEXIST)
		goto fail;
	for (;;) {
		const struct corpus_entry *best = NULL;
		double most = 0;
		unsigned int i;

		for (i = 0; i < c->count; i++) {
			double w = worth(&c->entries[i], &left);

			if (w > most) {
				most = w;
				best = &c->entries[i];
			}
		}
		if (!best)
			break;
		if (!write_program(&best->program, directory))
			goto fail;
		bits_subtract(&left, &best->blocks);
		written++;
	}
	free(left.words);
	return written;

fail:
	fprintf(stderr, "fuzz: %s: %s\n", directory, strerror(errno));
	free(left.words);
	return -1;
}
