// SPDX-License-Identifier: GPL-2.0
/* Listening, accepting, the live connections, stopping. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/listen.h"
#include "../common/program.h"
#include "../common/signals.h"
#include "httpd.h"

/* Long enough for some descriptors to be closed, short enough not to be noticed. */
#define BACK_OFF_NS	(20 * NSEC_PER_MSEC)

LIST_HEAD(conn_list, conn);

struct counters counters;

/**
 * struct server - the one server of the process
 * @listen_fd: constant from server_listen() to the end of server_main()
 * @requests: the context of all connections' fibers; cancelled when the server has to end
 *	before they do
 * @stopping: set once
 * @slots: connections that there may be besides those that there are
 * @live: connections that were accepted and not ended, refused ones not included
 * @lock: protects @conns; held for a few instructions. Not one of the library's, as nobody
 *	may be cancelled while he waits for it
 * @conns: connections whose fibers have started
 */
static struct server {
	int listen_fd;
	kf_ctx_t *requests;
	atomic_bool stopping;
	kf_sem_t slots;
	kf_waitgroup_t live;
	pthread_mutex_t lock;
	struct conn_list conns;
} server = {
	.live = KF_WAITGROUP_INIT,
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

/* Return: 0 or a negative errno. */
int server_listen(void)
{
	server.listen_fd = tcp_listen(options.bind, options.port);
	return server.listen_fd < 0 ? server.listen_fd : 0;
}

/* Wakes kf_accept4(), which fails from now on. */
static void stop_server(void *arg)
{
	(void)arg;
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

/* After this nobody else uses the connection's descriptor: it may be closed. */
void server_remove(struct conn *conn)
{
	pthread_mutex_lock(&server.lock);
	LIST_REMOVE(conn, link);
	pthread_mutex_unlock(&server.lock);
}

static bool count_connection(void)
{
	if (kf_sem_trywait(&server.slots))
		return false;
	kf_waitgroup_add(&server.live, 1);
	return true;
}

/* The last that a connection does. */
void server_uncount(void)
{
	kf_sem_post(&server.slots);
	kf_waitgroup_done(&server.live);
}

/* Its fiber is under the context that the caller is under. */
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

/* Returns whether a fiber has taken it over. */
static bool start_connection(int fd)
{
	unsigned long long number = atomic_fetch_add(&counters.connections, 1) + 1;
	int err;

	if (shed_now()) {
		count(&counters.shed, 1);
		return false;
	}
	if (!count_connection()) {
		count(&counters.refused, 1);
		return false;
	}
	err = spawn_connection(fd, number);
	if (!err)
		return true;
	/* A limit was reached between two looks. */
	count(err == -EAGAIN || err == -ENOMEM ? &counters.shed : &counters.errors, 1);
	server_uncount();
	return false;
}

/* Errors of the one connection that was about to be accepted, see accept(2). */
static bool accept_failure_is_peers(int err)
{
	switch (-err) {
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
		int fd = kf_accept4(server.listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK,
				    KF_FOREVER);

		if (fd >= 0) {
			if (!start_connection(fd))
				shed_connection(fd);
		} else if (!accept_failure_is_peers(fd) && !server_stopping()) {
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
 * Ends the connections that are between two requests, or before the first. One with
 * a request that its fiber has not seen yet is not idle. One that turns idle after
 * this has looked at it sees that the server is stopping, if it is.
 */
void server_close_idle(void)
{
	struct conn *conn;

	pthread_mutex_lock(&server.lock);
	for (conn = LIST_FIRST(&server.conns); conn; conn = LIST_NEXT(conn, link)) {
		if (!atomic_load(&conn->idle) || has_unread_data(conn))
			continue;
		atomic_store(&conn->sent_away, true);
		shutdown(conn->fd, SHUT_RD);
	}
	pthread_mutex_unlock(&server.lock);
}

/* Those that are under way may finish, but not for ever. */
static void drain_connections(void)
{
	server_close_idle();
	if (!kf_waitgroup_wait_until(&server.live, seconds_from_now(options.grace_seconds)))
		return;
	kf_ctx_cancel(server.requests);
	kf_waitgroup_wait(&server.live);
}

/* The calling fiber is under their context only as long as it spawns them. */
static int serve(void)
{
	int err;

	server.requests = kf_ctx_with_cancel(kf_ctx_background());
	if (!server.requests)
		return -ENOMEM;
	err = kf_ctx_set_current(server.requests);
	if (!err) {
		accept_connections();
		close(server.listen_fd);
		kf_ctx_set_current(kf_ctx_background());
		drain_connections();
	}
	kf_ctx_free(server.requests);
	return err;
}

static int start_helpers(void)
{
	int err = shed_start();

	if (err)
		return err;
	err = signals_start(stop_server, NULL, EXIT_FAILURE);
	if (err)
		shed_stop();
	return err;
}

/* The first fiber: the domain, and with it kf_run(), ends some time after it. */
int server_main(void *arg)
{
	int err = start_helpers();

	(void)arg;
	if (err)
		return err;
	server.slots = (kf_sem_t)KF_SEM_INIT(options.max_connections);
	printf("listening on port %d\n", tcp_port(server.listen_fd));
	fflush(stdout);
	err = serve();
	signals_stop();
	shed_stop();
	stats_print();
	return err;
}
