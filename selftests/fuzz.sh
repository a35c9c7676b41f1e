#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs the fuzzer as a test: its corpus, and as many programs of one seed as take
# half a minute on the debug kernel. `make fuzz` is the real thing.
#
# In tools/vm, a program that ends the machine is in $VM_OUT/fuzz-last afterwards.

here=$(cd "$(dirname "$0")" && pwd)

exec "$here/../build/selftests/fuzz/fuzz" --tap --corpus "$here/fuzz/corpus" --seed 1 \
	--programs 150 ${VM_OUT:+--last "$VM_OUT/fuzz-last"}
