/* SPDX-License-Identifier: GPL-2.0 */
/*
 * httpd: a static file server with one fiber for each connection.
 *
 *	main.c		options, start and end
 *	../common	what it shares with other examples: sockets, signals, options
 *	server.c	listening, accepting, the live connections, stopping
 *	conn.c		one connection: requests in, one after the other
 *	shed.c		who is sent away when memory runs short
 *	request.c	a request's head: parsing, checking, the path it names
 *	body.c		a request's body, which is skipped
 *	response.c	heads, error pages, redirects; everything that is sent
 *	file.c		what a path stands for: files, parts of files, directories
 *	range.c		the Range header
 *	conditional.c	ETag, Last-Modified and the headers that test them
 *	listing.c	the page for a directory without an index.html
 *	burn.c		an answer that takes time to compute, for measurements
 *	mime.c		content types by file name
 *	uri.c		percent-encoding
 *	log.c		the access log
 *	stats.c		counters
 *
 * All of it is written as if every connection had a thread: calls wait, and
 * buffers are local variables. Sockets are waited for parked, each time with a
 * deadline; files are read by the ordinary calls, which block. So a client, or ten
 * thousand of them, can hold up neither a thread nor, for longer than the options
 * say, a connection.
 *
 * The fibers of connections are under one context. When the server has to end it
 * lets them finish, and cancels the context when its patience is over.
 */
#ifndef HTTPD_H
#define HTTPD_H

#include <http_parser.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* A request's head must fit: RFC 9112 asks for 8000 bytes of request line at least. */
#define HEAD_MAX	8192
#define HEADERS_MAX	64
/* More parts than a viewer or a resumed download asks for are answered whole. */
#define RANGES_MAX	16
#define REPLY_MAX	3072
#define HTTP_DATE_SIZE	32


/**
 * struct options - what the command line said; constant once main() has parsed it
 * @root: directory that is served
 * @bind: numeric address to listen on; NULL: all of them, IPv6 and IPv4
 * @port: 0: the kernel chooses a free one
 * @processors: for kf_config
 * @stack_kib: KiB that all stacks may have together; 0: no limit
 * @shed_at: percent of a memory limit; who comes when it is used is answered 503
 * @max_connections: more than these are answered 503
 * @max_body: bytes that a request's body may take on the wire
 * @idle_seconds: how long a connection may have no request
 * @head_seconds: how long a request's head may take, from its first byte to its last
 * @body_seconds: how long its body may take
 * @send_seconds: how long a client may take to accept the next part of an answer
 * @grace_seconds: how long open connections may go on when the server is to end
 * @burn: /burn is there
 * @verbose: write the access log
 */
struct options {
	const char *root;
	const char *bind;
	unsigned int port;
	unsigned int processors;
	unsigned int stack_kib;
	unsigned int shed_at;
	unsigned int max_connections;
	unsigned int max_body;
	unsigned int idle_seconds;
	unsigned int head_seconds;
	unsigned int body_seconds;
	unsigned int send_seconds;
	unsigned int grace_seconds;
	bool burn;
	bool verbose;
};

extern struct options options;

/**
 * struct counters - what the server did
 * @requests: requests answered, whatever the answer
 * @connections: connections accepted
 * @refused: of @connections, over the limit of connections
 * @shed: requests and connections that there was too little memory for
 * @pressed: times that memory began to run short
 * @aborted: answers that the peer did not take to their end
 * @bytes: bytes sent, heads included
 * @errors: what went wrong on this side: 500 answers, failed accepts and spawns
 */
struct counters {
	atomic_ullong requests;
	atomic_ullong connections;
	atomic_ullong refused;
	atomic_ullong shed;
	atomic_ullong pressed;
	atomic_ullong aborted;
	atomic_ullong bytes;
	atomic_ullong errors;
};

extern struct counters counters;

static inline void count(atomic_ullong *counter, unsigned long long n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/** struct slice - a part of a buffer, not terminated */
struct slice {
	const char *at;
	size_t len;
};

struct header {
	struct slice name;
	struct slice value;
};

/**
 * struct conn - one connection; lives on its fiber's stack
 * @link: in the server's list, under its lock
 * @fd: the socket, O_NONBLOCK for sendfile(); closed by the fiber only, after it has
 *	left the list
 * @idle: no part of a request has come: written by the fiber, read by whoever stops the
 *	server, or is short of memory
 * @sent_away: and it was told to go for it; written under the server's lock
 * @fresh: nothing has been answered yet
 * @broken: sending failed, nothing more can be said
 * @linger: the peer may be sending still
 * @have: bytes in @head
 * @peer: address in text, for the log
 * @head: what was received and not consumed
 */
struct conn {
	LIST_ENTRY(conn) link;
	int fd;
	atomic_bool idle;
	atomic_bool sent_away;
	bool fresh;
	bool broken;
	bool linger;
	size_t have;
	char peer[INET6_ADDRSTRLEN];
	char head[HEAD_MAX];
};

/**
 * struct request - a request's head
 * @parser: http_parser's state; method and version
 * @target: as it was sent
 * @query: of @target
 * @status: 0, or the error that ends the connection
 * @head_len: bytes up to and including the empty line; 0: not complete
 * @keep_alive: the client wants it
 * @has_body: it is skipped after the answer
 * @wants_continue: the client holds its body back until it is told to send it. It is
 *	never told: the connection ends after the answer
 * @nr_headers: used part of @headers
 * @headers: point into the connection's buffer
 * @path: decoded, relative to the root; "" is the root
 */
struct request {
	http_parser parser;
	struct slice target;
	struct slice query;
	int status;
	size_t head_len;
	bool keep_alive;
	bool has_body;
	bool wants_continue;
	unsigned int nr_headers;
	struct header headers[HEADERS_MAX];
	char path[PATH_MAX];
};

/**
 * struct reply - the answer to one request
 * @shed: memory is short: it is a 503
 * @keep: the connection goes on after it
 * @head_only: the request was HEAD
 * @overflow: @text was too small
 * @status: what the client was told
 * @sent: bytes of body
 * @len: used part of @text
 */
struct reply {
	struct conn *conn;
	const struct request *req;
	bool shed;
	bool keep;
	bool head_only;
	bool overflow;
	int status;
	uint64_t sent;
	size_t len;
	char text[REPLY_MAX];
};

/** struct range - bytes @start to @end, the latter not included */
struct range {
	off_t start;
	off_t end;
};

/** struct validators - what tells one version of a file from another */
struct validators {
	time_t modified;
	char etag[80];
	char last_modified[HTTP_DATE_SIZE];
};

/* server.c */
int server_listen(void);
int server_main(void *arg);
bool server_stopping(void);
void server_add(struct conn *conn);
void server_remove(struct conn *conn);
void server_uncount(void);
void server_close_idle(void);

/* conn.c */
void *conn_main(void *fd);

/* shed.c */
int shed_start(void);
void shed_stop(void);
bool shed_now(void);
void shed_connection(int fd);

/* request.c */
void request_init(struct request *req);
bool request_feed(struct request *req, const char *head, size_t have, size_t fresh);
int request_too_long(const struct request *req);
bool request_method_known(const struct request *req);
const struct header *request_next_header(const struct request *req, const char *name,
					 const struct header *after);
const struct header *request_header(const struct request *req, const char *name);

/* body.c */
bool body_skip(struct conn *conn, struct request *req);

/* response.c */
void reply_init(struct reply *reply, struct conn *conn, const struct request *req);
void reply_start(struct reply *reply, int status);
void reply_add(struct reply *reply, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_end(struct reply *reply, off_t length);
void reply_error(struct reply *reply, int status, const char *header);
void reply_redirect(struct reply *reply);
void reply_page(struct reply *reply, const char *html, size_t len);
bool reply_send(struct reply *reply, const void *data, size_t len, int flags);
bool reply_send_file(struct reply *reply, int fd, off_t start, off_t count);

/* file.c */
int file_open_root(const char *path);
void file_serve(struct reply *reply);

/* range.c */
int range_parse(struct slice value, off_t size, struct range *ranges);

/* conditional.c */
void http_date(char out[HTTP_DATE_SIZE], time_t when);
void validators_of(struct validators *valid, const struct stat *st);
int conditional_check(const struct request *req, const struct validators *valid);
bool conditional_if_range(const struct request *req, const struct validators *valid);

/* listing.c */
char *listing_make(int dirfd, const char *path, size_t *len);

/* burn.c */
bool burn_wanted(const struct request *req);
void burn_serve(struct reply *reply);

/* mime.c */
void mime_load(void);
void mime_unload(void);
const char *mime_type(const char *name);
const char *mime_charset(const char *type);

/* uri.c */
bool uri_decode(struct slice in, char *out, size_t size);
bool uri_encode(const char *in, char *out, size_t size);

/* log.c */
void log_peer(struct conn *conn);
void log_reply(const struct reply *reply);

/* stats.c */
void stats_print(void);

#endif /* HTTPD_H */
