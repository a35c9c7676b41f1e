// SPDX-License-Identifier: GPL-2.0
/*
 * Planted bugs: memory, arithmetic, lists, counters and the objects in them.
 *
 * A pointer goes through OPTIMIZER_HIDE_VAR() where the compiler would see the
 * bug itself.
 */
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/vmalloc.h>
#include <linux/workqueue.h>

#include "planted.h"

static void touch(char *p)
{
	OPTIMIZER_HIDE_VAR(p);
	(void)READ_ONCE(*p);
}

static void slab_bounds(void)
{
	char *p = kmalloc(20, GFP_KERNEL);

	if (!p)
		return;
	touch(p + 20);
	kfree(p);
}

static void use_after_free(void)
{
	char *p = kmalloc(20, GFP_KERNEL), *freed = p;

	OPTIMIZER_HIDE_VAR(freed);
	kfree(p);
	touch(freed);
}

static void double_free(void)
{
	char *p = kmalloc(20, GFP_KERNEL), *freed = p;

	OPTIMIZER_HIDE_VAR(freed);
	kfree(p);
	kfree(freed);
}

static void vmalloc_bounds(void)
{
	char *p = vmalloc(20);

	if (!p)
		return;
	touch(p + 25);
	vfree(p);
}

static void stack_bounds(void)
{
	char a[20] = "";

	touch(a + 21);
}

static void global_bounds(void)
{
	static char a[20];

	touch(a + 21);
}

static void shift(void)
{
	static int one = 1, width = 40;
	int shifted = READ_ONCE(one) << READ_ONCE(width);

	OPTIMIZER_HIDE_VAR(shifted);
}

/* Out of the array, not of the memory: KASAN has nothing to say. */
static void array_index(void)
{
	static struct {
		char a[4];
		char after[28];
	} in;
	static int index = 7;

	WRITE_ONCE(in.a[READ_ONCE(index)], 1);
}

static void list_add_twice(void)
{
	static LIST_HEAD(list);
	static struct list_head entry;

	list_add(&entry, &list);
	list_add(&entry, &list);
}

static void list_del_twice(void)
{
	static LIST_HEAD(list);
	static struct list_head entry;

	list_add(&entry, &list);
	list_del(&entry);
	list_del(&entry);
}

static void refcount_zero(void)
{
	refcount_t count = REFCOUNT_INIT(1);

	refcount_dec(&count);
}

static void refcount_above(void)
{
	refcount_t count = REFCOUNT_INIT(INT_MAX);

	refcount_inc(&count);
}

static void page_state(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (!page)
		return;
	page->mapping = (void *)8;
	__free_page(page);
}

static void page_without_owner(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (!page)
		return;
	set_page_count(page, 0);
	get_page(page);
}

/* It keeps the cache from being merged with another of its size. */
static void construct(void *object)
{
}

/* The cache is lost. */
static void slab_left(void)
{
	struct kmem_cache *cache = kmem_cache_create("kfiber_planted", 20, 0, 0, construct);

	if (!cache)
		return;
	(void)kmem_cache_alloc(cache, GFP_KERNEL);
	kmem_cache_destroy(cache);
}

struct with_timer {
	struct timer_list timer;
};

static void timer_fires(struct timer_list *timer)
{
}

/* The checker of objects stops timer and work before the memory is gone. */
static void free_timer(void)
{
	struct with_timer *p = kzalloc(sizeof(*p), GFP_KERNEL);

	if (!p)
		return;
	timer_setup(&p->timer, timer_fires, 0);
	mod_timer(&p->timer, jiffies + 3600 * HZ);
	kfree(p);
}

struct with_work {
	struct delayed_work work;
};

static void work_runs(struct work_struct *work)
{
}

static void free_work(void)
{
	struct with_work *p = kzalloc(sizeof(*p), GFP_KERNEL);

	if (!p)
		return;
	INIT_DELAYED_WORK(&p->work, work_runs);
	queue_delayed_work(system_wq, &p->work, 3600 * HZ);
	kfree(p);
}

static void leak(void)
{
	void *p = kmalloc(20, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(p);
}

const struct planted planted_memory[] = {
	{ "refcount-zero", AT_ONCE, EVERY_KERNEL,
	  "refcount_t: decrement hit 0", refcount_zero },
	{ "refcount-above", AT_ONCE, EVERY_KERNEL,
	  "refcount_t: saturated", refcount_above },
	{ "list-add", AT_ONCE, NEEDS(DEBUG_LIST),
	  "list_add (corruption|double add)", list_add_twice },
	{ "list-del", AT_ONCE, NEEDS(DEBUG_LIST),
	  "list_del corruption", list_del_twice },
	{ "page-state", AT_ONCE, NEEDS(DEBUG_VM),
	  "Bad page state", page_state },
	{ "page-without-owner", AT_ONCE, NEEDS(DEBUG_VM),
	  "kernel BUG at .*mm\\.h", page_without_owner },
	{ "slab-left", AT_ONCE, NEEDS(SLUB_DEBUG),
	  "BUG kfiber_planted .*: Objects remaining", slab_left },
	{ "free-timer", AT_ONCE, NEEDS(DEBUG_OBJECTS_FREE),
	  "ODEBUG: free active .* timer_list", free_timer },
	{ "free-work", AT_ONCE, NEEDS(DEBUG_OBJECTS_FREE),
	  "ODEBUG: free active .* timer_list", free_work },
	{ "shift", AT_ONCE, NEEDS(UBSAN_SHIFT),
	  "UBSAN: shift-out-of-bounds", shift },
	{ "array-index", AT_ONCE, NEEDS(UBSAN_BOUNDS),
	  "UBSAN: array-index-out-of-bounds", array_index },
	{ "slab-bounds", AT_ONCE, NEEDS(KASAN),
	  "KASAN: slab-out-of-bounds", slab_bounds },
	{ "use-after-free", AT_ONCE, NEEDS(KASAN),
	  "KASAN: slab-use-after-free", use_after_free },
	{ "double-free", AT_ONCE, NEEDS(KASAN),
	  "KASAN: double-free", double_free },
	{ "vmalloc-bounds", AT_ONCE, NEEDS(KASAN_VMALLOC),
	  "KASAN: vmalloc-out-of-bounds", vmalloc_bounds },
	{ "stack-bounds", AT_ONCE, NEEDS(KASAN),
	  "KASAN: stack-out-of-bounds", stack_bounds },
	{ "global-bounds", AT_ONCE, NEEDS(KASAN),
	  "KASAN: global-out-of-bounds", global_bounds },
	{ "leak", AT_END, NEEDS(DEBUG_KMEMLEAK),
	  "SPLAT: memory leaked", leak },
	{ }
};
