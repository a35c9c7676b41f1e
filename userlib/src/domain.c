// SPDX-License-Identifier: LGPL-2.1-or-later
/* A domain from kf_run()'s call to its return. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "internal.h"
#include "sized.h"

/* Go's bound on threads. */
#define KF_DEFAULT_MAX_WORKERS 10000u
#define KF_DEFAULT_MAX_FIBERS (1u << 20)
#define KF_DEFAULT_STACK_SIZE (256u << 10)

struct kf_domain *_Atomic kf_domain;

/* Held while a domain runs. */
static pthread_mutex_t kf_running = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t kf_prepared = PTHREAD_ONCE_INIT;

/* The child of a fork has no fibers, no mappings of them, and no workers. */
static void kf_forked(void)
{
	kf_worker_forget();
	atomic_store(&kf_domain, NULL);
	pthread_mutex_init(&kf_running, NULL);
	kf_file_turns_reset();
}

static void kf_prepare_process(void)
{
	pthread_atfork(NULL, NULL, kf_forked);
	kf_check_find();
}

/* All of the machine's: more may be allowed later. */
static unsigned int kf_default_processors_max(unsigned int processors)
{
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	if (cpus > (long)KFIBER_PROCESSORS_MAX)
		cpus = KFIBER_PROCESSORS_MAX;
	return cpus > (long)processors ? (unsigned int)cpus : processors;
}

/* As many as there are CPUs for us, and no more than there can be. */
static unsigned int kf_counted_processors(unsigned int max)
{
	unsigned int n = kf_cpus_count(0);

	if (!max || max > KFIBER_PROCESSORS_MAX)
		max = KFIBER_PROCESSORS_MAX;
	return n < max ? n : max;
}

/* In a test domain one thing is done after the other. Return: 0, -EINVAL. */
static int kf_read_test_config(struct kf_config *to)
{
	if (!(to->flags & KF_TEST_CLOCK))
		return to->seed ? -EINVAL : 0;
	if (to->processors > 1 || to->processors_max > 1)
		return -EINVAL;
	to->processors = 1;
	to->processors_max = 1;
	if (!to->slice_ns)
		to->slice_ns = KF_SLICE_NEVER;
	return 0;
}

/* Copies a config of any version and fills in the defaults. */
static int kf_read_config(const struct kf_config *from, struct kf_config *to)
{
	int err = kf_read_sized(from, offsetof(struct kf_config, flags) + sizeof(from->flags),
				to, sizeof(*to));

	if (err)
		return err;
	if (to->flags & ~(KF_CONTAIN_FAULTS | KF_NO_FAULT_HANDLER | KF_TEST_CLOCK |
			  KF_REPORT_LEAKS | KF_CPU_TIME) ||
	    kf_shift_of(to->stack_size) < 0)
		return -EINVAL;
	if (to->flags & KF_CONTAIN_FAULTS && to->flags & KF_NO_FAULT_HANDLER)
		return -EINVAL;
	if (kf_read_test_config(to))
		return -EINVAL;
	if (!to->processors)
		to->processors = kf_counted_processors(to->processors_max);
	if (!to->processors_max)
		to->processors_max = kf_default_processors_max(to->processors);
	if (!to->max_workers)
		to->max_workers = KF_DEFAULT_MAX_WORKERS;
	if (!to->max_fibers)
		to->max_fibers = kf_check_max_fibers(KF_DEFAULT_MAX_FIBERS);
	if (!to->stack_size)
		to->stack_size = KF_DEFAULT_STACK_SIZE;
	if (!to->pool_stacks)
		to->pool_stacks = KF_POOL_STACKS;
	/* More there never are. */
	if (to->pool_stacks > KFIBER_FIBERS_MAX)
		to->pool_stacks = KFIBER_FIBERS_MAX;
	return 0;
}

/* Return: 0 if it is for kf_run() to say. Context: what kf_read_config() has taken. */
static unsigned int kf_configured_processors(const struct kf_config *config)
{
	return config && config->size ? config->processors : 0;
}

static int kf_open_device(void)
{
	struct kfiber_query query = { .size = sizeof(query) };
	int fd = open("/dev/kfiber", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (ioctl(fd, KFIBER_IOC_QUERY, &query) || query.abi != KFIBER_ABI_VERSION) {
		close(fd);
		return -EPROTONOSUPPORT;
	}
	return fd;
}

static int kf_setup_device(struct kf_domain *d, const struct kf_config *config)
{
	struct kfiber_setup setup = {
		.size = sizeof(setup),
		.flags = kf_check_setup_flags() |
			 (kf_has_test_clock(d) ? KFIBER_SETUP_QUIET : 0),
		.processors = config->processors,
		.processors_max = config->processors_max,
		.max_workers = config->max_workers,
		.max_fibers = config->max_fibers,
		.stack_bytes_max = config->stack_bytes_max,
		.guard_bytes = config->guard_size,
		.pool_bytes = config->pool_bytes,
		.slice_ns = config->slice_ns,
		.slack_ns = config->slack_ns,
		.idle_ns = config->idle_ns,
	};

	return ioctl(d->fd, KFIBER_IOC_SETUP, &setup) ? -errno : 0;
}

static void *kf_map(struct kf_domain *d, size_t size, uint64_t offset)
{
	void *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, d->fd, (off_t)offset);

	return map == MAP_FAILED ? NULL : map;
}

static void kf_unmap(void *map, size_t size)
{
	if (map)
		munmap(map, size);
}

/* A table's mapping ends with a page. */
static size_t kf_table_bytes(size_t entries, size_t entry)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (entries * entry + page - 1) & ~(page - 1);
}

static size_t kf_workers_bytes(const struct kf_domain *d)
{
	return kf_table_bytes(d->max_workers, sizeof(struct kfiber_worker_block));
}

static size_t kf_fibers_bytes(const struct kf_domain *d)
{
	return kf_table_bytes(d->max_fibers, sizeof(struct kfiber_fiber_block));
}

static size_t kf_processors_bytes(const struct kf_domain *d)
{
	return kf_table_bytes(d->nr_processors, sizeof(struct kfiber_processor_block));
}

static int kf_map_blocks(struct kf_domain *d)
{
	unsigned int i;

	d->block = kf_map(d, kf_table_bytes(1, sizeof(*d->block)), KFIBER_MAP_DOMAIN);
	d->processor_blocks = kf_map(d, kf_processors_bytes(d), KFIBER_MAP_PROCESSORS);
	d->worker_blocks = kf_map(d, kf_workers_bytes(d), KFIBER_MAP_WORKERS);
	d->fiber_blocks = kf_map(d, kf_fibers_bytes(d), KFIBER_MAP_FIBERS);
	d->processors = calloc(d->nr_processors, sizeof(*d->processors));
	if (!d->block || !d->processor_blocks || !d->worker_blocks || !d->fiber_blocks ||
	    !d->processors)
		return -ENOMEM;
	for (i = 0; i < d->nr_processors; i++)
		d->processors[i].block = &d->processor_blocks[i];
	return 0;
}

/* Also what is left of a domain that could not be opened. */
static void kf_domain_close(struct kf_domain *d)
{
	kf_check_close(d);
	kf_cpu_close(d);
	kf_arenas_unmap(d);
	kf_unmap(d->block, kf_table_bytes(1, sizeof(*d->block)));
	kf_unmap(d->processor_blocks, kf_processors_bytes(d));
	kf_unmap(d->worker_blocks, kf_workers_bytes(d));
	kf_unmap(d->fiber_blocks, kf_fibers_bytes(d));
	free(d->processors);
	kf_sites_free(d);
	if (d->fd >= 0)
		close(d->fd);
	pthread_mutex_destroy(&d->cpus_lock);
	pthread_mutex_destroy(&d->arena_lock);
	pthread_mutex_destroy(&d->lock);
}

static int kf_domain_open(struct kf_domain *d, const struct kf_config *config)
{
	int err;

	*d = (struct kf_domain){
		.pid = getpid(),
		.caller_tid = gettid(),
		.flags = config->flags,
		.nr_processors = config->processors_max,
		.max_workers = config->max_workers,
		.max_fibers = config->max_fibers,
		.stack_shift = (unsigned int)kf_shift_of(config->stack_size),
		.pool_stacks = (unsigned int)config->pool_stacks,
	};
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->arena_lock, NULL);
	pthread_mutex_init(&d->cpus_lock, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &d->sigmask);
	if (kf_has_test_clock(d))
		kf_clock_init(d, config->seed);
	kf_debug_read(&d->debug);
	if (d->debug.leaks)
		d->flags |= KF_REPORT_LEAKS;
	d->fd = kf_open_device();
	if (d->fd < 0)
		return d->fd;
	err = kf_setup_device(d, config);
	if (!err)
		err = kf_check_open(d);
	if (!err)
		err = kf_cpu_open(d);
	if (!err)
		err = kf_map_blocks(d);
	return err;
}

static void *kf_main_fiber(void *arg)
{
	struct kf_domain *d = arg;

	return (void *)(intptr_t)d->main_fn(d->main_arg);
}

static int kf_main_result(struct kf_domain *d)
{
	if (atomic_load(&d->deadlocked))
		return -EDEADLK;
	if (d->block->live)
		return -ESHUTDOWN;
	return d->main_ended ? d->main_value : -EFAULT;
}

static int kf_domain_run(struct kf_domain *d)
{
	int err = kf_fiber_first(d, kf_main_fiber);

	if (err)
		return err;
	d->caller.domain = d;
	if (!(d->flags & KF_NO_FAULT_HANDLER))
		kf_faults_begin();
	atomic_store_explicit(&kf_domain, d, memory_order_release);
	kf_trace_begin(d);
	err = kf_worker_run(&d->caller);
	kf_workers_join(d);
	kf_trace_end(d);
	if (!(d->flags & KF_NO_FAULT_HANDLER))
		kf_faults_end(d);
	if (kf_is_checked())
		kf_check_acquire(d);
	atomic_store_explicit(&kf_domain, NULL, memory_order_release);
	return err ? err : kf_main_result(d);
}

int kf_run(const struct kf_config *config, int (*fn)(void *), void *arg)
{
	struct kf_config full;
	struct kf_domain d;
	bool follows;
	int err;

	if (!fn)
		return -EINVAL;
	if (kf_worker_self())
		return -EPERM;
	pthread_once(&kf_prepared, kf_prepare_process);
	err = kf_read_config(config, &full);
	if (err)
		return err;
	follows = !kf_configured_processors(config) && !(full.flags & KF_TEST_CLOCK);
	if (pthread_mutex_trylock(&kf_running))
		return -EBUSY;
	kf_file_turns_reset();
	err = kf_domain_open(&d, &full);
	kf_cpus_follow(&d, follows);
	d.main_fn = fn;
	d.main_arg = arg;
	if (!err)
		err = kf_domain_run(&d);
	kf_domain_close(&d);
	pthread_mutex_unlock(&kf_running);
	return err;
}

static void kf_sum_processors(struct kf_domain *d, struct kf_stats *s)
{
	unsigned int i;

	for (i = 0; i < d->nr_processors; i++) {
		struct kfiber_processor_block *p = d->processors[i].block;

		s->fibers_spawned += p->spawns;
		s->switches += p->switches;
		s->parks += p->parks;
		s->unparks += p->unparks;
		s->calls += p->calls;
		s->pool_local += p->spawns;
		s->pool_local -= d->processors[i].refills;
	}
}

static void kf_read_stats(struct kf_domain *d, const struct kfiber_stats *k, struct kf_stats *s)
{
	kf_sum_processors(d, s);
	s->fibers_live = atomic_load(kf_atomic64(&d->block->live));
	s->fibers_spawned++;			/* the first one */
	s->fibers_allocated = k->fibers;
	s->timers = k->timers;
	s->handovers = k->handovers;
	s->returns = k->returns;
	s->steals = k->steals;
	s->sleeps = k->sleeps;
	s->wakeups = k->wakeups;
	s->calls += k->next_calls;
	s->stack_faults = k->stack_faults;
	s->stack_pages = k->stack_pages;
	s->stack_refused = k->stack_refused;
	s->processors = k->processors;
	s->workers = k->workers;
	s->workers_peak = k->workers_peak;
	s->spares = k->spares;
	s->stack_trimmed = k->stack_trimmed;
	s->stack_grown = k->stack_grown;
	s->stack_starts = k->stack_starts;
	s->stack_dropped = k->stack_dropped;
	s->pool_warm = k->pool_warm;
	s->pool_cold = k->pool_cold;
	s->pool_made = k->pool_made;
	s->pool_pages = k->pool_pages;
	s->time = k->time;
	s->preemptions = k->preemptions;
	s->interrupts = k->interrupts;
	s->file_waits = k->file_waits;
	s->file_wakes = k->file_wakes;
	s->file_waiting = k->file_waiting;
}

int kf_stats(struct kf_stats *stats)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	struct kf_stats all = { 0 };
	struct kfiber_stats kernel;
	size_t size = stats->size;
	int err;

	if (size < sizeof(size) + sizeof(uint64_t))
		return -EINVAL;
	if (!d)
		return -ESRCH;
	err = kf_call_stats(d, 0, &kernel);
	if (err)
		return err;
	kf_read_stats(d, &kernel, &all);
	all.size = size;
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
	return 0;
}

int kf_set_processors(unsigned int n)
{
	struct kf_domain *d = atomic_load_explicit(&kf_domain, memory_order_acquire);
	bool keeps = n;
	int err;

	if (!d)
		return -ESRCH;
	pthread_mutex_lock(&d->cpus_lock);
	err = kf_call_processors(d, &n);
	if (!err && keeps)
		kf_cpus_follow(d, false);
	pthread_mutex_unlock(&d->cpus_lock);
	return err ? err : (int)n;
}
