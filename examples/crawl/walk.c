// SPDX-License-Identifier: GPL-2.0
/* One piece of work: a directory, or a file. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crawl.h"

/* Returns NULL when memory is short. */
struct work *work_make(struct dir *dir, const char *name, bool is_dir)
{
	size_t size = strlen(name) + 1;
	struct work *work = malloc(sizeof(*work) + size);

	if (!work)
		return NULL;
	dir_hold(dir);
	work->dir = dir;
	work->is_dir = is_dir;
	memcpy(work->name, name, size);
	return work;
}

/* Nobody will do it. */
void work_drop(struct work *work)
{
	dir_opened(work->dir);
	dir_release(work->dir);
	free(work);
}

/* Who cancels knows that some are missing. */
static void complain(const struct work *work, int err)
{
	if (!kf_cancelled())
		print_error(work, err);
}

/*
 * Links are not followed: what they lead to is found where it is, and nothing twice.
 * O_NONBLOCK: a FIFO may have taken a file's place, and opening that must not wait.
 */
static int open_work(const struct work *work)
{
	int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
		    (work->is_dir ? O_DIRECTORY : 0);
	int fd;

	/* What the command line names may be a link. */
	if (!work->dir)
		flags &= ~O_NOFOLLOW;
	do {
		fd = openat(work->dir ? work->dir->fd : AT_FDCWD, work->name, flags);
	} while (fd < 0 && errno == EINTR && !kf_cancelled());
	return fd < 0 ? -errno : fd;
}

static unsigned int mode_to_type(unsigned int mode)
{
	return S_ISDIR(mode) ? DT_DIR : S_ISREG(mode) ? DT_REG : DT_FIFO;
}

/* Not every file system says so in its directories. */
static unsigned int type_of(const struct dir *dir, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type;
	if (fstatat(dir->fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
		return DT_UNKNOWN;
	return mode_to_type(st.st_mode);
}

static bool is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

/* Adds to @list. Return: 0 or a negative errno. */
static int add_entry(struct dir *dir, const struct dirent *entry, struct work_list *list)
{
	unsigned int type = type_of(dir, entry);
	struct work *work;

	if (is_dots(entry->d_name) || (type != DT_DIR && type != DT_REG))
		return 0;
	work = work_make(dir, entry->d_name, type == DT_DIR);
	if (!work)
		return -ENOMEM;
	SLIST_INSERT_HEAD(list, work, link);
	if (type == DT_REG)
		count(&counters.found, 1);
	return 0;
}

static int read_entries(struct dir *dir, DIR *stream, struct work_list *list)
{
	const struct dirent *entry;
	int err = 0;

	while (!err && !kf_cancelled()) {
		errno = 0;
		entry = readdir(stream);
		if (!entry && errno == EINTR)
			continue;
		if (!entry)
			return -errno;
		err = add_entry(dir, entry, list);
	}
	return err;
}

/* The stream has a descriptor of its own, as it closes that. */
static int read_directory(struct dir *dir, struct work_list *list)
{
	int fd = fcntl(dir->fd, F_DUPFD_CLOEXEC, 0);
	DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	int err;

	if (!stream) {
		err = -errno;
		if (fd >= 0)
			close(fd);
		return err;
	}
	err = read_entries(dir, stream, list);
	closedir(stream);
	return err;
}

static void drop_all(struct work_list *list)
{
	while (!SLIST_EMPTY(list)) {
		struct work *work = SLIST_FIRST(list);

		SLIST_REMOVE_HEAD(list, link);
		work_drop(work);
	}
}

/* What was read before an error is looked at all the same. */
static void do_directory(struct work *work, int fd)
{
	struct work_list list = SLIST_HEAD_INITIALIZER(list);
	struct dir *dir = dir_make(work, fd);
	int err;

	if (!dir) {
		complain(work, -ENOMEM);
		close(fd);
		dir_release(work->dir);
		return;
	}
	err = read_directory(dir, &list);
	if (err)
		complain(work, err);
	if (pool_add(&list))
		drop_all(&list);
	dir_opened(dir);
	dir_release(dir);
}

static void do_file(struct work *work, int fd)
{
	char sum[SUM_TEXT_SIZE];
	struct stat st;
	int err;

	err = fstat(fd, &st) ? -errno : 0;
	if (!err && S_ISREG(st.st_mode)) {
		err = hash_file(fd, sum);
		if (!err)
			print_sum(work, sum);
	}
	if (err)
		complain(work, err);
	count(&counters.done, 1);
	close(fd);
	dir_release(work->dir);
}

void work_do(struct work *work)
{
	int fd = open_work(work);

	dir_opened(work->dir);
	if (fd < 0) {
		complain(work, fd);
		dir_release(work->dir);
	} else if (work->is_dir) {
		do_directory(work, fd);
	} else {
		do_file(work, fd);
	}
	free(work);
}
