// SPDX-License-Identifier: GPL-2.0
/* Coroutines of C++20: without a stack, and with nobody who schedules. */
#include <coroutine>
#include <exception>

#include "../bench.h"

namespace {

unsigned long turns;

struct task {
	struct promise_type {
		task get_return_object()
		{
			return { std::coroutine_handle<promise_type>::from_promise(*this) };
		}
		std::suspend_always initial_suspend() noexcept { return {}; }
		std::suspend_always final_suspend() noexcept { return {}; }
		void return_void() {}
		void unhandled_exception() { std::terminate(); }
	};

	std::coroutine_handle<promise_type> handle;
};

task yields()
{
	for (;;) {
		turns++;
		co_await std::suspend_always{};
	}
}

/* There and back are two. */
void run_yield()
{
	unsigned long n = bench_parameter("n");
	task other = yields();
	uint64_t start = bench_now();

	for (unsigned long i = 0; i < n; i++)
		other.handle.resume();
	bench_each(start, 2 * n);
	bench_counted(turns, n);
	other.handle.destroy();
}

/* Not inlined: its frame is allocated, as that of one who outlives its caller. */
__attribute__((noinline)) task counts()
{
	turns++;
	co_return;
}

void run_spawn()
{
	unsigned long n = bench_parameter("n");
	uint64_t start = bench_now();

	for (unsigned long i = 0; i < n; i++) {
		task other = counts();

		other.handle.resume();
		other.handle.destroy();
	}
	bench_each(start, n);
	bench_counted(turns, n);
}

const bench_work works[] = {
	{ "yield", run_yield },
	{ "spawn", run_spawn },
	{ nullptr, nullptr }
};

} // namespace

int main(int argc, char **argv)
{
	return bench_main(argc, argv, works);
}
