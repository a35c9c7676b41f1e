// SPDX-License-Identifier: GPL-2.0
/* One client: commands in, replies out. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../common/program.h"
#include "kvd.h"

/* Room to receive in. */
#define RECEIVE_SIZE	4096
/* Replies are sent when there are so many bytes, or when there is nothing else to do. */
#define SEND_SIZE	65536
#define LINGER_SECONDS	1

/* Returns false when it is not sent, or not in time. */
bool client_send(int fd, struct buffer *out)
{
	while (buffer_len(out)) {
		size_t len = buffer_len(out) < SEND_SIZE ? buffer_len(out) : SEND_SIZE;
		ssize_t n = kf_send(fd, out->data + out->start, len, MSG_NOSIGNAL,
				    seconds_from_now(options.send_seconds));

		if (n != (ssize_t)len)
			return false;
		buffer_take(out, len);
	}
	return true;
}

/* Returns false when the connection is to be ended. */
static bool send_replies(struct client *client)
{
	if (!client->subscriber)
		return client_send(client->fd, &client->out);
	subscriber_reply(client);
	return true;
}

/* There is none for a request or a reply: the client is told why it ends. */
static void end_without_memory(struct client *client)
{
	static const char why[] = "-OOM no memory for this request or its reply\r\n";

	client->quit = true;
	if (client->subscriber)
		subscriber_tell(client->subscriber, (struct slice){ why, sizeof(why) - 1 });
	else
		kf_send(client->fd, why, sizeof(why) - 1, MSG_NOSIGNAL,
			seconds_from_now(options.send_seconds));
}

/* In the middle of a command there is a deadline for all of it. */
static uint64_t receive_deadline(struct client *client)
{
	if (!buffer_len(&client->in)) {
		client->deadline = 0;
		return options.idle_seconds && !client->subscriber ?
			seconds_from_now(options.idle_seconds) : KF_FOREVER;
	}
	if (!client->deadline)
		client->deadline = seconds_from_now(options.request_seconds);
	return client->deadline;
}

/* Who sends faster than he is served never makes kf_recv() wait, which would notice the end. */
static bool receive(struct client *client)
{
	uint64_t deadline = receive_deadline(client);
	ssize_t n;
	char *room;

	if (kf_now() >= deadline || kf_cancelled())
		return false;
	room = buffer_room(&client->in, RECEIVE_SIZE);
	if (!room) {
		end_without_memory(client);
		return false;
	}
	n = kf_recv(client->fd, room, client->in.size - client->in.end, 0, deadline);
	if (n <= 0)
		return false;
	client->in.end += n;
	return true;
}

/* A reply is there as a whole or not at all. @whole: bytes of those before it */
static void end_reply(struct client *client, size_t whole)
{
	struct buffer *out = &client->out;

	if (out->failed && buffer_len(out) > whole)
		out->end = out->start + whole;
}

/* What it has begun it ends, whoever wants to be done with this client. */
static void run(struct client *client)
{
	size_t whole = buffer_len(&client->out);

	if (!client->req.nr)
		return;
	kf_cancel_disable();
	command_run(client, &client->req);
	kf_cancel_enable();
	end_reply(client, whole);
}

static void say_bad(struct client *client)
{
	size_t whole = buffer_len(&client->out);

	reply_error(&client->out, "ERR Protocol error: %s", client->req.error);
	client->quit = true;
	end_reply(client, whole);
}

/* All that came in as a whole. Returns false when the connection is to be ended. */
static bool run_commands(struct client *client)
{
	enum request_result result = REQUEST_DONE;

	while (!client->quit && !client->out.failed) {
		result = request_parse(&client->req, &client->in);
		if (result != REQUEST_DONE)
			break;
		run(client);
		request_next(&client->req, &client->in);
		client->deadline = 0;
		if (buffer_len(&client->out) >= SEND_SIZE && !send_replies(client))
			return false;
	}
	if (result == REQUEST_BAD)
		say_bad(client);
	if (!send_replies(client))
		return false;
	if (client->out.failed)
		end_without_memory(client);
	return true;
}

/* Closing a socket with unread data sends a reset, which can overtake the replies. */
static void linger(struct client *client)
{
	uint64_t deadline = seconds_from_now(LINGER_SECONDS);
	char bytes[RECEIVE_SIZE];

	shutdown(client->fd, SHUT_WR);
	while (kf_recv(client->fd, bytes, sizeof(bytes), 0, deadline) > 0 && kf_now() < deadline)
		;
}

static void serve(struct client *client)
{
	while (receive(client) && run_commands(client) && !client->quit)
		;
	kf_cancel_disable();
	pubsub_leave(client);
	kf_cancel_enable();
	if (client->quit)
		linger(client);
}

void *client_main(void *fd)
{
	struct client client = { .fd = (int)(intptr_t)fd };

	server_add(&client);
	serve(&client);
	server_remove(&client);
	close(client.fd);
	buffer_free(&client.in);
	buffer_free(&client.out);
	request_free(&client.req);
	server_uncount();
	return NULL;
}
