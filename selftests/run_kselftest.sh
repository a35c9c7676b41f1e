#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs the selftests, one after the other, where /dev/kfiber is: in tools/vm.
#
# Usage: selftests/run_kselftest.sh [NAME]...
#
# Without names: all programs of build/selftests and the scripts beside this
# one, and what the kernel's own tests (KUnit) found when the module was loaded.
# Prints the TAP of each between two lines that tools/tap-sum knows. Each has
# the time that "timeout=" in selftests/settings gives it, as kselftest has it.
# Succeeds when it came to its end, whatever the tests said.

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

# A suite is one test of KTAP's outer level; its cases are a level below.
show_kunit()
{
	for results in /sys/kernel/debug/kunit/*/results; do
		[ -r "$results" ] || continue
		suite=$(basename "$(dirname "$results")")
		echo "# selftests: kfiber: kunit-$suite"
		sed -n 's/^    //p' "$results"
		echo "# selftests: kfiber: kunit-$suite: exit 0"
	done
}

if [ $# -gt 0 ]; then
	for name in "$@"; do
		run_named "$name"
	done
	exit 0
fi

show_kunit
for program in "$programs"/* "$here"/*.sh; do
	name=$(basename "$program")
	[ -f "$program" ] && [ -x "$program" ] && [ "$name" != run_kselftest.sh ] && run_named "$name"
done
exit 0
