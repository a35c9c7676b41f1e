#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests tools/gdb/kfiber.py on a core and on a process that goes on. TAP 13.
#
# COREDUMP names the program that is looked at; without it the one beside this
# script is used, as kselftest installs it, or else the one in build/.
#
# shellcheck disable=SC2317 # the tests are called by their names in an array
set -u

here=$(cd "$(dirname "$0")" && pwd)
program=${COREDUMP:-$here/coredump}
[[ -x $program ]] || program=$here/../build/selftests/coredump
script=$here/kfiber.py
[[ -e $script ]] || script=$here/../tools/gdb/kfiber.py
pattern=/proc/sys/kernel/core_pattern
before=
tmp=
pid=
# By the file it is in and the name of the command: what gdb printed.
declare -A printed

tests=(
	lists_all says_where says_what_for
	unwinds_the_parked unwinds_the_running has_names_of_the_new unwinds_all
	bounds_a_backtrace selects_frames leaves_frames
	unknown_fiber no_domain
	attaches and_lets_go
)

skip_all()
{
	echo "1..0 # SKIP $1"
	exit 4
}

bail()
{
	echo "Bail out! $1"
	exit 1
}

cleanup()
{
	[[ $pid ]] && kill -KILL "$pid" 2>/dev/null
	[[ $before ]] && echo "$before" >"$pattern"
	[[ $tmp ]] && rm -rf "$tmp"
}

# gdb once for a core, and once for a process and then one without a domain: to start
# it takes seconds on an emulated CPU. "== NAME" stands before what each prints.
debug()
{
	local file=$1 out=$tmp/$1
	shift
	gdb -nx -q -batch -ex "set width 0" -ex "set debuginfod enabled off" \
		-ex "source $script" "$@" >"$out" 2>&1
	take_apart "$file" <"$out"
}

take_apart()
{
	local file=$1 name='' line

	while IFS= read -r line; do
		if [[ $line == '== '* ]]; then
			name=${line#== }
		elif [[ $name ]]; then
			printed[$file $name]+=$line$'\n'
		fi
	done
}

# say NAME COMMAND: gdb's arguments for that
say()
{
	arguments+=(-ex "echo \n== $1\n" -ex "$2")
}

# count FILE NAME PATTERN: sets lines. No process is started for it, here and below: that
# takes as long as all of the comparing.
count()
{
	local line

	lines=0
	while IFS= read -r line; do
		if [[ $line =~ $3 ]]; then
			((++lines))
		fi
	done <<<"${printed[$1 $2]-}"
}

# has FILE NAME PATTERN
has()
{
	local text=${printed[$1 $2]-}

	count "$@"
	((lines > 0)) && return
	echo "# no /$3/ in what '$2' printed:"
	printf '# %s\n' "${text//$'\n'/$'\n'# }"
	return 1
}

# has_not FILE NAME PATTERN
has_not()
{
	count "$@"
	((lines == 0))
}

# --- what is looked at --------------------------------------------------------------

make_core()
{
	before=$(cat "$pattern")
	echo "$tmp/core" >"$pattern"
	(
		ulimit -c unlimited
		exec "$program" crash 5
	) 2>/dev/null
	[[ -s $tmp/core ]] || bail "no core"
}

look_at_core()
{
	local arguments=()

	say list "kfiber list"
	say where "kfiber list -where"
	say parked "kfiber bt parked-3"
	say one "kfiber bt parked-3 1"
	say running "kfiber bt reads"
	say new "kfiber bt never"
	say all "kfiber bt all"
	say frame "kfiber frame parked-2"
	say up "up 5"
	say number "print number"
	say off "kfiber frame off"
	say bt "bt"
	say unknown "kfiber bt nobody"
	say end "echo"
	debug of-core "${arguments[@]}" "$program" "$tmp/core"
}

look_at_process()
{
	local arguments=()

	mkfifo "$tmp/in" "$tmp/out"
	"$program" stay 5 <"$tmp/in" >"$tmp/out" &
	pid=$!
	exec 8>"$tmp/in" 9<"$tmp/out"
	read -r -t 60 -u 9 _ || bail "the program does not begin"
	say list "kfiber list"
	say parked "kfiber bt parked-3"
	say main "kfiber bt main"
	say end "detach"
	# Another program: this shell.
	arguments+=(-ex "file" -ex "attach $$")
	say nothing "kfiber list"
	say end "echo"
	debug of-process -p $pid "${arguments[@]}"
}

# --- the tests ----------------------------------------------------------------------

lists_all()
{
	has of-core list '^ +0 running +main ' && has of-core list '^ +5 parked +parked-4 +[0-9]+ ' &&
		has of-core list '^ +11 new +never ' &&
		count of-core list '^ +[0-9]+ ' && ((lines == 12))
}

says_where()
{
	has of-core where 'parked-4 .*; in inner_wait' && has of-core where 'joins .*; in joining'
}

says_what_for()
{
	has of-core list 'parked-4 .* an unpark' && has of-core list 'joins .* the end of 5' &&
		has of-core list 'sleeps .* time [0-9]+\.' &&
		has of-core list 'reads .* on thread' &&
		has of-core list 'receives .* file descriptor [0-9]+,' &&
		has of-core list 'locks .* mutex .*held' &&
		has of-core list 'parked-4 .* spawned at spawn_all'
}

unwinds_the_parked()
{
	has of-core parked '^Fiber 4 "parked-3" \(parked\)' && has of-core parked '^#0 .*kf_' &&
		has of-core parked 'inner_wait \(' && has of-core parked 'outer_wait \(number=.*3\)' &&
		has of-core parked 'kf_context_start' && has_not of-core parked crash_here
}

unwinds_the_running()
{
	has of-core running '^Fiber .*\(running\)' && has of-core running '^#0 .*read \(' &&
		has of-core running ' reading \('
}

has_names_of_the_new()
{
	has of-core new '^#0  never_run, called by nobody yet'
}

unwinds_all()
{
	count of-core all ' inner_wait \(' && ((lines == 5)) && has of-core all crash_here
}

bounds_a_backtrace()
{
	count of-core one '^#' && ((lines == 1))
}

# Arguments are found by what the frame's registers were.
selects_frames()
{
	has of-core up ' outer_wait \(number=.*2\)' && has of-core number "^.1 = 2\$"
}

leaves_frames()
{
	has of-core bt 'crash_here' && has_not of-core bt outer_wait
}

unknown_fiber()
{
	has of-core unknown '^There is no fiber nobody\.'
}

no_domain()
{
	has of-process nothing '^There is no kfiber domain in this process\.'
}

attaches()
{
	has of-process list 'sleeps .* from now' && has of-process parked 'outer_wait \(number=.*3\)' &&
		has of-process main ' stay \('
}

and_lets_go()
{
	exec 8>&-
	wait "$pid"
	local status=$?

	pid=
	[[ $status -eq 0 ]]
}

# --- main ---------------------------------------------------------------------------

echo "TAP version 13"
[[ -x $program ]] || bail "there is no $program"
[[ -e $script ]] || bail "there is no $script"
[[ ${VM_KERNEL:-6.12} == 6.12 ]] || skip_all "on $VM_KERNEL: it is about user space, see 6.12"
command -v gdb >/dev/null || skip_all "there is no gdb"
[[ -w $pattern ]] || skip_all "the kernel makes no core dumps, or not where one says"
trap cleanup EXIT
tmp=$(mktemp -d)
make_core
look_at_core
! grep -q 'Python scripting is not supported' "$tmp/of-core" || skip_all "gdb has no python"
look_at_process

echo "1..${#tests[@]}"
status=0
for i in "${!tests[@]}"; do
	# Not in a subshell: the process is a child of this one.
	if "${tests[i]}" >"$tmp/complaint"; then
		echo "ok $((i + 1)) - ${tests[i]}"
	else
		cat "$tmp/complaint"
		echo "not ok $((i + 1)) - ${tests[i]}"
		status=1
	fi
done
exit $status
