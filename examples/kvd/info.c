// SPDX-License-Identifier: GPL-2.0
/* Commands about the server, as far as clients ask for them. */
#include <kfiber/kfiber.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kvd.h"

#define INFO_SIZE	2048

/* Subscribers get it in the form of a message. */
void cmd_ping(struct client *client, const struct request *req)
{
	struct slice text = { "", 0 };

	if (req->nr > 2) {
		reply_error(&client->out, "ERR wrong number of arguments for 'ping' command");
		return;
	}
	if (req->nr == 2)
		text = request_arg(req, 1);
	if (client->subscriber) {
		reply_array(&client->out, 2);
		reply_text(&client->out, "pong");
		reply_bulk(&client->out, text);
	} else if (req->nr == 2) {
		reply_bulk(&client->out, text);
	} else {
		reply_status(&client->out, "PONG");
	}
}

void cmd_echo(struct client *client, const struct request *req)
{
	reply_bulk(&client->out, request_arg(req, 1));
}

/* There is one database. */
void cmd_select(struct client *client, const struct request *req)
{
	if (slice_is(request_arg(req, 1), "0"))
		reply_status(&client->out, "OK");
	else
		reply_error(&client->out, "ERR DB index is out of range");
}

void cmd_quit(struct client *client, const struct request *req)
{
	(void)req;
	reply_status(&client->out, "OK");
	client->quit = true;
}

static void print_server(FILE *out)
{
	fprintf(out, "# Server\r\nkvd_version:0.1\r\nprocess_id:%d\r\n", getpid());
	fprintf(out, "\r\n# Clients\r\nconnected_clients:%u\r\nmaxclients:%u\r\n",
		server_clients(), options.max_clients);
	fprintf(out, "\r\n# Memory\r\nused_memory:%llu\r\nmaxmemory:%llu\r\n",
		(unsigned long long)memory_used(), (unsigned long long)options.max_memory);
}

static void print_counters(FILE *out)
{
	fprintf(out, "\r\n# Stats\r\ntotal_connections_received:%llu\r\n",
		atomic_load(&counters.connections));
	fprintf(out, "rejected_connections:%llu\r\n", atomic_load(&counters.refused));
	fprintf(out, "total_commands_processed:%llu\r\n", atomic_load(&counters.commands));
	fprintf(out, "expired_keys:%llu\r\n", atomic_load(&counters.expired));
	fprintf(out, "published_messages:%llu\r\n", atomic_load(&counters.published));
	fprintf(out, "dropped_subscribers:%llu\r\n", atomic_load(&counters.dropped));
	fprintf(out, "\r\n# Keyspace\r\ndb0:keys=%zu\r\n", store_size());
}

static void print_fibers(FILE *out)
{
	struct kf_stats stats = { .size = sizeof(stats) };

	if (kf_stats(&stats))
		return;
	fprintf(out, "\r\n# Fibers\r\nfibers:%llu\r\nprocessors:%llu\r\nthreads:%llu\r\n",
		(unsigned long long)stats.fibers_live, (unsigned long long)stats.processors,
		(unsigned long long)stats.workers);
	fprintf(out, "stack_bytes:%llu\r\n",
		(unsigned long long)stats.stack_pages * sysconf(_SC_PAGESIZE));
}

/* All sections, whichever are asked for. */
void cmd_info(struct client *client, const struct request *req)
{
	char text[INFO_SIZE];
	FILE *out = fmemopen(text, sizeof(text), "w");
	long len;

	(void)req;
	if (!out) {
		reply_error(&client->out, "ERR out of memory");
		return;
	}
	print_server(out);
	print_counters(out);
	print_fibers(out);
	fflush(out);
	len = ftell(out);
	fclose(out);
	reply_bulk(&client->out, (struct slice){ text, len });
}

/* What redis-benchmark asks for, and what there is to tell. */
static size_t put_settings(struct buffer *out, struct slice wanted)
{
	char number[24];

	if (slice_is(wanted, "save") || slice_is(wanted, "appendonly")) {
		bool save = slice_is(wanted, "save");

		reply_array(out, 2);
		reply_text(out, save ? "save" : "appendonly");
		reply_text(out, save ? "" : "no");
		return 1;
	}
	if (slice_is(wanted, "maxmemory"))
		snprintf(number, sizeof(number), "%llu", (unsigned long long)options.max_memory);
	else if (slice_is(wanted, "maxclients"))
		snprintf(number, sizeof(number), "%u", options.max_clients);
	else
		return 0;
	reply_array(out, 2);
	reply_bulk(out, wanted);
	reply_text(out, number);
	return 1;
}

void cmd_config(struct client *client, const struct request *req)
{
	if (!slice_is(request_arg(req, 1), "get"))
		reply_error(&client->out, "ERR settings are options of the command line");
	else if (req->nr != 3)
		reply_error(&client->out, "ERR wrong number of arguments for 'config|get' command");
	else if (!put_settings(&client->out, request_arg(req, 2)))
		reply_array(&client->out, 0);
}

/* redis-cli asks for the documentation of commands, to help who types them. */
void cmd_command(struct client *client, const struct request *req)
{
	if (req->nr > 1 && slice_is(request_arg(req, 1), "count"))
		reply_integer(&client->out, (long long)command_number());
	else
		reply_array(&client->out, 0);
}
