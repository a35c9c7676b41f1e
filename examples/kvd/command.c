// SPDX-License-Identifier: GPL-2.0
/* The table of commands. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kvd.h"

#define NAME_SHOWN	128

static const struct command commands[] = {
	{ "get", 2, false, cmd_get },
	{ "set", -3, false, cmd_set },
	{ "mget", -2, false, cmd_mget },
	{ "mset", -3, false, cmd_mset },
	{ "incr", 2, false, cmd_incr },
	{ "decr", 2, false, cmd_decr },
	{ "incrby", 3, false, cmd_incrby },
	{ "del", -2, false, cmd_del },
	{ "exists", -2, false, cmd_exists },
	{ "expire", 3, false, cmd_expire },
	{ "pexpire", 3, false, cmd_pexpire },
	{ "ttl", 2, false, cmd_ttl },
	{ "pttl", 2, false, cmd_pttl },
	{ "persist", 2, false, cmd_persist },
	{ "dbsize", 1, false, cmd_dbsize },
	{ "flushall", 1, false, cmd_flushall },
	{ "ping", -1, true, cmd_ping },
	{ "echo", 2, false, cmd_echo },
	{ "select", 2, false, cmd_select },
	{ "quit", -1, true, cmd_quit },
	{ "info", -1, false, cmd_info },
	{ "config", -2, false, cmd_config },
	{ "command", -1, false, cmd_command },
	{ "subscribe", -2, true, cmd_subscribe },
	{ "unsubscribe", -1, true, cmd_unsubscribe },
	{ "publish", 3, false, cmd_publish },
};

#define COMMANDS	(sizeof(commands) / sizeof(commands[0]))

size_t command_number(void)
{
	return COMMANDS;
}

/* Whatever case it is in. */
bool slice_is(struct slice slice, const char *text)
{
	return strlen(text) == slice.len && !strncasecmp(slice.at, text, slice.len);
}

/* Returns whether it is a number as this protocol writes it: no space, no plus, no 007. */
bool slice_number(struct slice slice, long long *number)
{
	char text[24];
	const char *digits = text;
	char *end;

	if (!slice.len || slice.len >= sizeof(text))
		return false;
	memcpy(text, slice.at, slice.len);
	text[slice.len] = '\0';
	digits += *text == '-';
	if (*digits < '0' || *digits > '9' || (*digits == '0' && slice.len > 1))
		return false;
	errno = 0;
	*number = strtoll(text, &end, 10);
	return !errno && end == text + slice.len;
}

static const struct command *find(struct slice name)
{
	size_t i;

	for (i = 0; i < COMMANDS; i++)
		if (slice_is(name, commands[i].name))
			return &commands[i];
	return NULL;
}

static bool arity_ok(const struct command *command, size_t nr)
{
	if (command->arity < 0)
		return nr >= (size_t)-command->arity;
	return nr == (size_t)command->arity;
}

static void say_unknown(struct buffer *out, struct slice name)
{
	int len = name.len < NAME_SHOWN ? (int)name.len : NAME_SHOWN;

	reply_error(out, "ERR unknown command '%.*s'", len, name.at);
}

/* Context: cancellation is disabled. */
void command_run(struct client *client, const struct request *req)
{
	struct slice name = request_arg(req, 0);
	const struct command *command = find(name);

	count(&counters.commands, 1);
	if (!command)
		say_unknown(&client->out, name);
	else if (!arity_ok(command, req->nr))
		reply_error(&client->out, "ERR wrong number of arguments for '%s' command",
			    command->name);
	else if (client->subscriber && !command->when_subscribed)
		reply_error(&client->out,
			    "ERR Can't execute '%s': only SUBSCRIBE / UNSUBSCRIBE / PING / QUIT are allowed in this context",
			    command->name);
	else
		command->run(client, req);
}
