/* SPDX-License-Identifier: GPL-2.0 */
/* The files that a kernel is told something by: parameters, debugfs, tracefs. */
#ifndef KF_SELFTESTS_FILE_H
#define KF_SELFTESTS_FILE_H

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

static inline bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

#endif /* KF_SELFTESTS_FILE_H */
