// SPDX-License-Identifier: GPL-2.0
/* Options, start and end. */
#include <argp.h>
#include <errno.h>
#include <kfiber/kfiber.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

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
static int signal_fd;

static const struct argp_option argp_options[] = {
	{ "fibers", 'n', "N", 0, "Read N files or directories at once (default: 64)", 0 },
	{ "zero", 'z', NULL, 0, "End lines by NUL, and escape nothing in names", 0 },
	{ "quiet", 'q', NULL, 0, "Show no progress, which only a terminal gets", 0 },
	{ 0 }
};

static unsigned int parse_number(struct argp_state *state, const char *text, unsigned int min,
				 unsigned int max)
{
	unsigned long value;
	char *end;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || value < min || value > max)
		argp_error(state, "'%s' is not a number from %u to %u", text, min, max);
	return value;
}

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

/* Every thread made after this inherits the mask. Return: 0, a negative errno. */
static int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return signal_fd < 0 ? -errno : 0;
}

/* When nobody reads them any more. */
static void unblock_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static bool signal_came(void)
{
	struct signalfd_siginfo info;

	return kf_read(signal_fd, &info, sizeof(info), KF_FOREVER) == sizeof(info);
}

/* The first one cancels, the second one ends what cannot be cancelled: a line that nobody takes. */
static void *watch_signals(void *ctx)
{
	if (!signal_came())
		return NULL;
	kf_ctx_cancel(ctx);
	if (signal_came())
		_exit(INTERRUPTED);
	return NULL;
}

static int run_under(kf_ctx_t *ctx, struct work *first)
{
	const struct kf_attr attr = { .size = sizeof(attr), .name = "signals" };
	kf_fiber_t watcher;
	int err;

	err = kf_spawn(&watcher, &attr, watch_signals, ctx);
	if (err) {
		work_drop(first);
		return err;
	}
	kf_ctx_set_current(ctx);
	err = pool_run(first);
	kf_ctx_set_current(kf_ctx_background());
	kf_cancel(watcher);
	kf_join(watcher, NULL);
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

/* Each fiber has a file open, and the directories that those are in. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int fail(const char *what, int err)
{
	fprintf(stderr, "crawl: %s: %s\n", what, strerror(-err));
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	int ret, err;

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	options.progress = !quiet && isatty(STDERR_FILENO);
	raise_file_limit();
	ret = block_signals();
	if (ret)
		return fail("cannot wait for signals", ret);
	ret = kf_run(NULL, run, NULL);
	unblock_signals();
	err = output_end();
	if (ret < 0)
		return fail(ret == -ENOENT ? "/dev/kfiber (is the module loaded?)" :
			    "cannot run fibers", ret);
	return err && ret != INTERRUPTED ? fail("stdout", err) : ret;
}
