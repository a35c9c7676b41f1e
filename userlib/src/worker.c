// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Workers: the threads that run fibers. Each has its own stack, from which it
 * asks the module for a fiber when its processor has none, and to which fibers
 * switch back when there is nothing left to run.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "queue.h"

/* A worker's own stack: the loop, signal handlers that come while it runs. */
#define KF_WORKER_STACK (256u << 10)

__thread struct kf_worker *kf_this_worker __attribute__((used));

#ifndef __x86_64__
/* Return: NULL in a plain thread. */
KF_OUT_OF_LINE struct kf_worker *kf_worker_self(void)
{
	return kf_this_worker;
}
#endif

/* In a forked child there are no workers. */
void kf_worker_forget(void)
{
	kf_this_worker = NULL;
}

/* The domain has ended under a fiber: its worker leaves it where it is. */
static void kf_worker_abandon_fiber(struct kf_worker *w)
{
	struct kfiber_fiber_block *self = w->current;

	if (!self)
		return;
	w->current = NULL;
	w->after = KF_AFTER_NOTHING;
	kf_jump(w, NULL, &self->sp, false);
}

/*
 * The module can no longer be asked, and the caller cannot go on without an answer: its device
 * was closed under it. Does not return to the fiber.
 */
_Noreturn void kf_abandon(struct kf_worker *w)
{
	atomic_store_explicit(kf_atomic32(&w->block->critical), 1, memory_order_relaxed);
	kf_worker_abandon_fiber(w);
	__builtin_unreachable();
}

/*
 * A worker in a critical section has no processor: a signal, or valgrind, let it
 * through (handover.c). It stays in the section: what it is given is not taken
 * away again if it sleeps on its way out of the call. In valgrind each thread does,
 * and two of them could pass the processor to and fro for ever.
 * Does not return to a fiber whose domain has ended.
 */
void kf_acquire(struct kf_worker *w)
{
	int err;

	do {
		kf_delay(KF_DELAY_ACQUIRE);
		err = kf_call_simple(w->domain, KFIBER_IOC_ACQUIRE, &w->index);
		if (err && err != -EINTR) {
			kf_worker_abandon_fiber(w);
			return;
		}
	} while (kf_read32(&w->block->processor) == KFIBER_NO_PROCESSOR);
}

/*
 * The slice was over in a critical section: others run now, if they still wait.
 * What comes of it need not be known: who has lost its processor sees that when it
 * next enters a critical section.
 */
KF_OUT_OF_LINE void kf_make_up_for_slice(struct kf_worker *w)
{
	kf_delay(KF_DELAY_MAKE_UP);
	kf_call_simple(w->domain, KFIBER_IOC_ACQUIRE, &w->index);
}

static void kf_worker_free(struct kf_worker *w)
{
	kf_alt_stack_free(w);
	free(w);
}

/*
 * Of those that have left, the threads that have ended. Others may be in the program's
 * destructors of thread-local variables still, which take as long as they like: nobody waits
 * for them but the domain's end.
 */
static void kf_workers_reap(struct kf_domain *d)
{
	struct kf_worker **link, *w;

	pthread_mutex_lock(&d->lock);
	for (link = &d->left; (w = *link);) {
		if (pthread_tryjoin_np(w->thread, NULL)) {
			link = &w->next;
			continue;
		}
		*link = w->next;
		kf_worker_free(w);
	}
	pthread_mutex_unlock(&d->lock);
}

/*
 * The last that a thread does: one that leaves later joins it, or whoever makes another, so
 * that threads that come and go do not add up. Unless kf_workers_join() has taken it already.
 */
static void kf_worker_left(struct kf_worker *w)
{
	struct kf_domain *d = w->domain;
	struct kf_worker **link;

	kf_workers_reap(d);
	pthread_mutex_lock(&d->lock);
	for (link = &d->threads; *link && *link != w; link = &(*link)->next)
		;
	if (*link) {
		*link = w->next;
		w->next = d->left;
		d->left = w;
	}
	pthread_mutex_unlock(&d->lock);
}

static void *kf_worker_main(void *arg)
{
	struct kf_worker *w = arg;

	if (kf_worker_run(w))
		kf_call_kick(w->domain, KFIBER_KICK_NO_SPARE);
	kf_worker_left(w);
	return NULL;
}

static int kf_worker_create_thread(struct kf_worker *w)
{
	pthread_attr_t attr;
	int err = pthread_attr_init(&attr);

	if (err)
		return err;
	err = pthread_attr_setstacksize(&attr, KF_WORKER_STACK);
	if (!err)
		err = pthread_attr_setsigmask_np(&attr, &w->domain->sigmask);
	if (!err)
		err = pthread_create(&w->thread, &attr, kf_worker_main, w);
	pthread_attr_destroy(&attr);
	return err;
}

/*
 * The caller has taken the last worker that was asleep: there must be another
 * one before it runs a fiber, which may block. When none can be made the fiber's
 * processor waits if it does. Return: whether it was made.
 */
static bool kf_worker_make_spare(struct kf_domain *d)
{
	struct kf_worker *w = calloc(1, sizeof(*w));
	bool made = false;

	kf_workers_reap(d);
	if (w) {
		w->domain = d;
		pthread_mutex_lock(&d->lock);
		made = !kf_worker_create_thread(w);
		if (made) {
			w->next = d->threads;
			d->threads = w;
		}
		pthread_mutex_unlock(&d->lock);
	}
	if (!made) {
		free(w);
		kf_call_kick(d, KFIBER_KICK_NO_SPARE);
	}
	return made;
}

static bool kf_holds_processor(struct kf_worker *w)
{
	return kf_read32(&w->block->processor) != KFIBER_NO_PROCESSOR;
}

/* Return: false when the domain ended meanwhile. */
static bool kf_worker_spare_outside(struct kf_worker *w)
{
	kf_leave(w);
	kf_delay(KF_DELAY_SPARE);
	kf_worker_make_spare(w->domain);
	kf_enter(w);
	return kf_holds_processor(w);
}

/*
 * The fiber that went found nothing to run after it, but may have woken somebody by
 * going: the one that joins it. Return: false if the module is to be asked: there is
 * nobody, or it is the turn of somebody else.
 */
static bool kf_worker_pick(struct kf_worker *w, kf_fiber_t *name)
{
	if (w->pinned)
		return kf_pin_pick_critical(w, name);
	if (!kf_holds_processor(w) || w->arm || w->offer)
		return false;
	if (!w->unusual && kf_pick_usual_critical(kf_processor_block(w), name))
		return true;
	return kf_pick_critical(w, name) == KF_PICKED;
}

/* Asks for a fiber. Return: 0; -EINTR to try again; an error when the domain has ended. */
static int kf_worker_ask(struct kf_worker *w, kf_fiber_t *name)
{
	/* The thread of kf_run() has to wait for the domain's end anyway. */
	uint32_t flags = w == &w->domain->caller ? 0 : KFIBER_NEXT_SURPLUS;
	int err;

	kf_delay(KF_DELAY_NEXT);
	err = kf_call_next(w, name, &flags);
	if (flags & KFIBER_NEXT_NEED_SPARE && !kf_worker_spare_outside(w))
		return -EINTR;
	w->surplus = flags & KFIBER_NEXT_SURPLUS;
	return err;
}

/* No fiber will ever run again: says so, and ends the domain. */
static void kf_deadlock(struct kf_domain *d)
{
	if (!atomic_exchange(&d->deadlocked, true))
		kf_dump_fibers(d, STDERR_FILENO,
			       "kfiber: deadlock: fibers wait, and nothing can wake them\n",
			       KF_DUMP_STILL);
	kf_call_simple(d, KFIBER_IOC_SHUTDOWN, NULL);
}

/* Runs fibers until the domain ends, or the thread is not for others any more. */
static void kf_worker_loop(struct kf_worker *w)
{
	kf_fiber_t name;
	int err = 0;

	while (!w->leaves) {
		if (kf_cpus_are_due(w->domain)) {
			kf_leave(w);
			kf_cpus_look(w->domain);
			kf_enter(w);
		}
		/* Whoever looks for memory cannot take what this processor keeps warm. */
		if (kf_is_pressed(w->domain) && kf_holds_processor(w))
			kf_pools_drain_critical(w);
		/*
		 * Who was interrupted may have a processor now, as the last spare: then it is
		 * to hear that it has to make another, before anything is run.
		 */
		err = err != -EINTR && kf_worker_pick(w, &name) ? 0 : kf_worker_ask(w, &name);
		if (err == -EINTR)
			continue;
		if (err == -EDEADLK)
			kf_deadlock(w->domain);
		if (err || w->surplus)
			return;
		/* All fibers wait, and this is told to those who make the time. */
		if (!name) {
			kf_clock_jump_critical(w);
			continue;
		}
		kf_delay(KF_DELAY_RESUME);
		if (w->pinned)
			kf_pin_go_on_critical(w);
		w->after = KF_AFTER_NOTHING;
		kf_resume_critical(w, name, &w->sp, false);
		kf_arrive();
	}
}

/* Return: 0 when it has been one, an error when the thread could not become a worker. */
static int kf_worker_run_once(struct kf_worker *w)
{
	int err = kf_call_simple(w->domain, KFIBER_IOC_ATTACH, &w->index);

	if (err)
		return err;
	w->block = &w->domain->worker_blocks[w->index];
	w->header = w->domain->block;
	w->processors = w->domain->processor_blocks;
	w->fibers = w->domain->fiber_blocks;
	kf_note_unusual(w);
	kf_cpu_worker(w);
	if (!(w->domain->flags & KF_NO_FAULT_HANDLER))
		kf_alt_stack_give(w);
	w->errno_place = &errno;
	kf_this_worker = w;
	if (kf_is_checked())
		kf_check_worker(w);
	atomic_store_explicit(kf_atomic32(&w->block->critical), 1, memory_order_relaxed);
	kf_worker_loop(w);
	kf_delay(KF_DELAY_ENDED);
	kf_leave(w);
	kf_this_worker = NULL;
	kf_alt_stack_take(w);
	kf_call_simple(w->domain, KFIBER_IOC_DETACH, &w->index);
	return 0;
}

/*
 * A worker that leaves is replaced when no other is asleep. Return: false if that
 * cannot be done: better the thread than none.
 */
static bool kf_worker_succeed(struct kf_domain *d)
{
	return kf_read32(&d->block->shutdown) || kf_read32(&d->block->spares) ||
	       kf_worker_make_spare(d);
}

/**
 * kf_worker_run() - make the calling thread a worker until its domain ends
 * @w: has its domain; filled in
 *
 * Or until a fiber has ended that was pinned to it.
 *
 * Return: 0, an error when the thread could not become a worker.
 */
int kf_worker_run(struct kf_worker *w)
{
	int err = kf_worker_run_once(w);

	while (!err && w->leaves && !kf_worker_succeed(w->domain)) {
		w->leaves = false;
		err = kf_worker_run_once(w);
	}
	return err;
}

/* Takes a thread from the list. */
static struct kf_worker *kf_workers_pop(struct kf_domain *d)
{
	struct kf_worker **from, *w;

	pthread_mutex_lock(&d->lock);
	from = d->threads ? &d->threads : &d->left;
	w = *from;
	if (w)
		*from = w->next;
	pthread_mutex_unlock(&d->lock);
	return w;
}

/* Waits for all threads; one that still makes another has put it in the list. */
void kf_workers_join(struct kf_domain *d)
{
	struct kf_worker *w;

	while ((w = kf_workers_pop(d))) {
		pthread_join(w->thread, NULL);
		kf_worker_free(w);
	}
}
