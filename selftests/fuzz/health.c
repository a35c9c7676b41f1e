// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <linux/kfiber.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "health.h"

#define SHIFT 16
#define LIFE_S 20

/* A domain is freed after grace periods, which are long under emulation. */
#define IDLE_MS 20000

static long baseline = -1;

/* Return: who holds the module; -1: the kernel does not say. */
static long references(void)
{
	char text[32] = "";
	int fd = open("/sys/module/kfiber/refcnt", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	return n > 0 ? atol(text) : -1;
}

void health_init(void)
{
	baseline = references();
}

const char *health_idle(void)
{
	struct timespec pause = { .tv_nsec = 10000000 };
	int ms;

	for (ms = 0; references() > baseline; ms += 10) {
		if (ms >= IDLE_MS)
			return "a domain outlives its processes";
		nanosleep(&pause, NULL);
	}
	return NULL;
}

const char *health_open(void)
{
	struct kfiber_query query = { .size = sizeof(query) };
	int fd = open("/dev/kfiber", O_RDWR | O_CLOEXEC);
	int err;

	if (fd < 0)
		return "/dev/kfiber cannot be opened";
	err = ioctl(fd, KFIBER_IOC_QUERY, &query);
	close(fd);
	return err || query.abi != KFIBER_ABI_VERSION ? "QUERY fails" : NULL;
}

static int work(void)
{
	struct kfiber_setup setup = {
		.size = sizeof(setup), .processors = 1, .max_workers = 2, .max_fibers = 2,
	};
	uint64_t name = 0;
	struct kfiber_fibers fibers = {
		.size = sizeof(fibers), .count = 1, .stack_shift = SHIFT,
		.fibers = (uintptr_t)&name,
	};
	struct kfiber_simple simple = { .size = sizeof(simple) };
	struct kfiber_next next = { .size = sizeof(next) };
	int fd = open("/dev/kfiber", O_RDWR | O_CLOEXEC);
	char *stack;

	if (ioctl(fd, KFIBER_IOC_SETUP, &setup) || ioctl(fd, KFIBER_IOC_ALLOC, &fibers))
		return 1;
	stack = mmap(NULL, 1ul << SHIFT, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		     KFIBER_MAP_STACKS | (uint64_t)SHIFT << KFIBER_MAP_STACKS_SHIFT);
	if (stack == MAP_FAILED)
		return 2;
	stack[(1 << SHIFT) - 1] = 1;
	fibers.stack_shift = 0;
	if (ioctl(fd, KFIBER_IOC_ATTACH, &simple) || ioctl(fd, KFIBER_IOC_READY, &fibers))
		return 3;
	next.worker = simple.worker;
	if (ioctl(fd, KFIBER_IOC_NEXT, &next) || next.fiber != name)
		return 4;
	return 0;
}

const char *health_run(void)
{
	static const char *const steps[] = {
		NULL, "SETUP or ALLOC fails", "a stack cannot be mapped", "ATTACH or READY fails",
		"NEXT does not give what is READY",
	};
	pid_t child = fork();
	int status = 0;

	if (!child) {
		alarm(LIFE_S);
		_exit(work());
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return "there is no child to look after it";
	if (!WIFEXITED(status) || WEXITSTATUS(status) >= sizeof(steps) / sizeof(*steps))
		return "a simple domain hangs or crashes";
	return steps[WEXITSTATUS(status)];
}
