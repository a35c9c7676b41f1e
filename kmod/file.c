// SPDX-License-Identifier: GPL-2.0
/*
 * Fibers that wait for files. One call tries what the fiber wants, without blocking;
 * if it would block, the call enters the wait queues that the file's poll names, and
 * the fiber parks. A function in those queues then does what a timer does: it moves
 * the fiber's word and queues the fiber. So there is no thread that waits, and no
 * epoll.
 *
 *   fiber's call                           queue's function (whoever wakes the queue)
 *   try: would block
 *   QUIET; enter the queues, poll    [F]   the file has changed
 *   something there: try again             QUIET -> STIRRED                  [F]
 *   nothing: QUIET -> ARMED, or if
 *   STIRRED: QUIET, poll again
 *   the fiber has the wait                 ARMED -> FIRED: leaves its queue, sends WAKE
 *   WAITS: it parks
 *   woken: calls again, which takes
 *   the wait out of all queues and
 *   begins anew
 *
 * [F] Both are moved with full barriers: either poll sees the change, or the call
 * sees STIRRED. While the call has the wait nothing is sent, so an operation that is
 * done at once leaves no WAKE behind that would end another wait. What is sent is sent
 * once, by the one that moves ARMED to FIRED.
 *
 * Who ends a wait. The fiber's own next call; FORGET, when its deadline came first
 * or somebody else woke it; the fiber's death, or its block being given back; the
 * domain's end. Each takes fiber.file_wait by exchange, so one of them gets it, and
 * that one alone leaves the queues, lets the file go and frees it. Leaving a queue takes its
 * lock, under which the function runs: after that it neither runs nor will. So who has taken a
 * wait that is FIRED knows that WAKE has been sent, and FORGET's caller can take it.
 *
 * The domain's end and a call that enters must see each other: the call stores
 * file_wait, full barrier, looks at "shutdown"; the end stores that, full barrier,
 * and goes through all fibers [G]. So does who gives a block back, with "allocated".
 *
 * The open file. A wait holds it: the queues are the file's. close() of the descriptor,
 * by another fiber, ends no wait, as it ends no read() in another thread; the file stays open
 * until it is woken by something else. The call that comes then compares what the descriptor
 * stands for now, and gives EBADF if another file has got the number. Who is told READY or BUSY
 * has no wait: it calls with the number, as any program does between poll() and read(). Files
 * may hold the device's file in turn (a descriptor that is on its way through a socket that
 * somebody waits for), so waits end with the domain, and that is when its owner closes it, or
 * exits, not when the last reference goes.
 *
 * POLLFREE. Some queues are not the file's, and go before it: signalfd's is the
 * signal handlers' of the thread that polled, binder's the thread's. They are woken with
 * POLLFREE first and freed after a grace period. The function sends the wake-up, leaves the
 * queue, and says in "head" that there is none any more. That store is its last
 * access: who leaves the queues under RCU either sees it, or has a queue that is still
 * there, and waits for its lock. epoll and io_uring do the same. Who has left such a queue because
 * it fired hears of no POLLFREE, and so says the same. While the call has the wait, poll
 * has named that queue and would not be asked for another: GONE in the place of STIRRED has the
 * call begin anew with another wait. (Who polls keeps signalfd's and binder's alive meanwhile.
 * Nothing says that all such queues are like that.)
 *
 * selftests/models/file.pml is a model of all this.
 *
 * Locks. The function runs under the queue's lock, with interrupts off, maybe in
 * a hard interrupt (timerfd) or with the signal lock held (signalfd); it takes domain.lock,
 * and wakes workers when that is released. No queue is woken under domain.lock or a
 * run-queue lock. User memory is touched by the tries alone: no lock of ours is held.
 */
#include <linux/file.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include <linux/socket.h>
#include <linux/uio.h>
#include <linux/wait.h>
#include <net/sock.h>

#include "chunk.h"
#include "compat.h"
#include "delay.h"
#include "internal.h"
#include "ready.h"
#include "trace.h"
#include "word.h"

/*
 * How often a call looks again: others who are quicker take what poll has told of. A file
 * that says it is ready and is not (a datagram for a full receiver) does so for ever. Which of the
 * two it is cannot be told, so the caller is to ask later (BUSY): a call that blocked in its
 * place would have no deadline, and keep a thread.
 */
#define KF_FILE_LOOKS 8

/**
 * struct kf_file_queue - a place in one wait queue of a file
 * @head: the queue; NULL when it was not entered, or has been left by its function
 * @wait: whose
 * @next: the wait's next
 * @entry: in @head, under its lock
 */
struct kf_file_queue {
	struct wait_queue_head *head;
	struct kf_file_wait *wait;
	struct kf_file_queue *next;
	struct wait_queue_entry entry;
};

/**
 * struct kf_file_wait - a fiber's wait for a file
 * @fiber: who waits; immutable, as the next three
 * @name: its name
 * @file: holds a reference
 * @events: what it waits for
 * @state: enum kf_file_state; compare-and-exchange
 * @told: a trace says that it began, so one is to say that it ended
 * @first: the first queue: most files have one
 */
struct kf_file_wait {
	struct kf_fiber *fiber;
	u64 name;
	struct file *file;
	__poll_t events;
	atomic_t state;
	bool told;
	struct kf_file_queue first;
};

/* What poll() is given: the table, and what it is for. */
struct kf_file_poll {
	struct poll_table_struct table;
	struct kf_file_wait *wait;
	int error;
};

/* --- wake-up -------------------------------------------------------------------- */

/* Return: true if the wait has fired: it needs its queues no more. @gone: as POLLFREE says */
static bool kf_file_stir(struct kf_file_wait *wait, bool gone)
{
	struct kf_fiber *f = wait->fiber;
	int new, old = atomic_read(&wait->state);

	do {
		new = kf_file_stirred(old, gone);
	} while (!atomic_try_cmpxchg(&wait->state, &old, new));		/* [F] */
	if (old == KF_FILE_ARMED) {
		atomic64_inc(&f->domain->file_wakes);
		trace_kfiber_file_wake(f, wait->name);
		kf_delay(KF_DELAY_FILE_FIRED);
		if (kf_word_wake(&kf_fiber_block(f)->word, wait->name, KFIBER_WAKE))
			kf_sched_ready(f->domain, f, wait->name, KF_BY_MODULE);
	}
	return new == KF_FILE_FIRED;
}

/* Leaves a queue, from within it. It may go then without a word to us: it is forgotten too. */
static void kf_file_left(struct kf_file_queue *q)
{
	list_del_init(&q->entry.entry);
	/* Pairs with kf_file_leave(): the wait may be gone after it. */
	smp_store_release(&q->head, NULL);
}

/* Context: the queue's lock, any interrupt. */
static int kf_file_woken(struct wait_queue_entry *entry, unsigned int mode, int sync, void *key)
{
	struct kf_file_queue *q = container_of(entry, struct kf_file_queue, entry);
	__poll_t events = key_to_poll(key);
	bool gone = events & POLLFREE;

	if (events && !gone && !(events & q->wait->events))
		return 0;
	if (kf_file_stir(q->wait, gone) || gone)
		kf_file_left(q);
	return 1;
}

/* --- a wait's life ---------------------------------------------------------------- */

static void kf_file_enter(struct file *file, struct wait_queue_head *head,
			  struct poll_table_struct *table)
{
	struct kf_file_poll *poll = container_of(table, struct kf_file_poll, table);
	struct kf_file_wait *wait = poll->wait;
	struct kf_file_queue *q = &wait->first;

	if (poll->error)
		return;
	if (q->head) {
		q = kmalloc(sizeof(*q), GFP_KERNEL_ACCOUNT);
		if (!q) {
			poll->error = -ENOMEM;
			return;
		}
		q->next = wait->first.next;
		wait->first.next = q;
	}
	q->wait = wait;
	q->head = head;
	init_waitqueue_func_entry(&q->entry, kf_file_woken);
	add_wait_queue(head, &q->entry);
}

/* Afterwards the queue's function neither runs nor will. */
static void kf_file_leave(struct kf_file_queue *q)
{
	struct wait_queue_head *head;

	rcu_read_lock();
	head = smp_load_acquire(&q->head);	/* pairs with kf_file_left() */
	if (head) {
		spin_lock_irq(&head->lock);
		list_del_init(&q->entry.entry);
		spin_unlock_irq(&head->lock);
	}
	rcu_read_unlock();
}

/* Context: may sleep; the wait is the caller's alone. */
static void kf_file_wait_free(struct kf_file_wait *wait)
{
	struct kf_file_queue *q = wait->first.next;

	kf_file_leave(&wait->first);
	while (q) {
		struct kf_file_queue *next = q->next;

		kf_file_leave(q);
		kfree(q);
		q = next;
	}
	/* It is in no queue any more, so whether it has fired is certain. */
	if (wait->told)
		trace_kfiber_file_end(wait->fiber, wait->name,
				      atomic_read(&wait->state) == KF_FILE_FIRED);
	fput(wait->file);
	kfree(wait);
}

static struct kf_file_wait *kf_file_wait_create(struct kf_fiber *f, u64 name, struct file *file,
						__poll_t events)
{
	struct kf_file_wait *wait = kzalloc(sizeof(*wait), GFP_KERNEL_ACCOUNT);

	if (!wait)
		return NULL;
	wait->fiber = f;
	wait->name = name;
	wait->file = get_file(file);
	wait->events = events;
	atomic_set(&wait->state, KF_FILE_QUIET);
	return wait;
}

/* Who takes the last one need not be a fiber: a clock that stood still for it may go on. */
static void kf_file_uncount(struct kf_domain *d)
{
	if (!atomic_dec_and_test(&d->nr_file_waits))
		return;
	if (d->tells_quiet)
		kf_sched_dispatch(d);
	kf_deadlock_stir(d);					/* [H] of deadlock.c */
}

/* Takes the fiber's wait, if it has one: it is the caller's to free. */
static struct kf_file_wait *kf_file_take(struct kf_fiber *f)
{
	struct kf_file_wait *wait = NULL;

	if (READ_ONCE(f->file_wait))
		wait = xchg(&f->file_wait, NULL);
	if (wait) {
		kf_file_uncount(f->domain);
		kf_delay_sleep(KF_DELAY_FILE_TAKEN);
	}
	return wait;
}

/**
 * kf_file_drop() - end a fiber's wait for a file, if there is one
 * @f: the fiber
 *
 * Context: may sleep.
 */
void kf_file_drop(struct kf_fiber *f)
{
	struct kf_file_wait *wait = kf_file_take(f);

	if (wait)
		kf_file_wait_free(wait);
}

/**
 * kf_file_drop_all() - end all waits: the domain has ended
 * @d: the domain, with "shutdown" set
 *
 * Context: may sleep.
 */
void kf_file_drop_all(struct kf_domain *d)
{
	struct kf_fiber_chunk *chunk;
	unsigned long page;
	u32 i;

	smp_mb();						/* [G] */
	if (!atomic_read(&d->nr_file_waits))
		return;
	xa_for_each(&d->chunks, page, chunk) {
		for (i = 0; i < KF_FIBERS_PER_PAGE; i++)
			kf_file_drop(&chunk->fibers[i]);
		cond_resched();
	}
}

/*
 * Gives a wait to its fiber. Return: 0; an error: it is still the caller's. Whoever ends all
 * waits, of the domain or of a block that is given back, may have looked before it was
 * there. It is taken back then, unless another has taken it meanwhile: that one frees it, and
 * the fiber may have the wait of a third call.
 */
static int kf_file_give(struct kf_fiber *f, struct kf_file_wait *wait)
{
	struct kf_domain *d = f->domain;
	bool ended;

	atomic_inc(&d->nr_file_waits);
	kf_delay_sleep(KF_DELAY_FILE_ARMED);
	/* Another thread that calls for the same fiber. */
	if (cmpxchg(&f->file_wait, NULL, wait)) {		/* [G] */
		kf_file_uncount(d);
		return -EINVAL;
	}
	kf_delay_sleep(KF_DELAY_FILE_HAS);
	ended = READ_ONCE(d->shutdown);
	if (!ended && READ_ONCE(f->allocated))
		return 0;
	if (cmpxchg(&f->file_wait, wait, NULL) != wait)
		return 0;
	kf_file_uncount(d);
	return ended ? -ESHUTDOWN : -ENOENT;
}

/* --- the tries -------------------------------------------------------------------- */

static int kf_file_iter(const struct kfiber_file *args, struct iov_iter *iter)
{
	void __user *buffer = u64_to_user_ptr(args->buffer);
	size_t length = min_t(u64, args->length, MAX_RW_COUNT);

	if (!access_ok(buffer, length))
		return -EFAULT;
	iov_iter_ubuf(iter, kf_file_writes(args->operation) ? ITER_SOURCE : ITER_DEST, buffer,
		      length);
	return 0;
}

static ssize_t kf_file_recv(struct socket *sock, struct kfiber_file *args)
{
	struct sockaddr_storage address;
	struct msghdr msg = { .msg_name = args->address ? &address : NULL };
	ssize_t ret = kf_file_iter(args, &msg.msg_iter);

	if (ret)
		return ret;
	/* As read() has it; recv() may wait for a datagram of none. */
	if (args->operation == KFIBER_FILE_READ && !args->length)
		return 0;
	ret = sock_recvmsg(sock, &msg, args->message_flags | MSG_DONTWAIT);
	if (ret < 0 || !args->address)
		return ret;
	if (copy_to_user(u64_to_user_ptr(args->address), &address,
			 min_t(u32, args->address_length, msg.msg_namelen)))
		return -EFAULT;
	args->address_length = msg.msg_namelen;
	return ret;
}

static ssize_t kf_file_send(struct socket *sock, struct kfiber_file *args)
{
	struct sockaddr_storage address;
	struct msghdr msg = { .msg_flags = args->message_flags | MSG_DONTWAIT };
	ssize_t ret = kf_file_iter(args, &msg.msg_iter);

	if (ret)
		return ret;
	if (args->operation == KFIBER_FILE_WRITE && sock->type == SOCK_SEQPACKET)
		msg.msg_flags |= MSG_EOR;		/* as write() has it */
	if (args->address) {
		if (args->address_length > sizeof(address))
			return -EINVAL;
		if (copy_from_user(&address, u64_to_user_ptr(args->address), args->address_length))
			return -EFAULT;
		msg.msg_name = &address;
		msg.msg_namelen = args->address_length;
	}
	return sock_sendmsg(sock, &msg);
}

/* A file that is no socket, as read() and write() do it. */
static ssize_t kf_file_vfs(struct file *file, struct kfiber_file *args)
{
	bool writes = kf_file_writes(args->operation);
	loff_t pos = file->f_pos;
	loff_t *ppos = file->f_mode & FMODE_STREAM ? NULL : &pos;
	struct iov_iter iter;
	ssize_t ret = kf_file_iter(args, &iter);

	if (ret)
		return ret;
	if (writes)
		ret = vfs_iter_write(file, &iter, ppos, RWF_NOWAIT);
	else
		ret = vfs_iter_read(file, &iter, ppos, RWF_NOWAIT);
	if (ret >= 0 && ppos)
		file->f_pos = pos;
	return ret;
}

/* A position that has a lock of its own is read()'s business. */
static bool kf_file_can_try_vfs(const struct file *file, bool writes)
{
	if (!(file->f_mode & FMODE_NOWAIT) || file->f_mode & FMODE_ATOMIC_POS)
		return false;
	return writes ? !!file->f_op->write_iter : !!file->f_op->read_iter;
}

static bool kf_file_can_try(struct file *file, struct socket *sock, u32 operation)
{
	if (operation == KFIBER_FILE_POLL)
		return false;
	return sock || kf_file_can_try_vfs(file, kf_file_writes(operation));
}

/* Return: a count; -EAGAIN if it would block; an error. */
static ssize_t kf_file_try(struct file *file, struct socket *sock, struct kfiber_file *args)
{
	if (!sock)
		return kf_file_vfs(file, args);
	return kf_file_writes(args->operation) ? kf_file_send(sock, args) :
						 kf_file_recv(sock, args);
}

/* --- the call --------------------------------------------------------------------- */

/**
 * struct kf_file_call - one call
 * @file: what the descriptor stands for
 * @sock: that, if it is a socket
 * @args: the caller's
 * @fiber: who waits, or NULL
 * @events: what would be waited for
 * @can_try: the operation can be tried; else poll decides
 * @wait: in the file's queues from the first look on, or NULL
 */
struct kf_file_call {
	struct file *file;
	struct socket *sock;
	struct kfiber_file *args;
	struct kf_fiber *fiber;
	__poll_t events;
	bool can_try;
	struct kf_file_wait *wait;
};

static void kf_file_is(struct kf_file_call *c, u32 state, s64 result)
{
	c->args->state = state;
	c->args->result = result;
}

/* Asks the file. A wait that is new enters its queues. Return: 0 or an error. */
static int kf_file_look(struct kf_file_call *c, __poll_t *mask)
{
	struct kf_file_poll poll = { };

	if (c->wait && atomic_xchg(&c->wait->state, KF_FILE_QUIET) == KF_FILE_GONE) { /* [F] */
		kf_file_wait_free(c->wait);
		c->wait = NULL;
	}
	if (c->fiber && !c->wait) {
		c->wait = kf_file_wait_create(c->fiber, c->args->fiber, c->file, c->events);
		if (!c->wait)
			return -ENOMEM;
		poll.wait = c->wait;
		init_poll_funcptr(&poll.table, kf_file_enter);
	}
	/* Also what keeps a socket from polling its device busily. */
	poll.table._key = c->events;
	kf_delay_sleep(KF_DELAY_FILE_TRIED);
	*mask = vfs_poll(c->file, &poll.table) & c->events;
	return poll.error;
}

/* Nothing is there: the fiber is to wait. Return: 1; 0 to look again; an error. */
static int kf_file_arm(struct kf_file_call *c)
{
	int err, quiet = KF_FILE_QUIET;

	if (c->wait) {
		struct kf_domain *d = c->fiber->domain;

		/* Before it can be woken; it may have to look again then. */
		if (!c->wait->told)
			trace_kfiber_file_wait(c->fiber, c->args, mangle_poll(c->events));
		c->wait->told = true;
		atomic64_inc(&d->file_waits);
		if (!atomic_try_cmpxchg(&c->wait->state, &quiet, KF_FILE_ARMED)) {
			atomic64_dec(&d->file_waits);
			return 0;
		}
		/* With a clock of the domain's own it is no time of the kernel's. */
		if (!d->tells_quiet)
			kf_timer_arm_by(c->fiber, c->args->deadline);
		err = kf_file_give(c->fiber, c->wait);
		if (err)
			return err;
		c->wait = NULL;
	}
	kf_file_is(c, KFIBER_FILE_WAITS, 0);
	return 1;
}

/* A pipe takes this much at once when it says that there is room. */
static s64 kf_file_bytes(const struct kf_file_call *c)
{
	u64 length = min_t(u64, c->args->length, MAX_RW_COUNT);

	if (S_ISFIFO(file_inode(c->file)->i_mode) && kf_file_writes(c->args->operation))
		return min_t(u64, length, PIPE_BUF);
	return length;
}

/* Return: 1 when it is done; 0 if it would block; an error. */
static int kf_file_attempt(struct kf_file_call *c)
{
	ssize_t ret;

	if (!c->can_try)
		return 0;
	ret = kf_file_try(c->file, c->sock, c->args);
	if (ret >= 0) {
		kf_file_is(c, KFIBER_FILE_DONE, ret);
		return 1;
	}
	/* Some kind of file that can do it only for others of its operations. */
	if (ret == -EOPNOTSUPP && !c->sock) {
		c->can_try = false;
		return 0;
	}
	if (ret == -EAGAIN && !kf_file_never_waits(c->args->operation, c->args->message_flags))
		return 0;
	return ret;
}

/* The file says that it is ready. Return: 1; 0 to try again. */
static int kf_file_ready(struct kf_file_call *c, __poll_t mask)
{
	if (c->args->operation == KFIBER_FILE_POLL)
		kf_file_is(c, KFIBER_FILE_DONE, mangle_poll(mask));
	else if (!c->can_try)
		kf_file_is(c, KFIBER_FILE_READY, kf_file_bytes(c));
	else
		return 0;
	return 1;
}

/* Return: 1 with @args filled in, or an error. */
static int kf_file_run(struct kf_file_call *c)
{
	__poll_t mask;
	int err, looks;

	for (looks = 0; looks < KF_FILE_LOOKS; looks++) {
		err = kf_file_attempt(c);
		if (err)
			return err;
		if (!file_can_poll(c->file))
			break;
		err = kf_file_look(c, &mask);
		if (!err)
			err = mask ? kf_file_ready(c, mask) : kf_file_arm(c);
		if (err)
			return err;
	}
	if (looks == KF_FILE_LOOKS)
		kf_file_is(c, KFIBER_FILE_BUSY, 0);
	/* As poll() has it for files that cannot be polled. */
	else if (c->args->operation == KFIBER_FILE_POLL)
		kf_file_is(c, KFIBER_FILE_DONE, mangle_poll(DEFAULT_POLLMASK & c->events));
	else
		kf_file_is(c, KFIBER_FILE_BLOCKS, 0);
	return 1;
}

static int kf_file_check(const struct kfiber_file *args)
{
	bool message = args->operation == KFIBER_FILE_RECV || args->operation == KFIBER_FILE_SEND;

	if (args->operation >= KFIBER_FILE_OPERATIONS)
		return -EINVAL;
	if (args->message_flags & ~KF_FILE_MESSAGE_FLAGS)
		return -EOPNOTSUPP;
	if (!message && (args->message_flags || args->address || args->address_length))
		return -EINVAL;
	if (args->operation == KFIBER_FILE_POLL)
		return args->buffer || args->length || args->events > U16_MAX ? -EINVAL : 0;
	return args->events ? -EINVAL : 0;
}

/* @can: FMODE_CAN_*: without it the file may never be ready. */
static int kf_file_has_mode(const struct file *file, fmode_t mode, fmode_t can)
{
	if (!(file->f_mode & mode))
		return -EBADF;
	return file->f_mode & can ? 0 : -EINVAL;
}

/* What the ordinary call would say before it looks at anything else. */
static int kf_file_check_mode(const struct kf_file_call *c)
{
	switch (c->args->operation) {
	case KFIBER_FILE_READ:
		return kf_file_has_mode(c->file, FMODE_READ, FMODE_CAN_READ);
	case KFIBER_FILE_WRITE:
		return kf_file_has_mode(c->file, FMODE_WRITE, FMODE_CAN_WRITE);
	case KFIBER_FILE_POLL:
		return 0;
	}
	return c->sock ? 0 : -ENOTSOCK;
}

/* @before: the wait that this call follows, or NULL */
static int kf_file_call(struct kf_file_call *c, const struct kf_file_wait *before)
{
	struct kfiber_file *args = c->args;
	int err;

	if (before && before->name == args->fiber && before->file != c->file)
		return -EBADF;
	c->sock = sock_from_file(c->file);
	err = kf_file_check_mode(c);
	if (err)
		return err;
	c->events = kf_file_events(args->operation, args->message_flags, args->events);
	c->can_try = kf_file_can_try(c->file, c->sock, args->operation);
	err = kf_file_run(c);
	if (c->wait)
		kf_file_wait_free(c->wait);
	return min(err, 0);
}

/**
 * kf_file() - KFIBER_IOC_FILE
 * @d: the domain
 * @args: in and out
 *
 * Context: may sleep, as the tries do for locks and user memory.
 * Return: 0; -EINVAL, -EOPNOTSUPP; -ENOENT (the fiber), -EBADF, -ENOMEM,
 * -ESHUTDOWN; what the operation fails with.
 */
int kf_file(struct kf_domain *d, struct kfiber_file *args)
{
	struct kf_file_call c = { .args = args };
	struct kf_file_wait *before = NULL;
	int err = kf_file_check(args);

	if (err)
		return err;
	if (args->fiber) {
		c.fiber = kf_fiber_find(d, kf_name_index(args->fiber));
		if (!c.fiber || !kf_name_generation(args->fiber))
			return -ENOENT;
		before = kf_file_take(c.fiber);
	}
	c.file = fget(args->fd);
	err = c.file ? kf_file_call(&c, before) : -EBADF;
	if (c.file)
		fput(c.file);
	if (before)
		kf_file_wait_free(before);
	return err;
}

/**
 * kf_file_forget() - end a fiber's wait for a file: its deadline came, say
 * @d: the domain
 * @name: the fiber
 *
 * Context: may sleep.
 * Return: 0, also if there was none; -ENOENT.
 */
int kf_file_forget(struct kf_domain *d, u64 name)
{
	struct kf_fiber *f = kf_fiber_find(d, kf_name_index(name));

	if (!f || kf_fiber_name(f) != name)
		return -ENOENT;
	kf_file_drop(f);
	return 0;
}
