// SPDX-License-Identifier: GPL-2.0
/* Sockets that listen. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "listen.h"

/* @any: it is for all addresses, those of IPv4 too */
static int listen_on(const struct addrinfo *addr, int any)
{
	const int on = 1, off = 0;
	int fd, err;

	fd = socket(addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (addr->ai_family == AF_INET6 && any)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!bind(fd, addr->ai_addr, addr->ai_addrlen) && !listen(fd, SOMAXCONN))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int listen_at(const char *host, const char *port, int any)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	struct addrinfo *addr = NULL;
	int fd;

	if (getaddrinfo(host, port, &hints, &addr))
		return -EADDRNOTAVAIL;
	fd = listen_on(addr, any);
	freeaddrinfo(addr);
	return fd;
}

int tcp_listen(const char *host, unsigned int port)
{
	char text[16];
	int fd;

	snprintf(text, sizeof(text), "%u", port);
	if (host)
		return listen_at(host, text, 0);
	fd = listen_at("::", text, 1);
	/* Kernels without IPv6 exist. */
	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_at("0.0.0.0", text, 1);
	return fd;
}

int tcp_port(int fd)
{
	union address addr = { .in6 = { 0 } };
	socklen_t len = sizeof(addr);

	if (getsockname(fd, &addr.any, &len))
		return 0;
	return ntohs(addr.any.sa_family == AF_INET6 ? addr.in6.sin6_port : addr.in.sin_port);
}
