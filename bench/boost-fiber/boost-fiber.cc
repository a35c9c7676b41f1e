// SPDX-License-Identifier: GPL-2.0
/* Boost.Fiber, on one thread, with stacks of its default allocator. */
#include <boost/fiber/all.hpp>
#include <malloc.h>
#include <memory>
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

const bench_work works[] = {
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
