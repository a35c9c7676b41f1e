// SPDX-License-Identifier: LGPL-2.1-or-later
/* The module's ioctls: each fills its struct in and makes errno a result. */
#include <errno.h>
#include <sys/ioctl.h>

#include "internal.h"

/* errno is the fiber's, and the thread may change in a call that sleeps. */
static KF_OUT_OF_LINE int kf_ioctl(int fd, unsigned long command, void *arg)
{
	int saved = errno;
	int err = ioctl(fd, command, arg) ? -errno : 0;

	errno = saved;
	return err;
}

/* SHUTDOWN, ATTACH, DETACH, ACQUIRE; @worker is in and out, NULL for none. */
int kf_call_simple(struct kf_domain *d, unsigned long command, uint32_t *worker)
{
	struct kfiber_simple args = { .size = sizeof(args), .worker = worker ? *worker : 0 };
	int err = kf_ioctl(d->fd, command, &args);

	if (!err && worker)
		*worker = args.worker;
	return err;
}

/* @flags: in: besides what @w says; out */
int kf_call_next(struct kf_worker *w, kf_fiber_t *name, uint32_t *flags)
{
	struct kfiber_next args = {
		.size = sizeof(args),
		.flags = *flags | KFIBER_NEXT_DEADLOCK | (w->offer ? KFIBER_NEXT_OFFER : 0),
		.worker = w->index,
		.arm = w->arm,
	};
	int err;

	if (w->pinned) {
		args.flags |= KFIBER_NEXT_ONLY;
		args.fiber = kf_name(w->domain, w->pinned);
	}
	err = kf_ioctl(w->domain->fd, KFIBER_IOC_NEXT, &args);

	w->arm = 0;
	w->offer = false;
	*name = args.fiber;
	*flags = err ? 0 : args.flags;
	return err;
}

void kf_call_kick(struct kf_domain *d, uint32_t flags)
{
	struct kfiber_kick args = { .size = sizeof(args), .flags = flags };

	kf_ioctl(d->fd, KFIBER_IOC_KICK, &args);
}

static int kf_call_fibers(struct kf_domain *d, unsigned long command, struct kfiber_fibers *args)
{
	args->size = sizeof(*args);
	return kf_ioctl(d->fd, command, args);
}

void kf_call_ready(struct kf_domain *d, const kf_fiber_t *names, unsigned int count)
{
	struct kfiber_fibers args = { .count = count, .fibers = (uintptr_t)names };

	kf_call_fibers(d, KFIBER_IOC_READY, &args);
}

void kf_call_arm(struct kf_domain *d, kf_fiber_t name)
{
	struct kfiber_fibers args = { .count = 1, .fibers = (uintptr_t)&name };

	kf_call_fibers(d, KFIBER_IOC_ARM, &args);
}

/* Return: how many, or an error. */
int kf_call_alloc(struct kf_domain *d, unsigned int stack_shift, kf_fiber_t *names,
		  unsigned int count)
{
	struct kfiber_fibers args = {
		.count = count, .stack_shift = stack_shift, .fibers = (uintptr_t)names,
	};
	int err = kf_call_fibers(d, KFIBER_IOC_ALLOC, &args);

	if (!err && kf_is_checked())
		kf_check_written(names, args.count * sizeof(*names));
	return err ? err : (int)args.count;
}

void kf_call_free(struct kf_domain *d, const kf_fiber_t *names, unsigned int count)
{
	struct kfiber_fibers args = { .count = count, .fibers = (uintptr_t)names };

	kf_call_fibers(d, KFIBER_IOC_FREE, &args);
}

int kf_call_stats(struct kf_domain *d, uint32_t flags, struct kfiber_stats *stats)
{
	*stats = (struct kfiber_stats){ .size = sizeof(*stats), .flags = flags };
	return kf_ioctl(d->fd, KFIBER_IOC_STATS, stats);
}

int kf_call_trim(struct kf_domain *d, uint64_t *pages)
{
	struct kfiber_trim args = { .size = sizeof(args) };
	int err = kf_ioctl(d->fd, KFIBER_IOC_TRIM, &args);

	*pages = args.pages;
	return err;
}

/* @offset: from the begin of the class's arena */
int kf_call_stack(struct kf_domain *d, unsigned int stack_shift, uint64_t offset,
		  struct kfiber_stack *stack)
{
	*stack = (struct kfiber_stack){
		.size = sizeof(*stack),
		.offset = (KFIBER_MAP_STACKS | (uint64_t)stack_shift << KFIBER_MAP_STACKS_SHIFT) +
			  offset,
	};
	return kf_ioctl(d->fd, KFIBER_IOC_STACK, stack);
}

int kf_call_watch(struct kf_domain *d, int eventfd, unsigned int percent)
{
	struct kfiber_watch args = { .size = sizeof(args), .fd = eventfd, .percent = percent };

	return kf_ioctl(d->fd, KFIBER_IOC_WATCH, &args);
}

/* @count: in and out */
int kf_call_processors(struct kf_domain *d, unsigned int *count)
{
	struct kfiber_processors args = { .size = sizeof(args), .count = *count };
	int err = kf_ioctl(d->fd, KFIBER_IOC_PROCESSORS, &args);

	*count = args.count;
	return err;
}

int kf_call_start(struct kf_domain *d, kf_fiber_t name, uint32_t pages)
{
	struct kfiber_start args = { .size = sizeof(args), .fiber = name, .pages = pages };

	return kf_ioctl(d->fd, KFIBER_IOC_START, &args);
}

int kf_call_file(struct kf_domain *d, struct kfiber_file *args)
{
	return kf_ioctl(d->fd, KFIBER_IOC_FILE, args);
}

/* Return: 0 at that time, -EINTR, or an error when the domain has ended. */
int kf_call_aside(struct kf_domain *d, uint64_t until)
{
	struct kfiber_aside args = { .size = sizeof(args), .until = until };

	return kf_ioctl(d->fd, KFIBER_IOC_ASIDE, &args);
}

/* errors: it has ended, or so has the domain */
void kf_call_interrupt(struct kf_domain *d, kf_fiber_t name)
{
	struct kfiber_fibers args = { .count = 1, .fibers = (uintptr_t)&name };

	kf_call_fibers(d, KFIBER_IOC_INTERRUPT, &args);
}

/* Return: 0: the module has no wait of it for a file; or an error. */
int kf_call_forget(struct kf_domain *d, kf_fiber_t name)
{
	struct kfiber_fibers args = { .count = 1, .fibers = (uintptr_t)&name };

	return kf_call_fibers(d, KFIBER_IOC_FORGET, &args);
}
