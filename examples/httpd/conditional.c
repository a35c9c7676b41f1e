// SPDX-License-Identifier: GPL-2.0
/* ETag, Last-Modified and the headers that test them, RFC 9110 section 13. */
#include <stdio.h>
#include <string.h>

#include "httpd.h"

void http_date(char out[HTTP_DATE_SIZE], time_t when)
{
	struct tm tm;

	if (!gmtime_r(&when, &tm))
		memset(&tm, 0, sizeof(tm));
	strftime(out, HTTP_DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm);
}

/* Returns whether it is a date in one of the three forms that HTTP has had. */
static bool parse_date(struct slice value, time_t *when)
{
	static const char * const forms[] = {
		"%a, %d %b %Y %H:%M:%S GMT",
		"%A, %d-%b-%y %H:%M:%S GMT",
		"%a %b %e %H:%M:%S %Y",
	};
	char text[64];
	size_t i;

	if (value.len >= sizeof(text))
		return false;
	memcpy(text, value.at, value.len);
	text[value.len] = '\0';
	for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		struct tm tm = { 0 };
		const char *end = strptime(text, forms[i], &tm);

		if (end && !*end) {
			*when = timegm(&tm);
			return true;
		}
	}
	return false;
}

/* A date in the future, from another clock, must not be handed out. */
void validators_of(struct validators *valid, const struct stat *st)
{
	time_t now = time(NULL);

	valid->modified = st->st_mtim.tv_sec < now ? st->st_mtim.tv_sec : now;
	http_date(valid->last_modified, valid->modified);
	snprintf(valid->etag, sizeof(valid->etag), "\"%llx-%llx-%llx.%lx\"",
		 (unsigned long long)st->st_ino, (unsigned long long)st->st_size,
		 (unsigned long long)st->st_mtim.tv_sec, (unsigned long)st->st_mtim.tv_nsec);
}

static void skip(struct slice *in, size_t len)
{
	in->at += len;
	in->len -= len;
}

/* Takes the next tag, quotes included, off a list. Returns false at its end, or at rubbish. */
static bool next_tag(struct slice *list, struct slice *tag, bool *weak)
{
	const char *end;

	while (list->len && strchr(" \t,", *list->at))
		skip(list, 1);
	*weak = list->len > 2 && !memcmp(list->at, "W/", 2);
	if (*weak)
		skip(list, 2);
	if (list->len < 2 || *list->at != '"')
		return false;
	end = memchr(list->at + 1, '"', list->len - 1);
	if (!end)
		return false;
	tag->at = list->at;
	tag->len = end + 1 - list->at;
	skip(list, tag->len);
	return true;
}

/* @strong: a weak tag equals nothing; ours are strong. */
static bool tag_in_list(struct slice list, const char *etag, bool strong)
{
	size_t len = strlen(etag);
	struct slice tag;
	bool weak;

	if (list.len == 1 && *list.at == '*')
		return true;
	while (next_tag(&list, &tag, &weak))
		if (!(weak && strong) && tag.len == len && !memcmp(tag.at, etag, len))
			return true;
	return false;
}

static bool tag_in_headers(const struct request *req, const char *name, const char *etag,
			   bool strong)
{
	const struct header *header = NULL;

	while ((header = request_next_header(req, name, header)))
		if (tag_in_list(header->value, etag, strong))
			return true;
	return false;
}

static bool date_in_header(const struct request *req, const char *name, time_t *when)
{
	const struct header *header = request_header(req, name);

	return header && parse_date(header->value, when);
}

static bool match_fails(const struct request *req, const struct validators *valid)
{
	time_t when;

	if (request_header(req, "If-Match"))
		return !tag_in_headers(req, "If-Match", valid->etag, true);
	return date_in_header(req, "If-Unmodified-Since", &when) && valid->modified > when;
}

static bool client_has_it(const struct request *req, const struct validators *valid)
{
	time_t when;

	if (request_header(req, "If-None-Match"))
		return tag_in_headers(req, "If-None-Match", valid->etag, false);
	return date_in_header(req, "If-Modified-Since", &when) && valid->modified <= when;
}

/* In the order that RFC 9110 section 13.2.2 lays down. Returns 0, 304 or 412. */
int conditional_check(const struct request *req, const struct validators *valid)
{
	if (match_fails(req, valid))
		return 412;
	return client_has_it(req, valid) ? 304 : 0;
}

/* Returns whether Range counts: the client's first part is of the same file. */
bool conditional_if_range(const struct request *req, const struct validators *valid)
{
	const struct header *header = request_header(req, "If-Range");
	time_t when;

	if (!header)
		return true;
	if (parse_date(header->value, &when))
		return when == valid->modified;
	return header->value.len > 1 && tag_in_list(header->value, valid->etag, true);
}
