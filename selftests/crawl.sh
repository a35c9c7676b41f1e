#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests examples/crawl against find and sha256sum. TAP 13.
#
# Arguments name the tests to run; without, it is all of them.
#
# CRAWL names the program; without it the one beside this script is used, as kselftest
# installs it, or else the one in build/.
#
# shellcheck disable=SC2317 # the tests are called by their names in an array
set -u

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=/dev/null # shellcheck looks at it by itself
. "$here/program.sh"
crawl=${CRAWL:-$here/crawl}
[[ -x $crawl ]] || crawl=$here/../build/examples/crawl
tmp=
# Patience for a slow machine: nothing waits for it when things go well.
patience=60

tests=(
	same_sums lines_are_escaped one_fiber many_fibers few_descriptors deep_directories
	root_by_link unreadable not_there full_output
	progress interrupted interrupted_output usage
)

cleanup()
{
	[[ $tmp ]] && rm -rf "$tmp"
}

# A path of more than 4096 bytes is longer than the kernel takes in a call.
make_deep()
{
	local name i

	printf -v name '%0200d' 0
	mkdir "$1"
	(
		cd "$1" || exit
		for ((i = 0; i < 25; i++)); do
			mkdir "$name"
			cd "./$name" || exit
			echo "$i" > "file $i"
		done
	)
}

make_tree()
{
	local i

	tmp=$(mktemp -d "${TMPDIR:-/tmp}/crawl.XXXXXX") || bail 'no temporary directory'
	mkdir -p "$tmp"/tree/{a/b/c,wide,empty,loop}
	cd "$tmp/tree" || bail 'no tree'
	: > empty-file
	head -c 1000000 /dev/urandom > big
	for ((i = 0; i < 200; i++)); do
		echo "$i" > "wide/file $i"
	done
	echo 1 > $'new\nline'
	echo 2 > $'carriage\rreturn'
	echo 3 > 'back\slash'
	echo 4 > $'not\xffutf8'
	echo 5 > ' '
	echo 6 > -n
	ln -s .. loop/up
	ln -s self self
	ln -s nothing dangling
	ln -s big link
	ln big a/hard
	mkfifo fifo a/b/fifo
	make_deep ../deep
	find . -type f -print0 | sort -z | xargs -0 sha256sum -z | sort -z > ../expected
}

# crawl_to FILE ARGUMENT...: sets status
crawl_to()
{
	local out=$1
	shift

	timeout "$patience" "$crawl" "$@" > "$out" 2> "$tmp/errors"
	status=$?
}

# want_same STATUS ARGUMENT...: the sums of the tree, in whatever order
want_same()
{
	local wanted=$1
	shift

	crawl_to "$tmp/got" -z "$@" .
	((status == wanted)) || complain "ended with status $status: $(head -n 5 "$tmp/errors")"
	cmp <(sort -z "$tmp/got") "$tmp/expected" ||
		complain "differs: $(tr '\0' '\n' < "$tmp/got" | wc -l) lines, $(< "$tmp/errors")"
}

# --- sums --------------------------------------------------------------------

same_sums()
{
	want_same 0
	[[ ! -s $tmp/errors ]] || complain "it complained: $(< "$tmp/errors")"
}

# As sha256sum reads them back, and as it would have written them.
lines_are_escaped()
{
	crawl_to "$tmp/lines" .
	sha256sum --quiet -c "$tmp/lines" > "$tmp/check" 2>&1 || complain "$(head "$tmp/check")"
	find . -type f -exec sha256sum '{}' + | sort | cmp - <(sort "$tmp/lines") ||
		complain 'not the same lines'
}

one_fiber()
{
	want_same 0 --fibers 1
}

many_fibers()
{
	want_same 0 --fibers 2000
}

# A few files at once need few descriptors, however deep the tree or wide a directory.
few_descriptors()
{
	(
		ulimit -n 40
		want_same 0 --fibers 4
		crawl_to "$tmp/got" -z ../deep
		((status == 0)) || complain "in the depth: $(head -n 5 "$tmp/errors")"
		exit "$failed"
	) || failed=1
}

# Each directory by itself, as the kernel takes no path of that length.
deep_directories()
{
	crawl_to "$tmp/got" -z ../deep
	((status == 0)) || complain "ended with status $status: $(head -n 5 "$tmp/errors")"
	sed -z 's,  .*/,  ,' "$tmp/got" | sort -z > "$tmp/got-names"
	find ../deep -type f -execdir sha256sum -z '{}' + | sed -z 's,  \./,  ,' | sort -z |
		cmp - "$tmp/got-names" || complain 'differs'
	(($(tr '\0' '\n' < "$tmp/got" | wc -L) > 4096)) || complain 'it is not deep'
}

# --- what is not as it should be -----------------------------------------------

root_by_link()
{
	ln -s tree ../link-to-tree
	crawl_to "$tmp/got" ../link-to-tree/wide/
	((status == 0 && $(wc -l < "$tmp/got") == 200)) || complain "through a link: $status"
	grep -q '  ../link-to-tree/wide/file 7$' "$tmp/got" || complain 'wrong names'
	crawl_to "$tmp/got" ../link-to-tree
	((status == 0)) || complain "a link: $status"
}

# Root reads everything, so somebody else has to try.
unreadable()
{
	mkdir -p ../secrets/closed
	chmod 755 "$tmp" ../secrets
	echo 1 > ../secrets/open
	echo 2 > ../secrets/hidden
	chmod 0 ../secrets/hidden ../secrets/closed
	chmod 666 /dev/kfiber
	timeout "$patience" setpriv --reuid 65534 --regid 65534 --clear-groups \
		"$crawl" ../secrets > "$tmp/got" 2> "$tmp/errors"
	status=$?
	((status == 1)) || complain "ended with status $status"
	[[ $(cut -c 65- "$tmp/got") == '  ../secrets/open' ]] || complain "read: $(< "$tmp/got")"
	[[ $(sort "$tmp/errors") == 'crawl: ../secrets/closed: Permission denied
crawl: ../secrets/hidden: Permission denied' ]] || complain "said: $(< "$tmp/errors")"
}

not_there()
{
	crawl_to "$tmp/got" none
	((status == 1)) || complain "ended with status $status"
	[[ $(< "$tmp/errors") == 'crawl: none: No such file or directory' ]] ||
		complain "said: $(< "$tmp/errors")"
	crawl_to "$tmp/got" big
	[[ $(< "$tmp/errors") == 'crawl: big: Not a directory' ]] ||
		complain "said: $(< "$tmp/errors")"
}

full_output()
{
	crawl_to /dev/full .
	((status == 1)) || complain "ended with status $status"
	grep -q 'stdout: No space left' "$tmp/errors" || complain "said: $(< "$tmp/errors")"
}

# --- terminals and signals -------------------------------------------------------

progress()
{
	local count

	SHELL=/bin/sh script -qec "$crawl . > /dev/null" "$tmp/typescript" > /dev/null < /dev/null
	count=$(find . -type f -print0 | tr -dc '\0' | wc -c)
	grep -q "#\] $count of $count files, " "$tmp/typescript" ||
		complain "it showed: $(tail -c 300 "$tmp/typescript")"
	crawl_to "$tmp/got" .
	[[ ! -s $tmp/errors ]] || complain 'it shows that to files too'
}

# It would take hours. Sums that were ready are written.
interrupted()
{
	local pid size end=$((SECONDS + patience))

	mkdir ../endless
	truncate -s 4T ../endless/{a,b,c,d}
	for signal in INT TERM; do
		"$crawl" ../endless > "$tmp/got" 2> "$tmp/errors" &
		pid=$!
		until size=$(sed -n 's/^rchar: //p' "/proc/$pid/io"); ((size > 1000000 || SECONDS > end)); do
			sleep 0.1
		done
		kill -"$signal" "$pid"
		wait "$pid"
		status=$?
		((status == 130)) || complain "ended with status $status"
		[[ ! -s $tmp/got && ! -s $tmp/errors ]] || complain "it said: $(cat "$tmp"/{got,errors})"
	done
}

# In the middle of a line that nobody reads yet. What was begun is written as a whole.
interrupted_output()
{
	local pid size end=$((SECONDS + patience)) out

	mkdir ../many ../many/endless
	truncate -s 4T ../many/endless/a
	seq 1500 | (cd ../many && split -l 1 -a 4)
	mkfifo ../pipe
	exec {out}<> ../pipe
	"$crawl" ../many > ../pipe 2> "$tmp/errors" {out}>&- &
	pid=$!
	until size=$(sed -n 's/^wchar: //p' "/proc/$pid/io"); ((size >= 65536 || SECONDS > end)); do
		sleep 0.1
	done
	kill -INT "$pid"
	until grep -q '^ShdPnd:[[:space:]]*0*$' "/proc/$pid/status" || ((SECONDS > end)); do
		sleep 0.1
	done
	# It has taken the signal. A moment for what would be interrupted.
	sleep 0.3
	cat ../pipe > "$tmp/got" {out}>&- &
	wait "$pid"
	status=$?
	exec {out}>&-
	wait
	((status == 130)) || complain "ended with status $status"
	[[ ! -s $tmp/errors ]] || complain "it said: $(< "$tmp/errors")"
	size=$(grep -cE '^[0-9a-f]{64}  \.\./many/x[a-z]{4}$' "$tmp/got")
	((size > 700 && size == $(wc -l < "$tmp/got"))) ||
		complain "$size whole lines of $(wc -l < "$tmp/got")"
}

usage()
{
	"$crawl" --fibers 0 > "$tmp/usage" 2>&1 && complain 'took no fibers'
	[[ $(< "$tmp/usage") == *100000* ]] || complain "usage: $(< "$tmp/usage")"
	"$crawl" a b > "$tmp/usage" 2>&1 && complain 'took two directories'
}

main()
{
	echo 'TAP version 13'
	if [[ -z ${CRAWL-} && ! -e /dev/kfiber ]]; then
		echo '1..0 # SKIP the module is not loaded'
		exit 0
	fi
	(($# == 0)) || tests=("$@")
	echo "1..${#tests[@]}"
	[[ -x $crawl ]] || bail "$crawl is not there: make it, or set CRAWL"
	crawl=$(cd "$(dirname "$crawl")" && pwd)/${crawl##*/}
	trap cleanup EXIT
	make_tree
	run_tests
}

main "$@"
