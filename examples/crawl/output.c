// SPDX-License-Identifier: GPL-2.0
/* Lines, for files and for what went wrong. Those of several fibers do not mix: stdio's lock. */
#include <errno.h>
#include <kfiber/kfiber.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crawl.h"

/* As sha256sum does it, so that a line is a line. */
static void put_escaped(FILE *out, const char *path)
{
	for (; *path; path++) {
		switch (*path) {
		case '\n':
			fputs("\\n", out);
			break;
		case '\r':
			fputs("\\r", out);
			break;
		case '\\':
			fputs("\\\\", out);
			break;
		default:
			putc(*path, out);
		}
	}
}

static void put_line(const char *path, const char *sum)
{
	bool odd = strpbrk(path, "\n\r\\");

	flockfile(stdout);
	if (options.zero) {
		printf("%s  %s", sum, path);
		putchar('\0');
	} else {
		printf("%s%s  ", odd ? "\\" : "", sum);
		put_escaped(stdout, path);
		putchar('\n');
	}
	funlockfile(stdout);
}

/* All of it, cancelled or not: what stdio was about to write when write() fails is lost. */
void print_sum(const struct work *work, const char *sum)
{
	char *path = path_of(work);

	kf_cancel_disable();
	if (path)
		put_line(path, sum);
	kf_cancel_enable();
	if (!path)
		print_error(work, -ENOMEM);
	free(path);
}

void print_error(const struct work *work, int err)
{
	char *path = path_of(work);

	count(&counters.errors, 1);
	flockfile(stderr);
	if (options.progress)
		fputs("\r\33[K", stderr);
	fputs("crawl: ", stderr);
	put_escaped(stderr, path ? path : work->name);
	fprintf(stderr, ": %s\n", strerror(-err));
	funlockfile(stderr);
	free(path);
}

/* Return: 0, a negative errno if not all was written. */
int output_end(void)
{
	if (!fflush(stdout) && !ferror(stdout))
		return 0;
	return errno ? -errno : -EIO;
}
