#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests examples/leaks: each pattern leaves those behind that it must, and no others; its mend
# leaves none. TAP 13.
set -u

here=$(cd "$(dirname "$0")" && pwd)
# In this tree, or beside this script where it was installed.
program=$here/../build/examples/leaks
[[ -x $program ]] || program=$here/leaks
count=0
failed=0

# Pattern, how many are left, what they do, where, where they were spawned.
patterns=(
	"early-return 1 send to compute early_return"
	"timeout 1 send to answer timeout"
	"first-of-many 2 send to ask first_of_many"
	"double-send 1 send to work_and_send double_send"
	"never-closed 4 receive from work never_closed"
)

result()
{
	count=$((count + 1))
	if [[ $1 = yes ]]; then
		echo "ok $count $2"
	else
		failed=1
		printf '# %s\n' "status $status" "${said//$'\n'/$'\n'# }"
		echo "not ok $count $2"
	fi
}

run()
{
	said=$("$program" "$@" 2>&1)
	status=$?
}

# has LINES REGEX: so many lines match
has()
{
	[[ $(grep -cE "$2" <<<"$said") = "$1" ]]
}

# One group, of all that are left.
says()
{
	has 1 "^kfiber: fibers that are left: $1\$" &&
		has 1 "^$1 fibers?, .*: waiting to $2 $3 channel 0x" && has 1 '^[0-9]+ fiber' &&
		has 1 "^    at $4\+0x" && has 1 '^    at ' && has 1 "^    spawned at $5\+0x"
}

echo "TAP version 13"
echo "1..$((2 * ${#patterns[@]} + 1))"
for pattern in "${patterns[@]}"; do
	read -r name left what to where by <<<"$pattern"
	run "$name"
	[[ $status = 1 ]] && says "$left" "$what" "$to" "$where" "$by" && good=yes || good=no
	result "$good" "$name"
	run --mended "$name"
	[[ $status = 0 && ! $said ]] && good=yes || good=no
	result "$good" "$name, mended"
done
run no-such-pattern
[[ $status = 2 ]] && has 1 '^usage: ' && good=yes || good=no
result "$good" "a pattern that is none"
exit $failed
