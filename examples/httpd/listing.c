// SPDX-License-Identifier: GPL-2.0
/* The page for a directory without an index.html. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "httpd.h"

struct names {
	char **name;
	size_t nr;
	size_t room;
};

static void names_free(struct names *names)
{
	size_t i;

	for (i = 0; i < names->nr; i++)
		free(names->name[i]);
	free(names->name);
}

/* A link is shown as it is: following it could lead out of the root. */
static bool is_directory(int dirfd, const struct dirent *entry)
{
	struct stat st;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return !fstatat(dirfd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) && S_ISDIR(st.st_mode);
}

static bool names_add(struct names *names, const char *name, bool directory)
{
	char *copy;

	if (names->nr == names->room) {
		size_t room = names->room ? 2 * names->room : 64;
		char **grown = reallocarray(names->name, room, sizeof(*grown));

		if (!grown)
			return false;
		names->name = grown;
		names->room = room;
	}
	if (asprintf(&copy, "%s%s", name, directory ? "/" : "") < 0)
		return false;
	names->name[names->nr++] = copy;
	return true;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char * const *)a, *(char * const *)b);
}

static bool read_names(DIR *dir, struct names *names)
{
	struct dirent *entry;

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		if (!names_add(names, entry->d_name, is_directory(dirfd(dir), entry)))
			return false;
	}
	if (names->nr)
		qsort(names->name, names->nr, sizeof(names->name[0]), compare_names);
	return true;
}

static void put_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		default:
			putc(*text, out);
		}
	}
}

static void put_entry(FILE *out, const char *name)
{
	char link[3 * (NAME_MAX + 1) + 4];

	if (!uri_encode(name, link, sizeof(link)))
		return;
	fprintf(out, "<li><a href=\"%s\">", link);
	put_escaped(out, name);
	fputs("</a></li>\n", out);
}

static void put_page(FILE *out, const char *path, const struct names *names)
{
	size_t i;

	fputs("<!DOCTYPE html>\n<html><head><title>/", out);
	put_escaped(out, path);
	fputs("</title></head>\n<body><h1>/", out);
	put_escaped(out, path);
	fputs("</h1>\n<ul>\n", out);
	if (*path)
		fputs("<li><a href=\"../\">../</a></li>\n", out);
	for (i = 0; i < names->nr; i++)
		put_entry(out, names->name[i]);
	fputs("</ul></body></html>\n", out);
}

static char *make_page(const char *path, const struct names *names, size_t *len)
{
	char *html = NULL;
	FILE *out = open_memstream(&html, len);
	bool bad;

	if (!out)
		return NULL;
	put_page(out, path, names);
	bad = ferror(out);
	bad |= fclose(out);
	if (!bad)
		return html;
	free(html);
	return NULL;
}

/**
 * listing_make() - make the page
 * @dirfd: the directory; stays open
 * @path: what the client calls it, without the first slash
 * @len: where its length goes
 *
 * Return: the page, to be freed, or NULL.
 */
char *listing_make(int dirfd, const char *path, size_t *len)
{
	struct names names = { 0 };
	char *html = NULL;
	DIR *dir;
	int fd;

	fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return NULL;
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return NULL;
	}
	if (read_names(dir, &names))
		html = make_page(path, &names, len);
	closedir(dir);
	names_free(&names);
	return html;
}
