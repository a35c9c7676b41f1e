// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * All fibers, for people: what each does, or what it waits for. They go on meanwhile,
 * so each is as it was when it was looked at, and what it waits for may be gone: its
 * address is printed, and it is not touched. Unless nothing moves any more: then who
 * holds a mutex is known too.
 */
#include <errno.h>

#include "object.h"
#include "text.h"

/* Worker blocks to a page: those of a page can be read if one of them is there. */
#define KF_WORKERS_PER_PAGE (4096u / sizeof(struct kfiber_worker_block))

/**
 * struct kf_dump - a dump on its way
 * @text: where it goes
 * @domain: whose fibers
 * @workers: blocks that can be read
 * @still: nothing moves: what is waited for can be looked at
 * @now: kf_domain_now()
 */
struct kf_dump {
	struct kf_text text;
	struct kf_domain *domain;
	uint32_t workers;
	bool still;
	uint64_t now;
};

/* Return: the block of the worker that says it runs @name, NULL if none does. */
static struct kfiber_worker_block *kf_dump_worker(const struct kf_dump *dump, kf_fiber_t name)
{
	uint32_t i;

	for (i = 0; i < dump->workers; i++) {
		struct kfiber_worker_block *block = &dump->domain->worker_blocks[i];

		if (atomic_load_explicit(kf_atomic64(&block->fiber), memory_order_relaxed) == name)
			return block;
	}
	return NULL;
}

/* Runnable, as its word says: where? */
static void kf_dump_active(struct kf_dump *dump, struct kfiber_fiber_block *f)
{
	struct kfiber_worker_block *w = kf_dump_worker(dump, kf_name(dump->domain, f));
	uint32_t processor = w ? kf_read32(&w->processor) : 0;

	if (!w) {
		kf_text_add(&dump->text, "runnable");
		return;
	}
	if (processor == KFIBER_NO_PROCESSOR) {
		kf_text_add(&dump->text, "blocked in the kernel or waits for a processor");
	} else {
		kf_text_add(&dump->text, "running on processor ");
		kf_text_number(&dump->text, processor, 10);
	}
	kf_text_add(&dump->text, ", worker ");
	kf_text_number(&dump->text, (uint64_t)(w - dump->domain->worker_blocks), 10);
}

/* Context: nothing moves. */
static void kf_dump_holder(struct kf_dump *dump, const kf_mutex_t *m)
{
	struct kfiber_fiber_block *holder;

	switch (kf_mutex_holder(dump->domain, m, &holder)) {
	case KF_HOLDER_NOBODY:
		break;
	case KF_HOLDER_THREAD:
		kf_text_add(&dump->text, ", held by a thread");
		break;
	case KF_HOLDER_ENDED:
		kf_text_add(&dump->text, ", held by a fiber that has ended");
		break;
	case KF_HOLDER_FIBER:
		kf_text_add(&dump->text, ", held by ");
		kf_text_fiber(&dump->text, dump->domain, holder);
	}
}

static void kf_dump_object(struct kf_dump *dump, uint64_t object)
{
	kf_text_object(&dump->text, dump->domain, object);
	if (kf_object_kind(object) == KF_OBJECT_MUTEX && dump->still)
		kf_dump_holder(dump, (const kf_mutex_t *)kf_object_address(object));
}

static void kf_dump_wait(struct kf_dump *dump, struct kfiber_fiber_block *f, uint64_t word)
{
	uint64_t object = atomic_load_explicit(kf_atomic64(&f->wait_object), memory_order_relaxed);
	uint64_t deadline = atomic_load_explicit(kf_atomic64(&f->deadline), memory_order_relaxed);
	uint64_t since = atomic_load_explicit(kf_atomic64(&f->wait_since), memory_order_relaxed);

	kf_text_add(&dump->text, "waiting for ");
	if (object)
		kf_dump_object(dump, object);
	else if (!(word & KFIBER_WAITS_WAKE))
		kf_text_add(&dump->text, "an unpark");
	else
		kf_text_add(&dump->text, deadline == KF_FOREVER ? "a wake-up" : "time (sleep)");
	/* One that is about to park has not said yet since when. */
	if (kf_state(word) == KFIBER_PARKED) {
		kf_text_add(&dump->text, ", for ");
		kf_text_seconds(&dump->text, since < dump->now ? dump->now - since : 0);
		kf_text_add(&dump->text, " so far");
	}
	if (deadline == KF_FOREVER)
		return;
	kf_text_add(&dump->text, ", for at most ");
	kf_text_seconds(&dump->text, deadline > dump->now ? deadline - dump->now : 0);
	kf_text_add(&dump->text, " more");
}

static void kf_dump_state(struct kf_dump *dump, struct kfiber_fiber_block *f, uint64_t word)
{
	switch (kf_state(word)) {
	case KFIBER_ACTIVE:
		kf_dump_active(dump, f);
		break;
	case KFIBER_DEAD:
		kf_text_add(&dump->text, word & KFIBER_KILLED ? "killed" : "ended");
		kf_text_add(&dump->text, ", not joined");
		break;
	default:
		kf_dump_wait(dump, f, word);
	}
	if (word & KFIBER_PINNED)
		kf_text_add(&dump->text, ", pinned to its thread");
	if (word & KFIBER_INTERACTIVE)
		kf_text_add(&dump->text, ", interactive");
	if (word & KFIBER_BACKGROUND)
		kf_text_add(&dump->text, ", in the background");
	if (dump->domain->cpu_times) {
		kf_text_add(&dump->text, ", ");
		kf_text_seconds(&dump->text, kf_cpu_time_of(dump->domain, f));
		kf_text_add(&dump->text, " of CPU time");
	}
}

static void kf_dump_fiber(struct kf_dump *dump, struct kfiber_fiber_block *f)
{
	uint64_t word = atomic_load_explicit(kf_atomic64(&f->word), memory_order_acquire);

	if (kf_state(word) == KFIBER_FREE)
		return;
	kf_text_fiber(&dump->text, dump->domain, f);
	kf_text_add(&dump->text, ": ");
	kf_dump_state(dump, f, word);
	/* The first one has no spawner. */
	if (f->spawn_site) {
		kf_text_add(&dump->text, "\n    spawned at ");
		kf_text_place(&dump->text, f->spawn_site);
	}
	kf_text_byte(&dump->text, '\n');
}

static void kf_dump_title(struct kf_dump *dump, const struct kfiber_stats *stats)
{
	kf_text_add(&dump->text, "kfiber: ");
	kf_text_number(&dump->text, atomic_load(kf_atomic64(&dump->domain->block->live)), 10);
	kf_text_add(&dump->text, " fibers, ");
	kf_text_number(&dump->text, stats->processors, 10);
	kf_text_add(&dump->text, " processors, ");
	kf_text_number(&dump->text, stats->workers, 10);
	kf_text_add(&dump->text, " workers\n");
}

/**
 * kf_dump_fibers() - print all fibers
 * @d: the domain
 * @fd: where to
 * @title: a line to begin with, or NULL
 * @how: see there
 *
 * Return: 0, or why it could not be written.
 */
int kf_dump_fibers(struct kf_domain *d, int fd, const char *title, enum kf_dump_how how)
{
	struct kf_dump dump = {
		.text = { .fd = fd, .no_wait = how == KF_DUMP_NO_WAIT },
		.domain = d, .still = how == KF_DUMP_STILL, .now = kf_domain_now(d),
	};
	uint32_t i, end = atomic_load_explicit(&d->fibers_end, memory_order_acquire);
	struct kfiber_stats stats;
	int saved = errno;
	int err = kf_call_stats(d, 0, &stats);

	if (err)
		return err;
	dump.workers = (uint32_t)((stats.workers_peak + KF_WORKERS_PER_PAGE - 1) /
				  KF_WORKERS_PER_PAGE * KF_WORKERS_PER_PAGE);
	if (title)
		kf_text_add(&dump.text, title);
	kf_dump_title(&dump, &stats);
	for (i = 0; i < end && !dump.text.failed; i++)
		kf_dump_fiber(&dump, &d->fiber_blocks[i]);
	kf_text_end(&dump.text);
	errno = saved;
	return -dump.text.failed;
}

int kf_dump(int fd)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);

	return d ? kf_dump_fibers(d, fd, NULL, KF_DUMP_MOVING) : -ESRCH;
}
