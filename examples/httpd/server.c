// SPDX-License-Identifier: GPL-2.0
/* Listening, accepting, the live connections, stopping. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "httpd.h"

#define NSEC_PER_SEC	1000000000ull
#define NSEC_PER_MSEC	1000000ull
#define GRACE_NS	(5 * NSEC_PER_SEC)
/* Long enough for some descriptors to be closed, short enough not to be noticed. */
#define BACK_OFF_NS	(20 * NSEC_PER_MSEC)

LIST_HEAD(conn_list, conn);

struct counters counters;

/**
 * struct server - the one server of the process
 * @listen_fd: constant from server_listen() to the end of server_main()
 * @stopping: set once
 * @lock: protects @conns and @live; held for a few instructions
 * @quiet: @live became 0
 * @conns: connections whose fibers have started
 * @live: connections whose fibers were spawned, at least
 */
static struct server {
	int listen_fd;
	atomic_bool stopping;
	pthread_mutex_t lock;
	pthread_cond_t quiet;
	struct conn_list conns;
	unsigned int live;
} server = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.quiet = PTHREAD_COND_INITIALIZER,
};

static int listen_on(const struct addrinfo *addr)
{
	const int on = 1, off = 0;
	int fd, err;

	fd = socket(addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (addr->ai_family == AF_INET6 && !options.bind)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	/* Accepted sockets inherit it: answers are whole when they are sent. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!bind(fd, addr->ai_addr, addr->ai_addrlen) && !listen(fd, SOMAXCONN))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int listen_at(const char *host, const char *port)
{
	const struct addrinfo hints = {
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
	};
	struct addrinfo *addr = NULL;
	int fd;

	if (getaddrinfo(host, port, &hints, &addr))
		return -EADDRNOTAVAIL;
	fd = listen_on(addr);
	freeaddrinfo(addr);
	return fd;
}

/* An IPv6 socket takes IPv4 too; kernels without IPv6 exist. */
static int listen_anywhere(const char *port)
{
	int fd = listen_at("::", port);

	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = listen_at("0.0.0.0", port);
	return fd;
}

int server_listen(void)
{
	char port[16];
	int fd;

	snprintf(port, sizeof(port), "%u", options.port);
	fd = options.bind ? listen_at(options.bind, port) : listen_anywhere(port);
	if (fd < 0)
		return fd;
	server.listen_fd = fd;
	return 0;
}

static int server_port(void)
{
	union address addr = { .in6 = { 0 } };
	socklen_t len = sizeof(addr);

	if (getsockname(server.listen_fd, &addr.any, &len))
		return 0;
	return ntohs(addr.any.sa_family == AF_INET6 ? addr.in6.sin6_port : addr.in.sin_port);
}

/* Wakes accept4(), which fails from now on. */
void server_stop(void)
{
	atomic_store(&server.stopping, true);
	shutdown(server.listen_fd, SHUT_RDWR);
}

bool server_stopping(void)
{
	return atomic_load(&server.stopping);
}

void server_add(struct conn *conn)
{
	pthread_mutex_lock(&server.lock);
	LIST_INSERT_HEAD(&server.conns, conn, link);
	pthread_mutex_unlock(&server.lock);
}

static void connection_gone(void)
{
	if (!--server.live)
		pthread_cond_signal(&server.quiet);
}

/* After this nobody else uses the connection's descriptor: it may be closed. */
void server_remove(struct conn *conn)
{
	pthread_mutex_lock(&server.lock);
	LIST_REMOVE(conn, link);
	connection_gone();
	pthread_mutex_unlock(&server.lock);
}

static unsigned int count_connection(void)
{
	unsigned int live;

	pthread_mutex_lock(&server.lock);
	live = ++server.live;
	pthread_mutex_unlock(&server.lock);
	return live;
}

/* A connection that was never in the list is gone. */
void server_uncount(void)
{
	pthread_mutex_lock(&server.lock);
	connection_gone();
	pthread_mutex_unlock(&server.lock);
}

static int spawn_connection(int fd, unsigned long long number)
{
	char name[32];
	const struct kf_attr attr = {
		.size = sizeof(attr),
		.name = name,
		.flags = KF_DETACHED,
	};

	snprintf(name, sizeof(name), "conn %llu", number);
	return kf_spawn(NULL, &attr, conn_main, (void *)(intptr_t)fd);
}

static void start_connection(int fd)
{
	unsigned long long number = atomic_fetch_add(&counters.connections, 1) + 1;
	int err;

	if (count_connection() > options.max_connections) {
		count(&counters.refused, 1);
	} else if (shed_now()) {
		count(&counters.shed, 1);
	} else {
		err = spawn_connection(fd, number);
		if (!err)
			return;
		/* A limit was reached between two looks. */
		count(err == -EAGAIN || err == -ENOMEM ? &counters.shed : &counters.errors, 1);
	}
	shed_connection(fd);
	server_uncount();
}

/* Errors of the one connection that was about to be accepted, see accept(2). */
static bool accept_failure_is_peers(int err)
{
	switch (err) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case EPERM:
	case ENETDOWN:
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case ENOPROTOOPT:
	case EOPNOTSUPP:
		return true;
	default:
		return false;
	}
}

static void accept_connections(void)
{
	while (!server_stopping()) {
		int fd = accept4(server.listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			start_connection(fd);
		} else if (!accept_failure_is_peers(errno) && !server_stopping()) {
			count(&counters.errors, 1);
			kf_sleep(BACK_OFF_NS);
		}
	}
}

static bool has_unread_data(const struct conn *conn)
{
	char byte;

	return recv(conn->fd, &byte, sizeof(byte), MSG_PEEK | MSG_DONTWAIT) > 0;
}

/*
 * Ends the connections that are between two requests. One with a request that
 * its fiber has not seen yet is not idle. One that turns idle after this has
 * looked at it sees that the server is stopping, if it is.
 */
void server_close_idle(void)
{
	struct conn *conn;

	pthread_mutex_lock(&server.lock);
	for (conn = LIST_FIRST(&server.conns); conn; conn = LIST_NEXT(conn, link)) {
		if (atomic_load(&conn->idle) && !has_unread_data(conn))
			shutdown(conn->fd, SHUT_RD);
	}
	pthread_mutex_unlock(&server.lock);
}

static void cut_connections(void)
{
	struct conn *conn;

	pthread_mutex_lock(&server.lock);
	for (conn = LIST_FIRST(&server.conns); conn; conn = LIST_NEXT(conn, link))
		shutdown(conn->fd, SHUT_RDWR);
	pthread_mutex_unlock(&server.lock);
}

/* Returns whether no connection was left at the deadline. */
static bool wait_until_quiet(uint64_t deadline)
{
	const struct timespec until = {
		.tv_sec = deadline / NSEC_PER_SEC,
		.tv_nsec = deadline % NSEC_PER_SEC,
	};
	bool quiet;
	int err = 0;

	pthread_mutex_lock(&server.lock);
	while (server.live && !err)
		err = pthread_cond_clockwait(&server.quiet, &server.lock, CLOCK_MONOTONIC, &until);
	quiet = !server.live;
	pthread_mutex_unlock(&server.lock);
	return quiet;
}

/*
 * A connection whose fiber has not started yet is not in the list, so the
 * cutting is repeated; each fiber ends at its next call on its socket.
 */
static void drain_connections(void)
{
	server_close_idle();
	if (wait_until_quiet(kf_after(GRACE_NS)))
		return;
	do {
		cut_connections();
	} while (!wait_until_quiet(kf_after(NSEC_PER_SEC)));
}

/* The first fiber: the domain, and with it kf_run(), ends some time after it. */
int server_main(void *arg)
{
	int err = shed_start();

	(void)arg;
	if (err)
		return err;
	printf("listening on port %d\n", server_port());
	fflush(stdout);
	accept_connections();
	close(server.listen_fd);
	drain_connections();
	shed_stop();
	stats_print();
	return 0;
}
