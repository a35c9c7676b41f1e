// SPDX-License-Identifier: GPL-2.0
/* Content types by file name. Constant after mime_load(), so read without a lock. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "httpd.h"

#define MIME_FILE	"/etc/mime.types"
#define DEFAULT_TYPE	"application/octet-stream"

struct mime {
	const char *extension;
	const char *type;
};

/* What a site is made of, for systems without the file; sorted. */
static const struct mime builtin[] = {
	{ "c", "text/x-csrc" },
	{ "css", "text/css" },
	{ "gif", "image/gif" },
	{ "gz", "application/gzip" },
	{ "h", "text/x-chdr" },
	{ "htm", "text/html" },
	{ "html", "text/html" },
	{ "ico", "image/vnd.microsoft.icon" },
	{ "jpeg", "image/jpeg" },
	{ "jpg", "image/jpeg" },
	{ "js", "text/javascript" },
	{ "json", "application/json" },
	{ "md", "text/markdown" },
	{ "mp4", "video/mp4" },
	{ "pdf", "application/pdf" },
	{ "png", "image/png" },
	{ "rst", "text/plain" },
	{ "svg", "image/svg+xml" },
	{ "txt", "text/plain" },
	{ "wasm", "application/wasm" },
	{ "webp", "image/webp" },
	{ "woff2", "font/woff2" },
	{ "xml", "text/xml" },
	{ "yaml", "application/yaml" },
};

/* Lines of MIME_FILE, which the table's strings point into, live as long as the table. */
static struct {
	struct mime *entry;
	size_t nr;
	size_t room;
	char *text;
} loaded;

static int compare_mime(const void *a, const void *b)
{
	return strcasecmp(((const struct mime *)a)->extension,
			  ((const struct mime *)b)->extension);
}

static bool add_mime(const char *extension, const char *type)
{
	if (loaded.nr == loaded.room) {
		size_t room = loaded.room ? 2 * loaded.room : 1024;
		struct mime *grown = reallocarray(loaded.entry, room, sizeof(*grown));

		if (!grown)
			return false;
		loaded.entry = grown;
		loaded.room = room;
	}
	loaded.entry[loaded.nr++] = (struct mime){ extension, type };
	return true;
}

static bool add_line(char *line)
{
	char *rest, *type, *extension;

	line[strcspn(line, "#")] = '\0';
	type = strtok_r(line, " \t", &rest);
	if (!type)
		return true;
	while ((extension = strtok_r(NULL, " \t", &rest)))
		if (!add_mime(extension, type))
			return false;
	return true;
}

static char *read_text(FILE *file)
{
	char *text = NULL;
	size_t size = 0;

	if (getdelim(&text, &size, '\0', file) >= 0)
		return text;
	free(text);
	return NULL;
}

void mime_load(void)
{
	FILE *file = fopen(MIME_FILE, "re");
	char *line, *rest;

	if (!file)
		return;
	loaded.text = read_text(file);
	fclose(file);
	if (!loaded.text)
		return;
	for (line = strtok_r(loaded.text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
		if (!add_line(line))
			break;
	if (loaded.nr)
		qsort(loaded.entry, loaded.nr, sizeof(loaded.entry[0]), compare_mime);
}

void mime_unload(void)
{
	free(loaded.entry);
	free(loaded.text);
}

static const char *find(const char *extension, const struct mime *table, size_t nr)
{
	const struct mime key = { .extension = extension };
	const struct mime *found;

	if (!nr)
		return NULL;
	found = bsearch(&key, table, nr, sizeof(*table), compare_mime);
	return found ? found->type : NULL;
}

const char *mime_type(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *dot = strrchr(slash ? slash : path, '.');
	const char *type;

	if (!dot)
		return DEFAULT_TYPE;
	type = find(dot + 1, loaded.entry, loaded.nr);
	if (!type)
		type = find(dot + 1, builtin, sizeof(builtin) / sizeof(builtin[0]));
	return type ? type : DEFAULT_TYPE;
}

/* Without it some browsers still take text for Latin-1. */
const char *mime_charset(const char *type)
{
	return strncmp(type, "text/", 5) ? "" : "; charset=utf-8";
}
