// SPDX-License-Identifier: GPL-2.0
/* The protocol's replies. What does not fit into memory ends the connection. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kvd.h"

#define LINE_SIZE	256

static void put_number(struct buffer *out, char kind, long long number)
{
	char line[32];
	int len = snprintf(line, sizeof(line), "%c%lld\r\n", kind, number);

	buffer_put(out, line, len);
}

void reply_status(struct buffer *out, const char *text)
{
	char line[LINE_SIZE];
	int len = snprintf(line, sizeof(line), "+%s\r\n", text);

	buffer_put(out, line, len);
}

/* A line, whatever a client has put into it. */
void reply_error(struct buffer *out, const char *format, ...)
{
	char text[LINE_SIZE];
	va_list args;
	char *c;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (c = text; *c; c++)
		if (*c == '\r' || *c == '\n')
			*c = ' ';
	buffer_put(out, "-", 1);
	buffer_put(out, text, strlen(text));
	buffer_put(out, "\r\n", 2);
}

void reply_integer(struct buffer *out, long long number)
{
	put_number(out, ':', number);
}

void reply_bulk(struct buffer *out, struct slice value)
{
	put_number(out, '$', (long long)value.len);
	buffer_put(out, value.at, value.len);
	buffer_put(out, "\r\n", 2);
}

void reply_text(struct buffer *out, const char *text)
{
	reply_bulk(out, (struct slice){ text, strlen(text) });
}

void reply_nil(struct buffer *out)
{
	buffer_put(out, "$-1\r\n", 5);
}

void reply_array(struct buffer *out, size_t n)
{
	put_number(out, '*', (long long)n);
}
