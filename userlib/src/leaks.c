// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fibers that are left, in groups: by what they do, where they wait and where they were
 * spawned. Where they wait is found by walking their stacks, which costs the waits
 * nothing; stuck.c says what is known of the reasons.
 *
 * A scan for pointers to what is waited for, as garbage collectors make it, is not done:
 * Documentation/debugging.rst says why.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "leaks.h"
#include "object.h"
#include "sized.h"
#include "text.h"

/* Functions of a stack that make a group, and are printed. The library's own are not. */
#define KF_LEAK_FRAMES 8u

/* Those that are looked at: the library's own come first, and are not that many. */
#define KF_WALK_FRAMES 24u

#define KF_LEAK_BUCKETS 256u

/* Return addresses of which is kept whether they are the library's own. */
#define KF_LEAK_KNOWN 64u

/* The first sleep of kf_leaks_check(), and the longest. */
#define KF_SETTLE_FIRST_NS 100000ull
#define KF_SETTLE_LAST_NS 100000000ull

/**
 * struct kf_leak_key - what the fibers of a group have in common
 * @left: what they do
 * @why: why that has no end
 * @kind: what they wait for, 0: an unpark: see kf_leak_kind()
 * @nr_frames: of @frames; the rest is 0
 * @spawn_site: where they were spawned
 * @frames: where they wait, the innermost first
 */
struct kf_leak_key {
	uint32_t left;
	uint32_t why;
	uint32_t kind;
	uint32_t nr_frames;
	uintptr_t spawn_site;
	uintptr_t frames[KF_LEAK_FRAMES];
};

/**
 * struct kf_leak_group - fibers alike
 * @next: in its bucket
 * @key: see there
 * @count: how many
 * @since: when the first of them began to wait
 * @fiber: that one
 * @object: what it waits for
 */
struct kf_leak_group {
	struct kf_leak_group *next;
	struct kf_leak_key key;
	uint64_t count;
	uint64_t since;
	struct kfiber_fiber_block *fiber;
	uint64_t object;
};

/**
 * struct kf_leak_report - a report on its way
 * @domain: whose fibers
 * @self: not to be reported; NULL: a plain thread asks
 * @options: what is ignored
 * @all: whatever they do; or only what has no end
 * @fibers: how many there are to report
 * @nr_groups: of how many kinds
 * @groups: hash table; NULL: they are only counted
 * @symbols: of the file that was looked into last
 * @known: hash table of return addresses, with KF_KNOWN_OWN for the library's own
 */
struct kf_leak_report {
	struct kf_domain *domain;
	struct kfiber_fiber_block *self;
	struct kf_leaks_options options;
	bool all;
	uint64_t fibers;
	uint64_t nr_groups;
	struct kf_leak_group **groups;
	struct kf_symbols symbols;
	uint64_t known[KF_LEAK_KNOWN];
};

/* No address of user space has this bit. */
#define KF_KNOWN_OWN (1ull << 63)

/* --- who is reported ---------------------------------------------------------- */

static bool kf_is_listed(const char *const *list, const char *name, size_t size)
{
	for (; list && *list; list++)
		if (!strncmp(*list, name, size))
			return true;
	return false;
}

static bool kf_leak_is_ignored(struct kf_leak_report *r, const struct kfiber_fiber_block *f)
{
	struct kf_symbol symbol;

	/* A name has at most one byte less than there is room for. */
	if (kf_is_listed(r->options.ignore_names, f->name, sizeof(f->name) - 1))
		return true;
	if (!r->options.ignore_spawners || !f->spawn_site)
		return false;
	kf_symbol_find(&r->symbols, f->spawn_site, &symbol);
	return kf_is_listed(r->options.ignore_spawners, symbol.name, sizeof(symbol.name));
}

static bool kf_leak_is_wanted(struct kf_leak_report *r, struct kfiber_fiber_block *f,
			      const struct kf_left_fiber *l)
{
	if (l->left == KF_LEFT_NOT || f == r->self)
		return false;
	if (!r->all && l->left != KF_LEFT_ENDLESS && l->left != KF_LEFT_ENDED)
		return false;
	return !kf_leak_is_ignored(r, f);
}

/* --- groups --------------------------------------------------------------------- */

/* The library's own functions have such names, and no others should. */
static bool kf_is_own(struct kf_leak_report *r, uintptr_t address)
{
	uint64_t *known = &r->known[(address * 0x9e3779b97f4a7c15ull >> 32) % KF_LEAK_KNOWN];
	struct kf_symbol symbol;

	if ((*known & ~KF_KNOWN_OWN) != address) {
		kf_symbol_find(&r->symbols, address, &symbol);
		*known = address | (strncmp(symbol.name, "kf_", 3) ? 0 : KF_KNOWN_OWN);
	}
	return *known & KF_KNOWN_OWN;
}

/* Return: how many functions are on the fiber's stack, at most @n; -1 if it has gone on. */
static int kf_leak_walk(struct kf_domain *d, struct kfiber_fiber_block *f,
			const struct kf_left_fiber *l, uintptr_t *frames, uint32_t n)
{
	struct kf_worker *w;
	int count = -1;

	if (!kf_left_hold(f, l, &w))
		return -1;
	if (atomic_load_explicit(kf_atomic64(&f->wait_since), memory_order_relaxed) == l->since)
		count = (int)kf_walk_parked(f->sp, frames, n);
	kf_let_go(d, w, f);
	kf_hold_end(w);
	return count;
}

/* Where the program's own functions begin, they and what called them. */
static bool kf_leak_frames(struct kf_leak_report *r, struct kfiber_fiber_block *f,
			   const struct kf_left_fiber *l, struct kf_leak_key *key)
{
	uintptr_t frames[KF_WALK_FRAMES];
	int i = 0, n = kf_leak_walk(r->domain, f, l, frames, KF_WALK_FRAMES);

	if (n < 0)
		return false;
	/* A return address may be the first one of the next function. */
	while (i < n && kf_is_own(r, frames[i] - 1))
		i++;
	while (i < n && key->nr_frames < KF_LEAK_FRAMES)
		key->frames[key->nr_frames++] = frames[i++] - 1;
	return true;
}

/* Who sends and who receives is not alike. */
static uint32_t kf_leak_kind(const struct kf_left_fiber *l)
{
	return l->object ? (kf_object_kind(l->object) + 1) << 1 | l->sends : 0;
}

/* Fibers that wait are parked, and have a stack to look at, but for those of one thread. */
static bool kf_leak_key(struct kf_leak_report *r, struct kfiber_fiber_block *f,
			const struct kf_left_fiber *l, struct kf_leak_key *key)
{
	*key = (struct kf_leak_key){
		.left = l->left,
		.why = l->why,
		.kind = kf_leak_kind(l),
		.spawn_site = f->spawn_site,
	};
	if (kf_state(l->word) != KFIBER_PARKED || l->word & KFIBER_PINNED)
		return true;
	return kf_leak_frames(r, f, l, key);
}

/* FNV-1a, by words. */
static unsigned int kf_leak_bucket(const struct kf_leak_key *key)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	uint32_t i;

	hash = (hash ^ key->spawn_site) * 0x100000001b3ull;
	hash = (hash ^ (key->left << 16 | key->why << 8 | key->kind)) * 0x100000001b3ull;
	for (i = 0; i < key->nr_frames; i++)
		hash = (hash ^ key->frames[i]) * 0x100000001b3ull;
	return (unsigned int)((hash ^ hash >> 32) % KF_LEAK_BUCKETS);
}

/* Return: the group of @key, NULL: no memory. */
static struct kf_leak_group *kf_leak_group(struct kf_leak_report *r, const struct kf_leak_key *key)
{
	struct kf_leak_group **bucket = &r->groups[kf_leak_bucket(key)];
	struct kf_leak_group *g;

	for (g = *bucket; g; g = g->next)
		if (!memcmp(&g->key, key, sizeof(*key)))
			return g;
	g = calloc(1, sizeof(*g));
	if (!g)
		return NULL;
	g->key = *key;
	g->since = UINT64_MAX;
	g->next = *bucket;
	*bucket = g;
	r->nr_groups++;
	return g;
}

/* Return: 0, -ENOMEM. */
static int kf_leak_add(struct kf_leak_report *r, struct kfiber_fiber_block *f,
		       const struct kf_left_fiber *l)
{
	struct kf_leak_group *g;
	struct kf_leak_key key;

	if (!kf_leak_is_wanted(r, f, l))
		return 0;
	if (r->groups) {
		if (!kf_leak_key(r, f, l, &key))
			return 0;
		g = kf_leak_group(r, &key);
		if (!g)
			return -ENOMEM;
		g->count++;
		if (!g->fiber || l->since < g->since) {
			g->since = l->since;
			g->fiber = f;
			g->object = l->object;
		}
	}
	r->fibers++;
	return 0;
}

static int kf_leaks_collect(struct kf_leak_report *r)
{
	struct kf_left_fiber *all;
	int saved = errno;
	uint32_t i, n;
	int err = 0;

	r->fibers = 0;
	all = kf_left_find(r->domain, &n);
	if (!all)
		return -ENOMEM;
	for (i = 0; i < n && !err; i++)
		err = kf_leak_add(r, &r->domain->fiber_blocks[i], &all[i]);
	kf_symbols_close(&r->symbols);
	free(all);
	errno = saved;
	return err;
}

/* --- what is printed -------------------------------------------------------------- */

static const char *const kf_left_texts[KF_NR_LEFT] = {
	[KF_LEFT_ENDED] = "ended, not joined",
	[KF_LEFT_RUNS] = "running, or about to",
};

static const char *const kf_stuck_texts[KF_NR_STUCK] = {
	[KF_STUCK_ENDED] = "it is held by a fiber that has ended",
	[KF_STUCK_STACK] = "it lies on a stack, in a part that is not in use any more",
	[KF_STUCK_CIRCLE] = "they wait for one another",
	[KF_STUCK_BEHIND] = "what they wait for is stuck itself",
};

static void kf_text_wait(struct kf_text *t, struct kf_leak_report *r,
			 const struct kf_leak_group *g)
{
	kf_text_add(t, "waiting ");
	if (g->object && kf_object_kind(g->object) == KF_OBJECT_CHAN)
		kf_text_add(t, g->key.kind & 1 ? "to send to " : "to receive from ");
	else
		kf_text_add(t, "for ");
	if (g->object)
		kf_text_object(t, r->domain, g->object);
	else
		kf_text_add(t, g->key.left == KF_LEFT_TIME ? "time" : "an unpark");
	if (g->object && g->count > 1)
		kf_text_add(t, " or the like");
}

static void kf_text_group(struct kf_text *t, struct kf_leak_report *r,
			  const struct kf_leak_group *g, uint64_t now)
{
	const char *does = kf_left_texts[g->key.left];
	uint32_t i;

	kf_text_number(t, g->count, 10);
	kf_text_add(t, g->count > 1 ? " fibers" : " fiber");
	if (!does) {
		kf_text_add(t, g->count > 1 ? ", the oldest for " : ", for ");
		kf_text_seconds(t, g->since < now ? now - g->since : 0);
	}
	kf_text_add(t, ": ");
	if (does)
		kf_text_add(t, does);
	else
		kf_text_wait(t, r, g);
	if (g->key.why) {
		kf_text_add(t, "\n    for ever: ");
		kf_text_add(t, kf_stuck_texts[g->key.why]);
	}
	for (i = 0; i < g->key.nr_frames; i++) {
		kf_text_add(t, "\n    at ");
		kf_text_place(t, g->key.frames[i]);
	}
	if (g->key.spawn_site) {
		kf_text_add(t, "\n    spawned at ");
		kf_text_place(t, g->key.spawn_site);
	}
	kf_text_add(t, g->count > 1 ? "\n    the first is " : "\n    it is ");
	kf_text_fiber(t, r->domain, g->fiber);
	kf_text_byte(t, '\n');
}

/* Those that are known to be stuck, then those that wait, then the rest; the oldest first. */
static int kf_group_compare(const void *a, const void *b)
{
	const struct kf_leak_group *x = *(struct kf_leak_group *const *)a;
	const struct kf_leak_group *y = *(struct kf_leak_group *const *)b;

	if (!x->key.why != !y->key.why)
		return !x->key.why - !y->key.why;
	if (x->key.left != y->key.left)
		return x->key.left < y->key.left ? -1 : 1;
	return x->since < y->since ? -1 : x->since > y->since;
}

static int kf_leaks_print(struct kf_leak_report *r, int fd, const char *title)
{
	struct kf_leak_group **sorted = calloc(r->nr_groups + 1, sizeof(*sorted)), *g;
	struct kf_text t = { .fd = fd };
	uint64_t i, n = 0, now = kf_domain_now(r->domain);

	if (!sorted)
		return -ENOMEM;
	for (i = 0; i < KF_LEAK_BUCKETS; i++)
		for (g = r->groups[i]; g; g = g->next)
			sorted[n++] = g;
	qsort(sorted, n, sizeof(*sorted), kf_group_compare);
	kf_text_add(&t, "kfiber: fibers that ");
	kf_text_add(&t, title);
	kf_text_add(&t, ": ");
	kf_text_number(&t, r->fibers, 10);
	kf_text_byte(&t, '\n');
	for (i = 0; i < n; i++)
		kf_text_group(&t, r, sorted[i], now);
	kf_text_end(&t);
	free(sorted);
	return -t.failed;
}

/* Return: how many were printed, an error. */
static int kf_leaks_report(struct kf_leak_report *r, int fd, const char *title, bool even_none)
{
	struct kf_leak_group *g;
	int saved = errno;
	uint32_t i;
	int err;

	r->groups = calloc(KF_LEAK_BUCKETS, sizeof(*r->groups));
	if (!r->groups)
		return -ENOMEM;
	err = kf_leaks_collect(r);
	if (!err && (r->fibers || even_none))
		err = kf_leaks_print(r, fd, title);
	for (i = 0; i < KF_LEAK_BUCKETS; i++) {
		while ((g = r->groups[i])) {
			r->groups[i] = g->next;
			free(g);
		}
	}
	free(r->groups);
	r->groups = NULL;
	errno = saved;
	return err ? err : (int)r->fibers;
}

static const char kf_leaks_title[] = "wait without an end, or were never joined";

static struct kf_leak_report kf_leaks_begin(struct kf_domain *d)
{
	struct kf_worker *w = kf_fiber_worker();

	return (struct kf_leak_report){ .domain = d, .self = w ? w->current : NULL };
}

int kf_leaks(int fd)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	struct kf_leak_report r = kf_leaks_begin(d);

	return d ? kf_leaks_report(&r, fd, kf_leaks_title, true) : -ESRCH;
}

/* --- nobody is left -------------------------------------------------------------- */

static int kf_read_leaks_options(const struct kf_leaks_options *from, struct kf_leaks_options *to)
{
	int err = kf_read_sized(from, offsetof(struct kf_leaks_options, ignore_spawners) +
				sizeof(from->ignore_spawners), to, sizeof(*to));

	if (!to->settle_ns)
		to->settle_ns = KF_LEAKS_SETTLE;
	return err;
}

/* Sleeps until nobody is left or that long. Return: 0, -ECANCELED, -ENOMEM. */
static int kf_leaks_settle(struct kf_leak_report *r)
{
	uint64_t until = kf_after(r->options.settle_ns), ns = KF_SETTLE_FIRST_NS;
	int err;

	for (;;) {
		err = kf_leaks_collect(r);
		if (err || !r->fibers || kf_now() >= until)
			return err;
		err = kf_sleep(ns);
		if (err)
			return err;
		ns = ns < KF_SETTLE_LAST_NS ? ns * 2 : ns;
	}
}

int kf_leaks_check(int fd, const struct kf_leaks_options *options)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	struct kf_leak_report r = kf_leaks_begin(d);
	int err = kf_read_leaks_options(options, &r.options);

	if (err)
		return err;
	if (!r.self)
		return -EPERM;
	r.all = true;
	err = kf_leaks_settle(&r);
	if (err || !r.fibers)
		return err;
	return kf_leaks_report(&r, fd, "are left", false);
}

/**
 * kf_leaks_at_end() - the first fiber ends: say what it leaves behind
 * @d: the domain
 *
 * Others may well go on, and what waits for them is no leak. So they have a moment.
 */
void kf_leaks_at_end(struct kf_domain *d)
{
	struct kf_leak_report r = kf_leaks_begin(d);

	kf_cancel_disable();
	kf_read_leaks_options(NULL, &r.options);
	r.all = true;
	if (!kf_leaks_settle(&r) && r.fibers) {
		r.all = false;
		kf_leaks_report(&r, STDERR_FILENO, kf_leaks_title, false);
	}
	kf_cancel_enable();
}
