/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files: the calls that wait for them, each with a deadline.
 *
 * A fiber that waits is parked: no thread waits for it. Whatever can be polled is
 * waited for so: sockets, pipes, eventfd, timerfd, signalfd, inotify, terminals, devices. What
 * cannot (regular files) is read and written by the ordinary call, which blocks as it
 * does anywhere: its processor goes to other fibers meanwhile.
 *
 * The result is 0 or positive as from the ordinary call, or a negative errno; errno stays
 * as it was. Of all of them: -ETIMEDOUT (the deadline came first), -ECANCELED, -EBADF (also if the
 * descriptor was closed, or stands for another file, when the wait is over), -EINTR, and
 * what the ordinary call fails with. What can be done at once is done even when the deadline
 * has passed, so that a deadline of 0 only tries. O_NONBLOCK makes no difference: whoever
 * wants that asks for it by the deadline.
 *
 * Any number of fibers may wait for one file. All that wait for the same are woken, the first
 * that comes gets what is there, and the others wait on. Closing a descriptor ends no
 * wait of others, as it does not for threads; a fiber that waits has the open
 * file until it wakes. shutdown() ends waits for a socket.
 *
 * In a plain thread they wait by poll() and then make the ordinary call. That one may
 * block beyond its deadline if another thread takes first what poll() has seen, and the file
 * is no socket.
 */
#ifndef KFIBER_FILE_H
#define KFIBER_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

/**
 * kf_read() - read() with a deadline
 * @fd: any file
 * @buffer: where to
 * @count: bytes at most
 * @deadline: absolute, or KF_FOREVER
 *
 * Return: bytes, 0 at the end of the file; an error.
 */
ssize_t kf_read(int fd, void *buffer, size_t count, uint64_t deadline);

/**
 * kf_write() - write() with a deadline
 * @fd: any file
 * @buffer: what to write
 * @count: bytes
 * @deadline: absolute, or KF_FOREVER
 *
 * Writes all of it, in several parts if it has to. If an error or the deadline comes
 * after some have been written, the result is how many.
 *
 * Return: bytes, or an error.
 */
ssize_t kf_write(int fd, const void *buffer, size_t count, uint64_t deadline);

/**
 * kf_recv() - recv() with a deadline
 * @fd: a socket
 * @buffer: where to
 * @count: bytes at most
 * @flags: MSG_*; with MSG_DONTWAIT the result may be -EAGAIN
 * @deadline: absolute, or KF_FOREVER
 *
 * MSG_ERRQUEUE is never waited for. MSG_WAITALL is, on a stream, until an error or the
 * deadline comes; then the result is what has come.
 *
 * Return: bytes, or an error; -EOPNOTSUPP for flags that are not known.
 */
ssize_t kf_recv(int fd, void *buffer, size_t count, int flags, uint64_t deadline);

/* kf_recvfrom() - the same, and from whom; @address may be NULL */
ssize_t kf_recvfrom(int fd, void *buffer, size_t count, int flags, struct sockaddr *address,
		    socklen_t *address_length, uint64_t deadline);

/**
 * kf_send() - send() with a deadline
 * @fd: a socket
 * @buffer: what to send
 * @count: bytes
 * @flags: MSG_*
 * @deadline: absolute, or KF_FOREVER
 *
 * On a stream all of it, as kf_write().
 *
 * Return: bytes, or an error.
 */
ssize_t kf_send(int fd, const void *buffer, size_t count, int flags, uint64_t deadline);

/* kf_sendto() - the same, and to whom; @address may be NULL */
ssize_t kf_sendto(int fd, const void *buffer, size_t count, int flags,
		  const struct sockaddr *address, socklen_t address_length, uint64_t deadline);

/**
 * kf_accept() - accept() with a deadline
 * @fd: a listening socket
 * @address: whose connection it is, or NULL
 * @address_length: room there, and the length
 * @deadline: absolute, or KF_FOREVER
 *
 * A listening socket from which other processes accept, too, should have O_NONBLOCK: else
 * one of them may take the connection between poll and accept(), and the fiber blocks.
 *
 * Return: a descriptor, or an error.
 */
int kf_accept(int fd, struct sockaddr *address, socklen_t *address_length, uint64_t deadline);

/* kf_accept4() - the same, with SOCK_CLOEXEC and SOCK_NONBLOCK as @flags */
int kf_accept4(int fd, struct sockaddr *address, socklen_t *address_length, int flags,
	       uint64_t deadline);

/**
 * kf_connect() - connect() with a deadline
 * @fd: a socket
 * @address: where to
 * @address_length: of that
 * @deadline: absolute, or KF_FOREVER
 *
 * The socket has O_NONBLOCK while connect() is called. After -ETIMEDOUT the attempt goes on
 * in the kernel: close the socket, or call again to wait on.
 *
 * Return: 0, or an error.
 */
int kf_connect(int fd, const struct sockaddr *address, socklen_t address_length,
	       uint64_t deadline);

/**
 * kf_poll() - wait until a file is ready
 * @fd: any file
 * @events: POLLIN and so on, as poll() has them
 * @deadline: absolute, or KF_FOREVER
 *
 * Return: what of @events there is, and POLLERR and POLLHUP, which always count; an error.
 */
int kf_poll(int fd, short events, uint64_t deadline);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif

#endif /* KFIBER_FILE_H */
