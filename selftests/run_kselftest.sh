#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs the selftests, one after the other, where /dev/kfiber is: in tools/vm.
#
# Usage: selftests/run_kselftest.sh [NAME]...
#
# Without names: the module's unit tests (KUnit), all programs of
# build/selftests and the scripts beside this one. The name "kunit" is all unit
# tests.
# Prints the TAP of each between two lines that tools/tap-sum knows. Each has
# the time that "timeout=" in selftests/settings gives it, as kselftest has it.
# Succeeds when it came to its end, whatever the tests said.

PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
programs=$here/../build/selftests
timeout=$(sed -n 's/^timeout=//p' "$here/settings" 2>/dev/null)

run()
{
	echo "# selftests: kfiber: $1"
	timeout -k 5 "${timeout:-300}" "$2" 2>&1
	status=$?
	# The last line may have been cut short.
	printf '\n# selftests: kfiber: %s: exit %d\n' "$1" $status
}

run_named()
{
	if [ -x "$programs/$1" ]; then
		run "$1" "$programs/$1"
	elif [ -x "$here/$1" ]; then
		run "$1" "$here/$1"
	else
		echo "# selftests: kfiber: $1"
		echo "# there is no $programs/$1 and no $here/$1"
		echo "# selftests: kfiber: $1: exit 127"
	fi
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

# Only where the kernel has KUnit: then all that there are sources of.
run_kunit()
{
	[ -d /sys/module/kunit ] || return
	for source in "$here"/../kmod/*_test.c; do
		run_unit_test "$(basename "$source" .c)"
	done
}

if [ $# -gt 0 ]; then
	for name in "$@"; do
		if [ "$name" = kunit ]; then
			run_kunit
		else
			run_named "$name"
		fi
	done
	exit 0
fi

run_kunit
for program in "$programs"/* "$here"/*.sh; do
	name=$(basename "$program")
	[ -f "$program" ] && [ -x "$program" ] && [ "$name" != run_kselftest.sh ] && run_named "$name"
done
exit 0
