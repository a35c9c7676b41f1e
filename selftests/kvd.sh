#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests examples/kvd from outside, by redis-cli, redis-benchmark and raw requests. TAP 13.
#
# Arguments name the tests to run; without, it is all of them.
#
# KVD names the program; without it the one beside this script is used, as kselftest
# installs it, or else the one in build/.
#
# shellcheck disable=SC2317 # the tests are called by their names in an array
# shellcheck disable=SC2016 # the protocol has dollars
set -u

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=/dev/null # shellcheck looks at it by itself
. "$here/program.sh"
kvd=${KVD:-$here/kvd}
[[ -x $kvd ]] || kvd=$here/../build/examples/kvd
server_pid='' server_port=''
other_pid='' other_port=''
redis_pid=''
cr=$'\r'
# Patience for a slow machine: nothing waits for it when things go well.
patience=120

tests=(
	ping_and_echo set_and_get set_options numbers many_keys expiry unasked_expiry
	binary_safe tables_grow
	inline_requests pipelined byte_by_byte bad_requests unknown_commands bulk_limit
	same_as_redis garbage
	publish unsubscribe_all order_of_replies slow_subscriber
	memory_limit full_store large_requests client_limit stalled_request stalled_reader idle_client ipv6
	benchmark info settings_and_commands
	sigterm_answers grace_is_over flood usage
)

cleanup()
{
	local pid

	for pid in $server_pid $other_pid $redis_pid; do
		kill -KILL "$pid" 2>/dev/null
	done
	[[ $tmp ]] && rm -rf "$tmp"
}

# --- servers -----------------------------------------------------------------

# start_server PREFIX OPTION...: sets PREFIX_pid and PREFIX_port.
start_server()
{
	local prefix=$1
	shift

	begin "$prefix" "$kvd" --port 0 "$@"
}

# It becomes the one that is asked, where the caller has a port of its own.
start_other()
{
	start_server other "$@"
	port=$other_port
}

end_other()
{
	end other
}

# --- clients -----------------------------------------------------------------

cli()
{
	timeout "$patience" redis-cli -h "$host" -p "$port" "$@" 2>&1
}

# session: runs lines of "COMMAND -> REPLY" in one redis-cli, which prints an empty line for
# nil and one more after an error. A reply is a pattern for each of its lines.
session()
{
	local line reply commands='' i
	local -a patterns=() more got

	while read -r line; do
		commands+=${line% -> *}$'\n'
		reply=${line##* -> }
		[[ $reply == ERR* ]] && reply+='|'
		IFS='|' read -ra more <<< "$reply|"
		patterns+=("${more[@]/#(nil)/}")
	done
	mapfile -t got < <(cli <<< "$commands")
	for ((i = 0; i < ${#patterns[@]} || i < ${#got[@]}; i++)); do
		# shellcheck disable=SC2053 # it is a pattern
		[[ ${got[i]-} == ${patterns[i]-} ]] && continue
		complain "line $i: wanted '${patterns[i]-}', got '${got[i]-}', in: ${got[*]}"
		return
	done
}

# pour: standard input to the server, and what it says to standard output
pour()
{
	local sock writer

	connect
	{ cat; echo QUIT; } >&"$sock" &
	writer=$!
	timeout "$patience" cat <&"$sock"
	wait "$writer"
	disconnect
}

# Sets reply to what comes until the server closes.
hear_all()
{
	hear reply
	reply=${reply//$cr/}
}

# Sets reply to so many lines, without their ends.
hear_lines()
{
	local i line

	reply=
	for ((i = 0; i < $1; i++)); do
		IFS= read -r -t "$patience" -u "$sock" line || complain 'too few lines'
		reply+=${line%"$cr"}$'\n'
	done
}

# raw TEXT REPLY: a connection for whatever TEXT is; the server ends it
raw()
{
	connect
	say "$1"
	hear_all
	disconnect
	[[ $reply == "$2" ]] || complain "$1: wanted '$2', got '$reply'"
}

# letters N: so many
letters()
{
	head -c "$1" /dev/zero | tr '\0' 1
}

# as_bulk WORD...: the request that redis-cli would send
as_bulk()
{
	local word

	bulk="*$#\r\n"
	for word; do
		bulk+="\$${#word}\r\n$word\r\n"
	done
}

# --- commands ----------------------------------------------------------------

ping_and_echo()
{
	session <<- 'END'
		PING -> PONG
		PING "with space" -> with space
		ECHO hello -> hello
		SELECT 0 -> OK
		SELECT 1 -> ERR DB index is out of range
	END
}

set_and_get()
{
	session <<- 'END'
		SET a 1 -> OK
		GET a -> 1
		SET a two -> OK
		GET a -> two
		GET none -> (nil)
		GET "" -> (nil)
		SET "" empty -> OK
		GET "" -> empty
		DEL a "" none -> 2
		EXISTS a -> 0
	END
}

set_options()
{
	session <<- 'END'
		SET b 1 XX -> (nil)
		SET b 1 NX -> OK
		SET b 2 NX -> (nil)
		GET b -> 1
		SET b 2 XX EX 1000 -> OK
		TTL b -> [19][0-9][0-9]*
		SET b 3 px 1000000 -> OK
		TTL b -> [19][0-9][0-9]*
		SET b 4 -> OK
		TTL b -> -1
		SET b 1 NX XX -> ERR syntax error
		SET b 1 EX -> ERR syntax error
		SET b 1 EX 1 PX 1 -> ERR syntax error
		SET b 1 maybe -> ERR syntax error
		SET b 1 EX 0 -> ERR invalid expire time in 'set' command
		SET b 1 EX 9223372036854775807 -> ERR invalid expire time in 'set' command
		SET b 1 PX ten -> ERR value is not an integer or out of range
		GET b -> 4
	END
}

numbers()
{
	session <<- 'END'
		INCR n -> 1
		INCR n -> 2
		DECR n -> 1
		INCRBY n -10 -> -9
		GET n -> -9
		SET n 9223372036854775807 -> OK
		INCR n -> ERR increment or decrement would overflow
		GET n -> 9223372036854775807
		SET n 007 -> OK
		INCR n -> ERR value is not an integer or out of range
		SET n 7 EX 1000 -> OK
		INCR n -> 8
		TTL n -> [19][0-9][0-9]*
	END
}

many_keys()
{
	session <<- 'END'
		MSET m1 1 m2 2 m3 3 -> OK
		MGET m1 none m3 m1 -> 1|(nil)|3|1
		EXISTS m1 m2 none m3 m3 -> 4
		MSET m1 1 m2 -> ERR wrong number of arguments for 'mset' command
		DEL m1 m2 m3 m1 -> 3
	END
}

expiry()
{
	session <<- 'END'
		SET e 1 PX 1 -> OK
		SET f 1 -> OK
		PEXPIRE f 1 -> 1
	END
	sleep 0.01
	session <<- 'END'
		GET e -> (nil)
		TTL e -> -2
		EXISTS f -> 0
		SET e 1 -> OK
		EXPIRE e 1000 -> 1
		TTL e -> [19][0-9][0-9]*
		PERSIST e -> 1
		TTL e -> -1
		EXPIRE none 100 -> 0
		EXPIRE e -1 -> 1
		EXISTS e -> 0
		EXPIRE e 9223372036854775807 -> ERR invalid expire time in 'expire' command
	END
}

# Nobody asks for these keys again.
unasked_expiry()
{
	local size end=$((SECONDS + patience))

	{ echo FLUSHALL; seq 500 | sed 's/.*/SET gone& 1 PX 1/'; } | pour > "$tmp/replies"
	while size=$(echo DBSIZE | pour); [[ $size != :0* ]] && ((SECONDS < end)); do
		sleep 0.1
	done
	[[ $size == :0* ]] || complain "keys that are left: $size"
}

binary_safe()
{
	head -c 100000 /dev/urandom > "$tmp/random"
	cli -x SET binary < "$tmp/random" > /dev/null
	cli GET binary | head -c 100000 | cmp - "$tmp/random" || complain 'not the same bytes'
}

# They become larger and smaller while all keys stay to be found.
tables_grow()
{
	local got

	{ echo FLUSHALL; seq 10000 | sed 's/.*/SET key& value&/'; } > "$tmp/set"
	got=$(cli --pipe < "$tmp/set")
	[[ $got == *'errors: 0, replies: 10001' ]] || complain "redis-cli --pipe: $got"
	got=$(seq 10000 | sed 's/.*/GET key&/' | pour | sed -n 's/^value//p' | tr -d '\r' | sha256sum)
	[[ $got == "$(seq 10000 | sha256sum)" ]] || complain 'not what was set'
	seq 9900 | sed 's/.*/DEL key&/' | pour > "$tmp/replies"
	got=$(seq 10000 | sed 's/.*/EXISTS key&/' | pour | grep -c :1)
	[[ $got == 100 ]] || complain "$got keys are found"
	session <<- 'END'
		DBSIZE -> 100
		FLUSHALL -> OK
		DBSIZE -> 0
	END
}

# --- the protocol ------------------------------------------------------------

inline_requests()
{
	raw 'SET i "a\\x20b\\"\\n"\r\nGET i\r\nQUIT\r\n' $'+OK\n$5\na b"\n\n+OK\n'
	raw "\r\n  \r\nPING   'it\\\\'s'\nQUIT\n" $'$4\nit\'s\n+OK\n'
	raw 'GET "a\r\n' $'-ERR Protocol error: unbalanced quotes in request\n'
	raw 'GET "a"b\r\n' $'-ERR Protocol error: unbalanced quotes in request\n'
}

pipelined()
{
	local i text='' wanted=''

	as_bulk INCR pipelined
	for ((i = 1; i <= 300; i++)); do
		text+=$bulk
		wanted+=:$i$'\n'
	done
	raw "${text}QUIT\r\n" "$wanted+OK"$'\n'
}

byte_by_byte()
{
	local text=$'*3\r\n$3\r\nSET\r\n$4\r\nslow\r\n$3\r\na\r\n\r\nGET slow\r\n*0\r\n*-1\r\nQUIT\r\n' i

	connect
	for ((i = 0; i < ${#text}; i++)); do
		printf %s "${text:i:1}" >&"$sock"
	done
	hear_all
	disconnect
	[[ $reply == $'+OK\n$3\na\n\n+OK\n' ]] || complain "got: $reply"
}

bad_requests()
{
	local long

	raw '*x\r\n' $'-ERR Protocol error: invalid multibulk length\n'
	raw '*1048577\r\n' $'-ERR Protocol error: invalid multibulk length\n'
	raw '*99999999999999999999\r\n' $'-ERR Protocol error: invalid multibulk length\n'
	raw '*1\r\n:1\r\n' $'-ERR Protocol error: expected \'$\', got \':\'\n'
	raw '*1\r\n$-1\r\n' $'-ERR Protocol error: invalid bulk length\n'
	raw '*1\r\n$999999999999\r\n' $'-ERR Protocol error: invalid bulk length\n'
	raw '*1\r\n$ 4\r\n' $'-ERR Protocol error: invalid bulk length\n'
	long=$(letters 70000)
	raw "$long" $'-ERR Protocol error: too big inline request\n'
	raw "*$(letters 70000)" $'-ERR Protocol error: too big mbulk count string\n'
	# A great number of arguments that never come takes no memory.
	raw '*1048576\r\n$1\r\na\r\nx' $'-ERR Protocol error: expected \'$\', got \'x\'\n'
}

unknown_commands()
{
	session <<- 'END'
		BREW tea -> ERR unknown command 'BREW'*
		GET -> ERR wrong number of arguments for 'get' command
		SET a -> ERR wrong number of arguments for 'set' command
	END
	raw "*1\r\n\$4\r\nA\r\nB\r\nQUIT\r\n" $'-ERR unknown command \'A  B\'\n+OK\n'
}

bulk_limit()
{
	local port

	start_other --max-bulk 1000
	head -c 1000 /dev/zero | cli -x SET big > "$tmp/replies"
	[[ $(< "$tmp/replies") == OK ]] || complain "got: $(< "$tmp/replies")"
	raw '*2\r\n$3\r\nGET\r\n$1001\r\n' $'-ERR Protocol error: invalid bulk length\n'
	end_other
}

# Both are asked the same, and their answers compared. What is ours alone is left out. The
# server is the program that checks its files, by another name; the package with that name
# would start one on the machine where it is installed.
same_as_redis()
{
	local redis_port=16379 end=$((SECONDS + patience))

	command -v redis-check-rdb > /dev/null || skip 'no redis-tools' || return 0
	echo FLUSHALL | pour > "$tmp/replies"
	(exec -a redis-server redis-check-rdb --port "$redis_port" --save '' --appendonly no \
		--dir "$tmp" > "$tmp/redis.log") &
	redis_pid=$!
	until redis-cli -p "$redis_port" PING 2>&1 | grep -q PONG || ((SECONDS > end)); do
		sleep 0.1
	done
	python3 "$here/resp/compare.py" "$server_port" "$redis_port" > "$tmp/replies" ||
		complain "$(head -n 40 "$tmp/replies")"
	kill -TERM "$redis_pid"
	wait "$redis_pid" 2>/dev/null
	redis_pid=
}

# Whatever it is sent, it serves the next.
garbage()
{
	python3 "$here/resp/garbage.py" "$server_port" > "$tmp/replies" ||
		complain "$(head -n 40 "$tmp/replies")"
	is_alive
}

# --- channels ----------------------------------------------------------------

subscribe()
{
	connect
	as_bulk SUBSCRIBE "$@"
	say "$bulk"
	hear_lines $((6 * $#))
}

publish()
{
	local wanted tries=0

	session <<< 'PUBLISH news nobody -> 0'
	subscribe news sport
	wanted=$'*3\n$9\nsubscribe\n$4\nnews\n:1\n*3\n$9\nsubscribe\n$5\nsport\n:2\n'
	[[ $reply == "$wanted" ]] || complain "subscribed: $reply"
	session <<- 'END'
		PUBLISH news first -> 1
		PUBLISH sport second -> 1
		PUBLISH weather third -> 0
	END
	hear_lines 14
	wanted=$'*3\n$7\nmessage\n$4\nnews\n$5\nfirst\n*3\n$7\nmessage\n$5\nsport\n$6\nsecond\n'
	[[ $reply == "$wanted" ]] || complain "messages: $reply"
	disconnect
	until [[ $(echo PUBLISH news gone | pour) == :0* ]] || ((++tries > 100)); do
		sleep 0.1
	done
	session <<< 'PUBLISH sport gone -> 0'
}

# After which it is a client like any other.
unsubscribe_all()
{
	subscribe a b
	say 'GET x\r\nPING\r\nUNSUBSCRIBE none\r\nUNSUBSCRIBE a\r\nUNSUBSCRIBE\r\nPING\r\nUNSUBSCRIBE\r\nQUIT\r\n'
	hear_all
	disconnect
	[[ $reply == "-ERR Can't execute 'get'"*$'\n*2\n$4\npong\n$0\n\n'* ]] || complain "got: $reply"
	[[ $reply == *$'$4\nnone\n:2\n'*$'$1\na\n:1\n'*$'$1\nb\n:0\n+PONG\n'*$'$-1\n:0\n+OK\n' ]] ||
		complain "got: $reply"
}

# Replies and messages of one connection are in the order in which they came to be.
order_of_replies()
{
	connect
	say 'PING one\r\nSUBSCRIBE c\r\nPING two\r\n'
	hear_lines 13
	disconnect
	[[ $reply == $'$3\none\n*3\n$9\nsubscribe\n$1\nc\n:1\n*2\n$4\npong\n$3\ntwo\n' ]] ||
		complain "got: $reply"
}

# It does not read; the publisher is not held up, and the subscriber's connection ends.
slow_subscriber()
{
	local port value reader

	start_other --backlog 100000 --send-time 600
	subscribe c
	reader=$sock
	value=$(letters 50000)
	yes "PUBLISH c $value" | head -n 600 | pour > "$tmp/replies"
	[[ $(head -n 1 "$tmp/replies") == :1* ]] || complain 'it got nothing'
	[[ $(tail -n 2 "$tmp/replies") == :0* ]] || complain 'it is still there'
	[[ $(echo INFO | pour) == *$'\n'dropped_subscribers:1"$cr"$'\n'* ]] ||
		complain 'it was not counted'
	exec {reader}>&-
	end_other
}

# --- limits ------------------------------------------------------------------

memory_limit()
{
	local port value got

	start_other --memory 1
	value=$(letters 50000)
	for ((i = 0; i < 30; i++)); do
		echo "SET key$i $value"
	done | pour > "$tmp/replies"
	got=$(grep -c OK "$tmp/replies")
	((got > 10 && got < 21)) || complain "$got values of 50000 bytes fit into a MiB"
	[[ $(tail -n 2 "$tmp/replies") == "-OOM command not allowed when used memory > 'maxmemory'."* ]] ||
		complain "at the limit: $(tail -n 2 "$tmp/replies")"
	session <<- 'END'
		DEL key0 -> 1
		SET key0 again -> OK
		FLUSHALL -> OK
	END
	got=$(echo INFO | pour)
	[[ $got =~ used_memory:([0-9]+) ]] || complain "no used_memory: $got"
	((BASH_REMATCH[1] < 20000)) || complain "it keeps ${BASH_REMATCH[1]} bytes"
	end_other
}

# By values so small that nothing else would fit either; who did it stays.
full_store()
{
	local port filler

	start_other --memory 1
	connect
	filler=$sock
	{ seq -f 'SET %.0f x' 40000; echo PING; } >&"$filler" &
	timeout "$patience" grep -q -m 1 PONG <&"$filler" || complain 'no answer'
	[[ $(echo SET more x | pour) == -OOM* ]] || complain 'it is not full'
	[[ $(printf 'PING\nGET 1\nFLUSHALL\nSET more x\n' | pour | tr -d '\r\n') == \
		'+PONG$1x+OK+OK+OK' ]] || complain 'a new client is not served'
	exec {filler}>&-
	end_other
}

# What is more than a client's part. It is told so, and what it said before is answered.
large_requests()
{
	local port value no_memory='-OOM no memory for this request or its reply'

	start_other --memory 1
	connect
	say 'PING\r\n*1\r\n$200000\r\n'
	letters 200000 >&"$sock"
	hear_all
	disconnect
	[[ $reply == $'+PONG\n'"$no_memory"$'\n' ]] || complain "a request: $reply"
	value=$(letters 50000)
	echo "SET a $value" | pour > "$tmp/replies"
	raw 'PING\r\nMGET a a a\r\nPING\r\n' $'+PONG\n'"$no_memory"$'\n'
	session <<< 'PING -> PONG'
	end_other
}

# It may take a while until it learns that another client is gone.
is_alive()
{
	local end=$((SECONDS + patience))

	while ((SECONDS < end)); do
		[[ $(echo PING | pour) == +PONG* ]] && return
		sleep 0.1
	done 2>/dev/null
	complain 'it does not serve'
}

client_limit()
{
	local port first

	start_other --max-clients 2
	connect
	first=$sock
	say 'PING\r\n'
	hear_lines 1
	connect
	say 'PING\r\n'
	hear_lines 1
	raw '' $'-ERR max number of clients reached\n'
	exec {first}>&-
	is_alive
	end_other
}

stalled_request()
{
	local port

	start_other --request-time 1
	raw '*2\r\n$3\r\nGET\r\n' ''
	end_other
}

# For more than what the buffers of two sockets can have; and none of it is read.
ask_for_much()
{
	connect
	as_bulk SET big "$(letters 100000)"
	say "$bulk"
	hear_lines 1
	[[ $reply == +OK$'\n' ]] || complain "SET: $reply"
	printf 'GET big\r\n%.0s' {1..300} >&"$sock"
}

# It is the only client that there may be.
stalled_reader()
{
	local port got

	start_other --send-time 1 --max-clients 1
	ask_for_much
	is_alive
	got=$(cat <&"$sock" 2>/dev/null | wc -c)
	((got < 30000000)) || complain 'it was sent all the same'
	disconnect
	end_other
}

idle_client()
{
	local port

	start_other --idle 5
	raw 'PING\r\n' $'+PONG\n'
	end_other
}

ipv6()
{
	local port host=::1

	[[ -e /proc/net/if_inet6 ]] || skip 'no IPv6' || return 0
	start_other --bind ::1
	session <<< 'PING -> PONG'
	end_other
}

# --- the server --------------------------------------------------------------

benchmark()
{
	local form='"[A-Z_]+( .*)?","[0-9.]+"' line lines=0

	echo FLUSHALL | pour > "$tmp/replies"
	while read -r line; do
		[[ $line =~ $form ]] && ((++lines))
		[[ $line == *rror* ]] && complain "redis-benchmark: $line"
	done < <(timeout 400 redis-benchmark -p "$port" -t ping,set,get,incr,mset -n 2000 -c 50 -P 4 \
		-r 1000 --csv 2>&1)
	((lines == 6)) || complain "$lines results instead of 6"
	[[ $(echo DBSIZE | pour) =~ :([5-9]|1[0-9])[0-9][0-9] ]] || complain 'nothing was set'
}

info()
{
	local got end=$((SECONDS + patience))

	# Of those who were here before it may not have learnt yet that they are gone.
	until got=$(echo INFO | pour); [[ $got =~ connected_clients:1"$cr" ]] || ((SECONDS > end)); do
		:
	done
	[[ $got =~ total_commands_processed:[1-9] && $got =~ connected_clients:1"$cr" ]] ||
		complain "INFO: $got"
	[[ $got =~ threads:[1-9] ]] || complain "INFO: $got"
}

settings_and_commands()
{
	session <<- 'END'
		CONFIG GET save -> save|
		CONFIG GET appendonly -> appendonly|no
		CONFIG GET maxclients -> maxclients|10000
		COMMAND COUNT -> [2-9][0-9]
	END
	[[ $(printf 'CONFIG GET none\nCOMMAND DOCS\n' | pour) == '*0'?$'\n*0'?$'\n+OK'? ]] ||
		complain 'not empty'
}

# --- the end -----------------------------------------------------------------

# What was sent before is answered, and who sends nothing is not waited for.
sigterm_answers()
{
	local port idle

	start_other --grace 600
	connect
	idle=$sock
	subscribe c
	kill -STOP "$other_pid"
	connect
	say 'SET last 1\r\nPUBLISH c bye\r\nGET last\r\n'
	kill -TERM "$other_pid"
	kill -CONT "$other_pid"
	wait "$other_pid" || complain "ended with status $?"
	other_pid=
	hear_all
	# The connection may not have been accepted by then.
	[[ -z $reply || $reply == $'+OK\n:'[01]$'\n$1\n1\n' ]] || complain "got: $reply"
	disconnect
	exec {idle}>&-
}

# One that does not read what it has asked for.
grace_is_over()
{
	local port

	start_other --send-time 600 --grace 1
	ask_for_much
	hear_lines 1
	end_other
	disconnect
}

# There is always more to read for it.
flood()
{
	local port writer reader

	start_other --grace 1
	connect
	{ yes PING >&"$sock"; } 2>/dev/null &
	writer=$!
	timeout "$patience" head -c 1 <&"$sock" > /dev/null
	cat <&"$sock" > /dev/null 2>&1 &
	reader=$!
	kill -TERM "$other_pid"
	timeout "$patience" tail --pid="$other_pid" -f /dev/null || {
		complain 'it goes on'
		kill -KILL "$other_pid"
	}
	wait "$other_pid" || complain "ended with status $?"
	other_pid=
	wait "$writer" "$reader"
	disconnect
}

usage()
{
	[[ $("$kvd" --version) == *[0-9].[0-9]* ]] || complain 'no version'
	"$kvd" --port 65536 > "$tmp/usage" 2>&1 && complain 'took port 65536'
	[[ $(< "$tmp/usage") == *65535* ]] || complain "usage: $(< "$tmp/usage")"
	end server
}

main()
{
	echo 'TAP version 13'
	if [[ -z ${KVD-} && ! -e /dev/kfiber ]]; then
		echo '1..0 # SKIP the module is not loaded'
		exit 0
	fi
	if ! command -v redis-cli redis-benchmark > /dev/null; then
		echo '1..0 # SKIP there is no redis-cli'
		exit 0
	fi
	(($# == 0)) || tests=("$@")
	echo "1..${#tests[@]}"
	[[ -x $kvd ]] || bail "$kvd is not there: make it, or set KVD"
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/kvd.XXXXXX") || bail 'no temporary directory'
	trap cleanup EXIT
	start_server server
	host=127.0.0.1
	port=$server_port
	run_tests
}

main "$@"
