#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs the fuzzer as a test: its corpus, and as many programs of one seed as take
# half a minute. `make fuzz` is the real thing.

here=$(cd "$(dirname "$0")" && pwd)

exec "$here/../build/selftests/fuzz/fuzz" --tap --corpus "$here/fuzz/corpus" --seed 1 --programs 150
