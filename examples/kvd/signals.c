// SPDX-License-Identifier: GPL-2.0
/* What SIGINT and SIGTERM do: a fiber reads them from a file. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "kvd.h"

static int signal_fd;
static kf_fiber_t watcher;

static bool signal_came(void)
{
	struct signalfd_siginfo info;

	return kf_read(signal_fd, &info, sizeof(info), KF_FOREVER) == sizeof(info);
}

/* Until it is cancelled, as the server has ended. */
static void *watch_signals(void *arg)
{
	(void)arg;
	if (!signal_came())
		return NULL;
	server_stop();
	if (signal_came())
		_exit(EXIT_FAILURE);
	return NULL;
}

/*
 * Every thread made after this inherits the mask, workers included: the signals
 * come by the file alone, and no call is interrupted. Return: 0 or a negative errno.
 */
int signals_block(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return -errno;
	signal_fd = signalfd(-1, &set, SFD_CLOEXEC);
	return signal_fd < 0 ? -errno : 0;
}

/* Context: the first fiber. Return: 0 or a negative errno. */
int signals_start(void)
{
	const struct kf_attr attr = { .size = sizeof(attr), .name = "signals" };

	return kf_spawn(&watcher, &attr, watch_signals, NULL);
}

void signals_stop(void)
{
	kf_cancel(watcher);
	kf_join(watcher, NULL);
	close(signal_fd);
}
