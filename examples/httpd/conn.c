// SPDX-License-Identifier: GPL-2.0
/* One connection: requests in, one after the other. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/program.h"
#include "httpd.h"

#define LINGER_SECONDS	2
/* Of stack, for any request: what a directory's listing takes, and some. */
#define STACK_NEEDED	(32 * 1024)

static void conn_init(struct conn *conn, int fd)
{
	conn->fd = fd;
	atomic_init(&conn->idle, false);
	atomic_init(&conn->sent_away, false);
	conn->fresh = true;
	conn->broken = false;
	conn->linger = false;
	conn->have = 0;
	conn->peer[0] = '\0';
	if (options.verbose)
		log_peer(conn);
}

static ssize_t receive_some(struct conn *conn, uint64_t deadline)
{
	ssize_t n = kf_recv(conn->fd, conn->head + conn->have, sizeof(conn->head) - conn->have, 0,
			    deadline);

	if (n > 0)
		conn->have += n;
	return n;
}

/*
 * The flag goes up before the look at server_stopping(), and
 * drain_connections() looks at the flag after the latter was stored: one of the
 * two sees the other.
 */
static bool wait_for_request(struct conn *conn)
{
	ssize_t n = 0;

	atomic_store(&conn->idle, true);
	if (!server_stopping())
		n = receive_some(conn, seconds_from_now(options.idle_seconds));
	atomic_store(&conn->idle, false);
	return n > 0;
}

/*
 * The time is limited for the head as a whole, or a peer that sends a byte now
 * and then would hold its connection for ever. Returns whether there is
 * something to answer, which may be an error.
 */
static bool receive_request(struct conn *conn, struct request *req)
{
	uint64_t deadline;
	size_t fed = 0;

	if (!conn->have && !wait_for_request(conn))
		return false;
	deadline = seconds_from_now(options.head_seconds);
	while (!request_feed(req, conn->head, conn->have, conn->have - fed)) {
		ssize_t n;

		fed = conn->have;
		if (conn->have == sizeof(conn->head)) {
			req->status = request_too_long(req);
			return true;
		}
		n = receive_some(conn, deadline);
		if (n == -ETIMEDOUT || (n > 0 && kf_now() >= deadline)) {
			req->status = 408;
			return true;
		}
		if (n <= 0)
			return false;
	}
	return true;
}

static void answer(struct reply *reply)
{
	const struct request *req = reply->req;

	if (req->status)
		reply_error(reply, req->status, "");
	else if (reply->shed)
		reply_error(reply, 503, "Retry-After: 1\r\n");
	else if (!request_method_known(req))
		reply_error(reply, 405, "Allow: GET, HEAD\r\n");
	else if (options.burn && burn_wanted(req))
		burn_serve(reply);
	else
		file_serve(reply);
}

/* Returns whether the connection goes on. */
static bool serve_request(struct conn *conn, const struct request *req)
{
	struct reply reply;

	reply_init(&reply, conn, req);
	answer(&reply);
	count(&counters.requests, 1);
	if (reply.status == 503)
		count(&counters.shed, 1);
	if (reply.status == 500)
		count(&counters.errors, 1);
	if (options.verbose)
		log_reply(&reply);
	return reply.keep && !conn->broken;
}

static void consume(struct conn *conn, size_t len)
{
	conn->have -= len;
	memmove(conn->head, conn->head + len, conn->have);
}

/* A client that asked for the end, and sent nothing after it, waits for it. */
static bool client_is_done(const struct conn *conn, const struct request *req)
{
	return !req->status && !req->keep_alive && !req->has_body && conn->have == req->head_len;
}

static void serve_requests(struct conn *conn)
{
	struct request req;

	for (;;) {
		request_init(&req);
		if (!receive_request(conn, &req))
			return;
		conn->fresh = false;
		if (!serve_request(conn, &req))
			break;
		consume(conn, req.head_len);
		if (req.has_body && !body_skip(conn, &req))
			break;
	}
	conn->linger = !conn->broken && !client_is_done(conn, &req);
}

/*
 * Closing a socket that has unread data, or gets some, sends a reset, which
 * can overtake the answer; so read on until the client has seen its end.
 */
static void linger(struct conn *conn)
{
	uint64_t deadline = seconds_from_now(LINGER_SECONDS);

	shutdown(conn->fd, SHUT_WR);
	while (kf_recv(conn->fd, conn->head, sizeof(conn->head), 0, deadline) > 0 &&
	       kf_now() < deadline)
		;
}

/* Its peer has asked for nothing yet, but may be about to: it is told why nobody listens. */
static bool is_to_be_shed(const struct conn *conn)
{
	return conn->fresh && !conn->have && atomic_load(&conn->sent_away) && !server_stopping();
}

static void run_connection(int fd)
{
	struct conn conn;

	conn_init(&conn, fd);
	server_add(&conn);
	serve_requests(&conn);
	if (conn.linger)
		linger(&conn);
	server_remove(&conn);
	if (is_to_be_shed(&conn)) {
		count(&counters.shed, 1);
		shed_connection(fd);
	} else {
		close(fd);
	}
	server_uncount();
}

/*
 * Takes all the memory that the connection can need while nothing has been
 * promised to it: what is short later is short for those that come later.
 */
static __attribute__((noinline)) void touch_stack(void)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	volatile char stack[STACK_NEEDED];
	size_t i;

	for (i = sizeof(stack); i >= page; i -= page)
		stack[i - page] = 0;
}

void *conn_main(void *arg)
{
	int fd = (int)(intptr_t)arg;

	if (shed_now()) {
		count(&counters.shed, 1);
		shed_connection(fd);
		server_uncount();
		return NULL;
	}
	touch_stack();
	run_connection(fd);
	return NULL;
}
