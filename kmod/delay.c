// SPDX-License-Identifier: GPL-2.0
/*
 * What happens at a delay point, in test builds. Whether and how the n-th
 * arrival at a point since the seed was set is held up depends on the seed, the
 * point and n alone: two runs with one seed take the same decisions as far as
 * they arrive in the same order.
 *
 * In debugfs, directory kfiber-delay:
 *
 *   seed      setting it begins the counting of arrivals anew
 *   period    one arrival in so many is held up; 0: none
 *   points    a mask of points; the others are only counted. Bit n is for n, 64 + n, ...
 *   kinds     a mask, see enum kf_delay_kind
 *   spin_ns   the longest spin
 *   sleep_us  the longest sleep
 *   hits      number, name and arrivals of each point since loading
 */
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/jhash.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/seq_file.h>
#include <linux/string.h>

#include "delay.h"

enum kf_delay_kind {
	KF_DELAY_BY_SPIN	= 1,
	KF_DELAY_BY_YIELD	= 2,
	KF_DELAY_BY_SLEEP	= 4,
	KF_DELAY_BY_KILL	= 8,	/* SIGKILL for the calling process */
};

/* Of those held up; else a process would be dead before it has done anything. */
#define KF_DELAY_KILL_PERIOD 64u

/* With interrupts off: well below what the kernel takes for a stall. */
#define KF_DELAY_SPIN_NS_MAX 1000000u

/* Lengths are a maximum divided by 1, 2, 4 and so on: short ones are common. */
#define KF_DELAY_LENGTHS 8u

static u32 kf_delay_seed;
static u32 kf_delay_period;
static u64 kf_delay_mask = ~0ull;
static u32 kf_delay_kinds;
static u32 kf_delay_spin_ns;
static u32 kf_delay_sleep_us;
static atomic64_t kf_delay_hits[KF_DELAY_NR];
static s64 kf_delay_start[KF_DELAY_NR];
static struct dentry *kf_delay_dir;

/* One after the other. */
static const char kf_delay_names[] =
#define KF_DELAY_POINT(name) #name "\0"
#include "delay_points.h"
#undef KF_DELAY_POINT
;

/* Below a run-queue lock, too: so it looks at no clock that could take one. */
static void kf_delay_spin(u32 shift)
{
	u32 ns = min(READ_ONCE(kf_delay_spin_ns), KF_DELAY_SPIN_NS_MAX) >> shift;

	udelay(ns / NSEC_PER_USEC);
	ndelay(ns % NSEC_PER_USEC);
}

static void kf_delay_sleep_for(u32 shift)
{
	u32 us = max(READ_ONCE(kf_delay_sleep_us) >> shift, 1u);

	usleep_range(us, us + us / 4);
}

/* Those of @kinds that the context bears take turns, by chance. */
static void kf_delay_act(u32 kinds, u32 chance)
{
	u32 shift = chance % KF_DELAY_LENGTHS;
	u32 kind = chance / KF_DELAY_LENGTHS % 4;

	if (kinds & KF_DELAY_BY_KILL && chance / 64 % KF_DELAY_KILL_PERIOD == 0)
		send_sig(SIGKILL, current, 1);
	else if (kinds & KF_DELAY_BY_SLEEP && kind == 0)
		kf_delay_sleep_for(shift);
	else if (kinds & KF_DELAY_BY_YIELD && kind == 1)
		schedule();
	else if (kinds & KF_DELAY_BY_SPIN)
		kf_delay_spin(shift);
}

/**
 * kf_delay_hit() - count an arrival at a point; hold it up, perhaps
 * @point: the point
 * @may_sleep: the context may sleep, and the task may be killed
 *
 * Context: any.
 */
void kf_delay_hit(enum kf_delay_point point, bool may_sleep)
{
	s64 n = atomic64_inc_return(&kf_delay_hits[point]) - READ_ONCE(kf_delay_start[point]);
	u32 period = READ_ONCE(kf_delay_period);
	u32 kinds = READ_ONCE(kf_delay_kinds);
	u32 chance;

	if (!period || !(READ_ONCE(kf_delay_mask) >> (point % 64) & 1))
		return;
	chance = jhash_3words(READ_ONCE(kf_delay_seed), point, (u32)n, 0);
	if (chance % period)
		return;
	if (!may_sleep)
		kinds &= KF_DELAY_BY_SPIN;
	else if (current->flags & PF_KTHREAD)
		kinds &= ~KF_DELAY_BY_KILL;
	kf_delay_act(kinds, jhash_1word(chance, 0));
}

static int kf_delay_get_seed(void *data, u64 *value)
{
	*value = kf_delay_seed;
	return 0;
}

static int kf_delay_set_seed(void *data, u64 value)
{
	int i;

	for (i = 0; i < KF_DELAY_NR; i++)
		WRITE_ONCE(kf_delay_start[i], atomic64_read(&kf_delay_hits[i]));
	WRITE_ONCE(kf_delay_seed, value);
	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(kf_delay_seed_fops, kf_delay_get_seed, kf_delay_set_seed, "%llu\n");

static int kf_delay_hits_show(struct seq_file *m, void *unused)
{
	const char *name = kf_delay_names;
	int i;

	for (i = 0; i < KF_DELAY_NR; i++, name += strlen(name) + 1)
		seq_printf(m, "%d %s %lld\n", i, name, atomic64_read(&kf_delay_hits[i]));
	return 0;
}

DEFINE_SHOW_ATTRIBUTE(kf_delay_hits);

void kf_delay_init(void)
{
	kf_delay_dir = debugfs_create_dir("kfiber-delay", NULL);
	debugfs_create_file_unsafe("seed", 0600, kf_delay_dir, NULL, &kf_delay_seed_fops);
	debugfs_create_u32("period", 0600, kf_delay_dir, &kf_delay_period);
	debugfs_create_x64("points", 0600, kf_delay_dir, &kf_delay_mask);
	debugfs_create_x32("kinds", 0600, kf_delay_dir, &kf_delay_kinds);
	debugfs_create_u32("spin_ns", 0600, kf_delay_dir, &kf_delay_spin_ns);
	debugfs_create_u32("sleep_us", 0600, kf_delay_dir, &kf_delay_sleep_us);
	debugfs_create_file("hits", 0400, kf_delay_dir, NULL, &kf_delay_hits_fops);
}

void kf_delay_exit(void)
{
	debugfs_remove_recursive(kf_delay_dir);
}
