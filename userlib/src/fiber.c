// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Fibers: their beginning and end. A control block that has ended goes, with its
 * stack as it is, to the pool of the processor it ended on; the next fiber that
 * is spawned there takes it without a system call and touches no new memory.
 *
 *   processor's pool   here; for its holder, no lock, no call; 64 stacks of a class
 *                      and 4 MiB, kf_config.pool_stacks. The module takes pages from
 *                      these too when they are old or memory is short: a block here has
 *                      POOLED in its word, and who clears that has the stack
 *   domain's pool      the module's, warm stacks first; 16 MiB of memory,
 *                      kf_config.pool_bytes; trimmed with age and when memory is
 *                      short. Blocks come and go in batches
 *   kernel             memory for what is cold; slots for what has never been
 *
 * The end and a joiner meet in the block's "joiner":
 *
 *   0          the end stores ENDED           the joiner stores its name, waits
 *   name       the end stores ENDED, wakes    (another joiner: -EINVAL)
 *                                             cancelled: the joiner stores 0 again, or
 *                                             finds ENDED: then it is woken, and waits
 *   ENDED                                     the joiner takes the value: TAKEN
 *   DETACHED   the end recycles the block     -EINVAL
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "ctx.h"
#include "object.h"
#include "queue.h"
#include "sized.h"

#define KF_DEFAULT_STACK_SHIFT 18

/* Return: the class, 0 for the default, -EINVAL. */
int kf_shift_of(size_t stack_size)
{
	if (!stack_size)
		return 0;
	if (stack_size & (stack_size - 1) || stack_size < 1ul << KFIBER_STACK_SHIFT_MIN ||
	    stack_size > 1ul << KFIBER_STACK_SHIFT_MAX)
		return -EINVAL;
	return __builtin_ctzl(stack_size);
}

static struct kf_pool *kf_pool(struct kf_worker *w, unsigned int shift)
{
	return &kf_worker_processor(w)->pools[shift - KFIBER_STACK_SHIFT_MIN];
}

static void kf_pool_push(struct kf_pool *pool, struct kfiber_fiber_block *f)
{
	f->link = (uintptr_t)pool->first;
	pool->first = f;
	pool->count++;
	pool->pages += f->stack_pages;
}

/* To be given to the module: it is not the caller's yet. */
static struct kfiber_fiber_block *kf_pool_pop(struct kf_pool *pool)
{
	struct kfiber_fiber_block *f = pool->first;
	uint32_t pages;

	if (f) {
		pool->first = (struct kfiber_fiber_block *)(uintptr_t)f->link;
		pool->count--;
		pages = kf_read32(&f->stack_pages);
		pool->pages -= pages < pool->pages ? pages : pool->pages;
	}
	return f;
}

/* Lets the module have the stack's pages. @f is the caller's alone. */
static void kf_pool_put(struct kf_pool *pool, struct kfiber_fiber_block *f)
{
	atomic_store_explicit(kf_atomic64(&f->word), f->word | KFIBER_POOLED,
			      memory_order_release);
	kf_pool_push(pool, f);
}

/* Return: false: the module works on its stack. */
static bool kf_pool_claim(struct kfiber_fiber_block *f)
{
	uint64_t word = atomic_load_explicit(kf_atomic64(&f->word), memory_order_relaxed);

	kf_delay(KF_DELAY_POOL_CLAIM);
	return word & KFIBER_POOLED &&
	       atomic_compare_exchange_strong_explicit(kf_atomic64(&f->word), &word,
						       word & ~KFIBER_POOLED,
						       memory_order_acquire,
						       memory_order_relaxed);
}

/*
 * The module has one stack at a time; it may be on to the second when we are. A third is not
 * tried: it has others. Return: a block that is the caller's, or NULL.
 */
static struct kfiber_fiber_block *kf_pool_get(struct kf_pool *pool)
{
	struct kfiber_fiber_block *first = kf_pool_pop(pool), *f;

	if (!first || kf_pool_claim(first))
		return first;
	f = kf_pool_pop(pool);
	if (f && !kf_pool_claim(f)) {
		kf_pool_push(pool, f);
		f = NULL;
	}
	kf_pool_push(pool, first);
	return f;
}

/* What has been trimmed since it came does not count any more. */
static void kf_pool_count_pages(struct kf_pool *pool)
{
	struct kfiber_fiber_block *f;

	pool->pages = 0;
	for (f = pool->first; f; f = (struct kfiber_fiber_block *)(uintptr_t)f->link)
		pool->pages += kf_read32(&f->stack_pages);
}

/* The block of a new @name. Those up to it can be touched from now on. */
static struct kfiber_fiber_block *kf_fibers_extend(struct kf_domain *d, kf_fiber_t name)
{
	uint32_t index = (uint32_t)(name & KFIBER_INDEX_MASK), end = index + 1;
	uint32_t old = atomic_load_explicit(&d->fibers_end, memory_order_relaxed);

	while (old < end &&
	       !atomic_compare_exchange_weak_explicit(&d->fibers_end, &old, end,
						      memory_order_release,
						      memory_order_relaxed))
		;
	return &d->fiber_blocks[index];
}

/* @first: out: one of what came, the caller's. Return: 0, or why nothing came. */
static int kf_pool_refill(struct kf_worker *w, struct kf_pool *pool, unsigned int shift,
			  struct kfiber_fiber_block **first)
{
	struct kfiber_fiber_block *blocks[KF_POOL_REFILL];
	kf_fiber_t names[KF_POOL_REFILL];
	unsigned int most = w->domain->pool_stacks;
	int i, err = 0, n;

	n = kf_call_alloc(w->domain, shift, names, most < KF_POOL_REFILL ? most : KF_POOL_REFILL);

	kf_count(&kf_worker_processor(w)->block->calls);
	if (n <= 0)
		return n ? n : -EAGAIN;
	for (i = 0; i < n && !err; i++) {
		blocks[i] = kf_fibers_extend(w->domain, names[i]);
		err = kf_arena_reach(w->domain, shift, blocks[i]->slot);
	}
	if (err) {
		kf_call_free(w->domain, names, (unsigned int)n);
		return err;
	}
	for (i = n - 1; i > 0; i--)
		kf_pool_put(pool, blocks[i]);
	*first = blocks[0];
	return 0;
}

/*
 * Blocks go to the module, for others, until the pool has no more than that many and
 * their stacks no more than that much: those that came last.
 */
static void kf_pool_drain(struct kf_worker *w, struct kf_pool *pool, unsigned int count,
			  unsigned int pages)
{
	kf_fiber_t names[KF_POOL_DRAIN];

	while (pool->count > count || (pool->count && pool->pages > pages)) {
		unsigned int n = 0;

		while (n < KF_POOL_DRAIN &&
		       (pool->count > count || (pool->count && pool->pages > pages)))
			names[n++] = kf_name(w->domain, kf_pool_pop(pool));
		kf_count(&kf_worker_processor(w)->block->calls);
		kf_call_free(w->domain, names, n);
	}
}

/* When there is too much in a pool, half of that goes: there may be more to come. */
static void kf_pool_bound(struct kf_worker *w, struct kf_pool *pool)
{
	unsigned int count = w->domain->pool_stacks;
	unsigned int pages = count * KF_POOL_STACK_PAGES;

	if (pool->pages > pages)
		kf_pool_count_pages(pool);
	if (pool->count > count)
		kf_pool_drain(w, pool, count / 2, pages);
	else if (pool->pages > pages)
		kf_pool_drain(w, pool, count, pages / 2);
}

/* All that this processor has pooled. */
void kf_pools_drain_critical(struct kf_worker *w)
{
	struct kf_processor *p = kf_worker_processor(w);
	unsigned int i;

	for (i = 0; i < KF_STACK_CLASSES; i++)
		kf_pool_drain(w, &p->pools[i], 0, 0);
}

/* The fiber has ended and nobody asks for its value any more. */
static void kf_recycle_critical(struct kf_worker *w, struct kfiber_fiber_block *f)
{
	struct kf_pool *pool = kf_pool(w, f->stack_shift);
	uint64_t generation = kf_generation(f->word) + 1u;
	bool killed = f->word & KFIBER_KILLED;

	if (generation > UINT32_MAX)
		generation = 1;
	kf_delay(KF_DELAY_RECYCLE);
	atomic_store_explicit(kf_atomic64(&f->joiner), 0, memory_order_relaxed);
	atomic_store_explicit(kf_atomic64(&f->word),
			      generation << KFIBER_GENERATION_SHIFT | KFIBER_FREE,
			      memory_order_release);
	kf_pool_put(pool, f);
	/* Its stack may be full, and should not stay so: the module trims its pool. */
	if (kf_is_pressed(w->domain))
		kf_pools_drain_critical(w);
	else if (killed)
		kf_pool_drain(w, pool, pool->count - 1, UINT_MAX);
	kf_pool_bound(w, pool);
}

/**
 * kf_fiber_ended_critical() - what is done for a fiber that has left its stack
 * @w: the worker
 * @f: the fiber
 */
void kf_fiber_ended_critical(struct kf_worker *w, struct kfiber_fiber_block *f)
{
	struct kf_domain *d = w->domain;
	uint64_t word = f->word & (~KFIBER_INDEX_MASK | KFIBER_KILLED);
	uint64_t joiner;

	if (f->stack_high > f->stack_start)
		kf_site_learn(d, f);
	if (kf_is_checked())
		kf_check_end(d, f);
	atomic_store_explicit(kf_atomic64(&f->word), word | KFIBER_DEAD, memory_order_release);
	kf_delay(KF_DELAY_DEAD);
	joiner = atomic_exchange_explicit(kf_atomic64(&f->joiner), KFIBER_JOIN_ENDED,
					  memory_order_acq_rel);
	if (joiner == KFIBER_JOIN_DETACHED)
		kf_recycle_critical(w, f);
	else if (kf_generation(joiner))
		kf_wake(d, w, joiner, KFIBER_WAKE);
	if (atomic_fetch_sub_explicit(kf_atomic64(&d->block->live), 1, memory_order_acq_rel) == 1)
		kf_call_simple(d, KFIBER_IOC_SHUTDOWN, NULL);
}

_Noreturn void kf_fiber_start(void *(*fn)(void *), void *arg)
{
	if (kf_is_checked())
		kf_check_arrive(NULL);
	kf_arrive();
	if (kf_is_checked())
		kf_check_acquire(kf_worker_self()->current);
	kf_member_enter(kf_worker_self()->current, kf_self());
	kf_exit(fn(arg));
}

void kf_exit(void *value)
{
	struct kf_worker *w = kf_fiber_worker();

	/* Ending a plain thread is pthread_exit()'s. */
	if (!w)
		__builtin_trap();
	kf_locals_end(w->current);
	w = kf_worker_self();
	if (w->domain->flags & KF_REPORT_LEAKS && kf_self() == w->domain->main_name)
		kf_leaks_at_end(w->domain);
	kf_member_end(kf_worker_self()->current, (int)(intptr_t)value);
	w = kf_worker_self();
	w->current->value = (uintptr_t)value;
	if (kf_name(w->domain, w->current) == w->domain->main_name) {
		w->domain->main_value = (int)(intptr_t)value;
		w->domain->main_ended = true;
	}
	if (kf_is_checked()) {
		kf_check_release(w->current);
		kf_check_release(w->domain);
	}
	kf_enter(w);
	kf_switch_critical(w, KF_AFTER_EXIT);
	__builtin_unreachable();
}

/*
 * Where a contained fault returns to: on the fiber's own stack, at its top. It
 * ends as by kf_exit(), but without a value.
 */
void kf_fiber_killed(void)
{
	struct kf_worker *w = kf_fiber_worker();

	kf_locals_drop(w->current);
	kf_member_end(w->current, -EFAULT);
	w = kf_worker_self();
	atomic_fetch_or_explicit(kf_atomic64(&w->current->word), KFIBER_KILLED,
				 memory_order_relaxed);
	if (kf_is_checked()) {
		kf_check_release(w->current);
		kf_check_release(w->domain);
	}
	kf_enter(w);
	kf_switch_critical(w, KF_AFTER_EXIT);
	__builtin_unreachable();
}

static void kf_copy_name(struct kfiber_fiber_block *f, const char *name)
{
	size_t length = strnlen(name, sizeof(f->name) - 1);

	memcpy(f->name, name, length);
	memset(f->name + length, 0, sizeof(f->name) - length);
}

/* Everything of a new fiber but the queueing. @f is nobody else's yet. */
static kf_fiber_t kf_fiber_init(struct kf_domain *d, struct kfiber_fiber_block *f,
				void *(*fn)(void *), void *arg)
{
	uint64_t word = (f->word & ~KFIBER_INDEX_MASK) | KFIBER_ACTIVE;

	atomic_store_explicit(kf_atomic64(&f->deadline), KFIBER_NEVER, memory_order_relaxed);
	f->value = 0;
	f->link = 0;
	f->masked = 0;
	f->wait_object = 0;
	kf_stack_prepare(d, f, fn, arg);
	if (kf_unlikely(d->cpu_times))
		kf_cpu_begin(d, f);
	atomic_fetch_add_explicit(kf_atomic64(&d->block->live), 1, memory_order_relaxed);
	atomic_store_explicit(kf_atomic64(&f->word), word, memory_order_release);
	return word >> KFIBER_GENERATION_SHIFT << KFIBER_GENERATION_SHIFT |
	       (uint64_t)(f - d->fiber_blocks);
}

/*
 * Gives a new fiber's stack the pages that it is to begin with, unless it is
 * warm. That a limit is reached is said here; touching the stack would be a
 * signal.
 */
static int kf_stack_start(struct kf_domain *d, struct kfiber_fiber_block *f, uint32_t pages)
{
	int err = 0;

	if (f->stack_pages < pages)
		err = kf_call_start(d, kf_name(d, f), pages);
	f->stack_high = f->stack_pages;
	f->stack_start = f->stack_pages > pages ? f->stack_pages : pages;
	return err == -ENXIO ? 0 : err;
}

/* A fault of the fiber ends only that. @f is nobody else's yet, but may be woken. */
static void kf_contain_faults(struct kfiber_fiber_block *f)
{
	atomic_fetch_or_explicit(kf_atomic64(&f->word), KFIBER_CONTAINED, memory_order_relaxed);
}

/* Makes and queues the first fiber of a domain; no worker is there yet. */
int kf_fiber_first(struct kf_domain *d, void *(*fn)(void *))
{
	struct kfiber_fiber_block *f;
	kf_fiber_t name;
	int n = kf_call_alloc(d, d->stack_shift, &name, 1);
	int err;

	if (n < 0)
		return n;
	f = kf_fibers_extend(d, name);
	err = kf_arena_reach(d, d->stack_shift, f->slot);
	if (!err)
		err = kf_stack_start(d, f, 1);
	if (err)
		return err;
	kf_copy_name(f, "main");
	name = kf_fiber_init(d, f, fn, d);
	d->main_name = name;
	if (d->flags & KF_CONTAIN_FAULTS)
		kf_contain_faults(f);
	kf_call_ready(d, &name, 1);
	return 0;
}

/* Copies attributes of any version. Return: their stack class, -EINVAL or -E2BIG. */
static int kf_read_attr(struct kf_domain *d, const struct kf_attr *from, struct kf_attr *to)
{
	int shift, err = kf_read_sized(from, offsetof(struct kf_attr, flags) + sizeof(from->flags),
				       to, sizeof(*to));

	if (err)
		return err;
	if (to->flags & ~(KF_DETACHED | KF_CONTAIN_FAULTS) ||
	    to->priority > KF_PRIORITY_INTERACTIVE)
		return -EINVAL;
	to->flags |= d->flags & KF_CONTAIN_FAULTS;
	/* Nobody would. */
	if (to->flags & KF_CONTAIN_FAULTS && d->flags & KF_NO_FAULT_HANDLER)
		return -EINVAL;
	shift = kf_shift_of(to->stack_size);
	return shift ? shift : (int)d->stack_shift;
}

/* Bytes to pages; more than any stack has is no limit. */
static uint32_t kf_limit_pages(size_t bytes, unsigned int shift)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return bytes < 1ul << shift ? (uint32_t)((bytes + page - 1) / page) : 0;
}

/* As it is asked for, or its spawner's. Return: flags of its word. */
static inline uint64_t kf_spawn_priority(struct kf_worker *w, const struct kf_attr *attr)
{
	if (__builtin_expect(attr->priority, 0))
		return kf_priority_flags(attr->priority);
	return atomic_load_explicit(kf_atomic64(&w->current->word), memory_order_relaxed) &
	       KF_PRIORITIES;
}

/* Takes a block from the pool and fills it in. */
static int kf_spawn_critical(struct kf_worker *w, unsigned int shift, kf_fiber_t *name,
			     const struct kf_attr *attr, uint32_t pages,
			     void *(*fn)(void *), void *arg)
{
	struct kf_pool *pool = kf_pool(w, shift);
	struct kfiber_fiber_block *f = kf_pool_get(pool);
	bool refilled = !f;
	int err;

	if (!f) {
		err = kf_pool_refill(w, pool, shift, &f);
		if (err)
			return err;
		kf_pool_bound(w, pool);
	}
	f->stack_limit = attr->stack_limit ? kf_limit_pages(attr->stack_limit, shift) : 0;
	err = kf_stack_start(w->domain, f, pages);
	if (err) {
		kf_pool_put(pool, f);
		return err;
	}
	if (attr->name)
		kf_copy_name(f, attr->name);
	else
		memcpy(f->name, w->current->name, sizeof(f->name));
	f->joiner = attr->flags & KF_DETACHED ? KFIBER_JOIN_DETACHED : 0;
	*name = kf_fiber_init(w->domain, f, fn, arg);
	if (attr->flags & KF_CONTAIN_FAULTS)
		kf_contain_faults(f);
	if (refilled)
		kf_count(&kf_worker_processor(w)->refills);
	return 0;
}

/* The module queues those. @name is ACTIVE and in no queue, so nobody queues it yet. */
static void kf_push_new_apart(struct kf_worker *w, struct kfiber_fiber_block *f, kf_fiber_t name,
			      uint64_t priority)
{
	atomic_fetch_or_explicit(kf_atomic64(&f->word), priority, memory_order_relaxed);
	kf_count(&kf_processor_block(w)->calls);
	kf_call_ready(w->domain, &name, 1);
}

/**
 * kf_spawn_under() - kf_spawn() with a context, as if from somewhere
 * @out: see kf_spawn(), as the next three
 * @attr: see there
 * @fn: see there
 * @arg: see there
 * @ctx: the fiber's
 * @scope: that it belongs to; nobody joins it then. NULL for none
 * @site: an address in who wants it
 *
 * Return: as kf_spawn().
 */
int kf_spawn_under(kf_fiber_t *out, const struct kf_attr *attr, void *(*fn)(void *), void *arg,
		   struct kf_ctx *ctx, struct kf_scope *scope, uintptr_t site)
{
	struct kf_worker *w = kf_fiber_worker();
	struct kf_member *member;
	struct kf_attr full;
	uint64_t priority;
	kf_fiber_t name;
	uint32_t pages;
	int shift, err;

	if (!w)
		return -EPERM;
	if (!fn)
		return -EINVAL;
	shift = kf_read_attr(w->domain, attr, &full);
	if (shift < 0)
		return shift;

	if (scope)
		full.flags |= KF_DETACHED;
	err = kf_member_create(ctx, scope, &member);
	if (err)
		return err;
	pages = kf_site_spawns(w->domain, site);
	kf_enter(w);
	err = kf_spawn_critical(w, (unsigned int)shift, &name, &full, pages, fn, arg);
	if (!err) {
		struct kfiber_fiber_block *f = kf_block(w->domain, name);
		struct kfiber_processor_block *p;

		f->spawn_site = site;
		f->value = (uintptr_t)member;
		/*
		 * This may fault, and the program's own handler mend it: meanwhile the worker may
		 * have been given another processor (turn.c).
		 */
		if (out)
			*out = name;
		atomic_signal_fence(memory_order_seq_cst);
		p = kf_processor_block(w);
		kf_count(&p->spawns);
		if (kf_unlikely(kf_is_sampled(p->spawns)))
			kf_latency_stamp(f);
		kf_delay(KF_DELAY_SPAWN);
		priority = kf_spawn_priority(w, &full);
		if (kf_unlikely(priority))
			kf_push_new_apart(w, f, name, priority);
		else
			kf_push_next_critical(w, p, name);
	}
	kf_leave(w);
	if (err)
		kf_member_free(member);
	return err;
}

int kf_spawn(kf_fiber_t *out, const struct kf_attr *attr, void *(*fn)(void *), void *arg)
{
	return kf_spawn_under(out, attr, fn, arg, kf_ctx_current(), NULL,
			      (uintptr_t)__builtin_return_address(0));
}

/* The block of a fiber that has not been recycled; NULL if it is gone. */
struct kfiber_fiber_block *kf_find(struct kf_domain *d, kf_fiber_t name)
{
	struct kfiber_fiber_block *f = kf_block(d, name);
	uint64_t word;

	if (!f)
		return NULL;
	word = atomic_load_explicit(kf_atomic64(&f->word), memory_order_acquire);
	if (kf_generation(word) != kf_generation(name) || kf_state(word) == KFIBER_FREE)
		return NULL;
	return f;
}

/* Moves "joiner" from what it may be: 0 or ENDED. Return: what it was. */
static uint64_t kf_claim(struct kfiber_fiber_block *f, uint64_t mark)
{
	_Atomic uint64_t *joiner = kf_atomic64(&f->joiner);
	uint64_t old = atomic_load_explicit(joiner, memory_order_acquire);
	uint64_t new;

	do {
		if (old && old != KFIBER_JOIN_ENDED)
			return old;
		new = old ? KFIBER_JOIN_TAKEN : mark;
		kf_delay(KF_DELAY_CLAIM);
	} while (!atomic_compare_exchange_weak_explicit(joiner, &old, new, memory_order_acq_rel,
							memory_order_acquire));
	return old;
}

/* The value of an ended fiber that is the caller's alone; recycles it. */
static int kf_collect(struct kfiber_fiber_block *f, void **value)
{
	int err = f->word & KFIBER_KILLED ? -EFAULT : 0;
	struct kf_worker *w;

	if (value && !err)
		*value = (void *)(uintptr_t)f->value;
	/* Those of one that died with its thread. */
	kf_locals_drop(f);
	if (err)
		kf_member_end(f, -EFAULT);
	w = kf_worker_self();
	kf_enter(w);
	kf_recycle_critical(w, f);
	kf_leave(w);
	return err;
}

/* Return: 0 when the fiber has ended, -ECANCELED when it is not the caller's any more. */
static int kf_join_wait(struct kf_worker *w, struct kfiber_fiber_block *f, kf_fiber_t self)
{
	struct kfiber_fiber_block *waiter = w->current;
	uint64_t joiner = self;
	int err;

	waiter->wait_object = kf_object(KF_OBJECT_FIBER, f);
	err = kf_wait(w, KFIBER_WAKE, KF_FOREVER);
	waiter->wait_object = 0;
	if (!err)
		return 0;
	kf_delay(KF_DELAY_CLAIM);
	if (atomic_compare_exchange_strong_explicit(kf_atomic64(&f->joiner), &joiner, 0,
						    memory_order_acq_rel, memory_order_acquire))
		return err;
	/* It has ended meanwhile: then its WAKE has come, or will. */
	kf_wait_masked(kf_worker_self(), KFIBER_WAKE);
	return 0;
}

int kf_join(kf_fiber_t fiber, void **value)
{
	struct kf_worker *w = kf_fiber_worker();
	struct kfiber_fiber_block *f, *self_block;
	kf_fiber_t self;
	uint64_t was;

	if (!w)
		return -EPERM;
	self_block = w->current;
	self = kf_name(w->domain, self_block);
	if (fiber == self)
		return -EDEADLK;
	f = kf_find(w->domain, fiber);
	if (!f)
		return -ESRCH;
	was = kf_claim(f, self);
	if (was && was != KFIBER_JOIN_ENDED)
		return was == KFIBER_JOIN_TAKEN ? -ESRCH : -EINVAL;
	if (!was && kf_join_wait(w, f, self))
		return -ECANCELED;
	if (kf_is_checked())
		kf_check_acquire(f);
	return kf_collect(f, value);
}

int kf_detach(kf_fiber_t fiber)
{
	struct kf_worker *w = kf_fiber_worker();
	struct kfiber_fiber_block *f;
	uint64_t was;

	if (!w)
		return -EPERM;
	f = kf_find(w->domain, fiber);
	if (!f)
		return -ESRCH;
	was = kf_claim(f, KFIBER_JOIN_DETACHED);
	if (was && was != KFIBER_JOIN_ENDED)
		return was == KFIBER_JOIN_TAKEN ? -ESRCH : -EINVAL;
	if (was)
		kf_collect(f, NULL);
	return 0;
}

kf_fiber_t kf_self(void)
{
	struct kf_worker *w = kf_fiber_worker();

	return w ? w->block->fiber : 0;
}

int kf_setname(const char *name)
{
	struct kf_worker *w = kf_fiber_worker();

	if (!name)
		return -EINVAL;
	if (!w)
		return -EPERM;
	kf_copy_name(w->current, name);
	return 0;
}
