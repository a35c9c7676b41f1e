// SPDX-License-Identifier: GPL-2.0
/* What a path stands for: files, parts of files, directories. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "httpd.h"

#define INDEX_NAME	"index.html"
/* The kernel gives up with EAGAIN when a rename interferes with a ".."; that is rare. */
#define OPEN_TRIES	16
#define BOUNDARY_SIZE	20
#define PART_HEAD_SIZE	512

static int root_fd;

/**
 * struct content - an open file on its way to the client
 * @size: when it was opened; nothing beyond is sent
 */
struct content {
	int fd;
	off_t size;
	const char *type;
	struct validators valid;
};

int file_open_root(const char *path)
{
	root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return root_fd < 0 ? -errno : 0;
}

/*
 * The kernel sees to it that neither ".." nor a link leads out of the root.
 * O_NONBLOCK: opening a FIFO must not wait for its writer.
 */
static int open_beneath(const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int tries, fd = -1;

	for (tries = 0; tries < OPEN_TRIES; tries++) {
		fd = (int)syscall(SYS_openat2, root_fd, *path ? path : ".", &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			break;
	}
	return fd < 0 ? -errno : fd;
}

static int status_of_error(int err)
{
	switch (-err) {
	case ENOENT:
	case ENOTDIR:
	case ENAMETOOLONG:
		return 404;
	case EACCES:
	case EPERM:
	case EXDEV:
	case ELOOP:
	case ENXIO:
	case ENODEV:
		return 403;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
	case EAGAIN:
		return 503;
	default:
		return 500;
	}
}

static void reply_open_error(struct reply *reply, int err)
{
	int status = status_of_error(err);

	reply_error(reply, status, status == 503 ? "Retry-After: 1\r\n" : "");
}

static void add_validators(struct reply *reply, const struct content *file)
{
	reply_add(reply, "ETag: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n",
		  file->valid.etag, file->valid.last_modified);
}

/* MSG_MORE: the head waits for the first bytes of the file, to leave with them. */
static void send_part(struct reply *reply, const struct content *file, struct range part)
{
	off_t len = part.end - part.start;
	bool body = len && !reply->head_only;

	reply_end(reply, len);
	if (reply_send(reply, reply->text, reply->len, body ? MSG_MORE : 0) && body)
		reply_send_file(reply, file->fd, part.start, len);
}

static void send_whole(struct reply *reply, const struct content *file)
{
	reply_start(reply, 200);
	add_validators(reply, file);
	reply_add(reply, "Content-Type: %s%s\r\n", file->type, mime_charset(file->type));
	send_part(reply, file, (struct range){ 0, file->size });
}

static void send_range(struct reply *reply, const struct content *file, struct range part)
{
	reply_start(reply, 206);
	add_validators(reply, file);
	reply_add(reply, "Content-Type: %s%s\r\nContent-Range: bytes %lld-%lld/%lld\r\n",
		  file->type, mime_charset(file->type), (long long)part.start,
		  (long long)part.end - 1, (long long)file->size);
	send_part(reply, file, part);
}

/* Not to be found in any file, as nobody can know it before. */
static void make_boundary(char boundary[BOUNDARY_SIZE])
{
	uint64_t number = 0;

	if (getrandom(&number, sizeof(number), 0) < 0)
		number = (uint64_t)time(NULL);
	snprintf(boundary, BOUNDARY_SIZE, "%016llx", (unsigned long long)number);
}

static int format_part_head(char out[PART_HEAD_SIZE], const struct content *file,
			    const char *boundary, struct range part)
{
	return snprintf(out, PART_HEAD_SIZE,
			"\r\n--%s\r\nContent-Type: %s%s\r\nContent-Range: bytes %lld-%lld/%lld\r\n\r\n",
			boundary, file->type, mime_charset(file->type), (long long)part.start,
			(long long)part.end - 1, (long long)file->size);
}

static off_t multipart_length(const struct content *file, const char *boundary,
			      const struct range *parts, int nr)
{
	/* The last line: what send_multipart_body() puts around the boundary. */
	off_t len = (off_t)strlen(boundary) + 8;
	char text[PART_HEAD_SIZE];
	int i;

	for (i = 0; i < nr; i++)
		len += format_part_head(text, file, boundary, parts[i]) +
		       parts[i].end - parts[i].start;
	return len;
}

static bool send_multipart_body(struct reply *reply, const struct content *file,
				const char *boundary, const struct range *parts, int nr)
{
	char text[PART_HEAD_SIZE];
	int i, len;

	for (i = 0; i < nr; i++) {
		len = format_part_head(text, file, boundary, parts[i]);
		if (!reply_send(reply, text, len, 0) ||
		    !reply_send_file(reply, file->fd, parts[i].start,
				     parts[i].end - parts[i].start))
			return false;
	}
	len = snprintf(text, sizeof(text), "\r\n--%s--\r\n", boundary);
	return reply_send(reply, text, len, 0);
}

static void set_cork(const struct conn *conn, int on)
{
	setsockopt(conn->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
}

/* The cork keeps the many small pieces from leaving as many small packets. */
static void send_multipart(struct reply *reply, const struct content *file,
			   const struct range *parts, int nr)
{
	char boundary[BOUNDARY_SIZE];
	off_t len;

	make_boundary(boundary);
	len = multipart_length(file, boundary, parts, nr);
	reply_start(reply, 206);
	add_validators(reply, file);
	reply_add(reply, "Content-Type: multipart/byteranges; boundary=%s\r\n", boundary);
	reply_end(reply, len);
	set_cork(reply->conn, 1);
	if (reply_send(reply, reply->text, reply->len, 0) &&
	    send_multipart_body(reply, file, boundary, parts, nr)) {
		reply->sent = len;
		set_cork(reply->conn, 0);
	}
}

static void reply_not_modified(struct reply *reply, const struct content *file)
{
	reply_start(reply, 304);
	add_validators(reply, file);
	reply_end(reply, 0);
	reply_send(reply, reply->text, reply->len, 0);
}

static void reply_unsatisfiable(struct reply *reply, const struct content *file)
{
	char header[64];

	snprintf(header, sizeof(header), "Content-Range: bytes */%lld\r\n",
		 (long long)file->size);
	reply_error(reply, 416, header);
}

/* RFC 9110 defines ranges for GET alone. Returns as range_parse() does. */
static int wanted_ranges(const struct request *req, const struct content *file,
			 struct range *parts)
{
	const struct header *range = request_header(req, "Range");

	if (!range || req->parser.method != HTTP_GET || !conditional_if_range(req, &file->valid))
		return 0;
	return range_parse(range->value, file->size, parts);
}

static void send_wanted(struct reply *reply, const struct content *file)
{
	struct range parts[RANGES_MAX];
	int nr = wanted_ranges(reply->req, file, parts);

	if (nr < 0)
		reply_unsatisfiable(reply, file);
	else if (nr == 0)
		send_whole(reply, file);
	else if (nr == 1)
		send_range(reply, file, parts[0]);
	else
		send_multipart(reply, file, parts, nr);
}

static void serve_content(struct reply *reply, int fd, const char *name, const struct stat *st)
{
	struct content file = {
		.fd = fd,
		.size = st->st_size,
		.type = mime_type(name),
	};

	validators_of(&file.valid, st);
	switch (conditional_check(reply->req, &file.valid)) {
	case 304:
		reply_not_modified(reply, &file);
		break;
	case 412:
		reply_error(reply, 412, "");
		break;
	default:
		send_wanted(reply, &file);
	}
}

static void serve_listing(struct reply *reply, int dirfd)
{
	size_t len;
	char *html = listing_make(dirfd, reply->req->path, &len);

	if (!html) {
		reply_error(reply, 500, "");
		return;
	}
	reply_page(reply, html, len);
	free(html);
}

static int open_index(const char *dir)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s" INDEX_NAME, dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return open_beneath(path);
}

static void serve_directory(struct reply *reply, int dirfd)
{
	const char *path = reply->req->path;
	struct stat st;
	int fd;

	if (*path && path[strlen(path) - 1] != '/') {
		reply_redirect(reply);
		return;
	}
	fd = open_index(path);
	if (fd == -ENOENT || fd == -ENAMETOOLONG) {
		serve_listing(reply, dirfd);
		return;
	}
	if (fd < 0) {
		reply_open_error(reply, fd);
		return;
	}
	if (!fstat(fd, &st) && S_ISREG(st.st_mode))
		serve_content(reply, fd, INDEX_NAME, &st);
	else
		serve_listing(reply, dirfd);
	close(fd);
}

void file_serve(struct reply *reply)
{
	const char *path = reply->req->path;
	int fd = open_beneath(path);
	struct stat st;

	if (fd < 0) {
		reply_open_error(reply, fd);
		return;
	}
	if (fstat(fd, &st))
		reply_error(reply, 500, "");
	else if (S_ISREG(st.st_mode))
		serve_content(reply, fd, path, &st);
	else if (S_ISDIR(st.st_mode))
		serve_directory(reply, fd);
	else
		reply_error(reply, 403, "");
	close(fd);
}
