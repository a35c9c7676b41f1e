// SPDX-License-Identifier: GPL-2.0
/* Options, start and end. */
#include <argp.h>
#include <kfiber/kfiber.h>
#include <signal.h>
#include <stdlib.h>

#include "../common/program.h"
#include "../common/signals.h"
#include "httpd.h"

#define MAX_CONNECTIONS	1000000
#define MAX_STACK_KIB	(1u << 30)
#define MAX_BODY	(1u << 30)

/* Options without a letter. */
enum {
	KEY_MAX_BODY = 256,
	KEY_HEAD_TIME,
	KEY_BODY_TIME,
	KEY_SEND_TIME,
	KEY_BURN,
};

const char *argp_program_version = "httpd (kfiber) 0.1";

struct options options = {
	.root = ".",
	.port = 8080,
	.max_connections = 1024,
	.max_body = 1 << 20,
	.idle_seconds = 30,
	.head_seconds = 10,
	.body_seconds = 30,
	.send_seconds = 30,
	.grace_seconds = 5,
	.shed_at = KF_WATCH_DEFAULT,
};

static const struct argp_option argp_options[] = {
	{ "root", 'r', "DIR", 0, "Serve the files below DIR (default: .)", 0 },
	{ "port", 'p', "PORT", 0, "Listen on PORT, 0 for any free one (default: 8080)", 0 },
	{ "bind", 'b', "ADDR", 0, "Listen on this numeric address only (default: all)", 0 },
	{ "processors", 'P', "N", 0, "Let N fibers run at once (default: one per CPU)", 0 },
	{ "max-connections", 'c', "N", 0, "Answer 503 above N connections (default: 1024)", 0 },
	{ "stack-memory", 'm', "KIB", 0, "Let all stacks have KIB together (default: no limit)", 0 },
	{ "shed-at", 's', "PERCENT", 0,
	  "Answer 503 while a memory limit is used to PERCENT (default: 85)", 0 },
	{ "max-body", KEY_MAX_BODY, "BYTES", 0,
	  "Answer 413 to requests with a body above BYTES (default: 1048576)", 0 },
	{ "idle", 'i', "SECONDS", 0, "Close connections idle for so long (default: 30)", 0 },
	{ "head-time", KEY_HEAD_TIME, "SECONDS", 0,
	  "Answer 408 when a request's head takes longer (default: 10)", 0 },
	{ "body-time", KEY_BODY_TIME, "SECONDS", 0,
	  "Close connections whose request's body takes longer (default: 30)", 0 },
	{ "send-time", KEY_SEND_TIME, "SECONDS", 0,
	  "Close connections that take longer for 64 KiB of an answer (default: 30)", 0 },
	{ "grace", 'g', "SECONDS", 0,
	  "Let open connections finish for so long at the end (default: 5)", 0 },
	{ "burn", KEY_BURN, NULL, 0, "Answer /burn?ms=N after computing for N ms", 0 },
	{ "verbose", 'v', NULL, 0, "Write an access log to stdout, in common log format", 0 },
	{ 0 }
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'r':
		options.root = arg;
		return 0;
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
		options.max_connections = parse_number(state, arg, 1, MAX_CONNECTIONS);
		return 0;
	case 'm':
		options.stack_kib = parse_number(state, arg, 1, MAX_STACK_KIB);
		return 0;
	case 's':
		options.shed_at = parse_number(state, arg, 1, 100);
		return 0;
	case 'i':
		options.idle_seconds = parse_number(state, arg, 1, MAX_SECONDS);
		return 0;
	case KEY_MAX_BODY:
		options.max_body = parse_number(state, arg, 0, MAX_BODY);
		return 0;
	case KEY_HEAD_TIME:
		options.head_seconds = parse_number(state, arg, 1, MAX_SECONDS);
		return 0;
	case KEY_BODY_TIME:
		options.body_seconds = parse_number(state, arg, 1, MAX_SECONDS);
		return 0;
	case KEY_SEND_TIME:
		options.send_seconds = parse_number(state, arg, 1, MAX_SECONDS);
		return 0;
	case 'g':
		options.grace_seconds = parse_number(state, arg, 0, MAX_SECONDS);
		return 0;
	case KEY_BURN:
		options.burn = true;
		return 0;
	case 'v':
		options.verbose = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse_option,
	.doc = "Serve files by HTTP, with one fiber for each connection."
	       "\vSIGINT and SIGTERM let requests that have begun finish, for the time that "
	       "--grace gives, cancel what is left, and print the counters. A second one "
	       "ends the server at once.",
};

int main(int argc, char **argv)
{
	struct kf_config config = { .size = sizeof(config) };
	int ret;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	config.processors = options.processors;
	config.stack_bytes_max = options.stack_kib * 1024ul;
	raise_file_limit();
	ret = file_open_root(options.root);
	if (ret)
		return fail(options.root, ret);
	ret = server_listen();
	if (ret)
		return fail("cannot listen", ret);
	/* What a peer does not take any more is the error of a call. */
	signal(SIGPIPE, SIG_IGN);
	ret = signals_block();
	if (ret)
		return fail("cannot wait for signals", ret);
	mime_load();
	ret = kf_run(&config, server_main, NULL);
	signals_unblock();
	mime_unload();
	if (ret < 0)
		return fail_to_run(ret);
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
