// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/kfiber: each open is a domain. The ioctls are a table, as iommufd has
 * it; every argument begins with its size.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "delay.h"
#include "internal.h"
#include "word.h"

/* Room for any argument, so that one copy serves all. */
union kf_args {
	struct kfiber_query query;
	struct kfiber_setup setup;
	struct kfiber_simple simple;
	struct kfiber_next next;
	struct kfiber_kick kick;
	struct kfiber_fibers fibers;
	struct kfiber_stats stats;
	struct kfiber_trim trim;
	struct kfiber_stack stack;
	struct kfiber_watch watch;
	struct kfiber_start start;
	struct kfiber_file file;
	struct kfiber_processors processors;
	struct kfiber_aside aside;
};

static int kf_ioctl_query(struct kf_domain *d, union kf_args *args)
{
	if (args->query.flags)
		return -EOPNOTSUPP;
	if (args->query.reserved)
		return -EINVAL;
	args->query.abi = KFIBER_ABI_VERSION;
	args->query.features = KFIBER_FEATURE_HANDOVER | KFIBER_FEATURE_TIMERS |
			       KFIBER_FEATURE_STACKS | KFIBER_FEATURE_TRIM;
	return 0;
}

static int kf_ioctl_setup(struct kf_domain *d, union kf_args *args)
{
	if (args->setup.flags & ~(KFIBER_SETUP_NO_HOLD | KFIBER_SETUP_QUIET))
		return -EOPNOTSUPP;
	return kf_domain_setup(d, &args->setup);
}

static int kf_check_simple(const struct kfiber_simple *args)
{
	if (args->flags)
		return -EOPNOTSUPP;
	return args->reserved ? -EINVAL : 0;
}

static int kf_ioctl_shutdown(struct kf_domain *d, union kf_args *args)
{
	int err = kf_check_simple(&args->simple);

	if (err)
		return err;
	if (args->simple.worker)
		return -EINVAL;
	kf_sched_shutdown(d);
	return 0;
}

static int kf_ioctl_stats(struct kf_domain *d, union kf_args *args)
{
	if (args->stats.flags & ~KFIBER_STATS_USED)
		return -EOPNOTSUPP;
	args->stats.stack_used = 0;
	args->stats.stack_idle = 0;
	if (args->stats.flags & KFIBER_STATS_USED)
		kf_usage(d, &args->stats);
	kf_domain_stats(d, &args->stats);
	return 0;
}

static int kf_ioctl_attach(struct kf_domain *d, union kf_args *args)
{
	int err = kf_check_simple(&args->simple);

	if (err)
		return err;
	return kf_worker_attach(d, &args->simple.worker);
}

static void kf_undo_attach(struct kf_domain *d, union kf_args *args)
{
	kf_worker_detach(d, args->simple.worker);
}

static int kf_ioctl_detach(struct kf_domain *d, union kf_args *args)
{
	int err = kf_check_simple(&args->simple);

	return err ? err : kf_worker_detach(d, args->simple.worker);
}

static int kf_ioctl_acquire(struct kf_domain *d, union kf_args *args)
{
	int err = kf_check_simple(&args->simple);

	return err ? err : kf_worker_acquire(d, args->simple.worker);
}

static int kf_ioctl_next(struct kf_domain *d, union kf_args *args)
{
	if (args->next.flags & ~(KFIBER_NEXT_OFFER | KFIBER_NEXT_ONLY | KFIBER_NEXT_DEADLOCK |
				 KFIBER_NEXT_SURPLUS))
		return -EOPNOTSUPP;
	if (args->next.reserved)
		return -EINVAL;
	return kf_worker_next(d, &args->next);
}

static int kf_ioctl_kick(struct kf_domain *d, union kf_args *args)
{
	if (args->kick.flags & ~KFIBER_KICK_NO_SPARE)
		return -EOPNOTSUPP;
	if (args->kick.flags & KFIBER_KICK_NO_SPARE)
		kf_sched_spare_failed(d);
	kf_sched_kick(d);
	return 0;
}

/* The checks that READY, ARM, ALLOC, FREE, FORGET and INTERRUPT have in common. */
static int kf_check_fibers(const struct kfiber_fibers *args, bool has_class)
{
	if (args->flags)
		return -EOPNOTSUPP;
	if (!args->count || args->count > KFIBER_BATCH_MAX)
		return -EINVAL;
	if (!has_class)
		return args->stack_shift ? -EINVAL : 0;
	if (args->stack_shift < KFIBER_STACK_SHIFT_MIN ||
	    args->stack_shift > KFIBER_STACK_SHIFT_MAX)
		return -EINVAL;
	return 0;
}

static int kf_ready_one(struct kf_domain *d, u64 name)
{
	struct kf_fiber *f = kf_fiber_find(d, kf_name_index(name));

	/* Generation 0 is no fiber's: a queue takes such a name for "none". */
	if (!f || !kf_name_generation(name))
		return -ENOENT;
	kf_sched_ready(d, f, name, KF_BY_USER);
	return 0;
}

/*
 * Calls @one for each name; stops at the first error, which is reported when
 * nothing was done.
 */
static int kf_apply_to_names(struct kf_domain *d, struct kfiber_fibers *args,
			     int (*one)(struct kf_domain *, u64))
{
	u64 __user *names = u64_to_user_ptr(args->fibers);
	u32 done;

	for (done = 0; done < args->count; done++) {
		u64 name;
		int err = get_user(name, names + done) ? -EFAULT : one(d, name);

		if (err && !done)
			return err;
		if (err)
			break;
	}
	args->count = done;
	return 0;
}

static int kf_ioctl_ready(struct kf_domain *d, union kf_args *args)
{
	int err = kf_check_fibers(&args->fibers, false);

	return err ? err : kf_apply_to_names(d, &args->fibers, kf_ready_one);
}

static int kf_ioctl_arm(struct kf_domain *d, union kf_args *args)
{
	int err = kf_check_fibers(&args->fibers, false);

	return err ? err : kf_apply_to_names(d, &args->fibers, kf_timer_arm);
}

static int kf_ioctl_alloc(struct kf_domain *d, union kf_args *args)
{
	struct kfiber_fibers *fibers = &args->fibers;
	int done, err = kf_check_fibers(fibers, true);
	u64 *names;

	if (err)
		return err;
	names = kmalloc_array(fibers->count, sizeof(*names), GFP_KERNEL);
	if (!names)
		return -ENOMEM;
	done = kf_fibers_alloc(d, fibers->stack_shift, names, fibers->count);
	if (done > 0) {
		fibers->count = done;
		if (copy_to_user(u64_to_user_ptr(fibers->fibers), names, done * sizeof(*names))) {
			kf_fibers_free(d, names, done);
			done = -EFAULT;
		}
	}
	kfree(names);
	return done < 0 ? done : 0;
}

static int kf_ioctl_free(struct kf_domain *d, union kf_args *args)
{
	struct kfiber_fibers *fibers = &args->fibers;
	int err = kf_check_fibers(fibers, false);
	u64 *names;

	if (err)
		return err;
	names = memdup_user(u64_to_user_ptr(fibers->fibers), fibers->count * sizeof(*names));
	if (IS_ERR(names))
		return PTR_ERR(names);
	fibers->count = kf_fibers_free(d, names, fibers->count);
	kfree(names);
	return fibers->count ? 0 : -ENOENT;
}

static int kf_ioctl_trim(struct kf_domain *d, union kf_args *args)
{
	if (args->trim.flags)
		return -EOPNOTSUPP;
	args->trim.pages = kf_trim_domain(d);
	return 0;
}

static int kf_ioctl_stack(struct kf_domain *d, union kf_args *args)
{
	if (args->stack.flags)
		return -EOPNOTSUPP;
	return kf_arena_query(d, &args->stack);
}

static int kf_ioctl_watch(struct kf_domain *d, union kf_args *args)
{
	if (args->watch.flags)
		return -EOPNOTSUPP;
	return kf_account_watch(d, &args->watch);
}

static int kf_ioctl_start(struct kf_domain *d, union kf_args *args)
{
	if (args->start.flags)
		return -EOPNOTSUPP;
	if (args->start.reserved || !args->start.pages || args->start.pages > KFIBER_START_MAX)
		return -EINVAL;
	return kf_arena_start(d, &args->start);
}

static int kf_ioctl_file(struct kf_domain *d, union kf_args *args)
{
	if (args->file.flags)
		return -EOPNOTSUPP;
	return kf_file(d, &args->file);
}

static void kf_undo_file(struct kf_domain *d, union kf_args *args)
{
	if (args->file.state == KFIBER_FILE_WAITS && args->file.fiber)
		kf_file_forget(d, args->file.fiber);
}

static int kf_ioctl_forget(struct kf_domain *d, union kf_args *args)
{
	int err = kf_check_fibers(&args->fibers, false);

	return err ? err : kf_apply_to_names(d, &args->fibers, kf_file_forget);
}

static int kf_ioctl_processors(struct kf_domain *d, union kf_args *args)
{
	if (args->processors.flags)
		return -EOPNOTSUPP;
	return kf_processors_set(d, &args->processors);
}

static int kf_ioctl_aside(struct kf_domain *d, union kf_args *args)
{
	if (args->aside.flags)
		return -EOPNOTSUPP;
	return kf_aside(d, args->aside.until);
}

static int kf_ioctl_interrupt(struct kf_domain *d, union kf_args *args)
{
	int err = kf_check_fibers(&args->fibers, false);

	return err ? err : kf_apply_to_names(d, &args->fibers, kf_interrupt);
}

/**
 * struct kf_ioctl - one command
 * @handler: does it; context: may sleep, no locks held
 * @undo: takes back what @handler did when its results cannot be delivered
 * @size: of the argument as this kernel knows it
 * @min_size: up to its last required field
 * @any_time: also before SETUP, and for any holder of the file
 */
struct kf_ioctl {
	int (*handler)(struct kf_domain *d, union kf_args *args);
	void (*undo)(struct kf_domain *d, union kf_args *args);
	u16 size;
	u16 min_size;
	bool any_time;
};

#define KF_IOCTL(command, fn, type, last, ...)				\
	[_IOC_NR(command)] = {						\
		.handler = fn, .size = sizeof(type),			\
		.min_size = offsetofend(type, last), __VA_ARGS__	\
	}

static const struct kf_ioctl kf_ioctls[] = {
	KF_IOCTL(KFIBER_IOC_QUERY, kf_ioctl_query, struct kfiber_query, features,
		 .any_time = true),
	KF_IOCTL(KFIBER_IOC_SETUP, kf_ioctl_setup, struct kfiber_setup, stack_bytes_max),
	KF_IOCTL(KFIBER_IOC_SHUTDOWN, kf_ioctl_shutdown, struct kfiber_simple, reserved),
	KF_IOCTL(KFIBER_IOC_STATS, kf_ioctl_stats, struct kfiber_stats, flags),
	KF_IOCTL(KFIBER_IOC_ATTACH, kf_ioctl_attach, struct kfiber_simple, reserved,
		 .undo = kf_undo_attach),
	KF_IOCTL(KFIBER_IOC_DETACH, kf_ioctl_detach, struct kfiber_simple, reserved),
	KF_IOCTL(KFIBER_IOC_NEXT, kf_ioctl_next, struct kfiber_next, fiber),
	KF_IOCTL(KFIBER_IOC_ACQUIRE, kf_ioctl_acquire, struct kfiber_simple, reserved),
	KF_IOCTL(KFIBER_IOC_KICK, kf_ioctl_kick, struct kfiber_kick, flags),
	KF_IOCTL(KFIBER_IOC_READY, kf_ioctl_ready, struct kfiber_fibers, fibers),
	KF_IOCTL(KFIBER_IOC_ARM, kf_ioctl_arm, struct kfiber_fibers, fibers),
	KF_IOCTL(KFIBER_IOC_ALLOC, kf_ioctl_alloc, struct kfiber_fibers, fibers),
	KF_IOCTL(KFIBER_IOC_FREE, kf_ioctl_free, struct kfiber_fibers, fibers),
	KF_IOCTL(KFIBER_IOC_TRIM, kf_ioctl_trim, struct kfiber_trim, flags),
	KF_IOCTL(KFIBER_IOC_STACK, kf_ioctl_stack, struct kfiber_stack, fiber),
	KF_IOCTL(KFIBER_IOC_WATCH, kf_ioctl_watch, struct kfiber_watch, percent),
	KF_IOCTL(KFIBER_IOC_START, kf_ioctl_start, struct kfiber_start, reserved),
	KF_IOCTL(KFIBER_IOC_FILE, kf_ioctl_file, struct kfiber_file, result,
		 .undo = kf_undo_file),
	KF_IOCTL(KFIBER_IOC_FORGET, kf_ioctl_forget, struct kfiber_fibers, fibers),
	KF_IOCTL(KFIBER_IOC_PROCESSORS, kf_ioctl_processors, struct kfiber_processors, max),
	KF_IOCTL(KFIBER_IOC_ASIDE, kf_ioctl_aside, struct kfiber_aside, until),
	KF_IOCTL(KFIBER_IOC_INTERRUPT, kf_ioctl_interrupt, struct kfiber_fibers, fibers),
};

/* Has SETUP been done? Then what it made can be used. */
static bool kf_is_ready(struct kf_domain *d)
{
	return smp_load_acquire(&d->ready);	/* pairs with kf_domain_setup() */
}

/* May the caller use the domain, and is it there? SETUP wants it not to be. */
static int kf_check_caller(struct kf_domain *d, unsigned int command)
{
	bool wants_ready = command != KFIBER_IOC_SETUP;

	if (current->mm != d->mm)
		return -EPERM;
	return kf_is_ready(d) == wants_ready ? 0 : -EBADFD;
}

static long kf_ioctl(struct file *file, unsigned int command, unsigned long arg)
{
	void __user *argp = (void __user *)arg;
	struct kf_domain *d = file->private_data;
	const struct kf_ioctl *op;
	union kf_args args;
	u32 size;
	int err;

	if (_IOC_NR(command) >= ARRAY_SIZE(kf_ioctls) ||
	    command != _IO(KFIBER_IOC_TYPE, _IOC_NR(command)))
		return -ENOTTY;
	op = &kf_ioctls[_IOC_NR(command)];
	if (!op->handler)
		return -ENOTTY;
	if (!op->any_time) {
		err = kf_check_caller(d, command);
		if (err)
			return err;
	}
	if (get_user(size, (u32 __user *)argp))
		return -EFAULT;
	if (size < op->min_size)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	memset(&args, 0, sizeof(args));
	err = copy_struct_from_user(&args, op->size, argp, size);
	if (err)
		return err;
	err = op->handler(d, &args);
	if (err)
		return err;
	if (copy_to_user(argp + sizeof(u32), (void *)&args + sizeof(u32),
			 min_t(u32, size, op->size) - sizeof(u32))) {
		if (op->undo)
			op->undo(d, &args);
		return -EFAULT;
	}
	return 0;
}

static int kf_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct kf_domain *d = file->private_data;
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	int err = kf_check_caller(d, 0);

	if (err)
		return err;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (offset >= KFIBER_MAP_STACKS)
		return kf_arena_mmap(d, vma, offset);
	return kf_shared_mmap(d, vma, offset);
}

static int kf_open(struct inode *inode, struct file *file)
{
	struct kf_domain *d = kf_domain_create(inode);

	if (IS_ERR(d))
		return PTR_ERR(d);
	file->private_data = d;
	file->f_mapping = &d->mapping;
	return 0;
}

/*
 * Closing the descriptor where it was opened ends the domain: its workers are
 * asleep in calls that hold the file, so waiting for the last reference would
 * wait for ever. A forked child, or the child of a vfork, has a file table of
 * its own and ends nothing. A thread that exits has no memory any more, but the
 * files, and after exec() there is other memory; a file that a fiber waits for may hold this one (a socket in which it is
 * sent), so that too would wait for ever. What is not set up by then never is: a thread with a
 * table of its own may still have it, and nobody would end it.
 */
static int kf_flush(struct file *file, fl_owner_t id)
{
	struct kf_domain *d = file->private_data;
	bool owner = id == d->files && (current->mm == d->mm || current->flags & PF_EXITING ||
					!atomic_read(&d->mm->mm_users));

	kf_delay_sleep(KF_DELAY_FLUSH);
	if (owner)
		kf_domain_close(d);
	return 0;
}

static int kf_release(struct inode *inode, struct file *file)
{
	kf_domain_release(file->private_data);
	return 0;
}

static const struct file_operations kf_fops = {
	.owner = THIS_MODULE,
	.open = kf_open,
	.flush = kf_flush,
	.release = kf_release,
	.unlocked_ioctl = kf_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.mmap = kf_mmap,
	.llseek = noop_llseek,
};

static struct miscdevice kf_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kfiber",
	.fops = &kf_fops,
	.mode = 0600,
};

int kf_device_init(void)
{
	return misc_register(&kf_misc);
}

void kf_device_exit(void)
{
	misc_deregister(&kf_misc);
}
