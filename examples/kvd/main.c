// SPDX-License-Identifier: GPL-2.0
/* Options, start and end. */
#include <argp.h>
#include <kfiber/kfiber.h>
#include <signal.h>
#include <stdlib.h>

#include "../common/program.h"
#include "../common/signals.h"
#include "kvd.h"

#define MIB		(1024 * 1024ull)
#define MAX_CLIENTS	1000000
#define MAX_MEMORY_MIB	(1u << 24)
#define MAX_BYTES	(512u * 1024 * 1024)

const char *argp_program_version = "kvd (kfiber) 0.1";

struct options options = {
	.port = 6379,
	.max_clients = 10000,
	.max_memory = 256 * MIB,
	.max_bulk = 8 * MIB,
	.max_backlog = 8 * MIB,
	.request_seconds = 60,
	.send_seconds = 30,
	.grace_seconds = 5,
};

/* Options without a letter. */
enum {
	KEY_MAX_BULK = 256,
	KEY_BACKLOG,
	KEY_REQUEST_TIME,
	KEY_SEND_TIME,
};

static const struct argp_option argp_options[] = {
	{ "port", 'p', "PORT", 0, "Listen on PORT, 0 for any free one (default: 6379)", 0 },
	{ "bind", 'b', "ADDR", 0, "Listen on this numeric address only (default: all)", 0 },
	{ "processors", 'P', "N", 0, "Let N fibers run at once (default: one per CPU)", 0 },
	{ "max-clients", 'c', "N", 0, "Refuse clients above N (default: 10000)", 0 },
	{ "memory", 'm', "MIB", 0,
	  "Keys, values and what is on its way may have MIB together (default: 256)", 0 },
	{ "max-bulk", KEY_MAX_BULK, "BYTES", 0,
	  "An argument may have BYTES (default: 8388608)", 0 },
	{ "backlog", KEY_BACKLOG, "BYTES", 0,
	  "End subscribers for whom more than BYTES wait (default: 8388608)", 0 },
	{ "idle", 'i', "SECONDS", 0, "End clients that are idle for so long (default: never)", 0 },
	{ "request-time", KEY_REQUEST_TIME, "SECONDS", 0,
	  "End clients whose command takes longer to come in (default: 60)", 0 },
	{ "send-time", KEY_SEND_TIME, "SECONDS", 0,
	  "End clients that take longer for 64 KiB of replies (default: 30)", 0 },
	{ "grace", 'g', "SECONDS", 0,
	  "Let clients take their replies for so long at the end (default: 5)", 0 },
	{ 0 }
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'p':
		options.port = parse_number(state, arg, 0, UINT16_MAX);
		return 0;
	case 'b':
		options.bind = arg;
		return 0;
	case 'P':
		options.processors = parse_number(state, arg, 1, MAX_PROCESSORS);
		return 0;
	case 'c':
		options.max_clients = parse_number(state, arg, 1, MAX_CLIENTS);
		return 0;
	case 'm':
		options.max_memory = parse_number(state, arg, 1, MAX_MEMORY_MIB) * MIB;
		return 0;
	case KEY_MAX_BULK:
		options.max_bulk = parse_number(state, arg, 1, MAX_BYTES);
		return 0;
	case KEY_BACKLOG:
		options.max_backlog = parse_number(state, arg, 1, MAX_BYTES);
		return 0;
	case 'i':
		options.idle_seconds = parse_number(state, arg, 0, MAX_SECONDS);
		return 0;
	case KEY_REQUEST_TIME:
		options.request_seconds = parse_number(state, arg, 1, MAX_SECONDS);
		return 0;
	case KEY_SEND_TIME:
		options.send_seconds = parse_number(state, arg, 1, MAX_SECONDS);
		return 0;
	case 'g':
		options.grace_seconds = parse_number(state, arg, 0, MAX_SECONDS);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse_option,
	.doc = "Keep keys and values in memory for clients of Redis, with a fiber for each."
	       "\vSIGINT and SIGTERM end it when what clients have sent is answered. A second "
	       "one ends it at once.",
};

int main(int argc, char **argv)
{
	struct kf_config config = { .size = sizeof(config) };
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	config.processors = options.processors;
	raise_file_limit();
	ret = server_listen();
	if (ret)
		return fail("cannot listen", ret);
	/* What a peer does not take any more is the error of a call. */
	signal(SIGPIPE, SIG_IGN);
	ret = signals_block();
	if (ret)
		return fail("cannot wait for signals", ret);
	ret = kf_run(&config, server_main, NULL);
	signals_unblock();
	if (ret < 0)
		return fail_to_run(ret);
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
