// SPDX-License-Identifier: GPL-2.0
/* The Range header, RFC 9110 section 14. */
#include <strings.h>

#include "httpd.h"

#define UNIT	"bytes="

static bool take(struct slice *in, char c)
{
	if (!in->len || *in->at != c)
		return false;
	in->at++;
	in->len--;
	return true;
}

static void skip_space(struct slice *in)
{
	while (take(in, ' ') || take(in, '\t'))
		;
}

/* Returns -1 when there is no digit. What is too large becomes the largest. */
static off_t take_number(struct slice *in)
{
	off_t value = -1;

	for (; in->len && *in->at >= '0' && *in->at <= '9'; in->at++, in->len--) {
		if (value < 0)
			value = 0;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, *in->at - '0', &value))
			value = INT64_MAX;
	}
	return value;
}

static void set_suffix(struct range *range, off_t len, off_t size)
{
	range->start = len < size ? size - len : 0;
	range->end = len ? size : 0;
}

/*
 * first-last, first- or -suffix. Returns false for an error of syntax. A range
 * that has nothing in the file comes out empty.
 */
static bool take_range(struct slice *in, off_t size, struct range *range)
{
	off_t first = take_number(in), last;

	if (!take(in, '-'))
		return false;
	last = take_number(in);
	if (first < 0 && last < 0)
		return false;
	if (first < 0) {
		set_suffix(range, last, size);
		return true;
	}
	if (last >= 0 && last < first)
		return false;
	range->start = first;
	range->end = last < 0 || last >= size ? size : last + 1;
	return true;
}

/* As often as not a request for more than the file, in parts, is an attack. */
static int check_total(const struct range *ranges, int nr, off_t size)
{
	off_t left = size;
	int i;

	for (i = 0; i < nr; i++) {
		left -= ranges[i].end - ranges[i].start;
		if (left < 0 || (left == 0 && nr > 1))
			return 0;
	}
	return nr;
}

/**
 * range_parse() - which parts of a file a client wants
 * @value: the header's
 * @size: of the file
 * @ranges: RANGES_MAX of them, filled in as the header orders them
 *
 * Return: how many; 0 when the header has to be, or may better be ignored; -1
 * when it is good and no part of it is in the file.
 */
int range_parse(struct slice value, off_t size, struct range *ranges)
{
	struct range range;
	int nr = 0;

	if (!size || value.len < sizeof(UNIT) - 1 ||
	    strncasecmp(value.at, UNIT, sizeof(UNIT) - 1) != 0)
		return 0;
	value.at += sizeof(UNIT) - 1;
	value.len -= sizeof(UNIT) - 1;
	do {
		skip_space(&value);
		if (!take_range(&value, size, &range))
			return 0;
		skip_space(&value);
		if (range.start >= range.end)
			continue;
		if (nr == RANGES_MAX)
			return 0;
		ranges[nr++] = range;
	} while (take(&value, ','));
	if (value.len)
		return 0;
	return nr ? check_total(ranges, nr, size) : -1;
}
