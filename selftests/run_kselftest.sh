#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs the selftests, one after the other, where /dev/kfiber is: in tools/vm.
#
# Usage: selftests/run_kselftest.sh [NAME]...
#
# Without names: the module's unit tests (KUnit), all programs of
# build/selftests and the scripts beside this one.
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

# The unit tests are modules of their own, which run when they are loaded, on a
# kernel that has KUnit. A suite is one test of KTAP's outer level, so show its
# cases, which are a level below.
run_kunit()
{
	for module in "$here/../build/kmod/$VM_KERNEL"/kmod/*_test.ko; do
		[ -e "$module" ] || continue
		name=$(basename "$module" .ko)
		echo "# selftests: kfiber: $name"
		insmod "$module" 2>&1
		status=$?
		sed -n 's/^    //p' /sys/kernel/debug/kunit/*/results
		echo "# selftests: kfiber: $name: exit $status"
		rmmod "$name"
	done
}

if [ $# -gt 0 ]; then
	for name in "$@"; do
		run_named "$name"
	done
	exit 0
fi

run_kunit
for program in "$programs"/* "$here"/*.sh; do
	name=$(basename "$program")
	[ -f "$program" ] && [ -x "$program" ] && [ "$name" != run_kselftest.sh ] && run_named "$name"
done
exit 0
