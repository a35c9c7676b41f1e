// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The scheduler's trace: KFIBER_DEBUG=schedtrace=1000 prints a line each 1000 ms, and
 * with scheddetail=1 one for each processor, worker and fiber.
 *
 * A thread of its own does it, which sleeps in the module between the lines
 * (KFIBER_IOC_ASIDE). So
 *
 * - it needs no processor, and tells of a domain whose every worker is blocked or computes;
 * - it is not a thread that deadlocks are not looked for behind, and the end of the domain
 *   ends its sleep: kf_run() waits for it, not it for anybody;
 * - a domain with KF_TEST_CLOCK does not know of it: that goes by its workers alone. The
 *   thread's own time is the kernel's.
 *
 * Who does not read stderr loses lines: the thread does not wait there, or kf_run()
 * would.
 */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "text.h"

#define KF_TRACE_STACK (256u << 10)

/**
 * struct kf_sched_look - what a line is about
 * @now: when, by the kernel's clock
 * @stats: the module's counters
 * @live: workers with a fiber
 * @processors: of these, those with a processor
 * @states: fibers by state
 * @interactive: of those that are active and on no worker, those that go before others
 * @background: and those that go after them
 */
struct kf_sched_look {
	uint64_t now;
	struct kfiber_stats stats;
	unsigned int live;
	unsigned int processors;
	unsigned int states[KFIBER_DEAD + 1];
	int interactive;
	int background;
};

/* " name=n" */
static void kf_trace_number(struct kf_text *t, const char *name, uint64_t n)
{
	kf_text_byte(t, ' ');
	kf_text_add(t, name);
	kf_text_byte(t, '=');
	kf_text_number(t, n, 10);
}

/* Worker blocks that can be read: there is one for each, and they are not freed. */
static uint32_t kf_trace_workers(const struct kf_sched_look *look)
{
	return look->stats.workers_peak;
}

static uint64_t kf_trace_word(struct kfiber_fiber_block *f)
{
	return atomic_load_explicit(kf_atomic64(&f->word), memory_order_relaxed);
}

/* @n: 1, or -1 for one that is on a worker */
static void kf_trace_priority(struct kf_sched_look *look, uint64_t word, int n)
{
	if (kf_state(word) != KFIBER_ACTIVE)
		return;
	if (word & KFIBER_INTERACTIVE)
		look->interactive += n;
	if (word & KFIBER_BACKGROUND)
		look->background += n;
}

static void kf_trace_count(struct kf_domain *d, struct kf_sched_look *look)
{
	uint32_t i, end = atomic_load_explicit(&d->fibers_end, memory_order_acquire);

	for (i = 0; i < kf_trace_workers(look); i++) {
		struct kfiber_worker_block *w = &d->worker_blocks[i];
		uint64_t fiber = atomic_load_explicit(kf_atomic64(&w->fiber), memory_order_relaxed);

		if (!fiber)
			continue;
		look->live++;
		look->processors += kf_read32(&w->processor) != KFIBER_NO_PROCESSOR;
		if (kf_block(d, fiber))
			kf_trace_priority(look, kf_trace_word(kf_block(d, fiber)), -1);
	}
	for (i = 0; i < end; i++) {
		uint64_t word = kf_trace_word(&d->fiber_blocks[i]);

		if (kf_state(word) <= KFIBER_DEAD)
			look->states[kf_state(word)]++;
		kf_trace_priority(look, word, 1);
	}
}

/* Fibers in a processor's queues. */
static uint32_t kf_trace_queued(struct kfiber_processor_block *p)
{
	bool next = atomic_load_explicit(kf_atomic64(&p->next), memory_order_relaxed);

	return next + (kf_read32(&p->local_tail) - kf_read32(&p->local_head)) +
	       (kf_read32(&p->inbox_tail) - kf_read32(&p->inbox_head));
}

/* Up to the last one that is in use, or is not any more and holds something yet. */
static uint32_t kf_trace_processors(struct kf_domain *d, const struct kf_sched_look *look)
{
	uint32_t n = d->nr_processors;

	while (n > look->stats.processors && !kf_trace_queued(d->processors[n - 1].block))
		n--;
	return n;
}

static void kf_trace_queues(struct kf_text *t, struct kf_domain *d,
			    const struct kf_sched_look *look)
{
	uint32_t i, n = kf_trace_processors(d, look);

	for (i = 0; i < n; i++) {
		kf_text_add(t, i ? " " : " [");
		kf_text_number(t, kf_trace_queued(d->processors[i].block), 10);
	}
	kf_text_byte(t, ']');
}

/* They go on meanwhile: a fiber may have been runnable, and be on a worker now. */
static void kf_trace_fibers(struct kf_text *t, const struct kf_sched_look *look)
{
	unsigned int active = look->states[KFIBER_ACTIVE];

	kf_text_add(t, ", fibers:");
	kf_trace_number(t, "running", look->processors);
	kf_trace_number(t, "blocked", look->live - look->processors);
	kf_trace_number(t, "runnable", active > look->live ? active - look->live : 0);
	kf_trace_number(t, "interactive", look->interactive > 0 ? (uint64_t)look->interactive : 0);
	kf_trace_number(t, "background", look->background > 0 ? (uint64_t)look->background : 0);
	kf_trace_number(t, "waiting", look->states[KFIBER_PARKING] + look->states[KFIBER_PARKED]);
	kf_trace_number(t, "ended", look->states[KFIBER_DEAD]);
}

/* @before: the last line's counters */
static void kf_trace_line(struct kf_text *t, struct kf_domain *d, const struct kf_sched_look *look,
			  const struct kfiber_stats *before)
{
	const struct kfiber_stats *s = &look->stats;

	kf_text_add(t, "kfiber: sched ");
	kf_text_number(t, (look->now - d->trace.since) / KF_NS_PER_MS, 10);
	kf_text_add(t, " ms:");
	kf_trace_number(t, "processors", s->processors);
	kf_trace_number(t, "idle", s->idle);
	kf_trace_number(t, "queued", s->global);
	kf_trace_queues(t, d, look);
	kf_text_add(t, ", workers:");
	kf_trace_number(t, "all", s->workers);
	kf_trace_number(t, "spares", s->spares);
	kf_trace_number(t, "blocked", s->blocked);
	kf_trace_number(t, "waiters", s->waiters);
	kf_trace_number(t, "preempted", s->preempted);
	kf_trace_number(t, "pinned", s->pinned);
	kf_text_add(t, ", since then:");
	kf_trace_number(t, "handovers", s->handovers - before->handovers);
	kf_trace_number(t, "preemptions", s->preemptions - before->preemptions);
	kf_trace_number(t, "steals", s->steals - before->steals);
	kf_trace_fibers(t, look);
	kf_text_byte(t, '\n');
}

static void kf_trace_processor(struct kf_text *t, struct kf_domain *d, unsigned int i,
			       const struct kf_sched_look *look)
{
	struct kfiber_processor_block *p = d->processors[i].block;
	uint32_t w = 0;

	while (w < kf_trace_workers(look) && kf_read32(&d->worker_blocks[w].processor) != i)
		w++;
	kf_text_add(t, "  processor ");
	kf_text_number(t, i, 10);
	kf_text_byte(t, ':');
	if (w < kf_trace_workers(look))
		kf_trace_number(t, "worker", w);
	else
		kf_text_add(t, i < look->stats.processors ? " idle" : " not in use");
	kf_trace_number(t, "next", atomic_load_explicit(kf_atomic64(&p->next),
							memory_order_relaxed) != 0);
	kf_trace_number(t, "local", kf_read32(&p->local_tail) - kf_read32(&p->local_head));
	kf_trace_number(t, "inbox", kf_read32(&p->inbox_tail) - kf_read32(&p->inbox_head));
	kf_trace_number(t, "dispatches", atomic_load_explicit(kf_atomic64(&p->ticks),
							      memory_order_relaxed));
	kf_text_byte(t, '\n');
}

static void kf_trace_worker(struct kf_text *t, struct kf_domain *d, uint32_t i)
{
	struct kfiber_worker_block *w = &d->worker_blocks[i];
	uint32_t processor = kf_read32(&w->processor);
	uint64_t fiber = atomic_load_explicit(kf_atomic64(&w->fiber), memory_order_relaxed);

	kf_text_add(t, "  worker ");
	kf_text_number(t, i, 10);
	kf_text_byte(t, ':');
	if (processor == KFIBER_NO_PROCESSOR)
		kf_text_add(t, " no processor");
	else
		kf_trace_number(t, "processor", processor);
	if (fiber) {
		kf_text_add(t, " fiber=");
		kf_text_hex(t, fiber);
	} else {
		kf_text_add(t, " no fiber");
	}
	if (kf_read32(&w->critical))
		kf_text_add(t, ", in a critical section");
	kf_text_byte(t, '\n');
}

static void kf_trace_detail(struct kf_text *t, struct kf_domain *d,
			    const struct kf_sched_look *look)
{
	uint32_t i;

	for (i = 0; i < kf_trace_processors(d, look); i++)
		kf_trace_processor(t, d, i, look);
	for (i = 0; i < kf_trace_workers(look); i++)
		kf_trace_worker(t, d, i);
}

/* @before: in, out: the last line's counters */
static void kf_trace_print(struct kf_domain *d, struct kfiber_stats *before)
{
	struct kf_text t = { .fd = STDERR_FILENO, .no_wait = true };
	struct kf_sched_look look = { .now = kf_real_now() };

	if (kf_call_stats(d, 0, &look.stats))
		return;
	kf_trace_count(d, &look);
	kf_trace_line(&t, d, &look, before);
	*before = look.stats;
	if (d->debug.scheddetail)
		kf_trace_detail(&t, d, &look);
	kf_text_end(&t);
	if (d->debug.scheddetail && !t.failed)
		kf_dump_fibers(d, STDERR_FILENO, NULL, KF_DUMP_NO_WAIT);
}

static void *kf_trace_main(void *arg)
{
	struct kf_domain *d = arg;
	uint64_t period = d->debug.schedtrace * (uint64_t)KF_NS_PER_MS, due = d->trace.since;
	struct kfiber_stats before = { .size = sizeof(before) };
	int err;

	for (;;) {
		uint64_t now = kf_real_now();

		due = due + period > now ? due + period : now + period;
		do
			err = kf_call_aside(d, due);
		while (err == -EINTR);
		if (err)
			return NULL;
		kf_trace_print(d, &before);
	}
}

/* No signal is for it: handlers belong to the program's own threads. */
static int kf_trace_create_thread(struct kf_domain *d)
{
	pthread_attr_t attr;
	sigset_t none;
	int err = pthread_attr_init(&attr);

	if (err)
		return err;
	sigfillset(&none);
	err = pthread_attr_setstacksize(&attr, KF_TRACE_STACK);
	if (!err)
		err = pthread_attr_setsigmask_np(&attr, &none);
	if (!err)
		err = pthread_create(&d->trace.thread, &attr, kf_trace_main, d);
	pthread_attr_destroy(&attr);
	return err;
}

/* Begins to print, if that is asked for. Context: no worker runs yet. */
void kf_trace_begin(struct kf_domain *d)
{
	struct kf_text t = { .fd = STDERR_FILENO };

	if (!d->debug.schedtrace)
		return;
	d->trace.since = kf_real_now();
	d->trace.prints = !kf_trace_create_thread(d);
	if (d->trace.prints)
		return;
	kf_text_add(&t, "kfiber: KFIBER_DEBUG: no thread for schedtrace\n");
	kf_text_end(&t);
}

/* Context: no worker runs any more, or ever did. */
void kf_trace_end(struct kf_domain *d)
{
	if (!d->trace.prints)
		return;
	kf_call_simple(d, KFIBER_IOC_SHUTDOWN, NULL);
	pthread_join(d->trace.thread, NULL);
}
