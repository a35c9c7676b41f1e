#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Tests examples/httpd from outside, by curl and by raw requests. TAP 13.
#
# Arguments name the tests to run; without, it is all of them.
#
# HTTPD names the program; without it the one beside this script is used, as
# kselftest installs it, or else the one in build/. Most requests are made by
# bash itself: a process is a matter of seconds on an emulated CPU.
#
# shellcheck disable=SC2317 # the tests are called by their names in an array
set -u

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=/dev/null # shellcheck looks at it by itself
. "$here/program.sh"
httpd=${HTTPD:-$here/httpd}
[[ -x $httpd ]] || httpd=$here/../build/examples/httpd
tmp=
cgroup=/sys/fs/cgroup/kfiber-httpd
server_pid='' server_out='' server_port=''
strict_pid='' strict_out='' strict_port=''
small_pid='' small_out='' small_port=''
other_pid='' other_out='' other_port=''
# Runs the server; makes it a member of the cgroup when there is to be one.
launcher=()
cr=$'\r'
# Patience for a slow machine: nothing waits for it when things go well.
patience=120

tests=(
	whole_file head_has_no_body content_types date_and_length empty_file big_file
	encoded_names bad_encoding
	index_page listing_page listing_is_escaped slash_is_added redirect_stays_here
	range_first_byte range_middle range_to_end range_suffix range_long_suffix
	range_clamped range_unsatisfiable range_bad_syntax range_ignored_by_head
	range_multiple range_too_much if_range
	etag_matches etag_list etag_differs modified_since date_forms if_match
	not_found no_way_out links_inside fifo_refused
	method_not_allowed method_unknown bodies_refused
	bodies_are_skipped bodies_limited
	bad_requests old_and_new_versions host_required
	long_header long_target many_headers
	keep_alive keep_alive_http10 close_http10 connection_close pipelined
	byte_by_byte half_closed parallel
	stalled_request stalled_body stalled_reader idle_connection connection_limit access_log
	sigint
	limit_of_three ipv6 burning
	shed_at_stack_limit shed_in_cgroup file_cache_is_no_pressure
	idle_costs_no_thread grace_is_over
	version_and_usage sigterm_idle sigterm_grace
	sigterm_slow_clients stopped_and_continued
)

cleanup()
{
	local pid

	for pid in $server_pid $strict_pid $small_pid $other_pid; do
		kill -KILL "$pid" 2>/dev/null
	done
	remove_cgroup
	[[ $tmp ]] && rm -rf "$tmp"
}

# --- the tree that is served -------------------------------------------------

make_tree()
{
	tmp=$(mktemp -d "${TMPDIR:-/tmp}/httpd.XXXXXX") || bail "no temporary directory"
	mkdir -p "$tmp"/root/{site,dir/sub}
	cd "$tmp/root" || bail "no tree"
	printf 0123456789 > ten.txt
	printf 'a page\n' > site/index.html
	printf 'with a space\n' > 'dir/a b.txt'
	printf 'with a percent\n' > 'dir/100%.txt'
	printf 'with markup\n' > 'dir/<b>&"c".txt'
	: > empty.txt
	: > picture.PNG
	: > unknown.qqq
	: > dir/.hidden
	printf 'secret\n' > ../secret
	ln -s ten.txt link
	ln -s ../secret escape
	ln -s .. up
	mkfifo fifo
	head -c 300000 /dev/urandom > big
	# More than the buffers of two sockets.
	truncate -s 64M huge
	touch -d '2020-02-02 02:02:02 UTC' ten.txt
}

# --- servers -----------------------------------------------------------------

# start_server PREFIX OPTION...: sets PREFIX_pid, PREFIX_out and PREFIX_port.
start_server()
{
	local prefix=$1
	shift

	begin "$prefix" "${launcher[@]}" "$httpd" --root "$tmp/root" --port 0 "$@"
}

# --- requests ----------------------------------------------------------------

# Sets status, head and body from what comes until the server closes.
hear_all()
{
	local text=

	hear text
	split_reply "$text"
}

split_reply()
{
	reply=$1
	head=${1%%"$cr"$'\n'"$cr"$'\n'*}$cr$'\n'
	body=
	[[ $1 == *"$cr"$'\n'"$cr"$'\n'* ]] && body=${1#*"$cr"$'\n'"$cr"$'\n'}
	status=
	[[ $head =~ ^HTTP/1\.1\ ([0-9]+)\  ]] && status=${BASH_REMATCH[1]}
}

# Sets status and head, and leaves the body where it is.
hear_head()
{
	local line text=

	while IFS= read -r -t "$patience" -u "$sock" line; do
		text+=$line$'\n'
		[[ $line == "$cr" ]] && break
	done
	split_reply "$text"
}

# Sets status, head and body from one answer, by its Content-Length.
hear_one()
{
	hear_head
	[[ ! $head =~ Content-Length:\ ([0-9]+) ]] || ((BASH_REMATCH[1] == 0)) ||
		IFS= read -r -N "${BASH_REMATCH[1]}" -t "$patience" -u "$sock" body
}

# raw TEXT: a connection for whatever TEXT is
raw()
{
	connect
	say "$1"
	hear_all
	disconnect
}

# ask 'METHOD TARGET' [HEADER]...
ask()
{
	local text="${1//%/%%} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n" header
	shift

	for header; do
		text+="${header//%/%%}\r\n"
	done
	raw "$text\r\n"
}

# --- expectations ------------------------------------------------------------

want_status()
{
	[[ $status == "$1" ]] || complain "wanted status $1, got: $reply"
}

want_header()
{
	[[ $head == *$'\n'"$1$cr"$'\n'* ]] || complain "wanted '$1' in: $head"
}

want_no_header()
{
	[[ $head != *$'\n'"$1:"* ]] || complain "did not want $1 in: $head"
}

want_body()
{
	[[ $body == "$1" ]] || complain "wanted body '$1', got '$body'"
}

want_in_body()
{
	[[ $body == *"$1"* ]] || complain "wanted '$1' in: $body"
}

header_value()
{
	value=
	[[ $head =~ $'\n'"$1: "([^$cr]*) ]] && value=${BASH_REMATCH[1]}
}

# --- files -------------------------------------------------------------------

whole_file()
{
	ask 'GET /ten.txt'
	want_status 200
	want_body 0123456789
	want_header 'Last-Modified: Sun, 02 Feb 2020 02:02:02 GMT'
	want_header 'Accept-Ranges: bytes'
	ask 'GET http://elsewhere/ten.txt?a=b'
	want_body 0123456789
	ask 'GET //dir/..//ten.txt'
	want_body 0123456789
}

head_has_no_body()
{
	ask 'HEAD /ten.txt'
	want_status 200
	want_header 'Content-Length: 10'
	want_body ''
	ask 'HEAD /none'
	want_status 404
	want_body ''
	ask 'HEAD /dir/'
	want_status 200
	want_body ''
}

content_types()
{
	ask 'HEAD /ten.txt'
	want_header 'Content-Type: text/plain; charset=utf-8'
	ask 'HEAD /picture.PNG'
	want_header 'Content-Type: image/png'
	ask 'HEAD /unknown.qqq'
	want_header 'Content-Type: application/octet-stream'
}

date_and_length()
{
	local form='^[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT$'

	ask 'GET /ten.txt'
	want_header 'Content-Length: 10'
	header_value Date
	[[ $value =~ $form ]] || complain "Date is '$value'"
}

empty_file()
{
	ask 'GET /empty.txt'
	want_status 200
	want_header 'Content-Length: 0'
	want_body ''
	ask 'GET /empty.txt' 'Range: bytes=0-0'
	want_status 200
}

big_file()
{
	curl -sS -m "$patience" -o "$tmp/got" "$url/big" || complain 'curl failed'
	cmp "$tmp/got" big || complain 'not the same bytes'
	curl -sS -m "$patience" -r 100000-199999 -o "$tmp/got" "$url/big" || complain 'curl failed'
	cmp -n 100000 "$tmp/got" big 0 100000 || complain 'not the same bytes in the range'
}

encoded_names()
{
	ask 'GET /dir/a%20b.txt'
	want_body $'with a space\n'
	ask 'GET /dir/100%25.txt'
	want_body $'with a percent\n'
	ask 'GET /%74en%2etxt'
	want_body 0123456789
	ask 'GET /dir/%3Cb%3e%26%22c%22.txt'
	want_body $'with markup\n'
}

bad_encoding()
{
	local target

	for target in /%zz /ten.txt% /ten.txt%2 /ten.txt%00; do
		ask "GET $target"
		want_status 400
	done
}

# --- directories -------------------------------------------------------------

index_page()
{
	ask 'GET /site/'
	want_status 200
	want_body $'a page\n'
	want_header 'Content-Type: text/html; charset=utf-8'
}

listing_page()
{
	local -a names=()
	local rest

	ask 'GET /dir/'
	want_status 200
	want_header 'Content-Type: text/html; charset=utf-8'
	rest=$body
	while [[ $rest =~ href=\"([^\"]*)\"(.*) ]]; do
		names+=("${BASH_REMATCH[1]}")
		rest=${BASH_REMATCH[2]}
	done
	[[ ${names[*]} == '../ 100%25.txt %3Cb%3E%26%22c%22.txt a%20b.txt sub/' ]] ||
		complain "links: ${names[*]}"
	ask 'GET /'
	want_in_body '<a href="ten.txt">ten.txt</a>'
	[[ $body != *'../'* ]] || complain 'the root has a parent'
}

listing_is_escaped()
{
	ask 'GET /dir/'
	want_in_body '>&lt;b&gt;&amp;&quot;c&quot;.txt<'
	[[ $body != *'<b>'* ]] || complain 'a name got out as markup'
}

slash_is_added()
{
	ask 'GET /site'
	want_status 301
	want_header 'Location: /site/'
	ask 'GET /dir/sub?x=1'
	want_header 'Location: /dir/sub/?x=1'
	ask 'GET /ten.txt/'
	want_status 404
}

redirect_stays_here()
{
	ask 'GET //site'
	want_header 'Location: /site/'
	ask 'GET /%2fsite'
	want_status 403
	want_no_header Location
}

# --- ranges ------------------------------------------------------------------

range_first_byte()
{
	ask 'GET /ten.txt' 'Range: bytes=0-0'
	want_status 206
	want_header 'Content-Range: bytes 0-0/10'
	want_header 'Content-Length: 1'
	want_body 0
}

range_middle()
{
	ask 'GET /ten.txt' 'Range: BYTES= 3-5 '
	want_status 206
	want_body 345
}

range_to_end()
{
	ask 'GET /ten.txt' 'Range: bytes=7-'
	want_header 'Content-Range: bytes 7-9/10'
	want_body 789
	ask 'GET /ten.txt' 'Range: bytes=9-'
	want_body 9
}

range_suffix()
{
	ask 'GET /ten.txt' 'Range: bytes=-1'
	want_header 'Content-Range: bytes 9-9/10'
	want_body 9
}

range_long_suffix()
{
	ask 'GET /ten.txt' 'Range: bytes=-100'
	want_status 206
	want_header 'Content-Range: bytes 0-9/10'
	want_body 0123456789
}

range_clamped()
{
	ask 'GET /ten.txt' 'Range: bytes=8-99999999999999999999999'
	want_header 'Content-Range: bytes 8-9/10'
	want_body 89
}

range_unsatisfiable()
{
	local range

	for range in 10- 10-20 -0 99999999999999999999999-; do
		ask 'GET /ten.txt' "Range: bytes=$range"
		want_status 416
		want_header 'Content-Range: bytes */10'
	done
}

range_bad_syntax()
{
	local range

	for range in bytes=5-3 bytes=- bytes= bytes=a-b bytes=1-2x lines=1-2 bytes; do
		ask 'GET /ten.txt' "Range: $range"
		want_status 200
		want_body 0123456789
	done
}

range_ignored_by_head()
{
	ask 'HEAD /ten.txt' 'Range: bytes=0-0'
	want_status 200
	want_header 'Content-Length: 10'
}

range_multiple()
{
	local boundary

	ask 'GET /ten.txt' 'Range: bytes=0-1, 20-30, -2'
	want_status 206
	header_value Content-Type
	[[ $value =~ ^multipart/byteranges\;\ boundary=([0-9a-f]+)$ ]] ||
		complain "Content-Type is '$value'"
	boundary=${BASH_REMATCH[1]-}
	header_value Content-Length
	[[ $value == "${#body}" ]] || complain "length is $value and not ${#body}"
	want_in_body "--$boundary$cr"$'\n'
	want_in_body "Content-Range: bytes 0-1/10$cr"$'\n'"$cr"$'\n'"01$cr"$'\n'
	want_in_body "Content-Range: bytes 8-9/10$cr"$'\n'"$cr"$'\n'"89$cr"$'\n'
	[[ $body == *"--$boundary--$cr"$'\n' ]] || complain 'no last boundary'
	ask 'GET /ten.txt' 'Range: bytes=3-3,20-30'
	want_header 'Content-Range: bytes 3-3/10'
	want_body 3
}

range_too_much()
{
	ask 'GET /ten.txt' 'Range: bytes=0-,0-,0-'
	want_status 200
	want_body 0123456789
}

if_range()
{
	ask 'HEAD /ten.txt'
	header_value ETag
	ask 'GET /ten.txt' 'Range: bytes=0-0' "If-Range: $value"
	want_status 206
	ask 'GET /ten.txt' 'Range: bytes=0-0' "If-Range: W/$value"
	want_status 200
	ask 'GET /ten.txt' 'Range: bytes=0-0' 'If-Range: "other"'
	want_status 200
	ask 'GET /ten.txt' 'Range: bytes=0-0' 'If-Range: Sun, 02 Feb 2020 02:02:02 GMT'
	want_status 206
	ask 'GET /ten.txt' 'Range: bytes=0-0' 'If-Range: Sun, 02 Feb 2020 02:02:03 GMT'
	want_status 200
}

# --- conditions --------------------------------------------------------------

etag_matches()
{
	ask 'HEAD /ten.txt'
	header_value ETag
	ask 'GET /ten.txt' "If-None-Match: $value"
	want_status 304
	want_header "ETag: $value"
	want_no_header Content-Length
	want_body ''
	ask 'GET /ten.txt' 'If-None-Match: *'
	want_status 304
}

etag_list()
{
	ask 'HEAD /ten.txt'
	header_value ETag
	ask 'GET /ten.txt' "If-None-Match: \"a,b\", W/$value"
	want_status 304
	ask 'GET /ten.txt' 'If-None-Match: "x"' "If-None-Match: $value"
	want_status 304
}

etag_differs()
{
	ask 'GET /ten.txt' 'If-None-Match: "x", W/"y"' \
		'If-Modified-Since: Sun, 02 Feb 2020 02:02:02 GMT'
	want_status 200
}

modified_since()
{
	ask 'GET /ten.txt' 'If-Modified-Since: Sun, 02 Feb 2020 02:02:02 GMT'
	want_status 304
	ask 'GET /ten.txt' 'If-Modified-Since: Sun, 02 Feb 2020 02:02:01 GMT'
	want_status 200
	ask 'GET /ten.txt' 'If-Modified-Since: yesterday'
	want_status 200
}

date_forms()
{
	ask 'GET /ten.txt' 'If-Modified-Since: Sunday, 02-Feb-20 02:02:02 GMT'
	want_status 304
	ask 'GET /ten.txt' 'If-Modified-Since: Sun Feb  2 02:02:02 2020'
	want_status 304
}

if_match()
{
	ask 'HEAD /ten.txt'
	header_value ETag
	ask 'GET /ten.txt' "If-Match: $value"
	want_status 200
	ask 'GET /ten.txt' 'If-Match: "other"'
	want_status 412
	ask 'GET /ten.txt' 'If-Unmodified-Since: Sun, 02 Feb 2020 02:02:01 GMT'
	want_status 412
}

# --- what is not served ------------------------------------------------------

not_found()
{
	local long

	ask 'GET /none'
	want_status 404
	want_header 'Content-Type: text/html; charset=utf-8'
	want_in_body '404 Not Found'
	printf -v long '%300s' ''
	ask "GET /${long// /x}"
	want_status 404
}

no_way_out()
{
	local target

	for target in /../secret /dir/../../secret /%2e%2e/secret /..%2fsecret /escape \
		      /up/secret "/%2f$tmp/secret"; do
		ask "GET $target"
		[[ $status == 403 || $status == 404 ]] || complain "$target: $reply"
		[[ $reply != *secret* ]] || complain "$target got out: $reply"
	done
}

links_inside()
{
	ask 'GET /link'
	want_status 200
	want_body 0123456789
}

fifo_refused()
{
	ask 'GET /fifo'
	want_status 403
}

# --- requests that are not understood ----------------------------------------

method_not_allowed()
{
	local method

	for method in PUT DELETE OPTIONS TRACE; do
		ask "$method /ten.txt"
		want_status 405
		want_header 'Allow: GET, HEAD'
	done
	ask 'OPTIONS *'
	want_status 405
}

method_unknown()
{
	ask 'BREW /ten.txt'
	want_status 501
	ask 'get /ten.txt'
	want_status 501
}

# A body must never be taken for a request, nor the request after it for a body.
bodies_are_skipped()
{
	local inner='GET /ten.txt HTTP/1.1\r\nHost: a\r\n\r\n'
	local after='GET /site/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
	local chunks='5\r\nGET /\r\n1;x=y\r\n \r\n0\r\nTrailer: 1\r\n\r\n'

	raw "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 34\r\n\r\n$inner$after"
	want_status 405
	want_no_header Connection
	[[ $reply != *0123456789* ]] || complain 'a body was taken for a request'
	[[ $reply == *'a page'$'\n' ]] || complain "the request after a body: $reply"
	raw "GET /ten.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n$chunks$after"
	want_status 200
	[[ $reply == *0123456789HTTP*'a page'$'\n' ]] || complain "after chunks: $reply"
}

bodies_limited()
{
	local big

	raw 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n'
	want_status 413
	want_header 'Connection: close'
	raw 'GET /ten.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n'
	want_status 200
	want_header 'Connection: close'
	big=$tmp/body
	head -c 1048577 /dev/zero > "$big"
	[[ $(curl -sS -m "$patience" -o /dev/null -w '%{http_code} %{num_connects} ' -H Expect: \
		--data-binary "@$big" "$url/[1-2]") == '413 1 413 1 ' ]] || complain 'not refused'
	# GET: curl stops sending when it is told that there is an error.
	head -c 1048576 /dev/zero > "$big"
	[[ $(curl -sS -m "$patience" -o /dev/null -w '%{http_code} %{num_connects} ' -H Expect: \
		-X GET --data-binary "@$big" "$url/ten.txt?[1-2]") == '200 1 200 0 ' ]] ||
		complain 'not skipped'
	# A chunked one is cut off, so the connection does not serve again.
	head -c 4194304 /dev/zero > "$big"
	[[ $(curl -sS -m "$patience" -o /dev/null -w '%{http_code} %{num_connects} ' -H Expect: \
		-H 'Transfer-Encoding: chunked' -X GET --data-binary "@$big" \
		"$url/ten.txt?[1-2]" 2>/dev/null) == '200 1 200 1 ' ]] ||
		complain 'chunks went on for ever'
	rm "$big"
}

bodies_refused()
{
	raw 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n'
	want_status 400
	raw 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n'
	want_status 400
}

bad_requests()
{
	local text

	for text in '\x16\x03\x01\x02' 'GET\r\n\r\n' 'GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n' \
		    'GET / HTTP/x.y\r\n\r\n' 'GET / FTP/1.1\r\n\r\n' 'GE@T / HTTP/1.1\r\n\r\n' \
		    'GET ten.txt HTTP/1.1\r\nHost: a\r\n\r\n' \
		    'GET * HTTP/1.1\r\nHost: a\r\n\r\n' \
		    'GET / HTTP/1.1\r\nHost : a\r\n\r\n' \
		    'GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n' \
		    'GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n folded\r\n\r\n' \
		    'GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n'; do
		raw "$text"
		[[ $status == 400 ]] || complain "$text: $reply"
		want_header 'Connection: close'
	done
}

old_and_new_versions()
{
	raw 'GET / HTTP/2.0\r\nHost: a\r\n\r\n'
	want_status 505
	raw 'GET /ten.txt HTTP/1.9\r\nHost: a\r\nConnection: close\r\n\r\n'
	want_status 200
	raw '\r\n\r\nGET /ten.txt HTTP/1.0\r\n\r\n'
	want_status 200
}

host_required()
{
	raw 'GET / HTTP/1.1\r\n\r\n'
	want_status 400
	raw 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n'
	want_status 400
	raw 'GET /ten.txt HTTP/1.0\r\n\r\n'
	want_status 200
}

long_header()
{
	local long

	printf -v long '%9000s' ''
	ask 'GET /ten.txt' "X: ${long// /x}"
	want_status 431
	printf -v long '%6000s' ''
	ask 'GET /ten.txt' "X: ${long// /x}"
	want_status 200
}

long_target()
{
	local long

	printf -v long '%9000s' ''
	ask "GET /${long// /x}"
	want_status 414
	printf -v long '%5000s' ''
	ask "GET /${long// /x}"
	want_status 414
}

many_headers()
{
	local i text=

	for ((i = 0; i < 100; i++)); do
		text+="X$i: 1\r\n"
	done
	raw "GET / HTTP/1.1\r\nHost: a\r\n$text\r\n"
	want_status 431
}

# --- connections -------------------------------------------------------------

keep_alive()
{
	local connects

	connects=$(curl -sS -m "$patience" -o /dev/null -w '%{num_connects}' "$url/ten.txt?[1-9]")
	[[ $connects == 100000000 ]] || complain "connections for each request: $connects"
}

keep_alive_http10()
{
	connect
	say 'GET /ten.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'
	hear_one
	want_header 'Connection: keep-alive'
	want_body 0123456789
	say 'GET /ten.txt HTTP/1.0\r\n\r\n'
	hear_all
	disconnect
	want_body 0123456789
}

close_http10()
{
	raw 'GET /ten.txt HTTP/1.0\r\n\r\n'
	want_status 200
	want_header 'Connection: close'
	want_body 0123456789
}

connection_close()
{
	local end=' HTTP/1.1\r\nHost: a\r\n'

	ask 'GET /ten.txt'
	want_header 'Connection: close'
	raw "GET /none$end\r\nGET /ten.txt${end}Connection: close\r\n\r\n"
	want_status 404
	want_no_header Connection
	want_in_body 0123456789
}

pipelined()
{
	local end=' HTTP/1.1\r\nHost: a\r\n' text
	local -a heads

	text="GET /ten.txt$end\r\nHEAD /ten.txt$end\r\nGET /site/$end\r\nPUT /x$end\r\n"
	raw "${text}GET /ten.txt${end}Connection: close\r\n\r\n"
	mapfile -t heads <<< "$reply"
	heads=("${heads[@]//[!A-Z0-9 .\/]/}")
	[[ ${heads[*]} =~ 1\.1\ 200.*1\.1\ 200.*1\.1\ 200.*1\.1\ 405.*1\.1\ 200 ]] ||
		complain "five answers: $reply"
	[[ $reply == *0123456789HTTP*'a page'$'\n'HTTP*0123456789 ]] ||
		complain "their bodies: $reply"
}

byte_by_byte()
{
	local text=$'GET /ten.txt HTTP/1.1\r\nHost: test\r\nX-Empty:\r\nConnection: close\r\n\r\n' i

	connect
	for ((i = 0; i < ${#text}; i++)); do
		printf %s "${text:i:1}" >&"$sock"
	done
	hear_all
	disconnect
	want_status 200
	want_body 0123456789
}

half_closed()
{
	local text

	text=$(perl -MIO::Socket::INET -e '
		my $sock = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$ARGV[0]") or die;
		print $sock "GET /ten.txt HTTP/1.1\r\nHost: a\r\n\r\n";
		shutdown($sock, 1);
		local $/;
		print <$sock>;' "$port")
	split_reply "$text"
	want_status 200
	want_body 0123456789
}

parallel()
{
	local line good=0

	while read -r line; do
		[[ $line == '200 300000' ]] && ((good++))
	done < <(curl -sS -m 300 -Z --parallel-immediate --parallel-max 100 -o /dev/null \
		-w '%{http_code} %{size_download}\n' "$url/big?[1-100]" 2>&1)
	((good == 100)) || complain "$good of 100 were right"
}

# --- limits: a second server with little patience ----------------------------

stalled_request()
{
	local port=$strict_port

	let_in raw 'GET / HTTP/1.1\r\nHo'
	want_status 408
	want_header 'Connection: close'
}

# It was answered, and its connection is closed.
stalled_body()
{
	local port=$strict_port

	let_in raw 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345'
	want_status 405
	want_no_header Connection
}

# Who reads nothing has its connection, the only one, for as long as --send-time says.
stalled_reader()
{
	local port text reader got

	start_other --max-connections 1 --send-time 5
	connect
	reader=$sock
	say 'GET /huge HTTP/1.1\r\nHost: a\r\n\r\n'
	IFS= read -r -N 1 -t "$patience" -u "$reader" got
	[[ $got == H ]] || complain "no answer: $got"
	ask 'GET /ten.txt'
	want_status 503
	ask_until_200
	got=$(cat <&"$reader" 2>/dev/null | wc -c)
	((got < 67108864)) || complain 'it was sent all the same'
	exec {reader}>&-
	end_other
}

idle_connection()
{
	local port=$strict_port

	let_in raw ''
	[[ -z $reply ]] || complain "an idle connection got: $reply"
}

# The first connection is known to be counted once it has had an answer.
connection_limit()
{
	local port text first

	start_other --max-connections 1
	connect
	first=$sock
	say 'GET /ten.txt HTTP/1.1\r\nHost: a\r\n\r\n'
	hear_one
	want_status 200
	ask 'GET /ten.txt'
	want_status 503
	want_header 'Retry-After: 1'
	exec {first}>&-
	ask_until_200
	end_other
}

# let_in COMMAND...: again while there is no room: the server learns of a closed connection
# some time after it was closed.
let_in()
{
	local end=$((SECONDS + patience))

	while "$@" && [[ $status == 503 ]] && ((SECONDS < end)); do
		:
	done
}

ask_until_200()
{
	let_in ask 'GET /ten.txt'
	want_status 200
}

access_log()
{
	local port=$strict_port line
	local form='^127\.0\.0\.1 - - \[[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9:]{8} [-+][0-9]{4}\] '
	local wanted='"GET /log\x22me\x1b HTTP/1.1" 400 '

	let_in ask 'GET /log"me\x1b'
	while IFS= read -r -t "$patience" -u "$strict_out" line; do
		[[ $line == *'/log'* ]] && break
	done
	[[ $line =~ $form && $line == *"$wanted"* ]] || complain "the log says: $line"
}

# --- memory: a third server, with little of it --------------------------------

make_cgroup()
{
	mkdir "$cgroup" 2>/dev/null && echo "$1" > "$cgroup/memory.max" || return
	# shellcheck disable=SC2016 # it is for the inner shell
	launcher=(bash -c 'echo $$ > "$0/cgroup.procs" && exec "$@"' "$cgroup")
}

# A process is in its cgroup until it has been waited for.
remove_cgroup()
{
	launcher=()
	[[ -d $cgroup ]] || return 0
	for ((tries = 0; tries < 100; tries++)); do
		rmdir "$cgroup" 2>/dev/null && return
		sleep 0.1
	done
	complain "$cgroup cannot be removed"
}

start_small()
{
	start_server small --idle 600 --head-time 600 --max-connections 100000 "$@"
	port=$small_port
}

# Connections in the middle of their requests, until a new one is sent away.
hold_until_shed()
{
	held=()
	for ((tries = 0; tries < 2000; tries++)); do
		connect
		held+=("$sock")
		say 'GET /ten.txt HTTP/1.1\r\n'
		ask 'GET /ten.txt'
		[[ $status == 503 ]] && break
		[[ $status == 200 ]] || break
	done
	want_status 503
	want_header 'Retry-After: 1'
}

# It was accepted when there was memory, and has not said anything since.
start_to_be_silent()
{
	connect
	silent=$sock
	ask 'GET /ten.txt'
	want_status 200
}

want_silent_to_be_sent_away()
{
	sock=$silent
	hear_head
	want_status 503
	want_header 'Retry-After: 1'
	disconnect
}

# Each has an answer: what it asked for, or to come back later.
release_held()
{
	for sock in "${held[@]}"; do
		say 'Host: a\r\nConnection: close\r\n\r\n'
		hear_all
		disconnect
		[[ $status == 503 ]] && want_header 'Retry-After: 1' && continue
		want_status 200
	done
}

# Stacks that nobody needs may take some seconds to go back.
wait_for_200()
{
	local end=$((SECONDS + 2 * patience))

	while ask 'GET /ten.txt'; [[ $status == 503 ]] && ((SECONDS < end)); do
		sleep 0.1
	done
	want_status 200
}

# It was sent away, and stays away no longer than it must. What was given back is just
# enough, so memory may be short once more for a moment.
recovers()
{
	local i away=0

	release_held
	wait_for_200
	for ((i = 0; i < 20; i++)); do
		ask 'GET /dir/'
		if [[ $status == 503 ]]; then
			((++away))
			wait_for_200
		else
			want_status 200
		fi
	done
	((away <= 2)) || complain "sent away again, $away times"
}

end_small()
{
	local text=

	kill -TERM "$small_pid"
	wait "$small_pid" || complain "ended with status $?"
	small_pid=
	IFS= read -r -d '' -t "$patience" -u "$small_out" text
	[[ $text =~ errors\ +0$'\n' ]] || complain "it counted errors: $text"
	[[ $'\n'$text =~ $'\n'$1\ +[1-9] ]] || complain "$1: $text"
}

shed_at_stack_limit()
{
	local port silent

	start_small --stack-memory 4096
	start_to_be_silent
	hold_until_shed
	want_silent_to_be_sent_away
	recovers
	# What it has learnt of stacks and kept of them is not in its way.
	hold_until_shed
	recovers
	end_small pressed
}

shed_in_cgroup()
{
	local port

	make_cgroup 25165824 || skip 'no memory cgroup' || return 0
	start_small
	hold_until_shed
	recovers
	end_small pressed
	[[ $(< "$cgroup/memory.events") == *oom_kill\ 0* ]] || complain 'somebody was killed'
	remove_cgroup
}

# Files that were read fill a cgroup, and make room when that is needed.
file_cache_is_no_pressure()
{
	local port file

	make_cgroup 25165824 || skip 'no memory cgroup' || return 0
	start_small
	for file in /usr/lib/*/*.so /usr/lib/*/*.a /usr/lib/gcc/*/*/*; do
		"${launcher[@]}" cat "$file" > /dev/null 2>&1
		(($(< "$cgroup/memory.current") > 23500000)) && break
	done
	(($(< "$cgroup/memory.current") > 23500000)) || complain 'not enough to read here'
	connect
	say 'GET /ten.txt HTTP/1.1\r\n'
	held=("$sock")
	for ((tries = 0; tries < 20; tries++)); do
		ask 'GET /dir/'
		want_status 200
	done
	release_held
	end_small requests
	remove_cgroup
}

sigint()
{
	kill -INT "$strict_pid"
	wait "$strict_pid"
	want_end $? "$strict_out"
	strict_pid=
}

# --- further servers, each with options of its own ----------------------------

start_other()
{
	start_server other "$@"
	port=$other_port
}

end_other()
{
	kill -TERM "$other_pid"
	other_ends
}

# Sets text to what it said.
other_ends()
{
	ended other
	text=
	IFS= read -r -d '' -t "$patience" -u "$other_out" text
	[[ $text =~ errors\ +0$'\n' ]] || complain "it counted errors: $text"
}

# want_count NAME PATTERN: how its counter begins
want_count()
{
	local line="(^|"$'\n'")$1 +$2"

	[[ $text =~ $line ]] || complain "wanted $1 to be $2: $text"
}

# hold N: connections that have had an answer
hold()
{
	local end=$((SECONDS + patience))

	held=()
	while ((${#held[@]} < $1)); do
		connect
		say 'GET /ten.txt HTTP/1.1\r\nHost: a\r\n\r\n'
		hear_one
		[[ $status == 503 ]] && ((SECONDS < end)) && disconnect && continue
		want_status 200
		held+=("$sock")
	done
}

let_go()
{
	for sock in "${held[@]}"; do
		disconnect
	done
}

limit_of_three()
{
	local port text

	start_other --max-connections 3
	for _ in 1 2; do
		hold 3
		ask 'GET /ten.txt'
		want_status 503
		sock=${held[1]}
		disconnect
		unset 'held[1]'
		ask_until_200
		let_go
		ask_until_200
		ask_until_200
		ask_until_200
		held=()
	done
	end_other
	want_count refused '[1-9]'
}

ipv6()
{
	local port=$server_port text host=::1 line form='^::1 - - .*"GET /ten.txt HTTP/1.1" 200 10$'

	[[ -e /proc/net/if_inet6 ]] || skip 'no IPv6' || return 0
	ask 'GET /ten.txt'
	want_status 200
	start_other --bind ::1 --verbose
	ask 'GET /ten.txt'
	want_status 200
	IFS= read -r -t "$patience" -u "$other_out" line
	[[ $line =~ $form ]] || complain "the log says: $line"
	(host=127.0.0.1; connect) 2>/dev/null && complain 'it listens for IPv4 as well'
	end_other
}

# The others are served meanwhile, and it ends with the grace period.
burning()
{
	local port=$server_port text sock burner

	ask 'GET /burn?ms=1'
	want_status 404
	start_other --burn --grace 0 --processors 1
	ask 'GET /burn?ms=20'
	want_status 200
	want_in_body '20 ms: '
	ask 'GET /burn?ms=1x'
	want_status 400
	connect
	burner=$sock
	say 'GET /burn?ms=10000 HTTP/1.1\r\nHost: a\r\n\r\n'
	ask 'GET /ten.txt'
	want_status 200
	IFS= read -r -t 0 -u "$burner" && complain 'it has not computed for long'
	end_other
	exec {burner}>&-
}

# Half of a request each; a few threads had to wait for memory, or for a CPU.
idle_costs_no_thread()
{
	local port text

	start_other --head-time 600
	held=()
	while ((${#held[@]} < 300)); do
		connect
		held+=("$sock")
		say 'GET /ten.txt HTTP/1.1\r\n'
	done
	release_held
	end_other
	[[ $text =~ workers_peak\ +([0-9]+) ]] || complain "no number of threads: $text"
	((BASH_REMATCH[1] <= 60)) || complain "threads: ${BASH_REMATCH[1]}"
}

# One does not send the rest, the other does not read.
grace_is_over()
{
	local port text before=$SECONDS

	start_other --head-time 600 --send-time 600 --grace 1
	hold 2
	sock=${held[0]}
	say 'GET /ten.txt HTTP/1.1\r\n'
	sock=${held[1]}
	say 'GET /huge HTTP/1.1\r\nHost: a\r\n\r\n'
	hear_head
	want_status 200
	end_other
	((SECONDS - before < 300)) || complain 'it waited for them'
	want_count aborted 1
	let_go
}

# --- the end -----------------------------------------------------------------

version_and_usage()
{
	[[ $("$httpd" --version) == *[0-9].[0-9]* ]] || complain 'no version'
	"$httpd" --port 65536 > "$tmp/usage" 2>&1 && complain 'took port 65536'
	[[ $(< "$tmp/usage") == *65535* ]] || complain "usage: $(< "$tmp/usage")"
}

# want_end STATUS OUT
want_end()
{
	local text=

	(($1 == 0)) || complain "ended with status $1"
	IFS= read -r -d '' -t "$patience" -u "$2" text
	[[ $text =~ requests\ +[1-9] && $text =~ fibers_spawned\ +[1-9] ]] ||
		complain "the counters: $text"
	[[ $text =~ errors\ +0$'\n' ]] || complain "it counted errors: $text"
}

# One connection is idle and one in the middle of a request.
sigterm_idle()
{
	connect
	busy=$sock
	say 'GET /ten.txt HTTP/1.1\r\nHost: a\r\n\r\n'
	hear_one
	say 'GET /ten.txt HT'
	connect
	say 'GET /ten.txt HTTP/1.1\r\nHost: a\r\n\r\n'
	hear_one
	want_status 200
	kill -TERM "$server_pid"
	hear_all
	disconnect
	[[ -z $reply ]] || complain "the idle connection got: $reply"
}

# The grace period is for requests like this one.
sigterm_grace()
{
	sock=$busy
	say 'TP/1.1\r\nHost: a\r\n\r\n'
	hear_all
	disconnect
	want_status 200
	want_header 'Connection: close'
	wait "$server_pid"
	want_end $? "$server_out"
	server_pid=
}

# Two that are slow: one has sent half of its request, one has read no more than a head.
# Sets slow_writer and slow_reader.
start_slow_clients()
{
	start_other --head-time 600 --send-time 600 --grace 600
	connect
	slow_writer=$sock
	say 'GET /ten.txt HTTP/1.1\r\n'
	connect
	slow_reader=$sock
	say 'GET /huge HTTP/1.1\r\nHost: a\r\nRange: bytes=0-16777215\r\nConnection: close\r\n\r\n'
	hear_head
	want_status 206
}

# They go on, and get all of it.
slow_clients_go_on()
{
	local got

	sock=$slow_writer
	# In a process of its own: SIGPIPE ends it if the connection is gone.
	(say 'Host: a\r\nConnection: close\r\n\r\n') || complain 'the slow writer was cut off'
	hear_all
	disconnect
	want_status 200
	want_body 0123456789
	got=$(wc -c <&"$slow_reader")
	exec {slow_reader}>&-
	((got == 16777216)) || complain "the slow reader got $got bytes"
}

# Nobody is accepted any more. Those who are there may be slow: the grace period is long.
sigterm_slow_clients()
{
	local port text slow_writer slow_reader

	start_slow_clients
	kill -TERM "$other_pid"
	while (connect) 2>/dev/null; do
		:
	done
	slow_clients_go_on
	other_ends
	want_count aborted 0
}

# Or until it has ended.
wait_until_stopped()
{
	local line

	while read -r line < "/proc/$other_pid/stat"; do
		[[ ${line##*) } == T* ]] && break
	done
}

# All its system calls are interrupted, some of which the kernel does not restart.
stopped_and_continued()
{
	local port text slow_writer slow_reader

	start_slow_clients
	for _ in 1 2 3 4 5; do
		kill -STOP "$other_pid"
		wait_until_stopped
		kill -CONT "$other_pid"
		ask 'GET /ten.txt'
		want_status 200
	done
	slow_clients_go_on
	end_other
	want_count aborted 0
}

main()
{
	echo 'TAP version 13'
	if [[ -z ${HTTPD-} && ! -e /dev/kfiber ]]; then
		echo '1..0 # SKIP the module is not loaded'
		exit 0
	fi
	(($# == 0)) || tests=("$@")
	echo "1..${#tests[@]}"
	[[ -x $httpd ]] || bail "$httpd is not there: make it, or set HTTPD"
	httpd=$(cd "$(dirname "$httpd")" && pwd)/${httpd##*/}
	trap cleanup EXIT
	make_tree
	start_server server --head-time 600
	start_server strict --idle 1 --head-time 1 --body-time 1 --send-time 1 \
		--max-connections 1 --verbose
	# shellcheck disable=SC2034 # program.sh connects to it
	host=127.0.0.1
	port=$server_port
	url=http://127.0.0.1:$port
	run_tests
}

main "$@"
