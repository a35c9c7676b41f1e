#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs the selftests, one after the other, where /dev/kfiber is: in tools/vm.
#
# Usage: selftests/run_kselftest.sh [OPTION]... [NAME]...
#
#   -l | --list               list the tests, as kfiber:NAME
#   -t | --test kfiber:NAME   run this test; may be repeated
#   -c | --collection kfiber  run all tests
#   -s | --summary            print a line for each test, and the rest to output.log
#                             (in VM_OUT, else here)
#   -d | --dry-run            print what would be run
#   -o | --override-timeout S seconds that each test may take
#   -h | --help               this text
#
# Without names: of the module's unit tests (KUnit), the programs of build/selftests
# and the scripts beside this one, those that show something on this kernel: "what runs
# where" below is the rule. KFIBER_SLOW=1 runs all of them, whole.
# The name "kunit" is all unit tests.
# Prints the TAP of each between two lines that tools/tap-sum knows. Each has
# the time that "timeout=" in selftests/settings gives it, as kselftest has it.
# Succeeds when it came to its end, whatever the tests said.

PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
programs=$here/../build/selftests
timeout=$(sed -n 's/^timeout=//p' "$here/settings" 2>/dev/null)
names=
summary=
dry_run=

die()
{
	echo "run_kselftest.sh: $*" >&2
	exit 1
}

# --- what there is ----------------------------------------------------------

# Only where the kernel has KUnit: then all that there are sources of.
unit_tests()
{
	[ -d /sys/module/kunit ] || return
	for source in "$here"/../kmod/*_test.c; do
		source=${source##*/}
		echo "${source%.c}"
	done
}

all_tests()
{
	unit_tests
	for file in "$programs"/* "$here"/*.sh; do
		name=${file##*/}
		[ -f "$file" ] && [ -x "$file" ] && [ "$name" != run_kselftest.sh ] && echo "$name"
	done
}

# --- what runs where --------------------------------------------------------
#
#	kernel			what runs		rounds (slow.h)
#	6.12			all			all
#	6.1, 6.12-rt, 6.1-rt	not $user_space		a quarter
#	debug, kcsan		nor $no_new_path	a tenth
#
# 6.12 is the quickest of them, so it is where all is shown. The others are for what
# they do otherwise than it: an older kernel's functions, locks that sleep, and reports
# of what is wrong on the way, however often that way is gone. A kernel that checks each
# access is ten to thirty times slower.

# The library's own objects and tools. What they ask of the module is to park and to
# wake, with or without a deadline, which others test.
user_space='chan cond ctx dump key mutex once rwlock scope select leaktest sem testclock ticker waitgroup'
user_space="$user_space checkers.sh crawl.sh gdb.sh httpd.sh kvd.sh leaks.sh"

# What takes the module's ways in great numbers, or reads what it says there, when abi, park,
# process, timer, stack, trim and hostile go all of these ways. Races are provoked there with
# delay points in the module, by a run of their own.
no_new_path='block contain coredump cpus cputime deadlock fiber latency numbers overflow pool'
no_new_path="$no_new_path race sleepers"

if grep -qE ' (kasan|kcsan)_' /proc/kallsyms; then
	rounds=10
elif [ "${VM_KERNEL:-6.12}" = 6.12 ]; then
	rounds=1
else
	rounds=4
fi
export KFIBER_SLOW="${KFIBER_SLOW:-$rounds}"

case $KFIBER_SLOW in
1) left_out='' ;;
10) left_out="$user_space $no_new_path" ;;
*) left_out=$user_space ;;
esac

is_left_out()
{
	case " $left_out " in
	*" $1 "*) ;;
	*) return 1 ;;
	esac
}

chosen_tests()
{
	for chosen in $(all_tests); do
		is_left_out "$chosen" || echo "$chosen"
	done
}

# --- running ----------------------------------------------------------------

# Sets $now, in whole seconds: the shell cannot compute with the fraction. No process is
# started where the shell can do it: that takes a second on a kernel that checks itself.
read_clock()
{
	IFS=. read -r now _ </proc/uptime
}

run_program()
{
	echo "# selftests: kfiber: $1"
	read_clock
	start=$now
	timeout -k 5 "${timeout:-300}" "$2" 2>&1
	status=$?
	read_clock
	# The last line may have been cut short.
	printf '\n# %s took %d s\n' "$1" $((now - start))
	echo "# selftests: kfiber: $1: exit $status"
}

# A unit test is a module of its own, which runs when it is loaded. Its suite is
# one test of KTAP's outer level, so show the cases, which are a level below. A
# test that was not built, or loaded without running, has no plan: it fails.
run_unit_test()
{
	echo "# selftests: kfiber: $1"
	insmod "$here/../build/kmod/$VM_KERNEL/kmod/$1.ko" 2>&1
	status=$?
	sed -n 's/^    //p' /sys/kernel/debug/kunit/kfiber_*/results 2>&1
	echo "# selftests: kfiber: $1: exit $status"
	rmmod "$1"
}

run_named()
{
	if [ "${1%_test}" != "$1" ] && [ -e "$here/../kmod/$1.c" ]; then
		run_unit_test "$1"
	elif [ -x "$programs/$1" ]; then
		run_program "$1" "$programs/$1"
	elif [ -x "$here/$1" ]; then
		run_program "$1" "$here/$1"
	else
		status=127
		echo "# selftests: kfiber: $1"
		echo "# there is no $programs/$1 and no $here/$1"
		echo "# selftests: kfiber: $1: exit 127"
	fi
}

# As the kernel's own says it: 4 is "all was skipped", 124 timeout(1)'s.
run_summarized()
{
	run_named "$1" >>"$log"
	count=$((count + 1))
	case $status in
	0) echo "ok $count selftests: kfiber: $1" ;;
	4) echo "ok $count selftests: kfiber: $1 # SKIP" ;;
	124 | 137) echo "not ok $count selftests: kfiber: $1 # TIMEOUT ${timeout:-300} seconds" ;;
	*) echo "not ok $count selftests: kfiber: $1 # exit=$status" ;;
	esac
}

# --- the command line -------------------------------------------------------

need_value()
{
	[ $# -ge 2 ] || die "$1 needs a value; see --help"
}

# Only what there is: a name that is misspelled must not pass for a test.
select_test()
{
	name=${1#kfiber:}
	all_tests | grep -qxF -e "$name" || die "no such test '$1'; see --list"
	names="$names $name"
}

while [ $# -gt 0 ]; do
	case $1 in
	-l | --list)
		all_tests | sed 's/^/kfiber:/'
		exit 0
		;;
	-t | --test)
		need_value "$@"
		select_test "$2"
		shift 2
		;;
	-c | --collection)
		need_value "$@"
		[ "$2" = kfiber ] || die "no such collection '$2': there is kfiber"
		names="$names $(all_tests)"
		shift 2
		;;
	-o | --override-timeout)
		need_value "$@"
		timeout=$2
		[ "$timeout" -gt 0 ] 2>/dev/null || die "$1: '$2' is not a number of seconds"
		shift 2
		;;
	-s | --summary)
		summary=yes
		shift
		;;
	-d | --dry-run)
		dry_run=yes
		shift
		;;
	-h | --help)
		sed -n '4,24s/^# \{0,1\}//p' "$0"
		exit 0
		;;
	-*)
		die "unknown option '$1'; see --help"
		;;
	kunit)
		names="$names $(unit_tests)"
		# A kernel without KUnit has none, which is not "all tests".
		[ -n "$names" ] || exit 0
		shift
		;;
	*)
		names="$names $1"
		shift
		;;
	esac
done
[ -n "$names" ] || names=$(chosen_tests)

count=0
log=${VM_OUT:-.}/output.log
if [ -n "$summary" ] && [ -z "$dry_run" ]; then
	(: >"$log") 2>/dev/null || die "cannot write $log"
	echo 'TAP version 13'
	# shellcheck disable=SC2086 # names, without spaces
	set -- $names
	echo "1..$#"
fi
for name in $names; do
	if [ -n "$dry_run" ]; then
		echo "kfiber:$name"
	elif [ -n "$summary" ]; then
		run_summarized "$name"
	else
		run_named "$name"
	fi
done
exit 0
