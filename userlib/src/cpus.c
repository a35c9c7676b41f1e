// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How many CPUs the process may use: as many as it may run on (sched_setaffinity(),
 * cpusets), and no more than its control groups give it time for (cpu.max).
 *
 * The rule is that of Go 1.25 (runtime/cgroup_linux.go, adjustCgroupGOMAXPROCS()): quota by
 * period, rounded up, at least 2, since with one processor nothing goes on beside what
 * computes. Other than Go this looks at all groups up to the root: the kernel keeps to the
 * tightest. Only the second version of control groups is looked at.
 *
 * Neither tells when it changes. So who goes through a worker's loop looks again, at most
 * once a second, as Go does; one worker at a time. Nothing of this runs in a domain that is
 * idle, nor in one whose number of processors was said: kf_config.processors,
 * kf_set_processors(). A domain that never comes through that loop, because all that runs
 * computes without a call of the library, is not told either: its fibers share what there is.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

/* As Go's; what is looked at costs some ten microseconds. */
#define KF_CPUS_LOOK_NS 1000000000ull

/* Fewer than this a quota does not make of it. */
#define KF_CPUS_QUOTA_MIN 2u

/* @thread: as for sched_getaffinity() */
static unsigned int kf_cpus_allowed(pid_t thread)
{
	unsigned int n = 0, size = 1024;
	cpu_set_t *set = NULL;

	/* EINVAL: the kernel knows more CPUs than the set has room for. */
	for (; size <= 1u << 20; size *= 2) {
		set = CPU_ALLOC(size);
		if (!set)
			return 1;
		if (!sched_getaffinity(thread, CPU_ALLOC_SIZE(size), set)) {
			n = (unsigned int)CPU_COUNT_S(CPU_ALLOC_SIZE(size), set);
			CPU_FREE(set);
			break;
		}
		CPU_FREE(set);
		if (errno != EINVAL)
			break;
	}
	return n ? n : 1;
}

/* Return: what a group's cpu.max comes to, UINT_MAX if it limits nothing. */
static unsigned int kf_quota_of(const char *group)
{
	uint64_t quota, period, cpus;
	char path[PATH_MAX + 16];
	FILE *file;
	int n;

	snprintf(path, sizeof(path), "%s/cpu.max", group);
	file = fopen(path, "re");
	if (!file)
		return UINT_MAX;
	/* "max" is no number. */
	n = fscanf(file, "%" SCNu64 " %" SCNu64, &quota, &period);
	fclose(file);
	if (n != 2 || !period)
		return UINT_MAX;
	cpus = quota / period + !!(quota % period);
	if (cpus < KF_CPUS_QUOTA_MIN)
		return KF_CPUS_QUOTA_MIN;
	return cpus < UINT_MAX ? (unsigned int)cpus : UINT_MAX;
}

/* Return: 0 with the process's group, as its namespace names it. */
static int kf_cgroup_name(const char *proc, char name[PATH_MAX])
{
	char line[PATH_MAX], path[PATH_MAX];
	int err = -ENOENT;
	FILE *file;

	snprintf(path, sizeof(path), "%s/cgroup", proc);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (err && fgets(line, sizeof(line), file)) {
		if (strncmp(line, "0::/", 4))
			continue;
		line[strcspn(line, "\n")] = '\0';
		snprintf(name, PATH_MAX, "%s", line + 3);
		err = 0;
	}
	fclose(file);
	return err;
}

/* Return: 0 with the group that is mounted, and where. */
static int kf_cgroup_mount(const char *proc, char root[PATH_MAX], char mount[PATH_MAX])
{
	char line[3 * PATH_MAX], path[PATH_MAX];
	int err = -ENOENT;
	FILE *file;

	snprintf(path, sizeof(path), "%s/mountinfo", proc);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (err && fgets(line, sizeof(line), file))
		if (strstr(line, " - cgroup2 ") &&
		    sscanf(line, "%*s %*s %*s %4095s %4095s", root, mount) == 2)
			err = 0;
	fclose(file);
	return err;
}

/**
 * kf_cpus_quota() - for how many CPUs the control groups give time
 * @proc: "/proc/self"; tests say something else
 *
 * Return: UINT_MAX if there is no limit, or none that can be seen.
 */
unsigned int kf_cpus_quota(const char *proc)
{
	char name[PATH_MAX], root[PATH_MAX], path[2 * PATH_MAX];
	unsigned int least = UINT_MAX;
	size_t above, end;

	if (kf_cgroup_name(proc, name) || kf_cgroup_mount(proc, root, path))
		return UINT_MAX;
	end = strlen(root);
	/* Of what is mounted only the part below "root" is seen. */
	if (end > 1 && (strncmp(name, root, end) || (name[end] && name[end] != '/')))
		return UINT_MAX;
	above = strlen(path);
	snprintf(path + above, sizeof(path) - above, "%s", name + (end > 1 ? end : 0));
	for (;;) {
		unsigned int quota = kf_quota_of(path);
		char *last = strrchr(path + above, '/');

		least = quota < least ? quota : least;
		if (!last)
			return least;
		*last = '\0';
	}
}

/* How many processors a domain should have whose kf_run() was called by @thread. */
unsigned int kf_cpus_count(pid_t thread)
{
	unsigned int allowed = kf_cpus_allowed(thread), quota = kf_cpus_quota("/proc/self");

	return allowed < quota ? allowed : quota;
}

/* From now on, or no more. */
void kf_cpus_follow(struct kf_domain *d, bool follows)
{
	atomic_store(&d->cpus_look_at, follows ? kf_now_coarse() + KF_CPUS_LOOK_NS : UINT64_MAX);
}

/* Is it time to look? */
bool kf_cpus_are_due(struct kf_domain *d)
{
	uint64_t at = atomic_load_explicit(&d->cpus_look_at, memory_order_relaxed);

	return at != UINT64_MAX && kf_now_coarse() >= at;
}

/*
 * Looks, if nobody else does. kf_set_processors() may have said a number meanwhile, which then
 * is kept: it is set under the same lock.
 */
void kf_cpus_look(struct kf_domain *d)
{
	uint64_t at = atomic_load(&d->cpus_look_at);
	unsigned int n;

	if (at == UINT64_MAX || kf_now_coarse() < at ||
	    !atomic_compare_exchange_strong(&d->cpus_look_at, &at,
					    kf_now_coarse() + KF_CPUS_LOOK_NS))
		return;
	n = kf_cpus_count(d->caller_tid);
	if (n > d->nr_processors)
		n = d->nr_processors;
	pthread_mutex_lock(&d->cpus_lock);
	if (n != kf_read32(&d->block->used) && atomic_load(&d->cpus_look_at) != UINT64_MAX)
		kf_call_processors(d, &n);
	pthread_mutex_unlock(&d->cpus_lock);
}
