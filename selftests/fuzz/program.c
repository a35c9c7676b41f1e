// SPDX-License-Identifier: GPL-2.0
/* Programs as lists, and as text. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "program.h"

bool program_insert(struct program *p, unsigned int at, const struct call *call)
{
	if (p->count == CALLS_MAX)
		return false;
	memmove(&p->calls[at + 1], &p->calls[at], (p->count - at) * sizeof(*call));
	p->calls[at] = *call;
	p->count++;
	return true;
}

void program_remove(struct program *p, unsigned int at, unsigned int count)
{
	memmove(&p->calls[at], &p->calls[at + count],
		(p->count - at - count) * sizeof(p->calls[0]));
	p->count -= count;
}

static int print_arg(char *text, size_t size, enum arg kind, uint64_t value)
{
	struct words words = arg_words(kind);

	if (value < words.count)
		return snprintf(text, size, " %s", words.words[value]);
	return snprintf(text, size, value < 4096 ? " %" PRIu64 : " %#" PRIx64, value);
}

static int print_call(char *text, size_t size, const struct call *call)
{
	const struct op *op = &ops[call->op];
	int last, i, n;

	for (last = ARGS_MAX; last > 0; last--)
		if (call->args[last - 1] || arg_words(op->args[last - 1]).count)
			break;
	n = snprintf(text, size, "%u %s", call->track, op->name);
	for (i = 0; i < last; i++)
		n += print_arg(text + n, size - n, op->args[i], call->args[i]);
	n += snprintf(text + n, size - n, "\n");
	return n;
}

size_t program_print(const struct program *p, char *text, size_t size)
{
	size_t n = 0;
	unsigned int i;

	for (i = 0; i < p->count; i++)
		n += print_call(text + n, size - n, &p->calls[i]);
	return n;
}

static bool parse_number(const char *word, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(word, &end, 0);
	return !errno && end != word && !*end && *word != '-';
}

static bool parse_arg(enum arg kind, const char *word, uint64_t *value)
{
	struct words words = arg_words(kind);
	unsigned int i;

	for (i = 0; i < words.count; i++) {
		if (!strcmp(word, words.words[i])) {
			*value = i;
			return true;
		}
	}
	return parse_number(word, value);
}

/* Return: whether @line, which is taken apart, is a call, or nothing: @empty. */
static bool parse_call(char *line, struct call *call, bool *empty)
{
	char *save, *word = strtok_r(line, " \t", &save);
	uint64_t track;
	int i, op;

	*empty = !word;
	if (*empty)
		return true;
	memset(call, 0, sizeof(*call));
	if (!parse_number(word, &track) || track >= TRACKS)
		return false;
	word = strtok_r(NULL, " \t", &save);
	op = word ? op_find(word) : -1;
	if (op < 0)
		return false;
	call->track = track;
	call->op = op;
	for (i = 0; (word = strtok_r(NULL, " \t", &save)); i++)
		if (i == ARGS_MAX || !ops[op].args[i] ||
		    !parse_arg(ops[op].args[i], word, &call->args[i]))
			return false;
	return true;
}

int program_parse(struct program *p, const char *text)
{
	int number;

	p->count = 0;
	for (number = 1; *text; number++) {
		size_t length = strcspn(text, "\n");
		struct call call;
		char line[256];
		bool empty;

		if (length >= sizeof(line))
			return number;
		memcpy(line, text, length);
		line[length] = 0;
		line[strcspn(line, "#")] = 0;
		if (!parse_call(line, &call, &empty))
			return number;
		if (!empty && !program_insert(p, p->count, &call))
			return number;
		text += length + (text[length] == '\n');
	}
	return 0;
}

int program_read(struct program *p, const char *path)
{
	/* Comments may make it longer than what program_print() writes. */
	char text[PROGRAM_TEXT_MAX * 2];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n < 0)
		return -1;
	text[n] = 0;
	return program_parse(p, text);
}

uint32_t program_hash(const struct program *p)
{
	char text[PROGRAM_TEXT_MAX];
	size_t i, n = program_print(p, text, sizeof(text));
	uint32_t hash = 2166136261u;			/* FNV-1a */

	for (i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)text[i]) * 16777619u;
	return hash;
}
