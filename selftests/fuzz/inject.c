// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "inject.h"

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	write(fd, text, strlen(text));
	close(fd);
}

void inject_init(void)
{
	static const struct {
		const char *path;
		const char *text;
	} settings[] = {
		{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/failslab/verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
		{ "/sys/kernel/debug/fail_usercopy/verbose", "0" },
	};
	size_t i;

	for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		write_file(settings[i].path, settings[i].text);
}

/* Without stdio: track.c says why. A close() has nothing in it that could fail. */
void inject_nth(unsigned int n)
{
	static const char digits[] = "0123456789abcdef";
	char text[] = { '0', 'x', digits[n / 16 % 16], digits[n % 16], 0 };

	write_file("/proc/thread-self/fail-nth", text);
}
