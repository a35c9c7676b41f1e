// SPDX-License-Identifier: GPL-2.0
/* Listening, accepting, the live clients, stopping. */
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
#include "kvd.h"

/* Long enough for some descriptors to be closed, short enough not to be noticed. */
#define BACK_OFF_NS	(20 * NSEC_PER_MSEC)

LIST_HEAD(client_list, client);

struct counters counters;

/**
 * struct server - the one server of the process
 * @listen_fd: constant from server_listen() to the end of server_main()
 * @clients: the context of all clients' fibers; cancelled when the server has to end before
 *	they do
 * @slots: clients that there may be besides those that there are
 * @live: clients that were accepted and are not gone
 * @number: the same
 * @lock: protects @list and @stopping; held for a few instructions. Not one of the
 *	library's, as nobody may be cancelled while he waits for it
 * @stopping: set once
 * @list: clients whose fibers have started
 */
static struct server {
	int listen_fd;
	kf_ctx_t *clients;
	kf_sem_t slots;
	kf_waitgroup_t live;
	atomic_uint number;
	pthread_mutex_t lock;
	atomic_bool stopping;
	struct client_list list;
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

/* --- clients ------------------------------------------------------------------------- */

/* What it has been sent by now it reads, and then the end. */
static void end_input(const struct client *client)
{
	shutdown(client->fd, SHUT_RD);
}

void server_add(struct client *client)
{
	pthread_mutex_lock(&server.lock);
	LIST_INSERT_HEAD(&server.list, client, link);
	if (server.stopping)
		end_input(client);
	pthread_mutex_unlock(&server.lock);
}

/* After this nobody else uses the client's descriptor: it may be closed. */
void server_remove(struct client *client)
{
	pthread_mutex_lock(&server.lock);
	LIST_REMOVE(client, link);
	pthread_mutex_unlock(&server.lock);
}

/* The last that a client does. */
void server_uncount(void)
{
	atomic_fetch_sub(&server.number, 1);
	kf_sem_post(&server.slots);
	kf_waitgroup_done(&server.live);
}

unsigned int server_clients(void)
{
	return atomic_load(&server.number);
}

static void refuse(int fd, const char *why)
{
	ssize_t n = send(fd, why, strlen(why), MSG_NOSIGNAL | MSG_DONTWAIT);

	(void)n;
	close(fd);
}

/* Its fiber is under the context that the caller is under. */
static void start_client(int fd)
{
	const struct kf_attr attr = {
		.size = sizeof(attr),
		.name = "client",
		.flags = KF_DETACHED,
	};

	count(&counters.connections, 1);
	if (kf_sem_trywait(&server.slots)) {
		count(&counters.refused, 1);
		refuse(fd, "-ERR max number of clients reached\r\n");
		return;
	}
	kf_waitgroup_add(&server.live, 1);
	atomic_fetch_add(&server.number, 1);
	if (!kf_spawn(NULL, &attr, client_main, (void *)(intptr_t)fd))
		return;
	server_uncount();
	count(&counters.refused, 1);
	refuse(fd, "-ERR out of memory\r\n");
}

/*
 * Until the socket is shut down. What else may go wrong, see accept(2), is either of the one
 * connection, or a lack of something that may be over in a moment.
 */
static void accept_clients(void)
{
	while (!atomic_load(&server.stopping)) {
		int fd = kf_accept4(server.listen_fd, NULL, NULL, SOCK_CLOEXEC, KF_FOREVER);

		if (fd >= 0)
			start_client(fd);
		else if (!atomic_load(&server.stopping))
			kf_sleep(BACK_OFF_NS);
	}
}

/* --- the end ------------------------------------------------------------------------- */

/* Wakes kf_accept4(), which fails from now on. */
static void stop_server(void *arg)
{
	struct client *client;

	(void)arg;
	pthread_mutex_lock(&server.lock);
	atomic_store(&server.stopping, true);
	for (client = LIST_FIRST(&server.list); client; client = LIST_NEXT(client, link))
		end_input(client);
	pthread_mutex_unlock(&server.lock);
	shutdown(server.listen_fd, SHUT_RDWR);
}

static void drain_clients(void)
{
	if (!kf_waitgroup_wait_until(&server.live, seconds_from_now(options.grace_seconds)))
		return;
	kf_ctx_cancel(server.clients);
	kf_waitgroup_wait(&server.live);
}

/* The calling fiber is under their context only as long as it spawns them. */
static int serve(void)
{
	int err;

	server.clients = kf_ctx_with_cancel(kf_ctx_background());
	if (!server.clients)
		return -ENOMEM;
	err = kf_ctx_set_current(server.clients);
	if (!err) {
		printf("listening on port %d\n", tcp_port(server.listen_fd));
		fflush(stdout);
		accept_clients();
		close(server.listen_fd);
		kf_ctx_set_current(kf_ctx_background());
		drain_clients();
	}
	kf_ctx_free(server.clients);
	return err;
}

static int start_helpers(void)
{
	int err = store_start();

	if (err)
		return err;
	err = signals_start(stop_server, NULL, EXIT_FAILURE);
	if (err)
		store_stop();
	return err;
}

/* The first fiber: the domain, and with it kf_run(), ends some time after it. */
int server_main(void *arg)
{
	int err = start_helpers();

	(void)arg;
	if (err)
		return err;
	server.slots = (kf_sem_t)KF_SEM_INIT(options.max_clients);
	err = serve();
	signals_stop();
	store_stop();
	return err;
}
