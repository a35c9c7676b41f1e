// SPDX-License-Identifier: GPL-2.0
/* Percent-encoding. */
#include <string.h>

#include "httpd.h"

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Returns the byte that the two digits after a '%' stand for, or -1. */
static int decode_escape(const char *digits, size_t left)
{
	int high, low;

	if (left < 2)
		return -1;
	high = hex_digit(digits[0]);
	low = hex_digit(digits[1]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/*
 * Returns false for a bad escape, an encoded NUL, which would end a file's
 * name early, or when it does not fit.
 */
bool uri_decode(struct slice in, char *out, size_t size)
{
	size_t i, len = 0;

	for (i = 0; i < in.len; i++) {
		int c = (unsigned char)in.at[i];

		if (c == '%') {
			c = decode_escape(in.at + i + 1, in.len - i - 1);
			i += 2;
		}
		if (c <= 0 || len + 1 >= size)
			return false;
		out[len++] = (char)c;
	}
	out[len] = '\0';
	return true;
}

static bool is_plain(unsigned char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("-._~/", c));
}

/* Returns false when it does not fit. */
bool uri_encode(const char *in, char *out, size_t size)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t len = 0;

	for (; *in; in++) {
		unsigned char c = (unsigned char)*in;

		if (len + 4 > size)
			return false;
		if (is_plain(c)) {
			out[len++] = (char)c;
			continue;
		}
		out[len++] = '%';
		out[len++] = digits[c >> 4];
		out[len++] = digits[c & 15];
	}
	out[len] = '\0';
	return true;
}
