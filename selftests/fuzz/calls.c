// SPDX-License-Identifier: GPL-2.0
/*
 * The table of calls, and the words of their arguments. What a call does is in
 * call_*.c, by what it is about.
 */
#include <string.h>

#include "call.h"
#include "calls.h"

static const char *const table_words[] = {
	"domain", "processors", "workers", "fibers", "stacks", "nowhere",
};

static const char *const how_words[] = { "raw", "name", "time", "state", "add" };

/* Threads first: see append_start(). */
static const char *const kind_words[] = {
	"thread", "fork", "same-memory", "same-files", "same-both", "vfork",
};

static const char *const signal_words[] = { "usr1", "stop", "cont", "segv", "term", "kill" };

static const char *const file_words[] = {
	"read", "write", "poll", "seek", "sync", "lock", "duplicate", "cloexec", "async",
	"truncate",
};

static const char *const other_words[] = {
	"null", "pipe", "eventfd", "memfd", "directory", "socket",
};

struct words arg_words(enum arg kind)
{
#define WORDS(array) ((struct words){ array, ARRAY_LENGTH(array) })
	switch (kind) {
	case ARG_TABLE:
		return WORDS(table_words);
	case ARG_FIELD:
		return (struct words){ field_names, nr_fields };
	case ARG_HOW:
		return WORDS(how_words);
	case ARG_KIND:
		return WORDS(kind_words);
	case ARG_SIGNAL:
		return WORDS(signal_words);
	case ARG_FILE:
		return WORDS(file_words);
	case ARG_OTHER:
		return WORDS(other_words);
	default:
		return (struct words){ NULL, 0 };
	}
#undef WORDS
}

/* --- what changes the next call: no calls by themselves --- */

/* It is made on a stack of the device's, or wherever the mapping is. */
static void call_stack(struct track *t, const uint64_t *args)
{
	t->stack = call_address(args[0], args[1]) & ~15ul;
}

/* The n-th thing in it that can fail does, if the kernel can inject failures. */
static void call_fail(struct track *t, const uint64_t *args)
{
	t->nth = args[0] % 256;
}

#define SIMPLE { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_WORKER, ARG_ZERO }
#define NAMED { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_COUNT, ARG_ZERO, ARG_NAME, ARG_POINTER, \
		ARG_ZERO }

const struct op ops[] = {
	{ "open", 6, call_open, .args = { ARG_FD, ARG_FLAGS } },
	{ "close", 3, call_close, .args = { ARG_FD } },
	{ "dup", 2, call_dup, .args = { ARG_FD, ARG_FD } },
	{ "other", 1, call_other, .args = { ARG_FD, ARG_OTHER } },
	{ "send", 2, call_send, .args = { ARG_FD } },
	{ "receive", 2, call_receive, .args = { ARG_FD } },
	{ "file", 2, call_file, .args = { ARG_FD, ARG_FILE } },

	{ "query", 2, call_query, .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_ZERO } },
	{ "setup", 6, call_setup,
	  .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_PROCESSORS, ARG_LIMIT, ARG_LIMIT, ARG_BYTES,
		    ARG_ZERO } },
	{ "shutdown", 2, call_shutdown,
	  .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_ZERO, ARG_ZERO } },
	{ "stats", 2, call_stats, .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_ZERO } },
	{ "attach", 12, call_attach, .args = SIMPLE },
	{ "detach", 4, call_detach, .args = SIMPLE },
	{ "acquire", 6, call_acquire, .args = SIMPLE },
	{ "next", 20, call_next,
	  .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_FLAGS, ARG_WORKER, ARG_NAME, ARG_ZERO } },
	{ "kick", 6, call_kick, .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_FLAGS } },
	{ "ready", 14, call_ready, .args = NAMED },
	{ "arm", 8, call_arm, .args = NAMED },
	{ "alloc", 8, call_alloc,
	  .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_COUNT, ARG_SHIFT, ARG_NAME, ARG_POINTER,
		    ARG_ZERO } },
	{ "free", 5, call_free, .args = NAMED },
	{ "trim", 6, call_trim, .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_ZERO } },
	{ "slot", 2, call_slot,
	  .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_SHIFT, ARG_OFFSET, ARG_ZERO } },
	{ "watch", 2, call_watch,
	  .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_FD, ARG_COUNT, ARG_ZERO } },
	{ "begin", 6, call_begin,
	  .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_NAME, ARG_COUNT, ARG_ZERO } },
	{ "wait", 10, call_wait,
	  .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_FD, ARG_COUNT, ARG_NAME, ARG_COUNT,
		    ARG_ZERO } },
	{ "forget", 4, call_forget, .args = NAMED },
	{ "processors", 4, call_processors,
	  .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_COUNT, ARG_ZERO } },
	{ "aside", 3, call_aside, .args = { ARG_FD, ARG_SIZE, ARG_POINTER, ARG_ZERO, ARG_US } },
	{ "interrupt", 4, call_interrupt, .args = NAMED },
	{ "unknown", 1, call_unknown, .args = { ARG_FD, ARG_INDEX, ARG_POINTER } },

	{ "map", 10, call_map,
	  .args = { ARG_FD, ARG_TABLE, ARG_SHIFT, ARG_MAP, ARG_PAGES, ARG_ZERO, ARG_MAP_FLAGS } },
	{ "unmap", 3, call_unmap, .args = { ARG_MAP, ARG_OFFSET, ARG_PAGES } },
	{ "remap", 4, call_remap,
	  .args = { ARG_MAP, ARG_OFFSET, ARG_PAGES, ARG_PAGES, ARG_MAP } },
	{ "protect", 3, call_protect,
	  .args = { ARG_MAP, ARG_OFFSET, ARG_PAGES, ARG_PROTECTION } },
	{ "advise", 4, call_advise, .args = { ARG_MAP, ARG_OFFSET, ARG_PAGES, ARG_ADVICE } },
	{ "lock", 1, call_lock, .args = { ARG_MAP, ARG_OFFSET, ARG_PAGES, ARG_FLAGS } },
	{ "touch", 14, call_touch, .args = { ARG_MAP, ARG_OFFSET, ARG_COUNT, ARG_FLAGS } },
	{ "fill", 4, call_fill, .args = { ARG_MAP, ARG_OFFSET, ARG_PAGES } },
	{ "remote", 3, call_remote, .args = { ARG_TRACK, ARG_MAP, ARG_OFFSET, ARG_VALUE } },

	{ "set", 24, call_set, .args = { ARG_FIELD, ARG_INDEX, ARG_HOW, ARG_VALUE } },
	{ "push", 6, call_push, .args = { ARG_INDEX, ARG_NAME, ARG_TIMES } },
	{ "dispatch", 4, call_dispatch, .args = { ARG_INDEX, ARG_NAME, ARG_US } },
	{ "scribble", 10, call_scribble, .args = { ARG_TABLE, ARG_SEED, ARG_TIMES } },

	{ "start", 16, call_start, .args = { ARG_TRACK, ARG_KIND } },
	{ "exit", 3, call_exit, .args = { ARG_FLAGS } },
	{ "exec", 1, call_exec, .args = { ARG_NONE } },
	{ "signal", 8, call_signal, .args = { ARG_TRACK, ARG_SIGNAL, ARG_FLAGS } },
	{ "sleep", 12, call_sleep, .args = { ARG_US } },
	{ "spin", 3, call_spin, .args = { ARG_US } },
	{ "yield", 3, call_yield, .args = { ARG_NONE } },
	{ "pin", 2, call_pin, .args = { ARG_FLAGS } },
	{ "unshare", 1, call_unshare, .args = { ARG_NONE } },

	{ "stack", 6, call_stack, .modifies_next = true, .args = { ARG_MAP, ARG_OFFSET } },
	{ "fail", 8, call_fail, .modifies_next = true, .args = { ARG_NTH } },
};

const unsigned int nr_ops = ARRAY_LENGTH(ops);

int op_find(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_ops; i++)
		if (!strcmp(name, ops[i].name))
			return i;
	return -1;
}
