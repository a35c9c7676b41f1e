// SPDX-License-Identifier: GPL-2.0
/*
 * Requests as lines: words between spaces; "quoted" ones may have any byte, as C writes
 * it, 'these' only \' as something special.
 */
#include <ctype.h>
#include <string.h>

#include "kvd.h"

/**
 * struct scan - on its way through a line
 * @line: the line; words are put together in it, at or before where they were
 * @len: of @line
 * @in: what is read next
 * @out: where the next byte of a word goes
 */
struct scan {
	char *line;
	size_t len;
	size_t in;
	size_t out;
};

static int hex_digit(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* What is after a backslash. */
static char unescape(struct scan *scan)
{
	static const char names[] = "nrtba", values[] = "\n\r\t\b\a";
	const char *at = scan->line + scan->in;
	const char *name;

	if (scan->len - scan->in >= 3 && *at == 'x' && hex_digit(at[1]) >= 0 &&
	    hex_digit(at[2]) >= 0) {
		scan->in += 3;
		return (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
	}
	scan->in++;
	name = *at ? strchr(names, *at) : NULL;
	return name ? values[name - names] : *at;
}

/* Returns whether the quotes were closed, and a space or the end comes after them. */
static bool take_quoted(struct scan *scan)
{
	char quote = scan->line[scan->in++];

	while (scan->in < scan->len) {
		char c = scan->line[scan->in++];
		bool more = scan->in < scan->len;

		if (c == quote)
			return !more || isspace((unsigned char)scan->line[scan->in]);
		if (c == '\\' && more && quote == '"')
			c = unescape(scan);
		else if (c == '\\' && more && scan->line[scan->in] == '\'')
			c = scan->line[scan->in++];
		scan->line[scan->out++] = c;
	}
	return false;
}

/* Returns false if quotes are not in pairs. */
static bool take_word(struct scan *scan)
{
	while (scan->in < scan->len && !isspace((unsigned char)scan->line[scan->in])) {
		char c = scan->line[scan->in];

		if (c == '"' || c == '\'')
			return take_quoted(scan);
		scan->line[scan->out++] = c;
		scan->in++;
	}
	return true;
}

/* @line: the request, which is overwritten */
enum request_result inline_split(struct request *req, char *line, size_t len)
{
	struct scan scan = { .line = line, .len = len };

	for (;;) {
		size_t from;

		while (scan.in < len && isspace((unsigned char)line[scan.in]))
			scan.in++;
		if (scan.in == len)
			return REQUEST_DONE;
		from = scan.out;
		if (!take_word(&scan))
			return request_bad(req, "unbalanced quotes in request");
		if (!request_add(req, from, scan.out - from))
			return request_bad(req, "out of memory");
	}
}
