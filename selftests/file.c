// SPDX-License-Identifier: GPL-2.0
/* Fibers that wait for files: woken once, in time, by everything that can be polled. */
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <termios.h>

#include "harness.h"
#include "parked.h"
#include "run.h"
#include "slow.h"
#include "syscalls.h"

/* Either order is right; this makes it likely that the others wait. */
static void let_others_wait(void)
{
	kf_sleep(2 * MS);
}

/* --- all kinds of files ---------------------------------------------------------- */

/* fds[0] is read; the rest is what the kind needs to have something come there. */
struct kind {
	int (*open)(int *fds);
	void (*feed)(int *fds);
	size_t size;
};

static int open_stream(int *fds)
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

static int open_dgram(int *fds)
{
	return socketpair(AF_UNIX, SOCK_DGRAM, 0, fds);
}

static int open_pipe(int *fds)
{
	return pipe(fds);
}

static void feed_byte(int *fds)
{
	if (write(fds[1], "x", 1) != 1)
		abort();
}

static int listen_on_loopback(struct sockaddr_in *address)
{
	socklen_t size = sizeof(*address);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*address = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	if (fd < 0 || bind(fd, (struct sockaddr *)address, size) || listen(fd, 100) ||
	    getsockname(fd, (struct sockaddr *)address, &size))
		return -1;
	return fd;
}

static int open_tcp(int *fds)
{
	struct sockaddr_in address;
	int listener = listen_on_loopback(&address);

	fds[1] = socket(AF_INET, SOCK_STREAM, 0);
	if (listener < 0 || fds[1] < 0 ||
	    connect(fds[1], (struct sockaddr *)&address, sizeof(address)))
		return -1;
	fds[0] = accept(listener, NULL, NULL);
	close(listener);
	return fds[0] < 0 ? -1 : 0;
}

static int open_eventfd(int *fds)
{
	fds[0] = eventfd(0, 0);
	return fds[0] < 0 ? -1 : 0;
}

static void feed_eventfd(int *fds)
{
	if (eventfd_write(fds[0], 1))
		abort();
}

static int open_timerfd(int *fds)
{
	fds[0] = timerfd_create(CLOCK_MONOTONIC, 0);
	return fds[0] < 0 ? -1 : 0;
}

static void feed_timerfd(int *fds)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1000000 };

	if (timerfd_settime(fds[0], 0, &soon, NULL))
		abort();
}

static int open_signalfd(int *fds)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	fds[0] = signalfd(-1, &set, 0);
	return fds[0] < 0 ? -1 : 0;
}

static void feed_signalfd(int *fds)
{
	kill(getpid(), SIGUSR1);
}

static int open_inotify(int *fds)
{
	fds[0] = inotify_init1(0);
	return fds[0] < 0 || inotify_add_watch(fds[0], "/tmp", IN_CREATE) < 0 ? -1 : 0;
}

static void feed_inotify(int *fds)
{
	char path[] = "/tmp/kfiber-XXXXXX";
	int fd = mkstemp(path);

	if (fd < 0)
		abort();
	close(fd);
	unlink(path);
}

static int open_tty(int *fds)
{
	struct termios raw;

	fds[1] = posix_openpt(O_RDWR | O_NOCTTY);
	if (fds[1] < 0 || grantpt(fds[1]) || unlockpt(fds[1]))
		return -1;
	fds[0] = open(ptsname(fds[1]), O_RDWR | O_NOCTTY);
	if (fds[0] < 0 || tcgetattr(fds[0], &raw))
		return -1;
	cfmakeraw(&raw);
	return tcsetattr(fds[0], TCSANOW, &raw);
}

FIXTURE(kinds)
{
	int fds[2];
	sigset_t mask;
};

FIXTURE_VARIANT(kinds)
{
	struct kind kind;
};

FIXTURE_VARIANT_ADD(kinds, stream)
{
	.kind = { open_stream, feed_byte, 1 },
};

FIXTURE_VARIANT_ADD(kinds, dgram)
{
	.kind = { open_dgram, feed_byte, 1 },
};

FIXTURE_VARIANT_ADD(kinds, tcp)
{
	.kind = { open_tcp, feed_byte, 1 },
};

FIXTURE_VARIANT_ADD(kinds, pipe)
{
	.kind = { open_pipe, feed_byte, 1 },
};

FIXTURE_VARIANT_ADD(kinds, eventfd)
{
	.kind = { open_eventfd, feed_eventfd, 8 },
};

FIXTURE_VARIANT_ADD(kinds, timerfd)
{
	.kind = { open_timerfd, feed_timerfd, 8 },
};

FIXTURE_VARIANT_ADD(kinds, signalfd)
{
	.kind = { open_signalfd, feed_signalfd, sizeof(struct signalfd_siginfo) },
};

FIXTURE_VARIANT_ADD(kinds, inotify)
{
	.kind = { open_inotify, feed_inotify, sizeof(struct inotify_event) + 16 },
};

FIXTURE_VARIANT_ADD(kinds, tty)
{
	.kind = { open_tty, feed_byte, 1 },
};

FIXTURE_SETUP(kinds)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &self->mask);
	self->fds[0] = -1;
	self->fds[1] = -1;
	ASSERT_EQ(0, variant->kind.open(self->fds));
}

FIXTURE_TEARDOWN(kinds)
{
	close(self->fds[0]);
	close(self->fds[1]);
	sigprocmask(SIG_SETMASK, &self->mask, NULL);
}

struct kind_run {
	const struct kind *kind;
	int *fds;
};

static void *feed_later(void *arg)
{
	struct kind_run *r = arg;

	let_others_wait();
	r->kind->feed(r->fds);
	return NULL;
}

static void *feed_who_waits(void *arg)
{
	struct kf_stats stats = { .size = sizeof(stats) };
	struct kind_run *r = arg;

	do {
		kf_sleep(MS);
		kf_stats(&stats);
	} while (!stats.file_waiting);
	r->kind->feed(r->fds);
	return NULL;
}

static int read_kind(void *arg)
{
	struct kf_stats stats = { .size = sizeof(stats) };
	struct kind_run *r = arg;
	uint64_t deadline = kf_after(3 * MS);
	kf_fiber_t feeder;
	char buffer[512];
	int i;

	errno = 4711;
	if (kf_read(r->fds[0], buffer, sizeof(buffer), 0) != -ETIMEDOUT)
		return -1;
	if (kf_read(r->fds[0], buffer, sizeof(buffer), deadline) != -ETIMEDOUT ||
	    kf_now() < deadline)
		return -2;
	if (kf_poll(r->fds[0], POLLIN, kf_after(MS)) != -ETIMEDOUT)
		return -3;
	for (i = 0; i < 5; i++) {
		if (kf_spawn(&feeder, NULL, feed_who_waits, r))
			return -4;
		/* A deadline that does not come, and none. */
		if (kf_read(r->fds[0], buffer, sizeof(buffer),
			    i & 1 ? KF_FOREVER : kf_after(20000 * MS)) != (ssize_t)r->kind->size)
			return -5;
		if (kf_join(feeder, NULL))
			return -6;
	}
	if (kf_spawn(&feeder, NULL, feed_who_waits, r))
		return -7;
	if (kf_poll(r->fds[0], POLLIN, KF_FOREVER) != POLLIN || kf_join(feeder, NULL))
		return -8;
	if (kf_poll(r->fds[0], POLLIN, 0) != POLLIN)
		return -9;
	if (kf_read(r->fds[0], buffer, sizeof(buffer), 0) != (ssize_t)r->kind->size)
		return -10;
	kf_stats(&stats);
	/* The feeder waited for each of these; nobody blocked in read(). */
	if (stats.file_waits < 6)
		return -11;
	return errno == 4711 ? 0 : -12;
}

TEST_F(kinds, reading_waits_for_one_processor)
{
	struct kind_run r = { &variant->kind, self->fds };

	ASSERT_EQ(0, run(1, read_kind, &r));
}

TEST_F(kinds, reading_waits_for_two_processors)
{
	struct kind_run r = { &variant->kind, self->fds };

	ASSERT_EQ(0, run(2, read_kind, &r));
}

static void *read_in_thread(void *arg)
{
	struct kind_run *r = arg;
	char buffer[512];

	if (kf_read(r->fds[0], buffer, sizeof(buffer), kf_after(3 * MS)) != -ETIMEDOUT)
		return (void *)1;
	r->kind->feed(r->fds);
	if (kf_read(r->fds[0], buffer, sizeof(buffer), KF_FOREVER) != (ssize_t)r->kind->size)
		return (void *)2;
	return (void *)(long)(kf_poll(r->fds[0], POLLIN, 0) != -ETIMEDOUT);
}

TEST_F(kinds, plain_threads)
{
	struct kind_run r = { &variant->kind, self->fds };

	ASSERT_EQ(NULL, read_in_thread(&r));
}

/* Ordinary calls work on the same files, by handing the processor over. */
static int read_ordinarily(void *arg)
{
	struct kind_run *r = arg;
	kf_fiber_t feeder;
	char buffer[512];

	if (kf_spawn(&feeder, NULL, feed_later, r))
		return -1;
	if (read(r->fds[0], buffer, sizeof(buffer)) != (ssize_t)r->kind->size)
		return -2;
	return kf_join(feeder, NULL);
}

TEST_F(kinds, ordinary_calls)
{
	struct kind_run r = { &variant->kind, self->fds };

	ASSERT_EQ(0, run(1, read_ordinarily, &r));
}

/* --- system calls ------------------------------------------------------------------ */

static volatile int calls_made;

/* Makes the call that was refused, and counts it. */
static void count_call(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	int saved = errno;
	long ret;

	dispatch_selector = 0;
	calls_made++;
	ret = syscall(info->si_syscall, regs[REG_RDI], regs[REG_RSI], regs[REG_RDX], regs[REG_R10],
		      regs[REG_R8], regs[REG_R9]);
	regs[REG_RAX] = ret < 0 ? -errno : ret;
	errno = saved;
	dispatch_selector = 1;
}

struct kernel_sigaction {
	void *handler;
	unsigned long flags;
	void *restorer;
	unsigned long mask;
};

/* Counts this thread's calls; all but the return from the handler. */
static int count_calls(void)
{
	struct sigaction action = {
		.sa_sigaction = count_call, .sa_flags = SA_SIGINFO | SA_NODEFER,
	};
	struct kernel_sigaction kernel;

	if (sigaction(SIGSYS, &action, NULL) ||
	    syscall(SYS_rt_sigaction, SIGSYS, NULL, &kernel, sizeof(kernel.mask)))
		return -1;
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_ON, kernel.restorer, 16,
		  &dispatch_selector))
		return -1;
	calls_made = 0;
	dispatch_selector = 1;
	return 0;
}

static int stop_counting(void)
{
	dispatch_selector = 0;
	prctl(PR_SET_SYSCALL_USER_DISPATCH, DISPATCH_OFF, 0, 0, 0);
	return calls_made;
}

static int counted_fds[2];

static void *write_for_count(void *arg)
{
	if (write(counted_fds[1], "x", 1) != 1)
		return (void *)1;
	return NULL;
}

struct counted {
	int there, not_there, with_deadline;
};

static int count_read(void *arg)
{
	struct counted *counted = arg;
	kf_fiber_t writer;
	char c;
	int i;

	for (i = 0; i < 2; i++) {			/* the first to warm up */
		if (write(counted_fds[1], "x", 1) != 1 || count_calls())
			return -1;
		if (kf_read(counted_fds[0], &c, 1, KF_FOREVER) != 1)
			return -2;
		counted->there = stop_counting();
	}
	for (i = 0; i < 4; i++) {
		/* Nearer than the one before, for which the timer is set. */
		uint64_t near = kf_after((uint64_t)(6 - i) * 10000 * MS);
		uint64_t deadline = i & 1 ? near : KF_FOREVER;

		if (kf_spawn(&writer, NULL, write_for_count, NULL))
			return -3;
		wait_for_spare();
		if (kf_join(writer, NULL) || kf_read(counted_fds[0], &c, 1, 0) != 1)
			return -4;
		if (kf_spawn(&writer, NULL, write_for_count, NULL) || count_calls())
			return -5;
		if (kf_read(counted_fds[0], &c, 1, deadline) != 1)
			return -6;
		/* The writer's own is one of them. */
		if (i & 1)
			counted->with_deadline = stop_counting() - 1;
		else
			counted->not_there = stop_counting() - 1;
		if (kf_join(writer, NULL))
			return -7;
	}
	return 0;
}

TEST(one_call_when_it_is_there_and_two_when_not)
{
	struct counted counted;

	/* A page of this program that has to be read blocks, and that is a call. */
	mlockall(MCL_CURRENT);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, counted_fds));
	ASSERT_EQ(0, run_without_slices(1, count_read, &counted));
	TH_LOG("%d, %d, with a deadline %d", counted.there, counted.not_there,
	       counted.with_deadline);
	EXPECT_EQ(1, counted.there);
	EXPECT_EQ(2, counted.not_there);
	EXPECT_EQ(2, counted.with_deadline);
}

/* --- several waiters, closing, duplicates ------------------------------------------- */

FIXTURE(processors)
{
};

FIXTURE_VARIANT(processors)
{
	unsigned int n;
};

FIXTURE_VARIANT_ADD(processors, one)
{
	.n = 1,
};

FIXTURE_VARIANT_ADD(processors, two)
{
	.n = 2,
};

FIXTURE_SETUP(processors)
{
	signal(SIGPIPE, SIG_IGN);
}

FIXTURE_TEARDOWN(processors)
{
}

enum { WAITERS = 16, BYTES = 400 };

static int shared_fds[2];
static _Atomic long taken;

static void *take_bytes(void *arg)
{
	char c;
	ssize_t n;

	for (;;) {
		n = kf_read(shared_fds[0], &c, 1, KF_FOREVER);
		if (!n)
			return NULL;
		if (n == 1)
			atomic_fetch_add(&taken, 1);
		else
			return (void *)1;
	}
}

/* Each byte goes to one of them, and the end of the file to all. */
static int several_waiters(void *arg)
{
	kf_fiber_t fibers[WAITERS];
	int i, bad;

	if (((int (*)(int *))arg)(shared_fds))
		return -1;
	atomic_store(&taken, 0);
	if (spawn_each(fibers, WAITERS, take_bytes))
		return -2;
	for (i = 0; i < BYTES; i++) {
		if (!(i % 50))
			let_others_wait();
		if (kf_write(shared_fds[1], "x", 1, KF_FOREVER) != 1)
			return -3;
	}
	close(shared_fds[1]);
	bad = join_each(fibers, WAITERS);
	close(shared_fds[0]);
	return bad || atomic_load(&taken) != BYTES ? -4 : 0;
}

TEST_F(processors, several_wait_for_one_socket)
{
	ASSERT_EQ(0, run(variant->n, several_waiters, open_stream));
}

TEST_F(processors, several_wait_for_one_pipe)
{
	ASSERT_EQ(0, run(variant->n, several_waiters, open_pipe));
}

static void *read_shared(void *arg)
{
	char c;

	return (void *)kf_read(shared_fds[0], &c, 1, KF_FOREVER);
}

static int close_while_one_waits(void *arg)
{
	kf_fiber_t reader;
	int fds[2], other[2];
	void *value;

	/* Closed: the wait goes on with the open file, and then there is no descriptor. */
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, shared_fds) ||
	    kf_spawn(&reader, NULL, read_shared, NULL))
		return -1;
	wait_until_parked(reader);
	close(shared_fds[0]);
	if (write(shared_fds[1], "x", 1) != 1 || kf_join(reader, &value) || (long)value != -EBADF)
		return -2;
	/* The open file has gone with the wait. */
	if (kf_poll(shared_fds[1], POLLIN, kf_after(5000 * MS)) < 0)
		return -3;
	close(shared_fds[1]);

	/* Another file has got the number: nothing is read from it. */
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, shared_fds) || pipe(other) ||
	    write(other[1], "y", 1) != 1 || kf_spawn(&reader, NULL, read_shared, NULL))
		return -4;
	wait_until_parked(reader);
	if (dup2(other[0], shared_fds[0]) < 0 || write(shared_fds[1], "x", 1) != 1)
		return -5;
	if (kf_join(reader, &value) || (long)value != -EBADF ||
	    kf_poll(other[0], POLLIN, 0) != POLLIN)
		return -6;
	close(shared_fds[0]);
	close(shared_fds[1]);
	close(other[0]);
	close(other[1]);

	/* A duplicate keeps the file open; the number alone is closed and made again. */
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		return -7;
	shared_fds[0] = dup(fds[0]);
	shared_fds[1] = fds[1];
	if (kf_spawn(&reader, NULL, read_shared, NULL))
		return -8;
	wait_until_parked(reader);
	if (dup2(fds[0], shared_fds[0]) < 0 || write(fds[1], "x", 1) != 1)
		return -9;
	if (kf_join(reader, &value) || (long)value != 1)
		return -10;
	close(shared_fds[0]);
	close(fds[0]);
	close(fds[1]);
	return 0;
}

TEST_F(processors, a_file_is_closed_while_one_waits)
{
	ASSERT_EQ(0, run(variant->n, close_while_one_waits, NULL));
}

static int peer_closes_while_they_wait(void *unused)
{
	int (*const opens[])(int *fds) = { open_stream, open_tcp, open_pipe };
	kf_fiber_t readers[WAITERS];
	void *value;
	size_t i;
	int j;

	for (i = 0; i < sizeof(opens) / sizeof(opens[0]); i++) {
		if (opens[i](shared_fds))
			return -1;
		for (j = 0; j < WAITERS; j++)
			if (kf_spawn(&readers[j], NULL, read_shared, NULL))
				return -2;
		for (j = 0; j < WAITERS; j++)
			wait_until_parked(readers[j]);
		close(shared_fds[1]);
		for (j = 0; j < WAITERS; j++)
			if (kf_join(readers[j], &value) || value)
				return -3;
		close(shared_fds[0]);
	}
	return 0;
}

TEST_F(processors, the_end_of_file_while_several_wait)
{
	ASSERT_EQ(0, run(variant->n, peer_closes_while_they_wait, NULL));
}

static int shutdown_while_one_waits(void *arg)
{
	kf_fiber_t reader;
	void *value;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, shared_fds) ||
	    kf_spawn(&reader, NULL, read_shared, NULL))
		return -1;
	wait_until_parked(reader);
	shutdown(shared_fds[0], SHUT_RDWR);
	if (kf_join(reader, &value) || value)
		return -2;
	if (kf_write(shared_fds[1], "x", 1, KF_FOREVER) != -EPIPE)
		return -3;
	close(shared_fds[0]);
	close(shared_fds[1]);
	return 0;
}

TEST_F(processors, a_socket_is_shut_down_while_one_waits)
{
	ASSERT_EQ(0, run(variant->n, shutdown_while_one_waits, NULL));
}

/* --- urgent data, writing, addresses, connections ------------------------------------ */

static void *receive_urgent(void *arg)
{
	char c = 0;

	if (kf_recv(shared_fds[0], &c, 1, MSG_OOB, kf_after(10000 * MS)) != 1)
		return (void *)-1;
	return (void *)(long)c;
}

static void *poll_urgent(void *arg)
{
	return (void *)(long)kf_poll(shared_fds[0], POLLPRI, KF_FOREVER);
}

/* What is in line wakes who waits for it, and leaves the other one waiting. */
static int urgent_data_while_they_wait(void *arg)
{
	kf_fiber_t poller, reader;
	void *value;

	if (open_tcp(shared_fds) || kf_spawn(&poller, NULL, poll_urgent, NULL) ||
	    kf_spawn(&reader, NULL, read_shared, NULL))
		return -1;
	wait_until_parked(poller);
	wait_until_parked(reader);
	if (send(shared_fds[1], "x", 1, 0) != 1 || kf_join(reader, &value) || (long)value != 1)
		return -2;
	wait_until_parked(poller);
	if (send(shared_fds[1], "!", 1, MSG_OOB) != 1 || kf_join(poller, &value) ||
	    (long)value != POLLPRI)
		return -3;
	close(shared_fds[0]);
	close(shared_fds[1]);
	return 0;
}

TEST_F(processors, urgent_data_while_they_wait)
{
	ASSERT_EQ(0, run(variant->n, urgent_data_while_they_wait, NULL));
}

static int urgent_data(void *arg)
{
	kf_fiber_t reader;
	void *value;
	char c;

	if (open_tcp(shared_fds))
		return -1;
	/* It has been announced; what is in line does not end the wait for it. */
	if (send(shared_fds[1], "!", 1, MSG_OOB) != 1 ||
	    kf_poll(shared_fds[0], POLLPRI, KF_FOREVER) != POLLPRI)
		return -2;
	if (kf_spawn(&reader, NULL, receive_urgent, NULL) || kf_join(reader, &value) ||
	    (long)value != '!')
		return -3;
	if (send(shared_fds[1], "x", 1, 0) != 1 ||
	    kf_poll(shared_fds[0], POLLPRI, kf_after(3 * MS)) != -ETIMEDOUT)
		return -4;
	if (kf_recv(shared_fds[0], &c, 1, 0, KF_FOREVER) != 1 || c != 'x')
		return -5;
	/* Errors of a socket are never waited for, and what is not known is refused. */
	if (kf_recv(shared_fds[0], &c, 1, MSG_ERRQUEUE, KF_FOREVER) != -EAGAIN ||
	    kf_recv(shared_fds[0], &c, 1, MSG_DONTWAIT, KF_FOREVER) != -EAGAIN ||
	    kf_recv(shared_fds[0], &c, 1, 0x8000000, KF_FOREVER) != -EOPNOTSUPP)
		return -6;
	close(shared_fds[0]);
	close(shared_fds[1]);
	return 0;
}

TEST_F(processors, urgent_data)
{
	ASSERT_EQ(0, run(variant->n, urgent_data, NULL));
}

enum { MUCH = 1 << 20 };

static char much[MUCH], back[MUCH];

static void *read_much(void *arg)
{
	size_t done = 0;

	while (done < MUCH) {
		ssize_t n = kf_read(shared_fds[0], back + done, 10000, kf_after(20000 * MS));

		if (n <= 0)
			return (void *)-1;
		done += (size_t)n;
	}
	return NULL;
}

static void *receive_much(void *arg)
{
	return (void *)(kf_recv(shared_fds[0], back, MUCH, MSG_WAITALL, KF_FOREVER) - MUCH);
}

static int write_much(void *arg)
{
	void *(*const readers[])(void *) = { read_much, receive_much };
	kf_fiber_t reader;
	unsigned int i;
	int parts = 0;
	ssize_t n;
	void *value;

	for (i = 0; i < MUCH; i++)
		much[i] = (char)(i * 7 ^ i >> 8);
	for (i = 0; i < 2; i++) {
		memset(back, 0, sizeof(back));
		if (((int (*)(int *))arg)(shared_fds))
			return -1;
		if (i && arg == open_pipe)
			break;
		if (kf_spawn(&reader, NULL, readers[i], NULL))
			return -2;
		if (kf_write(shared_fds[1], much, MUCH, KF_FOREVER) != MUCH)
			return -3;
		if (kf_join(reader, &value) || value || memcmp(much, back, MUCH))
			return -4;
		/* Nobody reads: what went before the deadline counts, then nothing goes. */
		do {
			n = kf_write(shared_fds[1], much, MUCH, kf_after(20 * MS));
			parts += n > 0 && n < MUCH;
		} while (n > 0);
		if (n != -ETIMEDOUT || !parts)
			return -5;
		close(shared_fds[0]);
		if (kf_write(shared_fds[1], much, MUCH, KF_FOREVER) >= 0)
			return -6;
		close(shared_fds[1]);
	}
	return 0;
}

/* A plain thread, too, is back in time, with what was written. */
TEST(much_is_written_by_a_plain_thread)
{
	int (*const opens[])(int *) = { open_pipe, open_stream, open_tcp };
	unsigned int i;
	ssize_t n, all;

	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, opens[i](shared_fds));
		all = 0;
		do {
			n = kf_write(shared_fds[1], much, MUCH, kf_after(20 * MS));
			all += n > 0 ? n : 0;
		} while (n > 0);
		EXPECT_EQ(-ETIMEDOUT, n);
		/* A page, at least: that is what a pipe that is full with one byte less has. */
		EXPECT_GE(all, 4096);
		EXPECT_EQ(-ETIMEDOUT, kf_write(shared_fds[1], much, MUCH, 0));
		close(shared_fds[0]);
		close(shared_fds[1]);
	}
}

TEST_F(processors, much_is_written_to_a_socket)
{
	ASSERT_EQ(0, run(variant->n, write_much, open_stream));
}

TEST_F(processors, much_is_written_to_tcp)
{
	ASSERT_EQ(0, run(variant->n, write_much, open_tcp));
}

TEST_F(processors, much_is_written_to_a_pipe)
{
	ASSERT_EQ(0, run(variant->n, write_much, open_pipe));
}

static int datagrams(void *arg)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr_in from = { 0 };
	socklen_t size = sizeof(address);
	int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
	char buffer[16];

	if (bind(a, (struct sockaddr *)&address, size) ||
	    getsockname(a, (struct sockaddr *)&address, &size))
		return -1;
	if (kf_sendto(b, "hello", 5, 0, (struct sockaddr *)&address, size, KF_FOREVER) != 5)
		return -2;
	size = sizeof(from);
	if (kf_recvfrom(a, buffer, sizeof(buffer), 0, (struct sockaddr *)&from, &size,
			KF_FOREVER) != 5)
		return -3;
	if (size != sizeof(from) || from.sin_family != AF_INET || !from.sin_port ||
	    from.sin_addr.s_addr != address.sin_addr.s_addr)
		return -4;
	/* Cut off where there is no room, and the length told, as recvfrom() does. */
	if (kf_sendto(b, "hello", 5, 0, (struct sockaddr *)&address, sizeof(address),
		      KF_FOREVER) != 5)
		return -5;
	memset(&from, 0x55, sizeof(from));
	size = 4;
	if (kf_recvfrom(a, buffer, 2, MSG_TRUNC, (struct sockaddr *)&from, &size,
			KF_FOREVER) != 5 ||
	    size != sizeof(from) || from.sin_addr.s_addr != 0x55555555)
		return -6;
	if (kf_sendto(b, "x", 1, 0, (struct sockaddr *)&address, 1000, KF_FOREVER) != -EINVAL)
		return -7;
	close(a);
	close(b);
	return 0;
}

TEST_F(processors, datagrams_with_addresses)
{
	ASSERT_EQ(0, run(variant->n, datagrams, NULL));
}

/* A receiver whose queue is full is seen by no poll of the sender, who tries now and then. */
static void *drain_datagrams(void *arg)
{
	char buffer[4];
	int i;

	let_others_wait();
	for (i = 0; i < 200; i++)
		if (kf_recv(shared_fds[0], buffer, sizeof(buffer), 0, kf_after(10000 * MS)) != 1)
			return (void *)1;
	return NULL;
}

static int full_receiver(void *arg)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address);
	kf_fiber_t reader;
	void *value;
	int i;

	shared_fds[0] = socket(AF_UNIX, SOCK_DGRAM, 0);
	shared_fds[1] = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (bind(shared_fds[0], (struct sockaddr *)&address, sizeof(sa_family_t)) ||
	    getsockname(shared_fds[0], (struct sockaddr *)&address, &size) ||
	    kf_spawn(&reader, NULL, drain_datagrams, NULL))
		return -1;
	for (i = 0; i < 200; i++)
		if (kf_sendto(shared_fds[1], "x", 1, 0, (struct sockaddr *)&address, size,
			      kf_after(10000 * MS)) != 1)
			return -2;
	if (kf_join(reader, &value) || value)
		return -3;
	/* Nobody reads any more: full, and then in time, and at once. */
	do
		i = (int)kf_sendto(shared_fds[1], "x", 1, 0, (struct sockaddr *)&address, size, 0);
	while (i == 1);
	if (i != -ETIMEDOUT)
		return -4;
	if (kf_sendto(shared_fds[1], "x", 1, 0, (struct sockaddr *)&address, size,
		      kf_after(20 * MS)) != -ETIMEDOUT)
		return -5;
	close(shared_fds[0]);
	close(shared_fds[1]);
	return 0;
}

TEST_F(processors, a_receiver_that_is_full)
{
	ASSERT_EQ(0, run(variant->n, full_receiver, NULL));
}

/* As poll has it there is always room, and write() would sleep until there is. */
static int full_netlink_receiver(void *arg)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	socklen_t size = sizeof(address);
	char message[1024] = "";
	int i, in, out;

	in = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
	out = socket(AF_NETLINK, SOCK_RAW, NETLINK_USERSOCK);
	if (bind(in, (struct sockaddr *)&address, size) ||
	    getsockname(in, (struct sockaddr *)&address, &size) ||
	    connect(out, (struct sockaddr *)&address, size))
		return -1;
	do
		i = (int)kf_write(out, message, sizeof(message), 0);
	while (i == sizeof(message));
	if (i != -ETIMEDOUT)
		return -2;
	if (kf_poll(out, POLLOUT, 0) != POLLOUT)
		return -3;
	if (kf_write(out, message, sizeof(message), kf_after(20 * MS)) != -ETIMEDOUT)
		return -4;
	while (kf_read(in, message, sizeof(message), 0) == sizeof(message))
		;
	if (kf_write(out, message, sizeof(message), kf_after(10000 * MS)) != sizeof(message))
		return -5;
	close(in);
	close(out);
	return 0;
}

TEST_F(processors, a_deadline_holds_where_a_file_says_wrongly_that_it_is_ready)
{
	ASSERT_EQ(0, run(variant->n, full_netlink_receiver, NULL));
}

enum { CONNECTIONS = 40 };

static int listener;
static struct sockaddr_in listens_at;

static void *accept_one(void *arg)
{
	struct sockaddr_in from = { 0 };
	socklen_t size = sizeof(from);
	int fd = kf_accept(listener, (struct sockaddr *)&from, &size, kf_after(20000 * MS));
	char c;

	if (fd < 0 || from.sin_family != AF_INET)
		return (void *)1;
	if (kf_read(fd, &c, 1, KF_FOREVER) != 1 || kf_write(fd, &c, 1, KF_FOREVER) != 1)
		return (void *)2;
	close(fd);
	return NULL;
}

static void *connect_one(void *arg)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	char c = 'x';

	if (kf_connect(fd, (struct sockaddr *)&listens_at, sizeof(listens_at), KF_FOREVER))
		return (void *)1;
	if (fcntl(fd, F_GETFL) & O_NONBLOCK)
		return (void *)2;
	if (kf_write(fd, &c, 1, KF_FOREVER) != 1 || kf_read(fd, &c, 1, KF_FOREVER) != 1 ||
	    kf_read(fd, &c, 1, KF_FOREVER))
		return (void *)3;
	close(fd);
	return NULL;
}

/* All accept at one socket: who is too late must not block. */
static int connections(void *arg)
{
	kf_fiber_t fibers[2 * CONNECTIONS];
	struct kf_stats stats = { .size = sizeof(stats) };
	int i, fd, bad;

	listener = listen_on_loopback(&listens_at);
	if (listener < 0)
		return -1;
	if (kf_accept(listener, NULL, NULL, kf_after(3 * MS)) != -ETIMEDOUT)
		return -2;
	if (spawn_each(fibers, CONNECTIONS, accept_one))
		return -3;
	for (i = 0; i < CONNECTIONS; i++)
		wait_until_parked(fibers[i]);
	if (spawn_each(fibers + CONNECTIONS, CONNECTIONS, connect_one))
		return -4;
	bad = join_each(fibers, 2 * CONNECTIONS);
	kf_stats(&stats);
	close(listener);
	if (bad)
		return -5;
	/* Who is preempted keeps its worker; and a few waited for memory: not each. */
	if (stats.workers_peak > CONNECTIONS / 2 + stats.preemptions)
		return -6;
	/* Now nobody listens. */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (kf_connect(fd, (struct sockaddr *)&listens_at, sizeof(listens_at), KF_FOREVER) !=
	    -ECONNREFUSED)
		return -7;
	close(fd);
	return 0;
}

TEST_F(processors, many_accept_at_one_socket)
{
	ASSERT_EQ(0, run(variant->n, connections, NULL));
}

/* A listener of the Unix domain that is full is in no poll of who connects. */
static int full_listener;
static struct sockaddr_un full_address;

static int connect_full(uint64_t deadline, int flags)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | flags, 0);
	int err = kf_connect(fd, (struct sockaddr *)&full_address, sizeof(full_address), deadline);

	close(fd);
	return err;
}

static void *connects_full(void *arg)
{
	return (void *)(long)connect_full(KF_FOREVER, (int)(long)arg);
}

static int full_listeners(void *arg)
{
	kf_fiber_t fiber;
	uint64_t begin = kf_now();
	int client = socket(AF_UNIX, SOCK_STREAM, 0), i;
	void *value;

	full_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(full_address.sun_path + 1, sizeof(full_address.sun_path) - 1, "full-%d-%p",
		 getpid(), arg);
	full_listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(full_listener, (struct sockaddr *)&full_address, sizeof(full_address)) ||
	    listen(full_listener, 0) ||
	    kf_connect(client, (struct sockaddr *)&full_address, sizeof(full_address), 0))
		return -1;
	if (connect_full(0, 0) != -ETIMEDOUT)
		return -2;
	if (connect_full(kf_after(20 * MS), 0) != -ETIMEDOUT ||
	    connect_full(kf_after(20 * MS), SOCK_NONBLOCK) != -ETIMEDOUT ||
	    kf_now() - begin < 40 * MS)
		return -3;
	/* Now there is room, for one after the other. */
	for (i = 0; kf_self() && i < 2; i++) {
		if (kf_spawn(&fiber, NULL, connects_full, (void *)(long)(i ? SOCK_NONBLOCK : 0)))
			return -4;
		wait_until_parked(fiber);
		close(kf_accept(full_listener, NULL, NULL, KF_FOREVER));
		if (kf_join(fiber, &value) || value)
			return -5;
	}
	/* And who is cancelled does not wait for it. */
	if (kf_self() && (kf_cancel(kf_self()) || connect_full(KF_FOREVER, 0) != -ECANCELED))
		return -6;
	close(client);
	close(full_listener);
	return 0;
}

TEST_F(processors, a_listener_that_is_full)
{
	ASSERT_EQ(0, run(variant->n, full_listeners, NULL));
}

TEST(a_listener_that_is_full_and_a_plain_thread)
{
	ASSERT_EQ(0, full_listeners(NULL));
}

/* --- what cannot be waited for, and what is wrong ------------------------------------- */

static int __attribute__((noinline)) read_on_new_stack(int fd)
{
	char buffer[100000];

	/* Nothing of it is there yet: the kernel grows the stack as it writes. */
	if (kf_read(fd, buffer, sizeof(buffer), KF_FOREVER) <= 0)
		return -1;
	return buffer[0];
}

static int other_files(void *arg)
{
	char path[] = "/tmp/kfiber-XXXXXX", c, *hole;
	int fds[2], file = mkstemp(path), epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	int device = open("/dev/kfiber", O_RDWR), where;
	int none = open("/tmp", O_PATH), dir = open("/tmp", O_RDONLY);

	if (file < 0 || unlink(path) || pipe(fds))
		return -1;
	/* Regular files: at the position, and it moves. */
	if (kf_write(file, "abc", 3, 0) != 3 || lseek(file, 1, SEEK_SET) != 1 ||
	    kf_read(file, &c, 1, 0) != 1 || c != 'b' || lseek(file, 0, SEEK_CUR) != 2)
		return -2;
	if (kf_poll(file, POLLIN | POLLOUT, 0) != (POLLIN | POLLOUT))
		return -3;
	if (kf_read(dir, &c, 1, KF_FOREVER) != -EISDIR ||
	    kf_read(none, &c, 1, KF_FOREVER) != -EBADF)
		return -4;
	/* The wrong way round: never ready, so it has to be said at once. */
	if (kf_read(fds[1], &c, 1, KF_FOREVER) != -EBADF ||
	    kf_write(fds[0], &c, 1, KF_FOREVER) != -EBADF)
		return -5;
	if (kf_read(-1, &c, 1, KF_FOREVER) != -EBADF || kf_poll(1000000, POLLIN, 0) != -EBADF ||
	    kf_recv(fds[0], &c, 1, 0, KF_FOREVER) != -ENOTSOCK)
		return -6;
	if (kf_read(device, &c, 1, KF_FOREVER) != -EINVAL || kf_poll(device, POLLIN, 0) != POLLIN)
		return -7;
	/* An epoll file is a file. */
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event) ||
	    kf_read(epoll, &c, 1, KF_FOREVER) != -EINVAL ||
	    kf_poll(epoll, POLLIN, kf_after(MS)) != -ETIMEDOUT || write(fds[1], "x", 1) != 1 ||
	    kf_poll(epoll, POLLIN, KF_FOREVER) != POLLIN)
		return -8;
	/* Memory that is not there. */
	hole = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (kf_read(fds[0], hole, 1, KF_FOREVER) != -EFAULT ||
	    kf_write(fds[1], hole, 1, KF_FOREVER) != -EFAULT ||
	    kf_read(fds[0], (void *)-4096ul, 1, KF_FOREVER) != -EFAULT)
		return -9;
	if (kf_read(fds[0], &c, 1, 0) != 1 || kf_read(fds[0], &c, 1, 0) != -ETIMEDOUT)
		return -10;
	where = open("/dev/zero", O_RDWR);
	if (kf_write(where, much, MUCH, KF_FOREVER) != MUCH ||
	    kf_read(where, back, MUCH, 0) <= 0)
		return -11;
	if (read_on_new_stack(where))
		return -12;
	close(fds[0]);
	close(fds[1]);
	close(where);
	close(file);
	close(epoll);
	close(device);
	close(none);
	close(dir);
	return 0;
}

TEST_F(processors, other_files_and_other_arguments)
{
	ASSERT_EQ(0, run(variant->n, other_files, NULL));
}

/* /dev/fuse: the kernel's first question to a new file system. */
static int read_fuse(void *arg)
{
	static char buffer[1 << 17];
	char options[100];
	int fd = open("/dev/fuse", O_RDWR);

	if (fd < 0)
		return 1;
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	mkdir("/tmp/kfiber-fuse", 0700);
	if (mount("kfiber", "/tmp/kfiber-fuse", "fuse", 0, options))
		return 1;
	if (kf_read(fd, buffer, sizeof(buffer), kf_after(10000 * MS)) <= 0)
		return -1;
	if (kf_read(fd, buffer, sizeof(buffer), kf_after(3 * MS)) != -ETIMEDOUT)
		return -2;
	umount2("/tmp/kfiber-fuse", MNT_DETACH);
	close(fd);
	return 0;
}

TEST_F(processors, fuse)
{
	int err = run(variant->n, read_fuse, NULL);

	if (err == 1)
		SKIP(return, "no fuse here");
	ASSERT_EQ(0, err);
}

/* --- many -------------------------------------------------------------------------- */

enum { IDLE_MAX = 10000 };

static int idle_fds[IDLE_MAX][2];
static _Atomic long idle_bad;

static void *be_idle(void *arg)
{
	char c;

	if (kf_read(idle_fds[(long)arg][0], &c, 1, kf_after(600000 * MS)) != 1)
		atomic_fetch_add(&idle_bad, 1);
	return NULL;
}

/* Return: kilobytes that the kernel's allocator has. */
static long slab_kilobytes(void)
{
	char line[100];
	long kb = 0;
	FILE *f = fopen("/proc/meminfo", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Slab: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

static long nr_idle(void)
{
	return slowly(IDLE_MAX);
}

/* Of fibers that park for something else, to compare with. */
static void *be_parked(void *arg)
{
	kf_park(KF_FOREVER);
	return be_idle(arg);
}

static int idle_connections(void *arg)
{
	static kf_fiber_t fibers[IDLE_MAX];
	struct kf_stats stats = { .size = sizeof(stats) };
	long i, before, after;

	for (i = 0; i < nr_idle(); i++)
		if (kf_spawn(&fibers[i], NULL, be_parked, (void *)i))
			return -1;
	do {
		kf_sleep(10 * MS);
		kf_stats(&stats);
	} while (stats.parks < (uint64_t)nr_idle());
	before = slab_kilobytes();
	for (i = 0; i < nr_idle(); i++)
		kf_unpark(fibers[i]);
	do {
		kf_sleep(10 * MS);
		kf_stats(&stats);
	} while (stats.parks < (uint64_t)nr_idle() * 2);
	after = slab_kilobytes();
	printf("# %ld idle, %u threads; each has %ld bytes of the kernel's, %ld of stack\n",
	       nr_idle(), (unsigned int)stats.workers_peak, (after - before) * 1024 / nr_idle(),
	       (long)stats.stack_pages * 4096 / nr_idle());
	if (stats.workers_peak > nr_idle() / 5)
		return -2;
	for (i = 0; i < nr_idle(); i++)
		if (write(idle_fds[i][1], "x", 1) != 1)
			return -3;
	for (i = 0; i < nr_idle(); i++)
		if (kf_join(fibers[i], NULL))
			return -4;
	return atomic_load(&idle_bad) ? -5 : 0;
}

static int open_idle(void)
{
	struct rlimit limit = { .rlim_cur = 2 * IDLE_MAX + 100, .rlim_max = 2 * IDLE_MAX + 100 };
	long i;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		return -1;
	for (i = 0; i < nr_idle(); i++)
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, idle_fds[i]))
			return -1;
	return 0;
}

TEST_F_TIMEOUT(processors, ten_thousand_idle_connections, 300)
{
	ASSERT_EQ(0, open_idle());
	ASSERT_EQ(0, run(variant->n, idle_connections, NULL));
}

/* --- races -------------------------------------------------------------------------- */

enum { RACERS = 8, ROUNDS = 1500 };

static int race_fds[RACERS][2];

/*
 * Waits end by a byte, by a deadline that is near, by the other's close; then the fiber
 * parks: a wake-up that is left over from the file would end that, or a sleep, too early.
 */
static void *race_reader(void *arg)
{
	long i, n = (long)arg;
	unsigned int seed = (unsigned int)n;
	char c;

	for (i = 0; i < slowly(ROUNDS); i++) {
		uint64_t deadline = kf_after(rand_r(&seed) % (300 * 1000));
		ssize_t got = kf_read(race_fds[n][0], &c, 1, deadline);

		if (got == -ETIMEDOUT && kf_now() < deadline)
			return (void *)1;
		if (got < 0 && got != -ETIMEDOUT && got != -EBADF)
			return (void *)2;
		if (!(rand_r(&seed) % 8)) {
			uint64_t ns = rand_r(&seed) % (100 * 1000), until = kf_after(ns);

			if (kf_sleep(ns) || kf_now() < until)
				return (void *)3;
		}
		if (kf_park(kf_after(rand_r(&seed) % 1000)) != -ETIMEDOUT)
			return (void *)4;
	}
	return NULL;
}

static _Atomic int race_over;

/* The pairs stay at their numbers: a new one takes the place of the one that goes. */
static void *race_writer(void *arg)
{
	unsigned int seed = 4711;
	int fds[2];

	while (!atomic_load(&race_over)) {
		int n = (int)(rand_r(&seed) % RACERS);

		if (write(race_fds[n][1], "x", 1) < 0 && errno != EAGAIN)
			return (void *)1;
		if (!(rand_r(&seed) % 16)) {
			if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) ||
			    dup2(fds[0], race_fds[n][0]) < 0 || dup2(fds[1], race_fds[n][1]) < 0)
				return (void *)2;
			close(fds[0]);
			close(fds[1]);
		}
		kf_sleep(rand_r(&seed) % (50 * 1000));
	}
	return NULL;
}

static int races(void *arg)
{
	kf_fiber_t readers[RACERS], writer;
	void *value;
	long i, bad = 0;

	atomic_store(&race_over, 0);
	for (i = 0; i < RACERS; i++)
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, race_fds[i]))
			return -1;
	if (kf_spawn(&writer, NULL, race_writer, NULL))
		return -2;
	for (i = 0; i < RACERS; i++)
		if (kf_spawn(&readers[i], NULL, race_reader, (void *)i))
			return -3;
	for (i = 0; i < RACERS; i++) {
		bad += kf_join(readers[i], &value);
		bad = bad ? bad : (long)value;
	}
	atomic_store(&race_over, 1);
	if (kf_join(writer, &value) || value)
		return -4;
	for (i = 0; i < RACERS; i++) {
		close(race_fds[i][0]);
		close(race_fds[i][1]);
	}
	return (int)bad;
}

TEST_F_TIMEOUT(processors, wake_ups_deadlines_and_closing_race, 300)
{
	ASSERT_EQ(0, run(variant->n, races, NULL));
}

/* --- the end ------------------------------------------------------------------------- */

enum { VICTIMS = 2000 };

static long module_users(void)
{
	char text[20] = "";
	int fd = open("/sys/module/kfiber/refcnt", O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return -1;
	close(fd);
	return atol(text);
}

static void *wait_till_killed(void *arg)
{
	char buffer[sizeof(struct signalfd_siginfo)];

	kf_read((int)(long)arg, buffer, sizeof(buffer), KF_FOREVER);
	_exit(1);
}

/* The device's file goes into a socket for which a fiber waits. */
static int send_device(int socket)
{
	char path[40], target[20], room[CMSG_SPACE(sizeof(int))] = { 0 }, c = 'x';
	struct iovec data = { &c, 1 };
	struct msghdr message = {
		.msg_iov = &data, .msg_iovlen = 1,
		.msg_control = room, .msg_controllen = sizeof(room),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	int fd;

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	for (fd = 3; fd < 100; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		if (n > 0 && !strncmp(target, "/dev/kfiber", (size_t)n)) {
			memcpy(CMSG_DATA(header), &fd, sizeof(fd));
			return sendmsg(socket, &message, 0) == 1 ? 0 : -1;
		}
	}
	return -1;
}

static void *wait_for_urgent(void *arg)
{
	kf_poll((int)(long)arg, POLLPRI, KF_FOREVER);
	return NULL;
}

static int be_killed(void *arg)
{
	struct kf_stats stats = { .size = sizeof(stats) };
	long victims = slowly(VICTIMS);
	int *report = arg, fds[2], i;

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) || send_device(fds[1]) ||
	    kf_spawn(NULL, NULL, wait_for_urgent, (void *)(long)fds[0]))
		return -1;
	for (i = 0; i < victims; i++) {
		int (*const opens[])(int *) = {
			open_stream, open_pipe, open_signalfd, open_eventfd,
		};

		if (opens[i % 4](fds) ||
		    kf_spawn(NULL, NULL, wait_till_killed, (void *)(long)fds[0]))
			return -2;
	}
	do {
		kf_sleep(10 * MS);
		kf_stats(&stats);
	} while (stats.parks < (uint64_t)victims);
	if (write(report[1], "x", 1) != 1)
		return -3;
	kf_sleep(600000 * MS);
	return 0;
}

/* The last of a domain is let go by a worker of the kernel: who was before may still be there. */
static long settled_users(void)
{
	long users = module_users(), now;
	int same = 0;

	while (same < 10) {
		usleep(100000);
		now = module_users();
		same = now == users ? same + 1 : 0;
		users = now;
	}
	return users;
}

static bool wait_for_users(long users)
{
	uint64_t until = kf_after(60000 * MS);

	while (module_users() > users && kf_now() < until)
		usleep(1000);
	return module_users() <= users;
}

/* Nothing of it is left: not a file, so not the module's either. */
static int kill_while_thousands_wait(unsigned int processors, int signal)
{
	struct rlimit limit = { .rlim_cur = 2 * IDLE_MAX + 100, .rlim_max = 2 * IDLE_MAX + 100 };
	long users = settled_users();
	int report[2], status;
	pid_t child;
	char c;

	if (setrlimit(RLIMIT_NOFILE, &limit) || pipe(report))
		return -1;
	child = fork();
	if (!child) {
		sigset_t set;

		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		sigprocmask(SIG_BLOCK, &set, NULL);
		_exit(run(processors, be_killed, report) ? 2 : 3);
	}
	close(report[1]);
	if (read(report[0], &c, 1) != 1)
		return -2;
	kill(child, signal);
	status = wait_for(child);
	if (!WIFSIGNALED(status))
		return -3;
	/* The write end too is closed when the process has gone. */
	if (read(report[0], &c, 1))
		return -4;
	close(report[0]);
	return wait_for_users(users) ? 0 : -5;
}

TEST_F(processors, killed_while_thousands_wait)
{
	ASSERT_EQ(0, kill_while_thousands_wait(variant->n, SIGKILL));
}

static int end_with_waits(void *arg)
{
	int i;

	for (i = 0; i < 100; i++)
		if (open_stream(idle_fds[i]) ||
		    kf_spawn(NULL, NULL, be_idle, (void *)(long)i))
			return -1;
	let_others_wait();
	/* exit() ends the process with all that wait. */
	exit(0);
}

TEST(exits_while_some_wait)
{
	long users = settled_users();
	pid_t child = fork();

	if (!child)
		_exit(run(2, end_with_waits, NULL));
	ASSERT_EQ(0, wait_for(child));
	ASSERT_TRUE(wait_for_users(users));
}

TEST_HARNESS_MAIN
