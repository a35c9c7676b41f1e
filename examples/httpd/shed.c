// SPDX-License-Identifier: GPL-2.0
/*
 * What the server does when memory for stacks runs short, or when there are too
 * many connections: it answers 503 and says when to come back, also to who was
 * accepted and has asked for nothing yet, closes connections between two requests, and
 * has the module take back what stacks do not need.
 *
 * The module tells when a limit is used to a share of it, here 85 %. The rest is
 * for the connections that have been accepted: each touches at its beginning as
 * much stack as a request can need (conn.c), so that none has to be given up
 * half-way.
 */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/program.h"
#include "httpd.h"

/* How often memory is looked for while there is too little. */
#define RELIEF_NS	(100 * NSEC_PER_MSEC)
/* Refused connections that are kept open until their peers have read why. */
#define LINGERING_MAX	64

/**
 * struct shed - what is known of memory, and who was sent away
 * @eventfd: written by the module when memory runs short
 * @watcher: the fiber that reads it, until it is cancelled
 * @lock: protects @lingering and @next
 * @lingering: descriptors of refused connections; -1: none
 * @next: the oldest of them, whose place is the next one's
 */
static struct shed {
	int eventfd;
	kf_fiber_t watcher;
	pthread_mutex_t lock;
	int lingering[LINGERING_MAX];
	unsigned int next;
} shed = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
};

/* Is there too little memory for another request? Costs a load. */
bool shed_now(void)
{
	return kf_memory_pressure();
}

/* Closes the oldest for it. */
static void keep_for_a_while(int fd)
{
	int oldest;

	pthread_mutex_lock(&shed.lock);
	oldest = shed.lingering[shed.next];
	shed.lingering[shed.next] = fd;
	shed.next = (shed.next + 1) % LINGERING_MAX;
	pthread_mutex_unlock(&shed.lock);
	if (oldest >= 0)
		close(oldest);
}

/**
 * shed_connection() - answer 503 without a fiber or any memory to speak of
 * @fd: a connection without an answer to come; it is closed later
 *
 * The request is not waited for, and never read. Closing a socket with unread
 * data sends a reset, which can overtake the answer; so it is not closed until
 * some others have been refused.
 */
void shed_connection(int fd)
{
	static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\n"
				     "Retry-After: 1\r\n"
				     "Content-Length: 0\r\n"
				     "Connection: close\r\n\r\n";
	ssize_t n = send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0)
		count(&counters.bytes, n);
	shutdown(fd, SHUT_WR);
	keep_for_a_while(fd);
}

/* Until there is memory again, or the server ends. */
static void find_memory(void)
{
	int err = 0;

	while (shed_now() && !err) {
		server_close_idle();
		kf_trim();
		err = kf_sleep(RELIEF_NS);
	}
}

static void *watch_memory(void *arg)
{
	uint64_t times;

	(void)arg;
	while (kf_read(shed.eventfd, &times, sizeof(times), KF_FOREVER) == sizeof(times)) {
		count(&counters.pressed, times);
		find_memory();
	}
	return NULL;
}

/* Context: the first fiber. Return: 0 or a negative errno. */
int shed_start(void)
{
	const struct kf_attr attr = { .size = sizeof(attr), .name = "memory" };
	int err;

	memset(shed.lingering, -1, sizeof(shed.lingering));
	shed.eventfd = eventfd(0, EFD_CLOEXEC);
	if (shed.eventfd < 0)
		return -errno;
	err = kf_watch_memory(shed.eventfd, options.shed_at);
	if (!err)
		err = kf_spawn(&shed.watcher, &attr, watch_memory, NULL);
	if (err)
		close(shed.eventfd);
	return err;
}

/* Context: the first fiber, when nothing is accepted any more. */
void shed_stop(void)
{
	unsigned int i;

	kf_watch_memory(-1, 0);
	kf_cancel(shed.watcher);
	kf_join(shed.watcher, NULL);
	close(shed.eventfd);
	for (i = 0; i < LINGERING_MAX; i++)
		if (shed.lingering[i] >= 0)
			close(shed.lingering[i]);
}
