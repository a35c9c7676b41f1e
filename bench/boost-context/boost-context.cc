// SPDX-License-Identifier: GPL-2.0
/* Boost.Context: the switch alone, with nobody who schedules. */
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>

#include "../bench.h"

namespace ctx = boost::context;

namespace {

unsigned long turns;
bool over;

/* There and back are two. */
void run_yield()
{
	unsigned long n = bench_parameter("n");
	ctx::fiber other{ std::allocator_arg, ctx::fixedsize_stack(BENCH_STACK),
			  [](ctx::fiber &&back) {
		for (; !over; back = std::move(back).resume())
			turns++;
		return std::move(back);
	} };
	uint64_t start;

	other = std::move(other).resume();
	start = bench_now();
	for (unsigned long i = 0; i < n; i++)
		other = std::move(other).resume();
	bench_each(start, 2 * n);
	bench_counted(turns, n + 1);
	over = true;
	other = std::move(other).resume();
}

/* Keeps the last stack, as one does who makes many: mapping one anew is no switch. */
struct warm_stack {
	using traits_type = ctx::fixedsize_stack::traits_type;

	static ctx::stack_context kept;

	ctx::stack_context allocate()
	{
		ctx::stack_context stack = kept;

		kept = {};
		return stack.sp ? stack : ctx::fixedsize_stack(BENCH_STACK).allocate();
	}

	void deallocate(ctx::stack_context &stack) noexcept
	{
		kept = stack;
	}
};

ctx::stack_context warm_stack::kept;

void run_spawn()
{
	unsigned long n = bench_parameter("n");
	uint64_t start = bench_now();

	for (unsigned long i = 0; i < n; i++) {
		ctx::fiber other{ std::allocator_arg, warm_stack(), [](ctx::fiber &&back) {
			turns++;
			return std::move(back);
		} };
		other = std::move(other).resume();
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
