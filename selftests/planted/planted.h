/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Bugs to be found, one of each kind that a kernel can complain about.
 *
 * locks.c, memory.c and tasks.c have the bugs, each in a table that ends with an
 * empty entry; planted.c has the device that shows the tables and plants what is
 * asked for.
 */
#ifndef KF_PLANTED_H
#define KF_PLANTED_H

#include <linux/kconfig.h>
#include <linux/types.h>

/* When a bug can be planted, and when the kernel is to complain. */
enum when {
	ONE_CPU,	/* at once; only while one CPU is online: see locks.c */
	AT_ONCE,	/* before the write() that plants it is over */
	AT_END,		/* when the machine looks at what is left */
	LAST,		/* the same, or it ends the machine: one such bug a boot */
};

/**
 * struct planted - a kind of bug
 * @name: what user space asks for it by
 * @when: when it shows
 * @option: the kernel's option that makes it visible, without CONFIG_; NULL:
 *	every kernel sees it
 * @seen: whether this kernel has that option. Otherwise it is not planted: it
 *	would do harm and nobody would say so
 * @complaint: what the kernel's complaint says, as an extended regular
 *	expression; empty: nothing, this is no bug
 * @plant: plants it
 */
struct planted {
	const char *name;
	enum when when;
	const char *option;
	bool seen;
	const char *complaint;
	void (*plant)(void);
};

#define EVERY_KERNEL	.seen = true
#define NEEDS(name)	.option = #name, .seen = IS_ENABLED(CONFIG_##name)

extern const struct planted planted_locks[];
extern const struct planted planted_memory[];
extern const struct planted planted_tasks[];

#endif /* KF_PLANTED_H */
