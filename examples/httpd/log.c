// SPDX-License-Identifier: GPL-2.0
/* The access log, in common log format. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/listen.h"
#include "httpd.h"

#define LINE_SIZE	1024
/* Of the request line, in bytes as sent; four for each in the log at worst. */
#define REQUEST_MAX	200

void log_peer(struct conn *conn)
{
	union address addr = { .in6 = { 0 } };
	const struct in6_addr *v6 = &addr.in6.sin6_addr;
	socklen_t len = sizeof(addr);

	snprintf(conn->peer, sizeof(conn->peer), "-");
	if (getpeername(conn->fd, &addr.any, &len))
		return;
	if (addr.any.sa_family == AF_INET)
		inet_ntop(AF_INET, &addr.in.sin_addr, conn->peer, sizeof(conn->peer));
	else if (IN6_IS_ADDR_V4MAPPED(v6))
		inet_ntop(AF_INET, &v6->s6_addr[12], conn->peer, sizeof(conn->peer));
	else
		inet_ntop(AF_INET6, v6, conn->peer, sizeof(conn->peer));
}

/* What a client sends must not be able to forge a line, or to talk to a terminal. */
static void put_request_line(FILE *out, const struct conn *conn)
{
	size_t i;

	for (i = 0; i < conn->have && i < REQUEST_MAX; i++) {
		unsigned char c = (unsigned char)conn->head[i];

		if (c == '\r' || c == '\n')
			return;
		if (c < ' ' || c > '~' || c == '"' || c == '\\')
			fprintf(out, "\\x%02x", c);
		else
			putc(c, out);
	}
}

static void put_time(FILE *out)
{
	time_t now = time(NULL);
	char text[64];
	struct tm tm;

	if (!localtime_r(&now, &tm))
		return;
	strftime(text, sizeof(text), "%d/%b/%Y:%H:%M:%S %z", &tm);
	fputs(text, out);
}

/* One write, so that the lines of many fibers do not mix. */
void log_reply(const struct reply *reply)
{
	char line[LINE_SIZE];
	FILE *out = fmemopen(line, sizeof(line), "w");
	ssize_t ret;
	long len;

	if (!out)
		return;
	fprintf(out, "%s - - [", reply->conn->peer);
	put_time(out);
	fputs("] \"", out);
	put_request_line(out, reply->conn);
	fprintf(out, "\" %d %llu\n", reply->status, (unsigned long long)reply->sent);
	len = ftell(out);
	fclose(out);
	ret = write(STDOUT_FILENO, line, len);
	if (ret < 0)
		count(&counters.errors, 1);
}
