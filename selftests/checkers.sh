#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests that sanitizers and valgrind understand a program with fibers. TAP 13.
#
# Each program of build/selftests/checkers is selftests/checkers/planted.c: built
# for ASan and UBSan with the static library and with the shared one, for TSan,
# and for nothing, to run in valgrind. Without a bug the checker must say nothing
# at all. With one it must say what it is, and name the functions, innermost
# first: a checker that has lost the stack names one at most.
set -u

here=$(cd "$(dirname "$0")" && pwd)
programs=$here/../build/selftests/checkers
count=0
failed=0
said=
status=0

export ASAN_OPTIONS=detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1
# On some kernels there are addresses that gcc 12's TSan has no place for.
readonly fixed_addresses=(setarch --addr-no-randomize)
readonly memcheck=(valgrind -q --sim-hints=lax-ioctls)

result()
{
	count=$((count + 1))
	if [ "$1" = yes ]; then
		echo "ok $count $2"
	else
		failed=1
		printf '# %s\n' "status $status" "${said//$'\n'/$'\n'# }"
		echo "not ok $count $2"
	fi
}

run()
{
	said=$("$@" 2>&1)
	status=$?
}

# is_silent NAME COMMAND...: the last word says what the program does.
is_silent()
{
	local good=no name=$1

	run "${@:2}"
	[ $status -eq 0 ] && [ -z "$said" ] && good=yes
	result $good "$name: says nothing about ${!#}"
}

# said_that NAME WHAT INNER OUTER: the two functions are beside each other.
said_that()
{
	local good=no name=$1 what=$2 inner=$3 outer=$4

	grep -q "$what" <<<"$said" && grep -A 1 " $inner " <<<"$said" | grep -q " $outer " && good=yes
	result $good "$name: finds ${what#*: } in $inner"
}

# finds NAME WHAT INNER OUTER COMMAND...
finds()
{
	run "${@:5}"
	said_that "${@:1:4}"
}

check_asan()
{
	local program=$programs/$1

	is_silent "$1" "$program" clean
	ASAN_OPTIONS='' is_silent "$1 without its second stacks" "$program" clean
	ASAN_OPTIONS='' is_silent "$1 without its second stacks" "$program" exits
	finds "$1" 'AddressSanitizer: stack-use-after-return' use_left_frame returns_frame \
		"$program" use_after_return
}

# What is compiled into the program is the same with either library: once is enough.
check_asan_bugs()
{
	local program=$programs/$1

	finds "$1" 'AddressSanitizer: heap-use-after-free' use_freed_memory use_after_free \
		"$program" use_after_free
	finds "$1" 'AddressSanitizer: stack-buffer-overflow' write_past_frame overflows \
		"$program" frame_overflow
	finds "$1" 'LeakSanitizer: detected memory leaks' allocate_and_forget forgets \
		"$program" leak
	finds "$1" 'runtime error: signed integer overflow' overflow_int adds \
		"$program" undefined
}

check_tsan()
{
	local program=("${fixed_addresses[@]}" "$programs/tsan")

	is_silent tsan "${program[@]}" clean
	finds tsan 'ThreadSanitizer: data race' count_unlocked counts "${program[@]}" race
	finds tsan 'ThreadSanitizer: data race' count_as_reader reads_and_writes \
		"${program[@]}" race_of_readers
	finds tsan 'ThreadSanitizer: heap-use-after-free' use_freed_memory use_after_free \
		"${program[@]}" use_after_free
}

check_valgrind()
{
	if ! command -v valgrind >/dev/null; then
		count=$((count + 1))
		echo "ok $count valgrind: clean # SKIP valgrind is not installed"
		return
	fi
	is_silent valgrind "${memcheck[@]}" "$programs/plain" clean
	# It takes its time to begin, and goes on after a bug: both in one run.
	run "${memcheck[@]}" --leak-check=full "$programs/plain" uninitialised leak
	said_that valgrind 'jump or move depends on uninitialised' branch_on_nothing reads_nothing
	said_that valgrind 'definitely lost' allocate_and_forget forgets
}

# It is about the library: one kernel is enough, and the quickest.
if [ "${VM_KERNEL:-6.12}" != 6.12 ]; then
	echo "1..0 # SKIP on $VM_KERNEL: it is about user space, see 6.12"
	exit 0
fi

echo 'TAP version 13'
check_asan asan
check_asan_bugs asan
check_asan asan-shared
check_tsan
check_valgrind
echo "1..$count"
exit $failed
