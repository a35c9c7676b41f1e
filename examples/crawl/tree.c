// SPDX-License-Identifier: GPL-2.0
/*
 * Directories: how a file in one is opened, and what it is called.
 *
 * Everything is opened in its directory, not by its path, which may be longer than the
 * kernel allows, and may mean something else a moment later. A directory's descriptor is
 * closed when all that is in it has been opened; its name is there for as long as
 * something below it is.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crawl.h"

/* Takes over the reference that @work has on its directory. NULL: no memory. */
struct dir *dir_make(const struct work *work, int fd)
{
	size_t size = strlen(work->name) + 1;
	struct dir *dir = malloc(sizeof(*dir) + size);

	if (!dir)
		return NULL;
	dir->parent = work->dir;
	dir->fd = fd;
	atomic_init(&dir->refs, 1);
	atomic_init(&dir->unopened, 1);
	memcpy(dir->name, work->name, size);
	return dir;
}

/* For something in it that is to be opened. The caller has a reference. */
void dir_hold(struct dir *dir)
{
	if (!dir)
		return;
	atomic_fetch_add(&dir->refs, 1);
	atomic_fetch_add(&dir->unopened, 1);
}

/* The caller does not need the descriptor any more. */
void dir_opened(struct dir *dir)
{
	if (dir && atomic_fetch_sub(&dir->unopened, 1) == 1)
		close(dir->fd);
}

/* Nor the name. */
void dir_release(struct dir *dir)
{
	while (dir && atomic_fetch_sub(&dir->refs, 1) == 1) {
		struct dir *parent = dir->parent;

		free(dir);
		dir = parent;
	}
}

static size_t put_before(char *path, size_t at, const char *name)
{
	size_t len = strlen(name);

	at -= len;
	memcpy(path + at, name, len);
	return at;
}

/* A name that ends in a slash, as the command line's may, needs no other. */
static size_t slash_after(const char *name)
{
	size_t len = strlen(name);

	return len && name[len - 1] != '/';
}

/* From the command line's on. To be freed; NULL: no memory. */
char *path_of(const struct work *work)
{
	size_t len = strlen(work->name);
	const struct dir *dir;
	char *path;

	for (dir = work->dir; dir; dir = dir->parent)
		len += strlen(dir->name) + slash_after(dir->name);
	path = malloc(len + 1);
	if (!path)
		return NULL;
	path[len] = '\0';
	len = put_before(path, len, work->name);
	for (dir = work->dir; dir; dir = dir->parent) {
		if (slash_after(dir->name))
			path[--len] = '/';
		len = put_before(path, len, dir->name);
	}
	return path;
}
