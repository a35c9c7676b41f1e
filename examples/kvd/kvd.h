/* SPDX-License-Identifier: GPL-2.0 */
/*
 * kvd: a key-value server in memory that speaks RESP2, the protocol of Redis.
 *
 *	main.c		options, start and end
 *	../common	what it shares with other examples: sockets, signals, options
 *	server.c	listening, accepting, the live clients, stopping
 *	client.c	one client: commands in, replies out
 *	request.c	the protocol's requests, as arrays of bulk strings
 *	inline.c	and as lines, which is what people type
 *	reply.c		the protocol's replies
 *	command.c	the table of commands
 *	strings.c	commands about values
 *	keys.c		commands about keys
 *	info.c		commands about the server
 *	pubsub.c	channels, and who has subscribed to them
 *	subscriber.c	what a subscriber is to be sent
 *	store.c		the keys, their values and when they expire
 *	buffer.c	bytes that come and go
 *	memory.c	how much of it there may be
 *
 * A client has a fiber, and while it has subscribed to something a second one, which
 * sends what is published. No fiber ever waits for a client but that client's own.
 *
 * Locks, in their order: the one of pubsub.c, one of a subscriber; those of the store's shards, by
 * number. All are the library's. Commands run with cancellation disabled, so that taking one
 * cannot fail, and a command is done as a whole or not at all.
 */
#ifndef KVD_H
#define KVD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#define MSEC_PER_SEC	1000ull

/**
 * struct options - what the command line said; constant once main() has parsed it
 * @bind: numeric address to listen on; NULL: all of them, IPv6 and IPv4
 * @port: 0: the kernel chooses a free one
 * @processors: for kf_config
 * @max_clients: more than these are told so, and closed
 * @max_memory: bytes that keys, values, requests and replies may have together; the
 *	last eighth is for requests and replies alone
 * @max_bulk: bytes of one argument
 * @max_backlog: bytes that may wait for a subscriber
 * @idle_seconds: how long a client may say nothing; 0: for ever
 * @request_seconds: how long a command may take, from its first byte to its last
 * @send_seconds: how long a client may take to accept the next part of its replies
 * @grace_seconds: how long clients may take for what they have been sent, at the end
 */
struct options {
	const char *bind;
	unsigned int port;
	unsigned int processors;
	unsigned int max_clients;
	uint64_t max_memory;
	unsigned int max_bulk;
	unsigned int max_backlog;
	unsigned int idle_seconds;
	unsigned int request_seconds;
	unsigned int send_seconds;
	unsigned int grace_seconds;
};

extern struct options options;

/**
 * struct counters - what the server did
 * @connections: accepted
 * @refused: of @connections, over the limit
 * @commands: run, errors included
 * @expired: keys whose time was over
 * @published: messages, for each that got it
 * @dropped: subscribers that were too slow
 */
struct counters {
	atomic_ullong connections;
	atomic_ullong refused;
	atomic_ullong commands;
	atomic_ullong expired;
	atomic_ullong published;
	atomic_ullong dropped;
};

extern struct counters counters;

static inline void count(atomic_ullong *counter, unsigned long long n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/** struct slice - bytes of somebody else's, not terminated */
struct slice {
	const char *at;
	size_t len;
};

/**
 * struct buffer - bytes that are put in at the end and taken from the beginning
 * @data: NULL if there are none
 * @start: of what is in it
 * @end: of that
 * @size: of @data
 * @failed: something did not fit into memory; nothing goes in any more
 *
 * Begins as all zero.
 */
struct buffer {
	char *data;
	size_t start;
	size_t end;
	size_t size;
	bool failed;
};

/** struct argument - where in the request it is; requests move while they come in */
struct argument {
	size_t offset;
	size_t len;
};

/**
 * struct request - a command that comes in
 * @args: its arguments, the name is the first
 * @nr: used part of @args
 * @room: of @args
 * @base: where the request begins, once it is complete
 * @parsed: its bytes that are understood
 * @scanned: its bytes that have been searched in vain for the end of a line; or 0
 * @left: arguments to come, once their number is known
 * @bulk: bytes of the one that comes, once that is known
 * @state: what is expected next
 * @error: what is wrong with it
 */
struct request {
	struct argument *args;
	size_t nr;
	size_t room;
	const char *base;
	size_t parsed;
	size_t scanned;
	size_t left;
	size_t bulk;
	enum { REQUEST_FIRST, REQUEST_LENGTH, REQUEST_BULK } state;
	char error[64];
};

static inline struct slice request_arg(const struct request *req, size_t i)
{
	return (struct slice){ req->base + req->args[i].offset, req->args[i].len };
}

/**
 * struct client - one client; lives on its fiber's stack
 * @link: in the server's list, under its lock
 * @fd: the socket; closed by the fiber only, after it has left the list
 * @in: what was received and not consumed
 * @out: replies that were not sent
 * @req: the command that comes in
 * @deadline: of that, since its first byte
 * @subscriber: NULL unless it has subscribed to something
 * @quit: nothing more is read
 */
struct client {
	LIST_ENTRY(client) link;
	int fd;
	struct buffer in;
	struct buffer out;
	struct request req;
	uint64_t deadline;
	struct subscriber *subscriber;
	bool quit;
};

/**
 * struct command - a command
 * @name: in lower case
 * @arity: arguments, the name included; negative: that many at least
 * @when_subscribed: subscribers may use it
 * @run: replies, once, to the client's @out
 */
struct command {
	const char *name;
	int arity;
	bool when_subscribed;
	void (*run)(struct client *client, const struct request *req);
};

/**
 * struct key - a key as the store looks for it
 * @shard: a bit for the shard that it is in, for store_lock()
 */
struct key {
	struct slice name;
	uint64_t hash;
	uint64_t shard;
};

/**
 * struct record - a key and its value
 * @next: in the same bucket
 * @expires: time in ms by store_now(); 0: never
 * @data: key, then value
 */
struct record {
	struct record *next;
	uint64_t hash;
	uint64_t expires;
	size_t key_len;
	size_t value_len;
	char data[];
};

static inline struct slice record_value(const struct record *record)
{
	return (struct slice){ record->data + record->key_len, record->value_len };
}

/* server.c */
int server_listen(void);
int server_main(void *arg);
void server_add(struct client *client);
void server_remove(struct client *client);
void server_uncount(void);
unsigned int server_clients(void);

/* client.c */
void *client_main(void *fd);
bool client_send(int fd, struct buffer *out);

/* request.c */
enum request_result { REQUEST_MORE, REQUEST_DONE, REQUEST_BAD };
enum request_result request_parse(struct request *req, struct buffer *in);
bool request_add(struct request *req, size_t offset, size_t len);
enum request_result request_bad(struct request *req, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void request_next(struct request *req, struct buffer *in);
void request_free(struct request *req);

/* inline.c */
enum request_result inline_split(struct request *req, char *line, size_t len);

/* reply.c */
void reply_status(struct buffer *out, const char *text);
void reply_error(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void reply_integer(struct buffer *out, long long number);
void reply_bulk(struct buffer *out, struct slice value);
void reply_text(struct buffer *out, const char *text);
void reply_nil(struct buffer *out);
void reply_array(struct buffer *out, size_t n);

/* command.c */
void command_run(struct client *client, const struct request *req);
size_t command_number(void);
bool slice_is(struct slice slice, const char *text);
bool slice_number(struct slice slice, long long *number);

/* strings.c */
void cmd_get(struct client *client, const struct request *req);
void cmd_set(struct client *client, const struct request *req);
void cmd_mget(struct client *client, const struct request *req);
void cmd_mset(struct client *client, const struct request *req);
void cmd_incr(struct client *client, const struct request *req);
void cmd_decr(struct client *client, const struct request *req);
void cmd_incrby(struct client *client, const struct request *req);

/* keys.c */
void cmd_del(struct client *client, const struct request *req);
void cmd_exists(struct client *client, const struct request *req);
void cmd_expire(struct client *client, const struct request *req);
void cmd_pexpire(struct client *client, const struct request *req);
void cmd_ttl(struct client *client, const struct request *req);
void cmd_pttl(struct client *client, const struct request *req);
void cmd_persist(struct client *client, const struct request *req);
void cmd_dbsize(struct client *client, const struct request *req);
void cmd_flushall(struct client *client, const struct request *req);

/* info.c */
void cmd_ping(struct client *client, const struct request *req);
void cmd_echo(struct client *client, const struct request *req);
void cmd_select(struct client *client, const struct request *req);
void cmd_quit(struct client *client, const struct request *req);
void cmd_info(struct client *client, const struct request *req);
void cmd_config(struct client *client, const struct request *req);
void cmd_command(struct client *client, const struct request *req);

/* pubsub.c */
void cmd_subscribe(struct client *client, const struct request *req);
void cmd_unsubscribe(struct client *client, const struct request *req);
void cmd_publish(struct client *client, const struct request *req);
void pubsub_leave(struct client *client);

/* subscriber.c */
struct subscriber *subscriber_start(struct client *client);
void subscriber_reply(struct client *client);
void subscriber_tell(struct subscriber *sub, struct slice message);
void subscriber_end(struct client *client);

/* store.c */
int store_start(void);
void store_stop(void);
uint64_t store_now(void);
struct key store_key(struct slice name);
void store_lock(uint64_t shards);
void store_unlock(uint64_t shards);
struct record *store_find(const struct key *key);
bool store_set(const struct key *key, struct slice value, uint64_t expires);
bool store_remove(const struct key *key);
void store_clear(void);
size_t store_size(void);

/* buffer.c */
char *buffer_room(struct buffer *buf, size_t len);
void buffer_put(struct buffer *buf, const void *data, size_t len);
void buffer_take(struct buffer *buf, size_t len);
void buffer_free(struct buffer *buf);

static inline size_t buffer_len(const struct buffer *buf)
{
	return buf->end - buf->start;
}

/* memory.c */
void *memory_get(size_t size);
void *memory_resize(void *memory, size_t old, size_t size);
void memory_free(void *memory, size_t size);
size_t memory_share(void);
uint64_t memory_used(void);

#endif /* KVD_H */
