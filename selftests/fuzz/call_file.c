// SPDX-License-Identifier: GPL-2.0
/* Descriptors: made, closed, copied, passed on, and used as any file is. */
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "call.h"

/* A place that is in use is closed first: a program has only so many. */
static void set_fd(uint64_t place, int fd)
{
	int *at = &process.fds[place % FDS];
	int old = *at;

	*at = fd;
	if (old >= 0)
		close(old);
}

void call_open(struct track *t, const uint64_t *args)
{
	set_fd(args[0], open("/dev/kfiber", args[1] & 1 ? O_RDONLY : O_RDWR));
}

void call_close(struct track *t, const uint64_t *args)
{
	set_fd(args[0], -1);
}

void call_dup(struct track *t, const uint64_t *args)
{
	if (args[0] % FDS != args[1] % FDS)
		set_fd(args[1], dup(call_fd(args[0])));
}

void call_other(struct track *t, const uint64_t *args)
{
	int pipe_fds[2];

	switch (args[1]) {
	case 0:
		set_fd(args[0], open("/dev/null", O_RDWR));
		break;
	case 1:
		if (pipe(pipe_fds))
			break;
		close(pipe_fds[0]);
		set_fd(args[0], pipe_fds[1]);
		break;
	case 2:
		set_fd(args[0], eventfd(0, EFD_NONBLOCK));
		break;
	case 3:
		set_fd(args[0], memfd_create("fuzz", 0));
		break;
	case 4:
		set_fd(args[0], open("/", O_RDONLY | O_DIRECTORY));
		break;
	default:
		set_fd(args[0], dup(process.sockets[0]));
	}
}

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

void call_send(struct track *t, const uint64_t *args)
{
	char byte = 0;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	union control control = {
		.header = {
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		},
	};
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd = call_fd(args[0]);

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	sendmsg(process.sockets[0], &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void call_receive(struct track *t, const uint64_t *args)
{
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	union control control;
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int fd;

	if (recvmsg(process.sockets[1], &message, MSG_DONTWAIT) < 0 ||
	    message.msg_controllen < sizeof(struct cmsghdr))
		return;
	memcpy(&fd, CMSG_DATA(&control.header), sizeof(fd));
	set_fd(args[0], fd);
}

/* What one can do with any file, though this one has nothing to say to it. */
void call_file(struct track *t, const uint64_t *args)
{
	int fd = call_fd(args[0]);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };
	char buffer[64] = "";

	switch (args[1]) {
	case 0:
		read(fd, buffer, sizeof(buffer));
		break;
	case 1:
		write(fd, buffer, sizeof(buffer));
		break;
	case 2:
		poll(&poll_fd, 1, 0);
		break;
	case 3:
		lseek(fd, 1 << 20, SEEK_CUR);
		break;
	case 4:
		fsync(fd);
		break;
	case 5:
		flock(fd, LOCK_EX | LOCK_NB);
		break;
	case 6:
		close(fcntl(fd, F_DUPFD_CLOEXEC, 0));
		break;
	case 7:
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		break;
	case 8:
		fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK);
		break;
	default:
		ftruncate(fd, 1 << 20);
	}
}
