// SPDX-License-Identifier: GPL-2.0
/* libuv: callbacks on one thread; its timers count milliseconds. */
#include <stdlib.h>
#include <uv.h>

#include "../bench.h"

static unsigned long tasks, times, left;
static uint64_t begin;

static void check(int error, const char *what)
{
	if (!error)
		return;
	fprintf(stderr, "%s: %s\n", what, uv_strerror(error));
	exit(1);
}

/* @what: the parameter that says how often. Return: room for all of them. */
static void *alloc_tasks(const char *what, size_t size)
{
	tasks = bench_parameter("tasks");
	times = bench_parameter(what);
	return bench_alloc(tasks, size);
}

static void run_all(void)
{
	left = tasks;
	check(uv_run(uv_default_loop(), UV_RUN_DEFAULT), "uv_run");
	bench_counted(left, 0);
}

static void run_since_begin(void *all)
{
	run_all();
	bench_each(begin, 1);
	bench_threads();
	free(all);
}

/* --- sleeps: a timer for each, set anew when it has come ----------------------------- */

struct sleeper {
	uv_timer_t timer;
	unsigned long done;
};

static void slept(uv_timer_t *timer)
{
	struct sleeper *s = (struct sleeper *)timer;

	if (++s->done < times) {
		check(uv_timer_start(timer, slept, 10, 0), "uv_timer_start");
		return;
	}
	left--;
}

static void run_sleeps(void)
{
	struct sleeper *all = alloc_tasks("sleeps", sizeof(*all));
	unsigned long i;

	begin = bench_now();
	for (i = 0; i < tasks; i++) {
		uv_timer_init(uv_default_loop(), &all[i].timer);
		check(uv_timer_start(&all[i].timer, slept, 10, 0), "uv_timer_start");
	}
	run_since_begin(all);
}

/* --- reads ---------------------------------------------------------------------------- */

struct reader {
	uv_pipe_t pipe;
	unsigned long done;
	char byte;
};

static void give_room(uv_handle_t *handle, size_t wanted, uv_buf_t *buffer)
{
	*buffer = uv_buf_init(&((struct reader *)handle)->byte, 1);
}

static void was_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
	struct reader *r = (struct reader *)stream;

	/* Nothing, where there was less than libuv had hoped for. */
	if (!got)
		return;
	if (got != 1)
		check((int)got, "read");
	if (++r->done < times)
		return;
	uv_close((uv_handle_t *)stream, NULL);
	left--;
}

static void run_reads(void)
{
	struct reader *all = alloc_tasks("reads", sizeof(*all));
	unsigned long i;

	for (i = 0; i < tasks; i++) {
		uv_pipe_init(uv_default_loop(), &all[i].pipe, 0);
		check(uv_pipe_open(&all[i].pipe, BENCH_PIPE(i)), "uv_pipe_open");
		check(uv_read_start((uv_stream_t *)&all[i].pipe, give_room, was_read),
		      "uv_read_start");
	}
	begin = bench_ready(tasks);
	run_since_begin(all);
}

/* --- lateness ------------------------------------------------------------------------- */

struct alarm {
	uv_timer_t timer;
	uint64_t deadline;
};

static uint64_t *late;

static void came(uv_timer_t *timer)
{
	struct alarm *a = (struct alarm *)timer;

	late[--left] = bench_now() - a->deadline;
}

/* Its time is that of the clock in whole milliseconds: none is early. */
static void run_sleeping(void)
{
	uint64_t interval = 1000 * BENCH_MS / bench_parameter("per_second"), start = bench_now();
	struct alarm *all;
	unsigned long i;

	tasks = bench_parameter("tasks");
	all = bench_alloc(tasks, sizeof(*all));
	late = bench_alloc(tasks, sizeof(*late));
	for (i = 0; i < tasks; i++)
		uv_timer_init(uv_default_loop(), &all[i].timer);
	begin = bench_begin(start);
	uv_update_time(uv_default_loop());
	for (i = 0; i < tasks; i++) {
		uint64_t due;

		all[i].deadline = begin + i * interval;
		due = (all[i].deadline + BENCH_MS - 1) / BENCH_MS;
		check(uv_timer_start(&all[i].timer, came, due - uv_now(uv_default_loop()), 0),
		      "uv_timer_start");
	}
	run_all();
	bench_late(late, tasks);
}

static const struct bench_work works[] = {
	{ "sleeps", run_sleeps },
	{ "reads", run_reads },
	{ "sleeping", run_sleeping },
	{ 0 }
};

int main(int argc, char **argv)
{
	return bench_main(argc, argv, works);
}
