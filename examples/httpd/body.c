// SPDX-License-Identifier: GPL-2.0
/* A request's body, which nobody here has a use for: it is skipped. */
#include <kfiber/kfiber.h>
#include <string.h>

#include "../common/program.h"
#include "httpd.h"

static int on_message_complete(http_parser *parser)
{
	http_parser_pause(parser, 1);
	return 0;
}

/* Headers after a chunked body mean nothing either. */
static const http_parser_settings body_settings = {
	.on_message_complete = on_message_complete,
};

/*
 * Feeds what is in the connection's buffer, which is the next request's from
 * where the body ends. Returns whether the body goes on.
 */
static bool feed(struct conn *conn, struct request *req)
{
	size_t parsed;

	/* For the parser no bytes are the end of the connection. */
	if (!conn->have)
		return true;
	parsed = http_parser_execute(&req->parser, &body_settings, conn->head, conn->have);
	conn->have -= parsed;
	memmove(conn->head, conn->head + parsed, conn->have);
	return HTTP_PARSER_ERRNO(&req->parser) != HPE_PAUSED;
}

/**
 * body_skip() - read a request's body to its end
 * @conn: the connection; its buffer begins with the body
 * @req: the request, which has one, and has been answered
 *
 * What counts is what is received, not what it stands for: chunks of a byte each are
 * no way around the limit.
 *
 * Return: false if it is too long, takes too long, or is none: the connection ends.
 */
bool body_skip(struct conn *conn, struct request *req)
{
	uint64_t deadline = seconds_from_now(options.body_seconds);
	size_t left = options.max_body;

	/* It was stopped before the last byte of the head. */
	http_parser_pause(&req->parser, 0);
	http_parser_execute(&req->parser, &body_settings, "\n", 1);
	if (HTTP_PARSER_ERRNO(&req->parser) != HPE_OK)
		return false;
	for (;;) {
		size_t fed = conn->have;
		ssize_t n;

		if (!feed(conn, req))
			return fed - conn->have <= left;
		if (HTTP_PARSER_ERRNO(&req->parser) != HPE_OK || fed > left)
			return false;
		left -= fed;
		n = kf_recv(conn->fd, conn->head, sizeof(conn->head), 0, deadline);
		if (n <= 0 || kf_now() >= deadline)
			return false;
		conn->have = n;
	}
}
