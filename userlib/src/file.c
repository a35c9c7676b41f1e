// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Waiting for files. The module does the work: one call tries what is wanted and, if it would
 * block, has the fiber woken when the file stirs (its file.c). Then the fiber parks,
 * and makes the same call again. So what is there costs one system call, and what is
 * not costs two.
 *
 * Turns
 *
 * Some operations can only be made by the ordinary call, after the module has said that the
 * file is ready: accept(), and reading what has no reading without blocking (terminals,
 * inotify). Were two fibers told so, one would block. So they take turns:
 *
 *   reads "taken"
 *   asks the module: ready
 *   locks the turn
 *   "taken" as it was: nobody has been here since the file was asked; makes the call,
 *   counts "taken" up, unlocks
 *   else: unlocks, asks again
 *
 * There is a number of turns, shared by descriptors: who meets another's waits for one
 * call, which does not block. It can block only for what is done elsewhere: by other processes,
 * by ordinary calls, by another descriptor of the same file.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"
#include "object.h"

/* Two for each descriptor, for as many as programs use at once for such things. */
#define KF_TURNS 128u

/*
 * Who finds a file that is ready and then is not tries again: others were quicker. After
 * that many times in a row it may be that the file says it wrongly (a Unix datagram
 * socket does, whose receiver is full), so there is a pause between them, of 1 to 64 ms. It is
 * never the ordinary call that waits then: that would know of no deadline.
 */
#define KF_READY_TRIES 8
#define KF_PAUSE_NS 1000000ull
#define KF_PAUSES 6

/**
 * struct kf_turn - whose turn it is
 * @mutex: held for one call
 * @taken: calls made under it
 */
struct kf_turn {
	kf_mutex_t mutex;
	atomic_uint taken;
};

static struct kf_turn kf_turns[KF_TURNS];

/* Who held one or waited for one is not there: nobody has, in a domain or process that begins. */
void kf_file_turns_reset(void)
{
	memset(kf_turns, 0, sizeof(kf_turns));
}

/* What is written to a file before is seen by who reads from one: as checkers see read(). */
static char kf_files;

/* The ordinary call, NULL if poll() is all; what it needs beside what the module has been told. */
struct kf_ordinary {
	ssize_t (*call)(struct kfiber_file *op, struct kf_ordinary *more, size_t length);
	struct sockaddr *address;
	socklen_t *address_length;
	int flags;
};

static void *kf_pointer(uint64_t address)
{
	return (void *)(uintptr_t)address;
}

static bool kf_writes(const struct kfiber_file *op)
{
	return op->operation == KFIBER_FILE_WRITE || op->operation == KFIBER_FILE_SEND;
}

static bool kf_is_message(const struct kfiber_file *op)
{
	return op->operation == KFIBER_FILE_RECV || op->operation == KFIBER_FILE_SEND;
}

static struct kf_turn *kf_turn(const struct kfiber_file *op)
{
	return &kf_turns[((unsigned int)op->fd * 2 + kf_writes(op)) % KF_TURNS];
}

/* errno is the fiber's. */
static KF_OUT_OF_LINE ssize_t kf_ordinary(struct kfiber_file *op, struct kf_ordinary *more,
					  size_t length)
{
	int saved = errno;
	ssize_t ret = more->call(op, more, length);

	if (ret < 0)
		ret = -errno;
	errno = saved;
	return ret;
}

/* Return: as kf_poll(). */
static int kf_poll_plain(int fd, short events, uint64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	uint64_t now = kf_now();
	uint64_t left = deadline > now ? deadline - now : 0;
	struct timespec timeout = {
		.tv_sec = (time_t)(left / KF_NS_PER_S),
		.tv_nsec = (long)(left % KF_NS_PER_S),
	};
	int saved = errno;
	int n = ppoll(&p, 1, deadline == KF_FOREVER ? NULL : &timeout, NULL);

	if (n < 0) {
		n = -errno;
		errno = saved;
	} else if (!n) {
		n = -ETIMEDOUT;
	} else {
		n = p.revents & POLLNVAL ? -EBADF : p.revents;
	}
	return n;
}

/* --- waiting ------------------------------------------------------------------ */

static void kf_pause_thread(uint64_t ns)
{
	struct timespec pause = { .tv_nsec = (long)ns };
	int saved = errno;

	nanosleep(&pause, NULL);
	errno = saved;
}

/* Something would block. Return: 0 to try again, -ETIMEDOUT, -ECANCELED. */
static int kf_back_off(unsigned int tries, uint64_t deadline)
{
	uint64_t now, ns;

	if (deadline && tries < KF_READY_TRIES)
		return 0;
	now = kf_now();
	if (now >= deadline)
		return -ETIMEDOUT;
	tries -= KF_READY_TRIES;
	ns = KF_PAUSE_NS << (tries < KF_PAUSES ? tries : KF_PAUSES);
	if (ns > deadline - now)
		ns = deadline - now;
	if (kf_fiber_worker())
		return kf_sleep(ns);
	kf_pause_thread(ns);
	return 0;
}

/* Until the file stirs. Return: 0; or why not: then nothing is left of the wait. */
static int kf_file_park(int fd, uint64_t deadline)
{
	struct kf_worker *w = kf_fiber_worker();
	struct kfiber_fiber_block *self = w->current;
	struct kf_domain *d = w->domain;
	int err;

	self->wait_object = kf_object(KF_OBJECT_FILE, kf_pointer((unsigned int)fd));
	err = kf_wait(w, KFIBER_WAKE, deadline);
	self->wait_object = 0;
	if (err) {
		/* While the module has the wait it may send a WAKE, which would end another one. */
		if (kf_call_forget(d, kf_name(d, self)))
			kf_abandon(kf_worker_self());
		/* It may have come since; it would end another wait. */
		atomic_fetch_and_explicit(kf_atomic64(&self->word), ~KFIBER_WAKE,
					  memory_order_acq_rel);
	}
	return err;
}

/*
 * Has the module try until it need not wait. @tries: is 0 again when it has waited.
 * Return: KFIBER_FILE_*, or an error.
 */
static int kf_file_await(struct kfiber_file *op, uint64_t deadline, unsigned int *tries)
{
	for (;;) {
		struct kf_worker *w = kf_fiber_worker();
		int err;

		op->size = sizeof(*op);
		op->fiber = deadline ? kf_name(w->domain, w->current) : 0;
		op->deadline = deadline;
		err = kf_call_file(w->domain, op);
		if (err)
			return err;
		if (op->state != KFIBER_FILE_WAITS)
			return (int)op->state;
		err = deadline ? kf_file_park(op->fd, deadline) : -ETIMEDOUT;
		if (err)
			return err;
		*tries = 0;
	}
}

/*
 * The file was ready when the turn had counted @seen: makes the call, unless somebody has
 * been here since. Return: false if so: then the file is to be asked again.
 */
static bool kf_in_turn(struct kfiber_file *op, struct kf_ordinary *more, unsigned int seen,
		       uint64_t deadline, ssize_t *result)
{
	struct kf_turn *turn = kf_turn(op);
	size_t length = (size_t)op->result;
	bool mine;

	*result = kf_mutex_lock_until(&turn->mutex, deadline);
	if (*result)
		return true;
	mine = atomic_load_explicit(&turn->taken, memory_order_relaxed) == seen;
	if (mine) {
		*result = kf_ordinary(op, more, length);
		atomic_fetch_add_explicit(&turn->taken, 1, memory_order_relaxed);
	}
	kf_mutex_unlock(&turn->mutex);
	return mine;
}

static ssize_t kf_file_fiber(struct kfiber_file *op, struct kf_ordinary *more, uint64_t deadline)
{
	unsigned int tries = 0;
	ssize_t ret;
	int state;

	do {
		unsigned int seen = atomic_load_explicit(&kf_turn(op)->taken,
							 memory_order_relaxed);

		state = kf_file_await(op, deadline, &tries);
		if (state < 0)
			return state;
		if (state == KFIBER_FILE_BUSY)
			ret = -EAGAIN;
		else if (state == KFIBER_FILE_BLOCKS)
			ret = more->call ? kf_ordinary(op, more, op->length) :
					   kf_poll_plain(op->fd, (short)op->events, deadline);
		else if (!more->call ||
			 (state == KFIBER_FILE_DONE && op->operation != KFIBER_FILE_POLL))
			return op->result;
		/* Who was not in turn gave way to another: that is no try. */
		else if (!kf_in_turn(op, more, seen, deadline, &ret))
			continue;
		if (ret != -EAGAIN)
			return ret;
		ret = kf_back_off(tries++, deadline);
	} while (!ret);
	return ret;
}

/* --- plain threads ------------------------------------------------------------ */

static ssize_t kf_file_plain(struct kfiber_file *op, struct kf_ordinary *more, uint64_t deadline)
{
	bool message = kf_is_message(op);
	short events = op->operation == KFIBER_FILE_POLL ? (short)op->events :
		       kf_writes(op) ? POLLOUT : op->message_flags & MSG_OOB ? POLLPRI : POLLIN;
	unsigned int flags = op->message_flags;
	bool waits = !(flags & (MSG_DONTWAIT | MSG_ERRQUEUE));
	unsigned int tries = 0;
	ssize_t ret;
	int err = 0;

	if (message)
		op->message_flags |= MSG_DONTWAIT;
	do {
		ret = waits ? kf_poll_plain(op->fd, events, deadline) : 0;
		if (ret >= 0 && more->call)
			ret = kf_ordinary(op, more, op->length);
		if (ret == -EAGAIN && waits)
			err = kf_back_off(tries++, deadline);
	} while (ret == -EAGAIN && waits && !err);
	if (err)
		ret = err;
	op->message_flags = flags;
	return ret;
}

/* --- the calls ---------------------------------------------------------------- */

static ssize_t kf_file(struct kfiber_file *op, struct kf_ordinary *more, uint64_t deadline)
{
	ssize_t ret;

	if (kf_is_checked())
		kf_check_release(&kf_files);
	if (kf_fiber_worker())
		ret = kf_file_fiber(op, more, deadline);
	else
		ret = kf_file_plain(op, more, deadline);
	/* A call that blocks is interrupted because of that, or by a signal. */
	if (ret == -EINTR && kf_cancelled())
		ret = -ECANCELED;
	if (kf_is_checked()) {
		kf_check_acquire(&kf_files);
		if (ret > 0 && !kf_writes(op) && op->buffer)
			kf_check_written(kf_pointer(op->buffer),
					 (uint64_t)ret < op->length ? (size_t)ret : op->length);
	}
	return ret;
}

/* Again and again, until all is done, or nothing more is: then what was done counts. */
static ssize_t kf_file_all(struct kfiber_file *op, struct kf_ordinary *more, uint64_t deadline)
{
	ssize_t done = 0, ret;

	do {
		ret = kf_file(op, more, deadline);
		if (ret <= 0)
			break;
		done += ret;
		op->buffer += (uint64_t)ret;
		op->length -= (uint64_t)ret;
	} while (op->length);
	return done ? done : ret;
}

static ssize_t kf_call_read(struct kfiber_file *op, struct kf_ordinary *more, size_t length)
{
	return read(op->fd, kf_pointer(op->buffer), length);
}

ssize_t kf_read(int fd, void *buffer, size_t count, uint64_t deadline)
{
	struct kfiber_file op = {
		.fd = fd, .operation = KFIBER_FILE_READ,
		.buffer = (uintptr_t)buffer, .length = count,
	};
	struct kf_ordinary more = { .call = kf_call_read };

	return kf_file(&op, &more, deadline);
}

static ssize_t kf_call_write(struct kfiber_file *op, struct kf_ordinary *more, size_t length)
{
	return write(op->fd, kf_pointer(op->buffer), length);
}

/* As much as there is room for, as far as that can be said. poll() has said there is some. */
static ssize_t kf_call_write_some(struct kfiber_file *op, struct kf_ordinary *more, size_t length)
{
	struct stat is;

	if (fstat(op->fd, &is))
		return -1;
	if (S_ISSOCK(is.st_mode))
		return send(op->fd, kf_pointer(op->buffer), length, MSG_DONTWAIT);
	if (S_ISFIFO(is.st_mode) && length > PIPE_BUF)
		length = PIPE_BUF;
	return kf_call_write(op, more, length);
}

ssize_t kf_write(int fd, const void *buffer, size_t count, uint64_t deadline)
{
	struct kfiber_file op = {
		.fd = fd, .operation = KFIBER_FILE_WRITE,
		.buffer = (uintptr_t)buffer, .length = count,
	};
	/* In a plain thread the ordinary call would wait until all is written. */
	struct kf_ordinary more = {
		.call = deadline == KF_FOREVER || kf_fiber_worker() ? kf_call_write :
								       kf_call_write_some,
	};

	return kf_file_all(&op, &more, deadline);
}

static bool kf_is_stream(int fd)
{
	socklen_t size = sizeof(int);
	int type = 0, saved = errno;

	getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
	errno = saved;
	return type == SOCK_STREAM;
}

static ssize_t kf_call_recv(struct kfiber_file *op, struct kf_ordinary *more, size_t length)
{
	return recvfrom(op->fd, kf_pointer(op->buffer), length, (int)op->message_flags,
			more->address, more->address_length);
}

ssize_t kf_recvfrom(int fd, void *buffer, size_t count, int flags, struct sockaddr *address,
		    socklen_t *address_length, uint64_t deadline)
{
	struct kfiber_file op = {
		.fd = fd, .operation = KFIBER_FILE_RECV,
		.buffer = (uintptr_t)buffer, .length = count,
		.address = (uintptr_t)address,
		.address_length = address ? *address_length : 0,
		.message_flags = (unsigned int)flags,
	};
	struct kf_ordinary more = {
		.call = kf_call_recv, .address = address, .address_length = address_length,
	};
	bool all = flags & MSG_WAITALL && !(flags & (MSG_PEEK | MSG_OOB | MSG_DONTWAIT)) &&
		   kf_is_stream(fd);
	ssize_t ret = all ? kf_file_all(&op, &more, deadline) : kf_file(&op, &more, deadline);

	if (ret >= 0 && address && op.state == KFIBER_FILE_DONE && kf_fiber_worker()) {
		if (kf_is_checked())
			kf_check_written(address, *address_length < op.address_length ?
						  *address_length : op.address_length);
		*address_length = op.address_length;
	}
	return ret;
}

ssize_t kf_recv(int fd, void *buffer, size_t count, int flags, uint64_t deadline)
{
	return kf_recvfrom(fd, buffer, count, flags, NULL, NULL, deadline);
}

static ssize_t kf_call_send(struct kfiber_file *op, struct kf_ordinary *more, size_t length)
{
	return sendto(op->fd, kf_pointer(op->buffer), length, (int)op->message_flags,
		      kf_pointer(op->address), op->address_length);
}

ssize_t kf_sendto(int fd, const void *buffer, size_t count, int flags,
		  const struct sockaddr *address, socklen_t address_length, uint64_t deadline)
{
	struct kfiber_file op = {
		.fd = fd, .operation = KFIBER_FILE_SEND,
		.buffer = (uintptr_t)buffer, .length = count,
		.address = (uintptr_t)address,
		.address_length = address ? address_length : 0,
		.message_flags = (unsigned int)flags,
	};
	struct kf_ordinary more = { .call = kf_call_send };

	return kf_file_all(&op, &more, deadline);
}

ssize_t kf_send(int fd, const void *buffer, size_t count, int flags, uint64_t deadline)
{
	return kf_sendto(fd, buffer, count, flags, NULL, 0, deadline);
}

int kf_poll(int fd, short events, uint64_t deadline)
{
	struct kfiber_file op = {
		.fd = fd, .operation = KFIBER_FILE_POLL, .events = (unsigned short)events,
	};
	struct kf_ordinary more = { .call = NULL };

	return (int)kf_file(&op, &more, deadline);
}

static ssize_t kf_call_accept(struct kfiber_file *op, struct kf_ordinary *more, size_t length)
{
	return accept4(op->fd, more->address, more->address_length, more->flags);
}

int kf_accept4(int fd, struct sockaddr *address, socklen_t *address_length, int flags,
	       uint64_t deadline)
{
	struct kfiber_file op = {
		.fd = fd, .operation = KFIBER_FILE_POLL, .events = POLLIN,
	};
	struct kf_ordinary more = {
		.call = kf_call_accept, .flags = flags,
		.address = address, .address_length = address_length,
	};

	return (int)kf_file(&op, &more, deadline);
}

int kf_accept(int fd, struct sockaddr *address, socklen_t *address_length, uint64_t deadline)
{
	return kf_accept4(fd, address, address_length, 0, deadline);
}

/* Begins to connect, without blocking. errno is the caller's. */
static KF_OUT_OF_LINE int kf_connect_begin(int fd, const struct sockaddr *address,
					   socklen_t address_length)
{
	int saved = errno, err = 0;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK)))
		err = -errno;
	if (!err && connect(fd, address, address_length))
		err = -errno;
	if (flags >= 0 && !(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags);
	errno = saved;
	return err;
}

/* Return: what has become of it. */
static int kf_connect_result(int fd)
{
	socklen_t size = sizeof(int);
	int err = 0, saved = errno;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size))
		err = errno;
	errno = saved;
	return -err;
}

int kf_connect(int fd, const struct sockaddr *address, socklen_t address_length,
	       uint64_t deadline)
{
	unsigned int tries = KF_READY_TRIES;
	int err;

	/* A full listener of the Unix domain: nothing tells when there is room. */
	while ((err = kf_connect_begin(fd, address, address_length)) == -EAGAIN) {
		err = kf_back_off(tries++, deadline);
		if (err)
			return err;
	}
	if (err != -EINPROGRESS && err != -EALREADY)
		return err;
	err = kf_poll(fd, POLLOUT, deadline);
	return err < 0 ? err : kf_connect_result(fd);
}
