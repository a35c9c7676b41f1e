// SPDX-License-Identifier: GPL-2.0
/* Options, start and end. */
#include <argp.h>
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdlib.h>
#include <unistd.h>

#include "../common/program.h"
#include "../common/signals.h"
#include "crawl.h"

#define MAX_FIBERS	100000
/* What shells say of a process that ^C has ended. */
#define INTERRUPTED	130

const char *argp_program_version = "crawl (kfiber) 0.1";

struct options options = {
	.fibers = 64,
};

static const char *root = ".";
static bool quiet;

static const struct argp_option argp_options[] = {
	{ "fibers", 'n', "N", 0, "Read N files or directories at once (default: 64)", 0 },
	{ "zero", 'z', NULL, 0, "End lines by NUL, and escape nothing in names", 0 },
	{ "quiet", 'q', NULL, 0, "Show no progress, which only a terminal gets", 0 },
	{ 0 }
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 'n':
		options.fibers = parse_number(state, arg, 1, MAX_FIBERS);
		return 0;
	case 'z':
		options.zero = true;
		return 0;
	case 'q':
		quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			return ARGP_ERR_UNKNOWN;
		root = arg;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp argp = {
	.options = argp_options,
	.parser = parse_option,
	.args_doc = "[DIR]",
	.doc = "Print the SHA-256 sum of each file below DIR (default: .), in no order."
	       "\vLinks are not followed. The exit status is 1 if something could not be read, "
	       "and 130 after ^C.",
};

static void cancel(void *ctx)
{
	kf_ctx_cancel(ctx);
}

/* A second ^C ends what cannot be cancelled: a line that nobody takes. */
static int run_under(kf_ctx_t *ctx, struct work *first)
{
	int err = signals_start(cancel, ctx, INTERRUPTED);

	if (err) {
		work_drop(first);
		return err;
	}
	kf_ctx_set_current(ctx);
	err = pool_run(first);
	kf_ctx_set_current(kf_ctx_background());
	signals_stop();
	return err;
}

static int crawl(void)
{
	struct work *first = work_make(NULL, root, true);
	kf_ctx_t *ctx = kf_ctx_with_cancel(kf_ctx_background());
	int err;

	if (!first || !ctx) {
		free(first);
		kf_ctx_free(ctx);
		return -ENOMEM;
	}
	err = run_under(ctx, first);
	if (kf_ctx_err(ctx))
		err = -ECANCELED;
	kf_ctx_free(ctx);
	return err;
}

/* The first fiber. Return: an exit status, or a negative errno. */
static int run(void *arg)
{
	int err = progress_start();

	(void)arg;
	if (err)
		return err;
	err = crawl();
	progress_stop();
	if (err == -ECANCELED)
		return INTERRUPTED;
	if (err)
		return err;
	return atomic_load(&counters.errors) ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	int ret, err;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	options.progress = !quiet && isatty(STDERR_FILENO);
	raise_file_limit();
	ret = signals_block();
	if (ret)
		return fail("cannot wait for signals", ret);
	ret = kf_run(NULL, run, NULL);
	signals_unblock();
	err = output_end();
	if (ret < 0)
		return fail_to_run(ret);
	return err && ret != INTERRUPTED ? fail("stdout", err) : ret;
}
