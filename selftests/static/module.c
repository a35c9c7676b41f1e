// SPDX-License-Identifier: GPL-2.0
/*
 * A module with a bug for each of tools/check-static's checkers of kernel code:
 * one that does not find its own is broken. Never loaded.
 */
#include <linux/err.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

struct planted {
	struct list_head link;
	int value;
	int *pointer;
};

static DEFINE_MUTEX(planted_lock);
static LIST_HEAD(planted_list);

int planted_free(struct planted *p);
int planted_null(struct planted *p);
int planted_lock_twice(struct planted *p);
int planted_iterator(int value);
int planted_test(unsigned int a, unsigned int b);
int planted_misc(struct planted *p);
void *planted_api(const void *from, size_t size);
int planted_user(int __user *p);
int planted_style(int value);

/* coccinelle's free, clang */
int planted_free(struct planted *p)
{
	kfree(p);
	return p->value;
}

/* coccinelle's null, clang */
int planted_null(struct planted *p)
{
	if (!p)
		return p->value;
	return 0;
}

/* coccinelle's locks */
int planted_lock_twice(struct planted *p)
{
	mutex_lock(&planted_lock);
	if (!p->value)
		return -EINVAL;
	mutex_unlock(&planted_lock);
	return 0;
}

/* coccinelle's iterators */
int planted_iterator(int value)
{
	struct planted *p;

	list_for_each_entry(p, &planted_list, link)
		if (p && p->value == value)
			return 1;
	return 0;
}

/* coccinelle's tests */
int planted_test(unsigned int a, unsigned int b)
{
	return (a == b) || (a == b);
}

/* coccinelle's misc */
int planted_misc(struct planted *p)
{
	switch (p->value) {
	case 1:
		return 2;
	};
	return 3;
}

/* coccinelle's api */
void *planted_api(const void *from, size_t size)
{
	void *to;

	to = kmalloc(size, GFP_KERNEL);
	if (!to)
		return NULL;
	memcpy(to, from, size);
	return to;
}

/* sparse */
int planted_user(int __user *p)
{
	return *p;
}

/* checkpatch */
int planted_style(int value)
{
	return value+1 ;
}

/* W=1 */
int planted_without_prototype(void)
{
	return 0;
}

MODULE_LICENSE("GPL");
