#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What the tests of the examples have in common, for them to source: how they run and complain,
# servers, and connections to those. Who uses it has the array "tests", functions by these names.
# Those of servers want "host" and "port", and how many seconds a slow machine may take, "patience".
#
# shellcheck disable=SC2154

bail()
{
	echo "Bail out! $1"
	exit 1
}

# The test's line says so.
skip()
{
	skipped=$1
	return 1
}

complain()
{
	failed=1
	printf '# %s\n' "${1//$'\n'/$'\n'# }"
}

# Prints a line for each test and exits.
run_tests()
{
	local number=0 bad=0 name

	for name in "${tests[@]}"; do
		failed=0
		skipped=
		"$name"
		((failed == 0)) &&
			echo "ok $((++number)) ${name//_/ }${skipped:+ # SKIP $skipped}" && continue
		echo "not ok $((++number)) ${name//_/ }"
		bad=1
	done
	exit $bad
}

# begin PREFIX COMMAND...: a server; sets PREFIX_pid, PREFIX_out and PREFIX_port.
begin()
{
	local prefix=$1 out line
	shift

	exec {out}< <(exec "$@" 2>&1)
	printf -v "${prefix}_pid" %s $!
	printf -v "${prefix}_out" %s "$out"
	IFS= read -r -t "$patience" -u "$out" line || line='nothing'
	[[ $line =~ ^listening\ on\ port\ ([0-9]+)$ ]] || bail "the server says: $line"
	printf -v "${prefix}_port" %s "${BASH_REMATCH[1]}"
}

# end PREFIX: asks it to, and waits for it.
end()
{
	local pid=${1}_pid

	kill -TERM "${!pid}"
	ended "$1"
}

# ended PREFIX: waits for one that is about to.
ended()
{
	local pid=${1}_pid

	wait "${!pid}" || complain "the server ended with status $?"
	printf -v "$pid" ''
}

connect()
{
	exec {sock}<>"/dev/tcp/$host/$port"
}

disconnect()
{
	exec {sock}>&-
}

# A server that sends a client away may have closed before that one has said all, which is
# no reason to die, but for who reads the answer to see. (Programs that are started do not
# inherit a handler.)
trap : PIPE

say()
{
	# shellcheck disable=SC2059 # callers write \r\n in their requests
	{ printf "$1" >&"$sock"; } 2>/dev/null
}

# hear NAME: sets it to what comes until the server closes.
hear()
{
	# A connection that is reset leaves it as it was.
	printf -v "$1" ''
	IFS= read -r -d '' -t "$patience" -u "$sock" "$1"
	[[ $? -gt 128 ]] && complain "no end of the connection in $patience seconds"
}
