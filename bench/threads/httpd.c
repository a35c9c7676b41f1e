// SPDX-License-Identifier: GPL-2.0
/*
 * A web server with a thread for each connection: GET of the files below the directory that
 * it was started in, with keep-alive, until it is killed. The parser is the one of
 * examples/httpd, and the answer is a write of the head and a sendfile().
 */
#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../bench.h"
#include "works.h"

/* What a thread of this server needs, where the default is 8 MiB of addresses. */
#define STACK_SIZE	(64ul << 10)

struct connection {
	http_parser parser;
	int fd;
	bool broken;
	size_t length;
	char target[1024];
};

static bool send_all(int fd, const char *data, size_t size, int flags)
{
	while (size) {
		ssize_t sent = send(fd, data, size, flags | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return false;
		data += sent;
		size -= (size_t)sent;
	}
	return true;
}

static bool send_file(int fd, int file, off_t size)
{
	off_t offset = 0;

	while (offset < size)
		if (sendfile(fd, file, &offset, (size_t)(size - offset)) <= 0 && errno != EINTR)
			return false;
	return true;
}

static bool send_head(struct connection *c, const char *status, off_t size)
{
	char head[256];
	int length = snprintf(head, sizeof(head),
			      "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %lld\r\n\r\n",
			      status, (long long)size);

	return send_all(c->fd, head, (size_t)length, size ? MSG_MORE : 0);
}

static bool answer(struct connection *c)
{
	struct stat st;
	bool sent;
	int file;

	c->target[c->length] = '\0';
	if (c->target[0] != '/' || strstr(c->target, "/.."))
		return send_head(c, "403 Forbidden", 0);
	file = open(c->target + 1, O_RDONLY | O_CLOEXEC);
	if (file < 0 || fstat(file, &st) || !S_ISREG(st.st_mode)) {
		if (file >= 0)
			close(file);
		return send_head(c, "404 Not Found", 0);
	}
	sent = send_head(c, "200 OK", st.st_size) && send_file(c->fd, file, st.st_size);
	close(file);
	return sent;
}

static int on_url(http_parser *parser, const char *at, size_t length)
{
	struct connection *c = parser->data;

	if (length >= sizeof(c->target) - c->length)
		return 1;
	memcpy(c->target + c->length, at, length);
	c->length += length;
	return 0;
}

static int on_message_complete(http_parser *parser)
{
	struct connection *c = parser->data;

	c->broken = !answer(c) || !http_should_keep_alive(parser);
	c->length = 0;
	return c->broken;
}

static void *serve(void *arg)
{
	static const http_parser_settings settings = {
		.on_url = on_url, .on_message_complete = on_message_complete,
	};
	struct connection c = { .fd = (int)(long)arg };
	char buffer[4096];
	ssize_t got;

	http_parser_init(&c.parser, HTTP_REQUEST);
	c.parser.data = &c;
	while (!c.broken && (got = recv(c.fd, buffer, sizeof(buffer), 0)) > 0)
		if (http_parser_execute(&c.parser, &settings, buffer, (size_t)got) != (size_t)got)
			break;
	close(c.fd);
	return NULL;
}

static int listen_on(unsigned long port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)) ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, SOMAXCONN))
		bench_die("listen");
	return fd;
}

void bench_httpd(void)
{
	int fd = listen_on(bench_parameter("port"));
	pthread_attr_t attr;
	pthread_t thread;

	bench_many_files();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	for (;;) {
		int connection = accept(fd, NULL, NULL);

		if (connection < 0)
			bench_die("accept");
		if (pthread_create(&thread, &attr, serve, (void *)(long)connection))
			bench_die("pthread_create");
	}
}
