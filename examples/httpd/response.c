// SPDX-License-Identifier: GPL-2.0
/* Heads, error pages, redirects; everything that is sent. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/program.h"
#include "httpd.h"

/* The kernel moves at most this much in a call. */
#define SENDFILE_MAX	0x7ffff000
#define COPY_SIZE	8192
/* Who does not take this much in the time for sending does not want the answer. */
#define SEND_UNIT	65536

static const char *reason(int status)
{
	switch (status) {
	case 200: return "OK";
	case 206: return "Partial Content";
	case 301: return "Moved Permanently";
	case 304: return "Not Modified";
	case 400: return "Bad Request";
	case 403: return "Forbidden";
	case 404: return "Not Found";
	case 405: return "Method Not Allowed";
	case 408: return "Request Timeout";
	case 412: return "Precondition Failed";
	case 413: return "Content Too Large";
	case 414: return "URI Too Long";
	case 416: return "Range Not Satisfiable";
	case 431: return "Request Header Fields Too Large";
	case 501: return "Not Implemented";
	case 503: return "Service Unavailable";
	case 505: return "HTTP Version Not Supported";
	default: return "Internal Server Error";
	}
}

void reply_init(struct reply *reply, struct conn *conn, const struct request *req)
{
	reply->conn = conn;
	reply->req = req;
	reply->shed = shed_now();
	reply->keep = !req->status && req->keep_alive && !req->wants_continue && !reply->shed &&
		      !server_stopping();
	reply->head_only = req->head_len && req->parser.method == HTTP_HEAD;
	reply->overflow = false;
	reply->status = 0;
	reply->sent = 0;
	reply->len = 0;
}

void reply_add(struct reply *reply, const char *format, ...)
{
	size_t room = sizeof(reply->text) - reply->len;
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(reply->text + reply->len, room, format, args);
	va_end(args);
	if (len < 0 || (size_t)len >= room)
		reply->overflow = true;
	else
		reply->len += len;
}

/* Persistence is 1.1's default and 1.0's exception. */
static void add_connection(struct reply *reply)
{
	if (!reply->keep)
		reply_add(reply, "Connection: close\r\n");
	else if (reply->req->parser.http_minor == 0)
		reply_add(reply, "Connection: keep-alive\r\n");
}

void reply_start(struct reply *reply, int status)
{
	char date[HTTP_DATE_SIZE];

	http_date(date, time(NULL));
	reply->status = status;
	reply->overflow = false;
	reply->len = 0;
	reply_add(reply, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, reason(status), date);
	add_connection(reply);
}

/* Ends the head; a 304 has no body, and a length would speak of another one. */
void reply_end(struct reply *reply, off_t length)
{
	if (reply->status != 304)
		reply_add(reply, "Content-Length: %lld\r\n", (long long)length);
	reply_add(reply, "\r\n");
}

/* ECANCELED: it was still not done with the answer when the grace period was over. */
static bool is_peers_doing(int err)
{
	return err == -EPIPE || err == -ECONNRESET || err == -ETIMEDOUT || err == -ECANCELED;
}

/* @err: negative */
static bool sending_failed(struct reply *reply, int err)
{
	count(is_peers_doing(err) ? &counters.aborted : &counters.errors, 1);
	reply->conn->broken = true;
	return false;
}

/* Returns false when the connection is broken; nothing more can be sent then. */
bool reply_send(struct reply *reply, const void *data, size_t len, int flags)
{
	const char *at = data;

	while (len) {
		size_t unit = len < SEND_UNIT ? len : SEND_UNIT;
		ssize_t n = kf_send(reply->conn->fd, at, unit,
				    MSG_NOSIGNAL | flags | (unit < len ? MSG_MORE : 0),
				    seconds_from_now(options.send_seconds));

		if (n < 0)
			return sending_failed(reply, (int)n);
		count(&counters.bytes, n);
		if ((size_t)n < unit)
			return sending_failed(reply, -ETIMEDOUT);
		at += unit;
		len -= unit;
	}
	return true;
}

/* For files that cannot be spliced. */
static bool copy_file(struct reply *reply, int fd, off_t start, off_t left)
{
	char buf[COPY_SIZE];

	while (left) {
		size_t want = left < COPY_SIZE ? (size_t)left : COPY_SIZE;
		ssize_t n = pread(fd, buf, want, start);

		if (n < 0 && errno == EINTR && kf_cancelled())
			return sending_failed(reply, -ECANCELED);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return sending_failed(reply, n ? -EIO : -ENODATA);
		start += n;
		left -= n;
		if (!reply_send(reply, buf, n, left ? MSG_MORE : 0))
			return false;
		reply->sent += n;
	}
	return true;
}

/* Returns 0 or why not. */
static int wait_to_send(const struct reply *reply, uint64_t deadline)
{
	int events = kf_poll(reply->conn->fd, POLLOUT, deadline);

	return events < 0 ? events : 0;
}

/* Returns bytes, or a negative errno. */
static ssize_t send_file_part(struct reply *reply, int fd, off_t *start, off_t left)
{
	size_t want = left < SENDFILE_MAX ? (size_t)left : SENDFILE_MAX;
	ssize_t n;

	do {
		n = sendfile(reply->conn->fd, fd, start, want);
	} while (n < 0 && errno == EINTR && !kf_cancelled());
	if (n < 0)
		return errno == EINTR ? -ECANCELED : -errno;
	count(&counters.bytes, n);
	reply->sent += n;
	return n;
}

/*
 * The socket does not block, so sendfile() may for the file alone.
 *
 * Returns false when the connection is broken, which it also is when the file
 * has become shorter: the client was promised its length.
 */
bool reply_send_file(struct reply *reply, int fd, off_t start, off_t left)
{
	uint64_t deadline = seconds_from_now(options.send_seconds);
	off_t unit = left - SEND_UNIT;

	while (left) {
		ssize_t n = send_file_part(reply, fd, &start, left);

		if (n == -EAGAIN) {
			n = wait_to_send(reply, deadline);
			if (n)
				return sending_failed(reply, (int)n);
			continue;
		}
		if (n == -EINVAL || n == -ENOSYS)
			return copy_file(reply, fd, start, left);
		if (n <= 0)
			return sending_failed(reply, n ? (int)n : -ENODATA);
		left -= n;
		if (left <= unit) {
			deadline = seconds_from_now(options.send_seconds);
			unit = left - SEND_UNIT;
		}
	}
	return true;
}

/* For bodies that are small enough to share a buffer, and so a packet, with their head. */
static void add_and_send(struct reply *reply, const char *body, size_t len)
{
	reply_end(reply, len);
	if (!reply->head_only) {
		reply_add(reply, "%s", body);
		reply->sent = len;
	}
	reply_send(reply, reply->text, reply->len, 0);
}

static void end_with_note(struct reply *reply)
{
	const char *why = reason(reply->status);
	char body[256];
	int len;

	len = snprintf(body, sizeof(body),
		       "<!DOCTYPE html>\n<html><head><title>%d %s</title></head>\n"
		       "<body><h1>%d %s</h1></body></html>\n",
		       reply->status, why, reply->status, why);
	reply_add(reply, "Content-Type: text/html; charset=utf-8\r\n");
	add_and_send(reply, body, len);
}

/* @header: a further line with its end, or "" */
void reply_error(struct reply *reply, int status, const char *header)
{
	reply_start(reply, status);
	reply_add(reply, "%s", header);
	end_with_note(reply);
}

/*
 * To the same path with a slash at its end. It is encoded anew, with a single
 * slash in front, so that no request can make it point to another host.
 */
void reply_redirect(struct reply *reply)
{
	const struct request *req = reply->req;
	char path[REPLY_MAX];

	if (!uri_encode(req->path, path, sizeof(path))) {
		reply_error(reply, 414, "");
		return;
	}
	reply_start(reply, 301);
	reply_add(reply, "Location: /%s/%s%.*s\r\n", path, req->query.len ? "?" : "",
		  (int)req->query.len, req->query.at ? req->query.at : "");
	if (reply->overflow || reply->len > sizeof(reply->text) / 2)
		reply_error(reply, 414, "");
	else
		end_with_note(reply);
}

void reply_page(struct reply *reply, const char *html, size_t len)
{
	reply_start(reply, 200);
	reply_add(reply, "Content-Type: text/html; charset=utf-8\r\n");
	reply_end(reply, len);
	if (reply->head_only) {
		reply_send(reply, reply->text, reply->len, 0);
		return;
	}
	if (reply_send(reply, reply->text, reply->len, MSG_MORE) &&
	    reply_send(reply, html, len, 0))
		reply->sent = len;
}
