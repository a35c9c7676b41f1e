/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace points: what becomes of stacks, and of waits for files. What they say is for people
 * and their tools; Documentation/debugging.rst shows how to look at it.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM kfiber

#if !defined(KF_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KF_TRACE_H

#include <linux/tracepoint.h>

#include "chunk.h"
#include "internal.h"

/* Names are as user space sees them: generation above, index below. */
TRACE_EVENT(kfiber_stack_grow,
	TP_PROTO(struct kf_fiber *f, u32 before, u32 after, unsigned long address),
	TP_ARGS(f, before, after, address),

	TP_STRUCT__entry(
		__field(u64,		fiber)
		__field(unsigned long,	address)
		__field(pid_t,		owner)
		__field(u32,		stack_shift)
		__field(u32,		slot)
		__field(u32,		before)
		__field(u32,		after)
	),

	TP_fast_assign(
		__entry->owner = f->domain->owner;
		__entry->fiber = kf_fiber_name(f);
		__entry->stack_shift = f->stack_shift;
		__entry->slot = f->slot;
		__entry->before = before;
		__entry->after = after;
		__entry->address = address;
	),

	/* address=0: nobody touched it, KFIBER_IOC_START asked. */
	TP_printk("owner=%d fiber=%#llx stack_shift=%u slot=%u before=%u after=%u address=%#lx",
		  __entry->owner, __entry->fiber, __entry->stack_shift, __entry->slot,
		  __entry->before, __entry->after, __entry->address)
);

/* @f: NULL if there has never been a fiber in the slot */
TRACE_EVENT(kfiber_stack_refuse,
	TP_PROTO(struct kf_domain *d, struct kf_fiber *f, u32 stack_shift, u32 slot, u32 reason,
		 unsigned long address),
	TP_ARGS(d, f, stack_shift, slot, reason, address),

	TP_STRUCT__entry(
		__field(u64,		fiber)
		__field(unsigned long,	address)
		__field(pid_t,		owner)
		__field(u32,		stack_shift)
		__field(u32,		slot)
		__field(u32,		pages)
		__field(u32,		reason)
	),

	TP_fast_assign(
		__entry->owner = d->owner;
		__entry->fiber = f ? kf_fiber_name(f) : 0;
		__entry->stack_shift = stack_shift;
		__entry->slot = slot;
		__entry->pages = f ? atomic_read(&f->pages) : 0;
		__entry->reason = reason;
		__entry->address = address;
	),

	TP_printk("owner=%d fiber=%#llx stack_shift=%u slot=%u pages=%u reason=%s address=%#lx",
		  __entry->owner, __entry->fiber, __entry->stack_shift, __entry->slot,
		  __entry->pages,
		  __print_symbolic(__entry->reason,
				   { KFIBER_REFUSED_GUARD, "guard" },
				   { KFIBER_REFUSED_LIMIT, "limit" },
				   { KFIBER_REFUSED_OWNER, "owner" },
				   { KFIBER_REFUSED_DOMAIN, "domain" },
				   { KFIBER_REFUSED_USER, "user" },
				   { KFIBER_REFUSED_MEMORY, "memory" },
				   { KFIBER_REFUSED_FREE, "free" }),
		  __entry->address)
);

/* So that tools which read the format know the numbers. */
TRACE_DEFINE_ENUM(KF_TRIM_ASKED);
TRACE_DEFINE_ENUM(KF_TRIM_AGE);
TRACE_DEFINE_ENUM(KF_TRIM_SHRINKER);
TRACE_DEFINE_ENUM(KF_TRIM_TIGHT);
TRACE_DEFINE_ENUM(KF_TRIM_SHORT);
TRACE_DEFINE_ENUM(KF_TRIM_POOL);
TRACE_DEFINE_ENUM(KF_TRIM_LIMIT);

/*
 * A pass over the fibers of a domain, or as many of them as were asked for. @unmaps: the most that
 * it unmapped without letting fiber_mutex go.
 */
TRACE_EVENT(kfiber_stack_trim,
	TP_PROTO(struct kf_domain *d, enum kf_trim_why why, u32 fibers, u64 pages, u32 unmaps),
	TP_ARGS(d, why, fibers, pages, unmaps),

	TP_STRUCT__entry(
		__field(u64,		pages)
		__field(pid_t,		owner)
		__field(u32,		why)
		__field(u32,		fibers)
		__field(u32,		unmaps)
	),

	TP_fast_assign(
		__entry->owner = d->owner;
		__entry->why = why;
		__entry->fibers = fibers;
		__entry->pages = pages;
		__entry->unmaps = unmaps;
	),

	TP_printk("owner=%d why=%s fibers=%u pages=%llu unmaps=%u",
		  __entry->owner,
		  __print_symbolic(__entry->why,
				   { KF_TRIM_ASKED, "ioctl" },
				   { KF_TRIM_AGE, "age" },
				   { KF_TRIM_SHRINKER, "shrinker" },
				   { KF_TRIM_TIGHT, "tight" },
				   { KF_TRIM_SHORT, "short" },
				   { KF_TRIM_POOL, "pool" },
				   { KF_TRIM_LIMIT, "limit" }),
		  __entry->fibers, __entry->pages, __entry->unmaps)
);

/* A fiber is to wait: what it wants is not there. @events: as poll() has them */
TRACE_EVENT(kfiber_file_wait,
	TP_PROTO(struct kf_fiber *f, const struct kfiber_file *args, u32 events),
	TP_ARGS(f, args, events),

	TP_STRUCT__entry(
		__field(u64,		fiber)
		__field(pid_t,		owner)
		__field(s32,		fd)
		__field(u32,		operation)
		__field(u32,		events)
	),

	TP_fast_assign(
		__entry->owner = f->domain->owner;
		__entry->fiber = args->fiber;
		__entry->fd = args->fd;
		__entry->operation = args->operation;
		__entry->events = events;
	),

	TP_printk("owner=%d fiber=%#llx fd=%d operation=%s events=%#x",
		  __entry->owner, __entry->fiber, __entry->fd,
		  __print_symbolic(__entry->operation,
				   { KFIBER_FILE_POLL, "poll" },
				   { KFIBER_FILE_READ, "read" },
				   { KFIBER_FILE_WRITE, "write" },
				   { KFIBER_FILE_RECV, "recv" },
				   { KFIBER_FILE_SEND, "send" }),
		  __entry->events)
);

/* The file ends a fiber's wait. */
TRACE_EVENT(kfiber_file_wake,
	TP_PROTO(struct kf_fiber *f, u64 name),
	TP_ARGS(f, name),

	TP_STRUCT__entry(
		__field(u64,		fiber)
		__field(pid_t,		owner)
	),

	TP_fast_assign(
		__entry->owner = f->domain->owner;
		__entry->fiber = name;
	),

	TP_printk("owner=%d fiber=%#llx", __entry->owner, __entry->fiber)
);

/* A wait is over: its fiber calls again, or gave up. @fired: the file has ended it */
TRACE_EVENT(kfiber_file_end,
	TP_PROTO(struct kf_fiber *f, u64 name, bool fired),
	TP_ARGS(f, name, fired),

	TP_STRUCT__entry(
		__field(u64,		fiber)
		__field(pid_t,		owner)
		__field(bool,		fired)
	),

	TP_fast_assign(
		__entry->owner = f->domain->owner;
		__entry->fiber = name;
		__entry->fired = fired;
	),

	TP_printk("owner=%d fiber=%#llx fired=%d", __entry->owner, __entry->fiber,
		  __entry->fired)
);

#endif /* KF_TRACE_H */

/* This file is read several times; Kbuild says where it is. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
