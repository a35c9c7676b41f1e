// SPDX-License-Identifier: GPL-2.0
/* Boost.Fiber, on one thread, with stacks of its default allocator. */
#include <boost/fiber/all.hpp>
#include <chrono>
#include <malloc.h>
#include <memory>
#include <thread>
#include <unistd.h>
#include <vector>

#include "../bench.h"

namespace {

bench_growth growth;
unsigned long stacks;
boost::fibers::mutex mutex;
boost::fibers::condition_variable end;
bool ended;
unsigned long parked;

void park()
{
	std::unique_lock<boost::fibers::mutex> lock(mutex);

	parked++;
	end.wait(lock, [] { return ended; });
}

template <typename Function>
std::vector<boost::fibers::fiber> spawn_all(size_t stack_size, Function fn)
{
	std::vector<boost::fibers::fiber> fibers;

	fibers.reserve(stacks);
	for (unsigned long i = 0; i < stacks; i++)
		fibers.emplace_back(boost::fibers::launch::dispatch, std::allocator_arg,
				    boost::fibers::fixedsize_stack(stack_size), fn);
	if (parked != stacks)
		bench_die("a fiber did not run");
	return fibers;
}

void join_all(std::vector<boost::fibers::fiber> &fibers)
{
	{
		std::unique_lock<boost::fibers::mutex> lock(mutex);
		ended = true;
	}
	end.notify_all();
	for (auto &fiber : fibers)
		fiber.join();
}

void run_growth()
{
	growth.pages = bench_parameter("pages");
	stacks = bench_parameter("stacks");
	auto fibers = spawn_all(bench_stack_size(growth.pages), [] {
		bench_grow(&growth);
		park();
	});
	join_all(fibers);
	bench_grown(&growth, stacks);
}

void run_deep()
{
	growth.pages = bench_parameter("pages");
	stacks = bench_parameter("stacks");
	bench_phase("before");
	auto fibers = spawn_all(BENCH_STACK, [] {
		bench_go_deep(growth.pages - 1);
		park();
	});
	bench_phase("deep");
	usleep(bench_parameter("idle_ms") * 1000);
	bench_phase("idle");
	malloc_trim(0);
	bench_phase("trimmed");
	join_all(fibers);
}

void run_parked()
{
	stacks = bench_parameter("stacks");
	bench_phase("before");
	uint64_t begin = bench_now();
	auto fibers = spawn_all(BENCH_STACK, park);
	bench_sample("spawn_and_park", double(bench_now() - begin) / double(stacks));
	bench_phase("parked");
	join_all(fibers);
}

unsigned long n, turns;

/* Two that yield to each other: each turn of the other one is two yields. */
void run_yield()
{
	bool over = false;

	n = bench_parameter("n");
	boost::fibers::fiber other(boost::fibers::launch::dispatch, [&over] {
		for (; !over; boost::this_fiber::yield())
			turns++;
	});
	turns = 0;
	uint64_t start = bench_now();
	for (unsigned long i = 0; i < n; i++)
		boost::this_fiber::yield();
	bench_each(start, 2 * n);
	bench_counted(turns, n);
	over = true;
	other.join();
}

/* What it has for one fiber to wake another: a condition variable. */
void run_unpark()
{
	boost::fibers::mutex lock;
	boost::fibers::condition_variable_any there, back;
	bool mine = true, over = false;

	n = bench_parameter("n");
	boost::fibers::fiber other(boost::fibers::launch::dispatch, [&] {
		std::unique_lock<boost::fibers::mutex> held(lock);

		for (;;) {
			there.wait(held, [&] { return !mine || over; });
			if (over)
				return;
			turns++;
			mine = true;
			back.notify_one();
		}
	});
	uint64_t start = bench_now();
	{
		std::unique_lock<boost::fibers::mutex> held(lock);

		for (unsigned long i = 0; i < n; i++) {
			mine = false;
			there.notify_one();
			back.wait(held, [&] { return mine; });
		}
		bench_each(start, n);
		bench_counted(turns, n);
		over = true;
		there.notify_one();
	}
	other.join();
}

using channel = boost::fibers::unbuffered_channel<unsigned long>;

void echo(channel &there, channel &back)
{
	unsigned long value;

	while (there.pop(value) == boost::fibers::channel_op_status::success) {
		turns++;
		back.push(value);
	}
}

/* With two processors the other one has a thread to itself, as it is meant there. */
void run_channel()
{
	channel there, back;
	unsigned long value;
	std::thread thread;
	boost::fibers::fiber fiber;
	bool apart = bench_parameter("processors") > 1;

	n = bench_parameter("n");
	if (apart)
		thread = std::thread([&] { echo(there, back); });
	else
		fiber = boost::fibers::fiber([&] { echo(there, back); });
	uint64_t start = bench_now();
	for (unsigned long i = 0; i < n; i++) {
		there.push(i);
		back.pop(value);
		bench_counted(value, i);
	}
	bench_each(start, n);
	there.close();
	if (apart)
		thread.join();
	else
		fiber.join();
	bench_counted(turns, n);
}

void run_spawn()
{
	n = bench_parameter("n");
	boost::fibers::pooled_fixedsize_stack stacks(BENCH_STACK);
	uint64_t start = bench_now();

	for (unsigned long i = 0; i < n; i++)
		boost::fibers::fiber(std::allocator_arg, stacks, [] { turns++; }).join();
	bench_each(start, n);
	bench_counted(turns, n);
}

void run_sleeps()
{
	std::vector<boost::fibers::fiber> fibers;
	unsigned long tasks = bench_parameter("tasks");
	uint64_t start = bench_now();

	n = bench_parameter("sleeps");
	for (unsigned long i = 0; i < tasks; i++)
		fibers.emplace_back([] {
			for (unsigned long j = 0; j < n; j++) {
				boost::this_fiber::sleep_for(std::chrono::milliseconds(10));
				turns++;
			}
		});
	for (auto &fiber : fibers)
		fiber.join();
	bench_each(start, 1);
	bench_counted(turns, tasks * n);
	bench_threads();
}

using steady = std::chrono::steady_clock;

/* Its sleeps are of the clock that bench_now() reads. */
void run_sleeping()
{
	std::vector<boost::fibers::fiber> fibers;
	unsigned long tasks = bench_parameter("tasks");
	std::chrono::nanoseconds interval(1000 * BENCH_MS / bench_parameter("per_second"));
	std::vector<uint64_t> late(tasks);
	steady::time_point begin;
	uint64_t start = bench_now();

	stacks = tasks;
	fibers = spawn_all(BENCH_STACK, [&] {
		unsigned long mine = parked;

		park();
		steady::time_point deadline = begin + mine * interval;
		boost::this_fiber::sleep_until(deadline);
		late[mine] = uint64_t((steady::now() - deadline).count());
	});
	begin = steady::time_point(std::chrono::nanoseconds(bench_begin(start)));
	join_all(fibers);
	bench_late(late.data(), tasks);
}

void run_handover()
{
	unsigned long busy = bench_parameter("busy"), ms = bench_parameter("ms");
	boost::fibers::mutex lock;
	boost::fibers::condition_variable_any there;
	bool ready = false;
	uint64_t since = 0;

	n = bench_parameter("n");
	std::vector<uint64_t> late(n);
	boost::fibers::fiber other(boost::fibers::launch::dispatch, [&] {
		std::unique_lock<boost::fibers::mutex> held(lock);

		for (; turns < n; turns++) {
			there.wait(held, [&] { return ready; });
			late[turns] = bench_now() - since;
			ready = false;
		}
	});
	for (unsigned long i = 1; i <= n; i++) {
		since = bench_now();
		ready = true;
		there.notify_one();
		if (busy)
			bench_spin(since + ms * BENCH_MS);
		else
			usleep(useconds_t(ms * 1000));
		while (turns < i)
			boost::this_fiber::yield();
	}
	other.join();
	bench_late(late.data(), n);
}

const bench_work works[] = {
	{ "sleeps", run_sleeps },
	{ "sleeping", run_sleeping },
	{ "handover", run_handover },
	{ "yield", run_yield },
	{ "unpark", run_unpark },
	{ "channel", run_channel },
	{ "spawn", run_spawn },
	{ "growth", run_growth },
	{ "deep", run_deep },
	{ "parked", run_parked },
	{ nullptr, nullptr }
};

} // namespace

int main(int argc, char **argv)
{
	return bench_main(argc, argv, works);
}
