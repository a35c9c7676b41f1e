# SPDX-License-Identifier: GPL-2.0
#
# kfiber's build. Nothing is made outside build/.
#
#	make			the library, the examples, the selftests and the module for $(KERNEL)
#	make module W=1 C=2	W and C are the kernel's: more warnings, sparse
#	make help		the rest

KFIBER_VERSION := 0.1.0
# Counts up when a program that was linked before would no longer run.
SOVERSION := 0

KERNEL	?= 6.12
# What `make modules` and `make check` are about.
KERNELS	?= 6.12 6.1 6.12-rt debug
ARCH	?= $(shell uname -m)
PREFIX	?= /usr/local
LIBDIR	?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
# Not empty: with delay points, for selftests/race.c (kmod/delay.h).
DELAY	?=
# Where the module is built: each kernel has objects of its own.
KMOD_OUT ?= build/kmod/$(KERNEL)$(if $(DELAY),-delay)

# make has a CC of its own, which is no wish of anybody's.
ifeq ($(origin CC),default)
CC	:= gcc
endif
ifeq ($(origin CXX),default)
CXX	:= g++
endif
CFLAGS	?= -O2 -g
INSTALL	?= install

# What our own code is compiled with, whatever CFLAGS says.
KF_CFLAGS := -std=gnu11 -D_GNU_SOURCE -pthread -MMD -MP \
	     -Wall -Wextra -Wno-unused-parameter -Wstrict-prototypes -Wpointer-arith -Wundef -Wvla \
	     -Werror=implicit-function-declaration -Werror=incompatible-pointer-types \
	     -Werror=int-conversion -Werror=return-type -Werror=format \
	     -Iuserlib/include -Iuapi
# What runs on fibers touches each page of a large frame, and so meets the guard.
# The selftests do not: they show what happens without.
FIBER_CFLAGS := -fstack-clash-protection
# The static library is linked into shared ones too.
LIB_CFLAGS := -Wmissing-prototypes -fPIC -fvisibility=hidden $(FIBER_CFLAGS)

# V=1 shows the commands themselves.
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n' $(1) $@
endif

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

.PHONY: all
all: lib examples selftests module ## Build everything, the module for KERNEL only

# --- the library ------------------------------------------------------------

all_lib_sources := $(sort $(wildcard userlib/src/*.c userlib/arch/$(ARCH)/*.[cS]))
lib_sources := $(filter-out userlib/src/delay.c,$(all_lib_sources))
lib_objects := $(patsubst userlib/%,build/userlib/%.o,$(lib_sources))
shared_name := libkfiber.so.$(SOVERSION)

.PHONY: lib
lib: build/libkfiber.a build/libkfiber.so build/libkfiber-uninstalled.pc ## Build the library

build/userlib/%.c.o: userlib/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(KF_CFLAGS) $(LIB_CFLAGS) -Iuserlib/src $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

build/userlib/%.S.o: userlib/%.S Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(KF_CFLAGS) $(LIB_CFLAGS) -Iuserlib/src $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

build/libkfiber.a: $(lib_objects)
	$(call say,AR)
	$(Q)$(RM) $@
	$(Q)$(AR) rcs $@ $^

build/$(shared_name): $(lib_objects) userlib/libkfiber.map
	$(call say,LD)
	$(Q)$(CC) -shared -pthread -Wl,-soname,$(shared_name) -Wl,--version-script,userlib/libkfiber.map \
		-Wl,-z,defs -Wl,-z,now $(CFLAGS) $(LDFLAGS) -o $@ $(lib_objects)

build/libkfiber.so: build/$(shared_name)
	$(Q)ln -sf $(<F) $@

# With delay points: what selftests/race.c is linked with, and nothing else.
delay_objects := $(patsubst userlib/%,build/delay/userlib/%.o,$(all_lib_sources))

build/delay/userlib/%.o: userlib/% Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(KF_CFLAGS) $(LIB_CFLAGS) -DKFIBER_DELAY_POINTS -Iuserlib/src \
		$(CPPFLAGS) $(CFLAGS) -c -o $@ $<

build/delay/libkfiber.a: $(delay_objects)
	$(call say,AR)
	$(Q)$(RM) $@
	$(Q)$(AR) rcs $@ $^

comma := ,

# $(1) what finds the headers, $(2) what finds the library
define pc_file
Name: libkfiber
Description: Lightweight tasks with growable stacks, on the kfiber kernel module
Version: $(KFIBER_VERSION)
Cflags: $(1) -pthread $(FIBER_CFLAGS)
Libs: $(2) -lkfiber -pthread
endef

# pkg-config takes the file of this name first: it is for use in the tree.
export UNINSTALLED_PC := $(call pc_file,-I$(CURDIR)/userlib/include -I$(CURDIR)/uapi,-L$(CURDIR)/build -Wl$(comma)-rpath$(comma)$(CURDIR)/build)
export INSTALLED_PC := $(call pc_file,-I$(INCLUDEDIR),-L$(LIBDIR))

build/libkfiber-uninstalled.pc: Makefile
	@mkdir -p $(@D)
	$(Q)echo "$$UNINSTALLED_PC" >$@

# --- what is linked with it -------------------------------------------------

# A program is one file, examples/NAME.c, or a directory of them; those in
# examples/common are for the directories' programs.
example_files := $(patsubst examples/%.c,%,$(wildcard examples/*.c))
example_dirs := $(filter-out common,$(sort $(patsubst examples/%/,%,$(dir $(wildcard examples/*/*.c)))))
LIBS_httpd := -lhttp_parser
LIBS_kvd := -lsodium
LIBS_crawl := -lcrypto

.PHONY: examples
examples: $(addprefix build/examples/,$(example_files) $(example_dirs)) ## Build the examples

# The objects of a directory's program are beside it, not below it: a name
# cannot be a program and a directory.
build/examples/obj/%.o: examples/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(KF_CFLAGS) $(FIBER_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# Whoever is linked with it takes what it uses.
build/examples/common.a: $(patsubst examples/%.c,build/examples/obj/%.o,$(wildcard examples/common/*.c))
	$(call say,AR)
	$(Q)$(RM) $@
	$(Q)$(AR) rcs $@ $^

# $(1) a program's name, $(2) its sources
define example
build/examples/$(1): $(patsubst examples/%.c,build/examples/obj/%.o,$(2)) build/examples/common.a build/libkfiber.a
	$$(call say,LD)
	$$(Q)$$(CC) -pthread $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(LIBS_$(1))
endef

$(foreach e,$(example_files),$(eval $(call example,$(e),examples/$(e).c)))
$(foreach e,$(example_dirs),$(eval $(call example,$(e),$(wildcard examples/$(e)/*.c))))

# Static, so that what runs in the machine needs nothing of it.
STATIC := -static
selftest_programs := $(patsubst selftests/%.c,build/selftests/%,$(wildcard selftests/*.c))
# Asked for when first needed, and once: it may have to be fetched.
KSELFTEST = $(eval KSELFTEST := $(shell tools/kernel source)/tools/testing/selftests)$(KSELFTEST)

# One program, as its users' sanitizers and valgrind see it, with the library as
# it is: selftests/checkers.sh.
checker_programs := $(addprefix build/selftests/checkers/,asan asan-shared tsan plain)
SANITIZE_asan := -fsanitize=address,undefined
SANITIZE_asan-shared := $(SANITIZE_asan)
SANITIZE_tsan := -fsanitize=thread

.PHONY: selftests
selftests: $(selftest_programs) build/selftests/fuzz/fuzz $(checker_programs) ## Build the selftests

# But for what is about libraries.
build/selftests/contain: STATIC :=

# Asks the library itself what it makes of control groups that are files of its own.
build/selftests/cpus: KF_CFLAGS += -Iuserlib/src

# -isystem: the harness is not ours to warn about.
build/selftests/%: selftests/%.c build/libkfiber.a Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(KF_CFLAGS) -isystem $(KSELFTEST) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(STATIC) \
		-o $@ $< build/libkfiber.a -lm

# Looks into the library, to say what it hangs in when it does.
build/selftests/race: selftests/race.c build/delay/libkfiber.a Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(KF_CFLAGS) -DKFIBER_DELAY_POINTS -Iuserlib/src -isystem $(KSELFTEST) $(CPPFLAGS) \
		$(CFLAGS) $(LDFLAGS) -static -o $@ $< build/delay/libkfiber.a

# The same without delay points, for selftests/mutants/run to compare with.
build/race-plain: selftests/race.c build/libkfiber.a Makefile
	$(call say,CC)
	$(Q)$(CC) $(KF_CFLAGS) -Iuserlib/src -isystem $(KSELFTEST) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) \
		-static -o $@ $< build/libkfiber.a

# A program of several files; what it is and how it is used: selftests/fuzz/README.rst
fuzz_objects := $(patsubst selftests/%.c,build/selftests/%.o,$(wildcard selftests/fuzz/*.c))

build/selftests/fuzz/%.o: selftests/fuzz/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(KF_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

build/selftests/fuzz/fuzz: $(fuzz_objects)
	$(call say,LD)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -static -o $@ $^

$(checker_programs): build/selftests/checkers/%: selftests/checkers/planted.c build/libkfiber.a \
		build/libkfiber.so Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(KF_CFLAGS) $(CPPFLAGS) $(CFLAGS) -g -O1 -fno-omit-frame-pointer $(SANITIZE_$*) $(LDFLAGS) -o $@ $< \
		$(if $(filter %-shared,$*),-Lbuild -lkfiber -Wl$(comma)-rpath$(comma)'$$ORIGIN/../..',build/libkfiber.a)

# A peer is a directory of bench/, and becomes one program.
bench_peers := $(sort $(patsubst bench/%/,%,$(dir $(wildcard bench/*/*.c bench/*/*.cc bench/*/*.go bench/*/*.rs))))
bench_sources := $(wildcard bench/*.c bench/*/*.c bench/*/*.cc)
bench_objects := $(patsubst bench/%,build/bench/obj/%.o,$(bench_sources))
LIBS_boost-fiber := -lboost_fiber -lboost_context
LIBS_boost-context := -lboost_context
LIBS_state-threads := -lst
LIBS_libuv := -luv
LIBS_threads := -lhttp_parser
BENCH_ARGS ?=
BENCH_MEM ?= 8G

.PHONY: bench bench-programs instructions
bench-programs: $(addprefix build/bench/,$(bench_peers) nginx) build/examples/httpd build/examples/kvd

bench: ## Measure against others, in a virtual machine
	@tools/setup --bench 6.12
	@$(MAKE) --no-print-directory bench-programs module-6.12
	@mkdir -p build/bench/out
	@export VM_OUT=$(CURDIR)/build/bench/out; \
	tools/vm --mem $(BENCH_MEM) --timeout 7200 -- bench/run build/bench/out/time.json $(BENCH_ARGS) && \
	tools/vm --mem $(BENCH_MEM) --icount --timeout 7200 -- bench/run --instructions \
		build/bench/out/instructions.json $(BENCH_ARGS)
	@bench/report.py build/bench/out/time.json build/bench/out/instructions.json
	@bench/plot build/bench/out/plots build/bench/out/time.json build/bench/out/instructions.json

instructions: ## Write the table that `make check` compares the hot paths with
	bench/count --update 6.12 6.1

build/bench/obj/%.c.o: bench/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(KF_CFLAGS) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

build/bench/obj/%.cc.o: bench/%.cc Makefile
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) -std=c++20 -pthread -MMD -MP -Wall -Wextra $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# $(1) a peer of C or C++, $(2) its objects
define bench_peer
build/bench/$(1): $(2) build/bench/obj/bench.c.o $(if $(filter kfiber,$(1)),build/libkfiber.a)
	$$(call say,LD)
	$$(Q)$$(if $$(filter %.cc.o,$(2)),$$(CXX),$$(CC)) -pthread $$(CFLAGS) $$(LDFLAGS) -o $$@ $$^ \
		$$(LIBS_$(1))
endef

$(foreach p,$(filter-out go tokio,$(bench_peers)),\
	$(eval $(call bench_peer,$(p),$(filter build/bench/obj/$(p)/%,$(bench_objects)))))

build/bench/go: $(wildcard bench/go/*.go) Makefile
	@mkdir -p $(@D)
	$(call say,GO)
	$(Q)GO111MODULE=off GOCACHE=$(CURDIR)/build/bench/obj/go go build -o $@ $(filter %.go,$^)

# Debian's cargo and its crates: nothing is fetched. It writes beside the manifest.
build/bench/tokio: bench/tokio/main.rs bench/tokio/Cargo.toml Makefile
	@mkdir -p build/bench/obj/tokio
	$(call say,CARGO)
	$(Q)cp bench/tokio/main.rs bench/tokio/Cargo.toml build/bench/obj/tokio
	$(Q)RUSTC=/usr/bin/rustc /usr/bin/cargo build --quiet --release --offline \
		--manifest-path build/bench/obj/tokio/Cargo.toml \
		--config 'source.crates-io.replace-with="debian"' \
		--config 'source.debian.directory="/usr/share/cargo/registry"'
	$(Q)cp build/bench/obj/tokio/target/release/tokio-peer $@

# The program alone: the package would start a server on port 80. What it needs besides the
# C library, other packages of tools/packages have brought.
build/bench/nginx: Makefile
	@mkdir -p build/bench/obj/nginx
	$(call say,DEB)
	$(Q)cd build/bench/obj/nginx && $(RM) *.deb && apt-get -qq -o APT::Sandbox::User=root download nginx && dpkg-deb -x nginx_*.deb .
	$(Q)cp build/bench/obj/nginx/usr/sbin/nginx $@

# --- the module -------------------------------------------------------------

# The kernel's build writes its objects beside the sources, so each kernel has a
# copy of the tree made of links.
.PHONY: module modules
module: module-$(KERNEL) ## Build the module for KERNEL (W=1 and C=2 as for the kernel)
modules: $(addprefix module-,$(KERNELS)) ## Build the module for each of KERNELS

module-%: FORCE
	@$(MAKE) --no-print-directory build-module KERNEL=$*

# No BTF: for modules it would need pahole, and nobody here reads it.
.PHONY: build-module
build-module:
	@tools/kernel get $(KERNEL)
	@mkdir -p $(KMOD_OUT)
	@find $(KMOD_OUT) -maxdepth 1 -type l -delete
	@cp -rsf $(CURDIR)/Kbuild $(CURDIR)/kmod $(CURDIR)/uapi $(KMOD_OUT)
	@find $(KMOD_OUT) -xtype l -delete
	$(Q)+$(MAKE) --no-print-directory -C $$(tools/kernel build-dir $(KERNEL)) \
		M=$(abspath $(KMOD_OUT)) DELAY=$(DELAY) CONFIG_DEBUG_INFO_BTF_MODULES= modules

# A module of bugs, for tools/check-net to find.
.PHONY: planted
planted:
	@tools/kernel get $(KERNEL)
	@mkdir -p build/planted/$(KERNEL)
	@cp -rsf $(CURDIR)/selftests/planted/. build/planted/$(KERNEL)
	$(Q)+$(MAKE) --no-print-directory -C $$(tools/kernel build-dir $(KERNEL)) \
		M=$(CURDIR)/build/planted/$(KERNEL) CONFIG_DEBUG_INFO_BTF_MODULES= modules

# --- running and testing ----------------------------------------------------

.PHONY: setup
setup: ## Install the packages and get the kernels that all this needs
	tools/setup $(KERNELS)

.PHONY: demo
demo: ## Show kfiber at work in a virtual machine
	@tools/setup 6.12
	@$(MAKE) --no-print-directory lib examples module-6.12
	@tools/demo

.PHONY: stress
stress: build/selftests/race ## Provoke races for KFIBER_SECONDS (default: 600), on KERNEL
	@$(MAKE) --no-print-directory module DELAY=1
	@export KFIBER_SECONDS=$${KFIBER_SECONDS:-600} KFIBER_SEED=$${KFIBER_SEED:-$$(date +%s)}; \
	tools/vm --kernel $(KERNEL) --module build/kmod/$(KERNEL)-delay/kfiber.ko \
		--timeout $$((KFIBER_SECONDS * 2 + 300)) -- build/selftests/race

.PHONY: mutants
mutants: ## Show that the race stress finds what is wrong
	selftests/mutants/run

.PHONY: check
check: ## Build and check everything, run the selftests on KERNELS
	tools/check $(KERNELS)

FUZZ_SECONDS ?= 600
FUZZ_SEED ?= $(shell date +%s)

.PHONY: fuzz
fuzz: build/selftests/fuzz/fuzz module-debug ## Fuzz the module for FUZZ_SECONDS (600), from FUZZ_SEED
	@$(RM) -r build/fuzz
	@mkdir -p build/fuzz
	@VM_OUT=$(CURDIR)/build/fuzz tools/vm --kernel debug --timeout $$(($(FUZZ_SECONDS) + 600)) -- \
		build/selftests/fuzz/fuzz --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED) \
		--corpus selftests/fuzz/corpus --write build/fuzz/corpus \
		--last build/fuzz/last --unreached build/fuzz/unreached

# All kernels, everything for as long as KFIBER_SECONDS and FUZZ_SECONDS say.
.PHONY: check-long
check-long: ## The same on every kernel, then stress, mutants and fuzzing
	KFIBER_SLOW=1 KFIBER_CHECK_TIMEOUT=7200 tools/check 6.12 6.1 6.12-rt 6.1-rt debug
	$(MAKE) --no-print-directory stress KERNEL=debug
	$(MAKE) --no-print-directory fuzz
	$(MAKE) --no-print-directory mutants

.PHONY: check-static
check-static: ## Check the sources only
	tools/check-static

# --- the rest ---------------------------------------------------------------

.PHONY: install
install: lib ## Install the library (PREFIX, DESTDIR)
	$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/kfiber $(DESTDIR)$(INCLUDEDIR)/linux
	$(INSTALL) -m 644 build/libkfiber.a $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 755 build/$(shared_name) $(DESTDIR)$(LIBDIR)
	ln -sf $(shared_name) $(DESTDIR)$(LIBDIR)/libkfiber.so
	$(INSTALL) -m 644 userlib/include/kfiber/*.h $(DESTDIR)$(INCLUDEDIR)/kfiber
	$(INSTALL) -m 644 uapi/linux/kfiber.h $(DESTDIR)$(INCLUDEDIR)/linux
	echo "$$INSTALLED_PC" >$(DESTDIR)$(LIBDIR)/pkgconfig/libkfiber.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/libkfiber.pc

.PHONY: clean distclean
clean: ## Remove what was built
	$(RM) -r build

distclean: clean ## The same; the cache of kernels stays (tools/kernel cache says where)
	@echo "The kernels stay in $$(tools/kernel cache); remove that by hand to get them anew."

.PHONY: help
help: ## Show this
	@echo 'Targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		awk -F'|' '{ printf "%-15s %s\n", $$1, $$2 }'
	@echo 'Variables: KERNEL=$(KERNEL) (6.12 6.1 6.12-rt 6.1-rt debug kcsan), KERNELS="$(KERNELS)",'
	@echo '  PREFIX=$(PREFIX), DESTDIR, CC, CFLAGS, LDFLAGS, W and C (the kernel'"'"'s)'

.PHONY: FORCE
FORCE:

-include $(lib_objects:.o=.d) $(delay_objects:.o=.d) $(addsuffix .d,$(selftest_programs))
-include $(fuzz_objects:.o=.d) $(bench_objects:.o=.d)
-include $(addsuffix .d,$(checker_programs))
-include $(wildcard build/examples/obj/*.d build/examples/obj/*/*.d)
