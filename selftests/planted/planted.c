// SPDX-License-Identifier: GPL-2.0
/*
 * The device of the planted bugs, /dev/kfiber_planted.
 *
 * Reading it shows a line for each kind: name, when, option, whether this kernel
 * sees it, and its complaint, with a '|' between them. Writing a name plants
 * that bug, in the writer's context: some kill the writer.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "planted.h"

static const struct planted *const tables[] = {
	planted_locks,
	planted_tasks,
	planted_memory,
};

static const char *const when_names[] = {
	[ONE_CPU] = "one-cpu",
	[AT_ONCE] = "at-once",
	[AT_END] = "at-end",
	[LAST] = "last",
};

static const struct planted *find(const char *name)
{
	const struct planted *kind;
	int i;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (kind = tables[i]; kind->name; kind++)
			if (!strcmp(kind->name, name))
				return kind;
	return NULL;
}

static int planted_show(struct seq_file *m, void *unused)
{
	const struct planted *kind;
	int i;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (kind = tables[i]; kind->name; kind++)
			seq_printf(m, "%s|%s|%s|%s|%s\n", kind->name, when_names[kind->when],
				   kind->option ?: "", kind->seen ? "seen" : "unseen",
				   kind->complaint);
	return 0;
}

static int planted_open(struct inode *inode, struct file *file)
{
	/* misc_open() left its device there, and single_open() wants nothing. */
	file->private_data = NULL;
	return single_open(file, planted_show, NULL);
}

static ssize_t planted_write(struct file *file, const char __user *from, size_t len, loff_t *pos)
{
	const struct planted *kind;
	char name[64];

	if (len >= sizeof(name))
		return -EINVAL;
	if (copy_from_user(name, from, len))
		return -EFAULT;
	name[len] = '\0';
	kind = find(strim(name));
	if (!kind)
		return -EINVAL;
	if (!kind->seen)
		return -EOPNOTSUPP;
	kind->plant();
	return len;
}

static const struct file_operations planted_fops = {
	.owner = THIS_MODULE,
	.open = planted_open,
	.read = seq_read,
	.llseek = seq_lseek,
	.write = planted_write,
	.release = single_release,
};

static struct miscdevice planted_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kfiber_planted",
	.fops = &planted_fops,
};

module_misc_device(planted_device);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Bugs for kfiber's test harness to find");
