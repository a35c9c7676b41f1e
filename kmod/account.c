// SPDX-License-Identifier: GPL-2.0
/*
 * What memory is counted against, where it is handed out:
 *
 *   the domain's limit       its stacks; as SETUP asked
 *   the user's limit         stacks and control blocks of all domains that this
 *                            user has opened without CAP_SYS_RESOURCE: nothing of
 *                            it can be swapped out, so it is bounded as locked
 *                            memory is
 *   the memory cgroup        by the allocations themselves (GFP_KERNEL_ACCOUNT)
 *
 * And who wants to know before a limit is hit: the domain is "pressed" while one
 * of the three is used to more than a share of it. That is written to the
 * shared header, and the change to it tells an eventfd.
 *
 *            usage >= percent: header, eventfd
 *   EASY  ------------------------------------>  PRESSED
 *         <------------------------------------
 *            usage < percent - KF_PRESSURE_SLACK: header
 *
 * It is looked at when stacks grow or are trimmed, and while it is pressed by
 * the ageing work, so that it ends when nobody grows any more.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/eventfd.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/page_counter.h>
#include <linux/slab.h>
#include <linux/user_namespace.h>

#include "compat.h"
#include "internal.h"
#include "limits.h"

/* Percent below the share at which pressure ends, so that it does not flutter. */
#define KF_PRESSURE_SLACK 5u

/* Of a cgroup's limit: then stacks are trimmed, but not each time one grows. */
#define KF_TIGHT_PERCENT 90u
#define KF_TIGHT_PAGES 64u

static unsigned long unprivileged_bytes_max;
module_param(unprivileged_bytes_max, ulong, 0644);
MODULE_PARM_DESC(unprivileged_bytes_max,
		 "Bytes of stacks and control blocks for each user without CAP_SYS_RESOURCE (default 0: a quarter of the memory)");

static LIST_HEAD(kf_users);
static DEFINE_MUTEX(kf_users_lock);

/**
 * struct kf_user - what a user's domains hold together
 * @link: in kf_users; kf_users_lock
 * @uid: immutable
 * @domains: how many have a pointer to it; kf_users_lock
 * @pages: what they hold
 */
struct kf_user {
	struct list_head link;
	kuid_t uid;
	u32 domains;
	atomic_long_t pages;
};

static struct kf_user *kf_user_find_locked(kuid_t uid)
{
	struct kf_user *user;

	list_for_each_entry(user, &kf_users, link)
		if (uid_eq(user->uid, uid))
			return user;
	return NULL;
}

static struct kf_user *kf_user_create_locked(kuid_t uid)
{
	struct kf_user *user = kzalloc(sizeof(*user), GFP_KERNEL_ACCOUNT);

	if (!user)
		return NULL;
	user->uid = uid;
	list_add(&user->link, &kf_users);
	return user;
}

/**
 * kf_account_open() - find out who pays for a new domain
 * @d: the domain
 *
 * Context: the process that opens; may sleep.
 * Return: 0, -ENOMEM.
 */
int kf_account_open(struct kf_domain *d)
{
	kuid_t uid = current_uid();
	struct kf_user *user;

	spin_lock_init(&d->watch_lock);
	if (ns_capable_noaudit(&init_user_ns, CAP_SYS_RESOURCE))
		return 0;
	mutex_lock(&kf_users_lock);
	user = kf_user_find_locked(uid) ?: kf_user_create_locked(uid);
	if (user)
		user->domains++;
	mutex_unlock(&kf_users_lock);
	d->user = user;
	return user ? 0 : -ENOMEM;
}

/* Context: may sleep; nobody else has the domain. */
void kf_account_close(struct kf_domain *d)
{
	struct kf_user *user = d->user;

	if (d->watch_eventfd)
		eventfd_ctx_put(d->watch_eventfd);
	if (!user)
		return;
	atomic_long_sub(d->table_pages, &user->pages);
	mutex_lock(&kf_users_lock);
	if (!--user->domains) {
		list_del(&user->link);
		kfree(user);
	}
	mutex_unlock(&kf_users_lock);
}

static long kf_user_limit(void)
{
	unsigned long bytes = READ_ONCE(unprivileged_bytes_max);

	return bytes ? bytes >> PAGE_SHIFT : totalram_pages() / 4;
}

static bool kf_user_charge(struct kf_domain *d, u32 pages)
{
	return !d->user || kf_charge(&d->user->pages, kf_user_limit(), pages);
}

static void kf_user_uncharge(struct kf_domain *d, long pages)
{
	if (d->user)
		atomic_long_sub(pages, &d->user->pages);
}

/**
 * kf_account_tables() - count memory for control blocks
 * @d: the domain
 * @pages: how many
 *
 * Context: fiber_mutex. What is counted stays until the domain is freed, unless
 * kf_unaccount_tables() takes it back.
 * Return: 0, -EDQUOT.
 */
int kf_account_tables(struct kf_domain *d, u32 pages)
{
	if (!kf_user_charge(d, pages))
		return -EDQUOT;
	d->table_pages += pages;
	return 0;
}

/* Context: fiber_mutex. */
void kf_unaccount_tables(struct kf_domain *d, u32 pages)
{
	d->table_pages -= pages;
	kf_user_uncharge(d, pages);
}

/**
 * kf_account_stack() - count memory for stacks
 * @d: the domain
 * @pages: how many
 *
 * Context: any.
 * Return: KFIBER_REFUSED_NONE, or whose limit it would be beyond.
 */
u32 kf_account_stack(struct kf_domain *d, u32 pages)
{
	if (!kf_charge(&d->stack_pages, d->stack_pages_max, pages))
		return KFIBER_REFUSED_DOMAIN;
	if (kf_user_charge(d, pages))
		return KFIBER_REFUSED_NONE;
	atomic_long_sub(pages, &d->stack_pages);
	return KFIBER_REFUSED_USER;
}

/* Context: any. */
void kf_unaccount_stack(struct kf_domain *d, long pages)
{
	atomic_long_sub(pages, &d->stack_pages);
	kf_user_uncharge(d, pages);
}

/* Its stacks are gone with their mappings. Context: any. */
void kf_account_release(struct kf_domain *d)
{
	kf_unaccount_stack(d, atomic_long_read(&d->stack_pages));
}

/* --- pressure --------------------------------------------------------------- */

#ifdef CONFIG_MEMCG
/* File pages of a zone, in the lists of either kind of reclaim. */
static long kf_zone_cache(const struct mem_cgroup_per_node *node, enum zone_type zone)
{
	long pages = READ_ONCE(node->lru_zone_size[zone][LRU_INACTIVE_FILE]) +
		     READ_ONCE(node->lru_zone_size[zone][LRU_ACTIVE_FILE]);
#ifdef CONFIG_LRU_GEN
	int gen;

	for (gen = 0; gen < MAX_NR_GENS; gen++)
		pages += READ_ONCE(node->lruvec.lrugen.nr_pages[gen][LRU_GEN_FILE][zone]);
#endif
	return pages;
}

/*
 * Pages of files count against a cgroup's limit and are dropped when the room is
 * needed: a cgroup that reads files is always full, and not short of memory.
 */
static unsigned long kf_cgroup_cache(const struct mem_cgroup *memcg)
{
	long pages = 0;
	int nid, zone;

	for_each_node_state(nid, N_MEMORY)
		for (zone = 0; zone < MAX_NR_ZONES; zone++)
			pages += kf_zone_cache(memcg->nodeinfo[nid], zone);
	return max(pages, 0l);
}

static bool kf_counter_reaches(struct page_counter *counter, const struct mem_cgroup *memcg,
			       u32 percent)
{
	unsigned long max = READ_ONCE(counter->max), used;

	if (max >= PAGE_COUNTER_MAX)
		return false;
	used = page_counter_read(counter);
	if (!kf_reaches(used, max, percent))
		return false;
	return kf_reaches(used - min(used, kf_cgroup_cache(memcg)), max, percent);
}

/*
 * Of the domain's cgroup and those that it is in; of the latter's cache only its
 * own part is known. Context: its mm is alive.
 */
static bool kf_cgroup_reaches(struct kf_domain *d, u32 percent)
{
	struct mem_cgroup *memcg = get_mem_cgroup_from_mm(d->mm);
	struct page_counter *counter;
	bool reaches = false;

	if (!memcg)
		return false;
	for (counter = &memcg->memory; counter && !reaches; counter = counter->parent)
		reaches = kf_counter_reaches(counter, memcg, percent);
	mem_cgroup_put(memcg);
	return reaches;
}
#else
static bool kf_cgroup_reaches(struct kf_domain *d, u32 percent)
{
	return false;
}
#endif

/**
 * kf_account_tight() - had stacks better be trimmed before one grows?
 * @d: the domain
 *
 * When the memory cgroup is full, whichever allocation is next has somebody
 * killed, a page table's too: there is no asking us first, as reclaim in the
 * whole machine does. So near its end what is not needed is given back ahead. A
 * look at all fibers is only worth it after some growth, by faults or by START.
 *
 * Context: page fault or ioctl; the domain's mm is alive.
 */
bool kf_account_tight(struct kf_domain *d)
{
	u64 grown = atomic64_read(&d->stack_grown);

	if (grown < READ_ONCE(d->tight_next))
		return false;
	WRITE_ONCE(d->tight_next, grown + max(KF_TIGHT_PAGES, READ_ONCE(d->nr_fibers) / 64));
	return kf_cgroup_reaches(d, KF_TIGHT_PERCENT);
}

static bool kf_any_reaches(struct kf_domain *d, u32 percent)
{
	if (d->stack_pages_max != LONG_MAX &&
	    kf_reaches(atomic_long_read(&d->stack_pages), d->stack_pages_max, percent))
		return true;
	if (d->user && kf_reaches(atomic_long_read(&d->user->pages), kf_user_limit(), percent))
		return true;
	return kf_cgroup_reaches(d, percent);
}

static void kf_set_pressed(struct kf_domain *d, bool pressed)
{
	unsigned long flags;

	spin_lock_irqsave(&d->watch_lock, flags);
	if (d->pressed != pressed) {
		WRITE_ONCE(d->pressed, pressed);
		WRITE_ONCE(d->block->pressed, pressed);
		if (pressed && d->watch_eventfd)
			kf_eventfd_signal(d->watch_eventfd);
	}
	spin_unlock_irqrestore(&d->watch_lock, flags);
}

/**
 * kf_account_look() - is the domain pressed?
 * @d: the domain
 *
 * Context: any but hard interrupts; the domain's mm is alive.
 * Return: true if it is, and somebody wants to know.
 */
bool kf_account_look(struct kf_domain *d)
{
	u32 percent = READ_ONCE(d->watch_percent);
	bool pressed = READ_ONCE(d->pressed);

	if (!percent)
		return false;
	if (pressed)
		percent -= min(percent - 1, KF_PRESSURE_SLACK);
	if (kf_any_reaches(d, percent) != pressed)
		kf_set_pressed(d, !pressed);
	return READ_ONCE(d->pressed);
}

/**
 * kf_account_watch() - tell of pressure from now on
 * @d: the domain
 * @args: as user space gave them
 *
 * Context: may sleep.
 * Return: 0, -EINVAL, -EBADF.
 */
int kf_account_watch(struct kf_domain *d, const struct kfiber_watch *args)
{
	struct eventfd_ctx *ctx = NULL, *old;
	unsigned long flags;

	if (args->percent > 100 || args->fd < -1 || (args->fd >= 0 && !args->percent))
		return -EINVAL;
	if (args->fd >= 0) {
		ctx = eventfd_ctx_fdget(args->fd);
		if (IS_ERR(ctx))
			return PTR_ERR(ctx);
	}
	spin_lock_irqsave(&d->watch_lock, flags);
	old = d->watch_eventfd;
	d->watch_eventfd = ctx;
	WRITE_ONCE(d->watch_percent, args->percent);
	/* Who begins to watch is told of pressure that there is already. */
	WRITE_ONCE(d->pressed, false);
	WRITE_ONCE(d->block->pressed, false);
	spin_unlock_irqrestore(&d->watch_lock, flags);
	if (old)
		eventfd_ctx_put(old);
	if (kf_account_look(d))
		kf_trim_grown(d);
	return 0;
}
