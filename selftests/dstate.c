// SPDX-License-Identifier: GPL-2.0
/*
 * Fibers that block where no signal reaches them (state D): waiting for a slow file
 * system, in a read and in a page fault, and for a child of vfork(). The neighbour on the one
 * processor runs meanwhile: only it can let them go on.
 *
 * The file system is this program's own: a thread answers what the kernel's FUSE asks, and
 * answers a read when it is told to.
 */
#include <errno.h>
#include <fcntl.h>
#include <kfiber/kfiber.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "run.h"

#define FILE_BYTES	4096

/* Written to when whoever blocks may go on. */
static int go_on[2];

/* --- a slow file system -------------------------------------------------------------- */

static int fuse_fd;
static char mount_point[64], file_path[80];

static void reply(const struct fuse_in_header *in, int error, const void *data, size_t size)
{
	char buffer[sizeof(struct fuse_out_header) + FILE_BYTES];
	struct fuse_out_header out = {
		.len = sizeof(out) + size, .error = error, .unique = in->unique,
	};

	memcpy(buffer, &out, sizeof(out));
	if (size)
		memcpy(buffer + sizeof(out), data, size);
	if (write(fuse_fd, buffer, out.len) != (ssize_t)out.len)
		perror("# FUSE's answer");
}

static struct fuse_attr attributes(uint64_t node)
{
	return (struct fuse_attr){
		.ino = node, .size = FILE_BYTES, .nlink = 1, .blksize = FILE_BYTES,
		.mode = node == FUSE_ROOT_ID ? S_IFDIR | 0755 : S_IFREG | 0644,
	};
}

static void reply_entry(const struct fuse_in_header *in)
{
	struct fuse_entry_out entry = {
		.nodeid = 2, .entry_valid = 1000, .attr_valid = 1000, .attr = attributes(2),
	};

	reply(in, 0, &entry, sizeof(entry));
}

static void reply_attributes(const struct fuse_in_header *in)
{
	struct fuse_attr_out attr = { .attr_valid = 1000, .attr = attributes(in->nodeid) };

	reply(in, 0, &attr, sizeof(attr));
}

/*
 * With reading ahead, of which the kernel awaits no answer: who wants a page waits for the
 * page, in D, and not for our answer, where a signal would reach it.
 */
static void reply_init(const struct fuse_in_header *in)
{
	struct fuse_init_out init = {
		.major = FUSE_KERNEL_VERSION, .minor = 31, .max_write = FILE_BYTES,
		.max_readahead = 16 * FILE_BYTES, .flags = FUSE_ASYNC_READ,
	};

	reply(in, 0, &init, sizeof(init));
}

static void reply_open(const struct fuse_in_header *in)
{
	struct fuse_open_out open = { .fh = 1 };

	reply(in, 0, &open, sizeof(open));
}

static void reply_read(const struct fuse_in_header *in)
{
	char bytes[FILE_BYTES];
	char c;

	if (read(go_on[0], &c, 1) != 1)
		perror("# told to go on");
	memset(bytes, 'k', sizeof(bytes));
	reply(in, 0, bytes, sizeof(bytes));
}

static void serve_one(const struct fuse_in_header *in)
{
	switch (in->opcode) {
	case FUSE_INIT:
		reply_init(in);
		return;
	case FUSE_LOOKUP:
		reply_entry(in);
		return;
	case FUSE_GETATTR:
		reply_attributes(in);
		return;
	case FUSE_OPEN:
		reply_open(in);
		return;
	case FUSE_READ:
		reply_read(in);
		return;
	case FUSE_RELEASE:
		reply(in, 0, NULL, 0);
		return;
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
	case FUSE_INTERRUPT:
		return;
	}
	reply(in, -ENOSYS, NULL, 0);
}

/* Until it is unmounted. */
static void *serve(void *arg)
{
	static char buffer[FUSE_MIN_READ_BUFFER + FILE_BYTES];
	ssize_t n;

	while ((n = read(fuse_fd, buffer, sizeof(buffer))) > 0 || errno == EINTR)
		if (n >= (ssize_t)sizeof(struct fuse_in_header))
			serve_one((const struct fuse_in_header *)buffer);
	return NULL;
}

/* Return: 0, or a negative errno if there is no FUSE here. */
static int mount_slow(void)
{
	char options[80];

	fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fuse_fd < 0)
		return -errno;
	snprintf(mount_point, sizeof(mount_point), "/tmp/kfiber-slow-%d", getpid());
	snprintf(file_path, sizeof(file_path), "%s/file", mount_point);
	snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse_fd);
	if (mkdir(mount_point, 0755) || mount("slow", mount_point, "fuse", 0, options))
		return -errno;
	return 0;
}

/* --- who blocks, and who sees it ------------------------------------------------------- */

static _Atomic pid_t blocked;
static atomic_bool seen, over;

static char state_of(pid_t thread)
{
	char path[64], text[256] = "", *end;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return '?';
	close(fd);
	end = strrchr(text, ')');
	return end && end[1] ? end[2] : '?';
}

/* The neighbour: runs while the other is in D, and ends that. */
static void *see_it(void *arg)
{
	while (!atomic_load(&blocked) || state_of(atomic_load(&blocked)) != 'D')
		kf_yield();
	atomic_store(&seen, !atomic_load(&over));
	return (void *)(intptr_t)(write(go_on[1], "x", 1) != 1);
}

static int run_beside(void *(*fn)(void *))
{
	kf_fiber_t who, neighbour;
	void *failed[2];

	atomic_store(&blocked, 0);
	atomic_store(&seen, false);
	atomic_store(&over, false);
	if (kf_spawn(&who, NULL, fn, NULL) || kf_spawn(&neighbour, NULL, see_it, NULL))
		return -1;
	if (kf_join(who, &failed[0]) || kf_join(neighbour, &failed[1]))
		return -2;
	return failed[0] || failed[1] || !atomic_load(&seen) ? -3 : 0;
}

static void *read_slowly(void *arg)
{
	int fd = open(file_path, O_RDONLY | O_CLOEXEC);
	char byte = 0;
	bool failed;

	atomic_store(&blocked, gettid());
	failed = fd < 0 || read(fd, &byte, 1) != 1 || byte != 'k';
	atomic_store(&over, true);
	close(fd);
	return (void *)(intptr_t)failed;
}

static void *fault_slowly(void *arg)
{
	int fd = open(file_path, O_RDONLY | O_CLOEXEC);
	volatile char *map = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	bool failed;

	if (map == MAP_FAILED)
		return (void *)1;
	atomic_store(&blocked, gettid());
	failed = *map != 'k';
	atomic_store(&over, true);
	munmap((void *)map, FILE_BYTES);
	close(fd);
	return (void *)(intptr_t)failed;
}

static int block_in(void *fn)
{
	return run_beside((void *(*)(void *))fn);
}

/* The mount, and so what is in its cache, is each test's own. */
static void block_in_file(struct __test_metadata *_metadata, void *(*fn)(void *))
{
	pthread_t server;
	int err;

	ASSERT_EQ(0, pipe(go_on));
	err = mount_slow();
	if (err == -ENOENT || err == -ENODEV || err == -EPERM || err == -EACCES)
		SKIP(return, "no FUSE here, or not ours to mount");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, pthread_create(&server, NULL, serve, NULL));
	EXPECT_EQ(0, run(1, block_in, (void *)fn));
	EXPECT_EQ(0, umount2(mount_point, MNT_DETACH));
	close(fuse_fd);
	pthread_join(server, NULL);
	rmdir(mount_point);
}

TEST(a_read_of_a_slow_file)
{
	block_in_file(_metadata, read_slowly);
}

TEST(a_page_fault_on_a_slow_file)
{
	block_in_file(_metadata, fault_slowly);
}

/* --- a child of vfork() ---------------------------------------------------------------- */

/* On a stack of its own, in our memory, until it is told. */
static int wait_in_child(void *arg)
{
	char c;

	_exit(read(go_on[0], &c, 1) != 1);
}

static void *wait_for_vfork(void *arg)
{
	static char stack[64 << 10] __attribute__((aligned(64)));
	pid_t child;

	atomic_store(&blocked, gettid());
	child = clone(wait_in_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	atomic_store(&over, true);
	return (void *)(intptr_t)(child < 0 || wait_for(child));
}

TEST(a_child_of_vfork)
{
	ASSERT_EQ(0, pipe(go_on));
	ASSERT_EQ(0, run(1, block_in, (void *)wait_for_vfork));
}

TEST_HARNESS_MAIN
