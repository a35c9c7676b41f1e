// SPDX-License-Identifier: GPL-2.0
/*
 * The protocol's requests:
 *
 *	*2\r\n
 *	$3\r\nGET\r\n
 *	$1\r\nx\r\n
 *
 * They are parsed as they come in, and however small the pieces are, no byte is searched
 * twice for the end of a line. Nothing is allocated for what a request only says that it will send.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "kvd.h"

#define LINE_MAX_LEN	65536
#define ARGS_MAX	(1024 * 1024)
#define ARGS_MIN	8
/* What a client may keep for the next request. */
#define ARGS_KEPT	1024

enum request_result request_bad(struct request *req, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(req->error, sizeof(req->error), format, args);
	va_end(args);
	return REQUEST_BAD;
}

/* Returns false when memory is short. */
bool request_add(struct request *req, size_t offset, size_t len)
{
	if (req->nr == req->room) {
		size_t room = req->room ? req->room * 2 : ARGS_MIN;
		void *args = NULL;

		if (room * sizeof(*req->args) <= memory_share())
			args = memory_resize(req->args, req->room * sizeof(*req->args),
					     room * sizeof(*req->args));
		if (!args)
			return false;
		req->args = args;
		req->room = room;
	}
	req->args[req->nr++] = (struct argument){ offset, len };
	return true;
}

static enum request_result no_memory(struct request *req)
{
	return request_bad(req, "out of memory");
}

/* Takes the line at @req->parsed. @line: without its end. */
static enum request_result take_line(struct request *req, struct buffer *in, const char *what,
				     struct slice *line)
{
	const char *begin = in->data + in->start, *from = begin + req->parsed;
	size_t scanned = req->scanned > req->parsed ? req->scanned : req->parsed;
	size_t len = buffer_len(in);
	const char *end = len > scanned ? memchr(begin + scanned, '\n', len - scanned) : NULL;

	req->scanned = end ? 0 : len;
	if (!end && len - req->parsed > LINE_MAX_LEN)
		return request_bad(req, "too big %s", what);
	if (!end)
		return REQUEST_MORE;
	*line = (struct slice){ from, end - from };
	if (line->len && end[-1] == '\r')
		line->len--;
	req->parsed += end - from + 1;
	return REQUEST_DONE;
}

static enum request_result first_line(struct request *req, struct buffer *in)
{
	bool array = in->data[in->start] == '*';
	enum request_result ret;
	struct slice line = { NULL, 0 };
	long long n;

	ret = take_line(req, in, array ? "mbulk count string" : "inline request", &line);
	if (ret != REQUEST_DONE)
		return ret;
	if (!array)
		return inline_split(req, in->data + in->start, line.len);
	line.at++;
	line.len--;
	if (!slice_number(line, &n) || n > ARGS_MAX)
		return request_bad(req, "invalid multibulk length");
	req->left = n > 0 ? n : 0;
	req->state = REQUEST_LENGTH;
	return REQUEST_DONE;
}

static enum request_result length_line(struct request *req, struct buffer *in)
{
	enum request_result ret;
	struct slice line = { NULL, 0 };
	long long n;

	if (buffer_len(in) > req->parsed && in->data[in->start + req->parsed] != '$')
		return request_bad(req, "expected '$', got '%c'",
				   in->data[in->start + req->parsed]);
	ret = take_line(req, in, "bulk count string", &line);
	if (ret != REQUEST_DONE)
		return ret;
	line.at++;
	line.len--;
	if (!slice_number(line, &n) || n < 0 || n > options.max_bulk)
		return request_bad(req, "invalid bulk length");
	req->bulk = n;
	req->state = REQUEST_BULK;
	return REQUEST_DONE;
}

/* As Redis does, it takes any two bytes for the end of the line. */
static enum request_result bulk(struct request *req, const struct buffer *in)
{
	if (buffer_len(in) - req->parsed < req->bulk + 2)
		return REQUEST_MORE;
	if (!request_add(req, req->parsed, req->bulk))
		return no_memory(req);
	req->parsed += req->bulk + 2;
	req->left--;
	req->state = REQUEST_LENGTH;
	return REQUEST_DONE;
}

/**
 * request_parse() - parse what has come in
 * @req: the request, as it was left
 * @in: begins with it
 *
 * Return: REQUEST_DONE: it is complete, and may have no argument at all; REQUEST_MORE:
 * more has to come in; REQUEST_BAD: see @req->error.
 */
enum request_result request_parse(struct request *req, struct buffer *in)
{
	enum request_result ret = REQUEST_DONE;

	if (req->state == REQUEST_FIRST) {
		if (!buffer_len(in))
			return REQUEST_MORE;
		ret = first_line(req, in);
	}
	while (ret == REQUEST_DONE && req->left)
		ret = req->state == REQUEST_LENGTH ? length_line(req, in) : bulk(req, in);
	if (ret == REQUEST_DONE)
		req->base = in->data + in->start;
	return ret;
}

/* Done with this one: the next begins behind it. */
void request_next(struct request *req, struct buffer *in)
{
	buffer_take(in, req->parsed);
	if (req->room > ARGS_KEPT)
		request_free(req);
	req->nr = 0;
	req->parsed = 0;
	req->scanned = 0;
	req->state = REQUEST_FIRST;
}

void request_free(struct request *req)
{
	memory_free(req->args, req->room * sizeof(*req->args));
	req->args = NULL;
	req->room = 0;
}
