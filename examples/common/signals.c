// SPDX-License-Identifier: GPL-2.0
/* What SIGINT and SIGTERM do: a fiber reads them from a file. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "signals.h"

static int signal_fd = -1;
static kf_fiber_t watcher;
static void (*stop_program)(void *arg);
static int second_status;

static sigset_t stopping_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	return set;
}

static bool signal_came(void)
{
	struct signalfd_siginfo info;

	return kf_read(signal_fd, &info, sizeof(info), KF_FOREVER) == sizeof(info);
}

/* Until it is cancelled, as the program has ended. */
static void *watch_signals(void *arg)
{
	if (!signal_came())
		return NULL;
	stop_program(arg);
	if (signal_came())
		_exit(second_status);
	return NULL;
}

int signals_block(void)
{
	sigset_t set = stopping_signals();

	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return signal_fd < 0 ? -errno : 0;
}

void signals_unblock(void)
{
	sigset_t set = stopping_signals();

	close(signal_fd);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int signals_start(void (*stop)(void *arg), void *arg, int status)
{
	const struct kf_attr attr = { .size = sizeof(attr), .name = "signals" };

	stop_program = stop;
	second_status = status;
	return kf_spawn(&watcher, &attr, watch_signals, arg);
}

void signals_stop(void)
{
	kf_cancel(watcher);
	kf_join(watcher, NULL);
}
