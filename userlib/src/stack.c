// SPDX-License-Identifier: LGPL-2.1-or-later
/* What is known of stacks and their memory, and giving back what is not needed. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

int64_t kf_trim(void)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	uint64_t pages;
	int err;

	if (!d)
		return -ESRCH;
	err = kf_call_trim(d, &pages);
	return err ? err : (int64_t)pages * sysconf(_SC_PAGESIZE);
}

int kf_stack_stats(kf_fiber_t fiber, struct kf_stack_stats *stats)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct kf_stack_stats all = { 0 };
	struct kfiber_fiber_block *f;
	struct kfiber_stack kernel;
	size_t size = stats->size;
	int err;

	if (size < sizeof(size) + sizeof(uint64_t))
		return -EINVAL;
	f = d ? kf_find(d, fiber) : NULL;
	if (!f)
		return -ESRCH;
	err = kf_call_stack(d, f->stack_shift, (uint64_t)f->slot << f->stack_shift, &kernel);
	if (err)
		return err;
	all.size = size;
	all.limit = kernel.limit * page;
	all.committed = kernel.pages * page;
	all.high_water = f->stack_high * page;
	all.guard = kernel.guard * page;
	all.faults = kernel.faults;
	all.refused = kernel.refused;
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
	return 0;
}

int kf_stack_usage(struct kf_stack_usage *usage)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct kf_stack_usage all = { 0 };
	struct kfiber_stats kernel;
	size_t size = usage->size;
	int err;

	if (size < sizeof(size) + sizeof(uint64_t))
		return -EINVAL;
	if (!d)
		return -ESRCH;
	err = kf_call_stats(d, KFIBER_STATS_USED, &kernel);
	if (err)
		return err;
	all.size = size;
	all.resident = kernel.stack_pages * page;
	all.used = kernel.stack_used;
	all.idle = kernel.stack_idle;
	memcpy(usage, &all, size < sizeof(all) ? size : sizeof(all));
	return 0;
}

int kf_watch_memory(int eventfd, unsigned int percent)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);

	return d ? kf_call_watch(d, eventfd, percent) : -ESRCH;
}

int kf_memory_pressure(void)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);

	return d && kf_is_pressed(d);
}
