// SPDX-License-Identifier: GPL-2.0
/*
 * Stacks that user space makes grow by userfaultfd, doubling. The thread that
 * faults gets a SIGBUS and puts the pages in itself, all in one call: no other
 * thread has to be woken, which is the fastest way to use it.
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../region.h"

static char *region, *zeros;
static size_t stride;
static int fd;

static void grow(int sig, siginfo_t *info, void *context)
{
	size_t offset = (size_t)((char *)info->si_addr - region) & ~(BENCH_PAGE - 1);
	size_t have = stride - offset % stride - BENCH_PAGE;
	size_t more = have ? have : BENCH_PAGE;
	struct uffdio_copy copy = { .src = (uintptr_t)zeros };

	if (more > offset % stride)
		more = offset % stride + BENCH_PAGE;
	copy.dst = (uintptr_t)region + offset + BENCH_PAGE - more;
	copy.len = more;
	if (ioctl(fd, UFFDIO_COPY, &copy))
		bench_die("UFFDIO_COPY");
}

static void watch(size_t size)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_SIGBUS };
	struct uffdio_register range = {
		.range = { .start = (uintptr_t)region, .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &range))
		bench_die("userfaultfd");
}

static void bench_growth(void)
{
	struct sigaction action = { .sa_sigaction = grow, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct bench_growth growth = { .pages = bench_parameter("pages") };
	unsigned long stacks = bench_parameter("stacks");
	static char stack[65536];

	stride = bench_stack_size(growth.pages);
	zeros = bench_region(stride, PROT_READ | PROT_WRITE);
	bench_touch(zeros + stride, 1, stride / BENCH_PAGE);
	region = bench_region(stacks * stride, PROT_READ | PROT_WRITE);
	watch(stacks * stride);
	if (sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL) ||
	    sigaction(SIGBUS, &action, NULL))
		bench_die("sigaction");
	bench_grow_region(region, stride, stacks, &growth);
}

static const struct bench_work works[] = {
	{ "growth", bench_growth },
	{ 0 }
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, works);
}
