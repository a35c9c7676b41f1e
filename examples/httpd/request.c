// SPDX-License-Identifier: GPL-2.0
/* A request's head: parsing, checking, the path it names. */
#include <string.h>
#include <strings.h>

#include "httpd.h"

void request_init(struct request *req)
{
	http_parser_init(&req->parser, HTTP_REQUEST);
	req->parser.data = req;
	req->target = (struct slice){ 0 };
	req->query = (struct slice){ 0 };
	req->status = 0;
	req->head_len = 0;
	req->keep_alive = false;
	req->has_body = false;
	req->wants_continue = false;
	req->nr_headers = 0;
	req->path[0] = '\0';
}

/*
 * The parser hands out a string in pieces, one for each call with new data.
 * Returns whether this piece follows the ones before it, as all pieces of a
 * string do but those of a folded header.
 */
static bool slice_extend(struct slice *slice, const char *at, size_t len)
{
	if (!slice->at)
		slice->at = at;
	if (slice->at + slice->len != at)
		return false;
	slice->len += len;
	return true;
}

static int on_url(http_parser *parser, const char *at, size_t len)
{
	struct request *req = parser->data;

	return !slice_extend(&req->target, at, len);
}

static int on_header_field(http_parser *parser, const char *at, size_t len)
{
	struct request *req = parser->data;

	if (req->nr_headers && slice_extend(&req->headers[req->nr_headers - 1].name, at, len))
		return 0;
	if (req->nr_headers == HEADERS_MAX) {
		req->status = 431;
		return -1;
	}
	req->headers[req->nr_headers++] = (struct header){ .name = { at, len } };
	return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
	struct request *req = parser->data;

	return !slice_extend(&req->headers[req->nr_headers - 1].value, at, len);
}

/* A request is answered before its body is looked at: see body.c. */
static int on_headers_complete(http_parser *parser)
{
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings parser_settings = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
};

static bool is_token_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* A method that nobody has heard of is not an error of syntax if it is a word. */
static int bad_method_status(const char *head, size_t have)
{
	size_t i = 0, start;

	while (i < have && (head[i] == '\r' || head[i] == '\n'))
		i++;
	start = i;
	while (i < have && is_token_char(head[i]))
		i++;
	return i > start && (i == have || head[i] == ' ') ? 501 : 400;
}

static int parse_failure_status(const struct request *req, const char *head, size_t have)
{
	switch (HTTP_PARSER_ERRNO(&req->parser)) {
	case HPE_INVALID_METHOD:
		return bad_method_status(head, have);
	case HPE_HEADER_OVERFLOW:
		return 431;
	default:
		return req->status ? req->status : 400;
	}
}

const struct header *request_next_header(const struct request *req, const char *name,
					 const struct header *after)
{
	const struct header *header = after ? after + 1 : req->headers;
	size_t len = strlen(name);

	for (; header < req->headers + req->nr_headers; header++)
		if (header->name.len == len && !strncasecmp(header->name.at, name, len))
			return header;
	return NULL;
}

const struct header *request_header(const struct request *req, const char *name)
{
	return request_next_header(req, name, NULL);
}

/* The parser, as it is commonly built, lets spaces through, which RFC 9112 forbids. */
static bool header_names_ok(const struct request *req)
{
	unsigned int i;

	for (i = 0; i < req->nr_headers; i++)
		if (memchr(req->headers[i].name.at, ' ', req->headers[i].name.len))
			return false;
	return true;
}

static void trim_header_values(struct request *req)
{
	unsigned int i;

	for (i = 0; i < req->nr_headers; i++) {
		struct slice *value = &req->headers[i].value;

		while (value->len && strchr(" \t", value->at[value->len - 1]))
			value->len--;
	}
}

static bool host_ok(const struct request *req)
{
	const struct header *host = request_header(req, "Host");

	if (!host)
		return req->parser.http_minor == 0;
	return !request_next_header(req, "Host", host);
}

static bool target_chars_ok(struct slice target)
{
	size_t i;

	for (i = 0; i < target.len; i++)
		if ((unsigned char)target.at[i] <= ' ' || target.at[i] == '\x7f')
			return false;
	return true;
}

static struct slice url_part(const struct request *req, const struct http_parser_url *url,
			     enum http_parser_url_fields field)
{
	if (!(url->field_set & 1 << field))
		return (struct slice){ 0 };
	return (struct slice){
		.at = req->target.at + url->field_data[field].off,
		.len = url->field_data[field].len,
	};
}

/* Returns 0 or a status. Fills in the path without its leading slashes. */
static int split_target(struct request *req)
{
	struct http_parser_url url;
	struct slice path;

	http_parser_url_init(&url);
	if (!target_chars_ok(req->target) ||
	    http_parser_parse_url(req->target.at, req->target.len, 0, &url))
		return 400;
	path = url_part(req, &url, UF_PATH);
	if (path.len && path.at[0] != '/')
		return 400;
	req->query = url_part(req, &url, UF_QUERY);
	while (path.len && path.at[0] == '/') {
		path.at++;
		path.len--;
	}
	if (path.len >= sizeof(req->path))
		return 414;
	return uri_decode(path, req->path, sizeof(req->path)) ? 0 : 400;
}

bool request_method_known(const struct request *req)
{
	return req->parser.method == HTTP_GET || req->parser.method == HTTP_HEAD;
}

/* Of a chunked body the length is not known yet: body_skip() sees to that. */
static int check_body(struct request *req)
{
	uint64_t length = req->parser.content_length;
	bool has_length = length && length != ULLONG_MAX;

	req->has_body = request_header(req, "Transfer-Encoding") || has_length;
	req->wants_continue = req->has_body && request_header(req, "Expect");
	return has_length && length > options.max_body ? 413 : 0;
}

static int check_head(struct request *req)
{
	const http_parser *parser = &req->parser;
	int status;

	if (parser->http_major != 1)
		return 505;
	if (!header_names_ok(req) || !host_ok(req))
		return 400;
	trim_header_values(req);
	req->keep_alive = http_should_keep_alive(parser);
	status = check_body(req);
	if (status || !request_method_known(req))
		return status;
	return split_target(req);
}

/**
 * request_feed() - parse what was received last
 * @req: the request
 * @head: the connection's buffer, where the request begins
 * @have: bytes in it
 * @fresh: of @have, bytes at the end that were not fed yet
 *
 * Return: false when more is needed; true when the head is complete, or
 * @req->status says what is wrong with it.
 */
bool request_feed(struct request *req, const char *head, size_t have, size_t fresh)
{
	const char *from = head + have - fresh;
	size_t parsed = http_parser_execute(&req->parser, &parser_settings, from, fresh);

	switch (HTTP_PARSER_ERRNO(&req->parser)) {
	case HPE_OK:
		return false;
	case HPE_PAUSED:
		break;
	default:
		req->status = parse_failure_status(req, head, have);
		return true;
	}
	/* The parser stops at the last byte and does not insist that it ends a line. */
	if (from[parsed] != '\n') {
		req->status = 400;
		return true;
	}
	req->head_len = from + parsed + 1 - head;
	req->status = check_head(req);
	return true;
}

/* What to say when the buffer is full and the head not complete. */
int request_too_long(const struct request *req)
{
	return req->nr_headers ? 431 : 414;
}
