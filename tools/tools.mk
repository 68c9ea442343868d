# Everything beyond compiling: unit tests, images, runs, checks. Included by the top Makefile, which
# sets BUILD (default: build) and has the targets $(BUILD)/keyhole.elf and guests.
# A comment "##" after a target is its line in `make help`.

BUILD ?= build
# Debian's own interpreter, which has Debian's python3-pytest: another python3 may stand first in PATH.
PYTHON ?= /usr/bin/python3

# --- unit tests: each tests/unit/test_*.c is a program that prints TAP ------------------------------
# Its header names the real sources it is linked with, and its own flags, in one-line comments:
#	/* sources: mm/frame.c mm/pool.c */
#	/* flags: -pthread */

UNIT_CC ?= gcc
UNIT_CFLAGS := -std=gnu11 -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all -DKEYHOLE_HOST_TEST -D_GNU_SOURCE -Iinclude -Itests/unit -I. \
	-Wall -Wextra -Werror $(UNIT_DEFINES)
UNIT_OBJ := $(BUILD)/unit/obj
UNIT_NAMES := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
# `make unit T=window` runs the programs whose name contains "window".
UNIT_CHOSEN = $(if $(T),$(foreach n,$(UNIT_NAMES),$(if $(findstring $(T),$(n)),$(n))),$(UNIT_NAMES))

unit_header_field = $(shell sed -n 's,^[ /]*\* *$(1): *\(.*[^ ]\) *\*/ *$$,\1,p' tests/unit/$(2).c)

# $(1): folder of objects, $(2): flags
define unit_objects_rule
$(UNIT_OBJ)/$(1)/%.o: %.c tools/tools.mk
	@mkdir -p $$(@D)
	$(UNIT_CC) $(UNIT_CFLAGS) -MMD -MP $(2) -c $$< -o $$@
endef

# Programs without flags of their own share their objects.
# $(1): name, $(2): sources, $(3): flags, $(4): folder of its objects
define unit_rule
$(if $(3),$(call unit_objects_rule,$(4),$(3)))
$(BUILD)/unit/$(1): $(patsubst %.c,$(UNIT_OBJ)/$(4)/%.o,tests/unit/$(1).c $(wildcard $(2)))
	$(UNIT_CC) $(UNIT_CFLAGS) -o $$@ $$^ $(3)
endef
$(eval $(call unit_objects_rule,common,))
$(foreach n,$(UNIT_NAMES),$(eval $(call unit_rule,$(n),$(call unit_header_field,sources,$(n)),$(call \
	unit_header_field,flags,$(n)),$(if $(call unit_header_field,flags,$(n)),$(n),common))))
-include $(shell find $(UNIT_OBJ) -name '*.d' 2>/dev/null)

.PHONY: unit unit-programs
unit-programs: $(UNIT_NAMES:%=$(BUILD)/unit/%)

unit: $(addprefix $(BUILD)/unit/,$(UNIT_CHOSEN)) ## unit tests on the host, with sanitizers (T=name: some)
	@$(PYTHON) tools/unit --log-dir $(BUILD)/logs $^

.PHONY: fuzz-decode
FUZZ_ROUNDS ?= 600
fuzz-decode: $(BUILD)/unit/test_decode ## the instruction decoder against a disassembler, for minutes (FUZZ_ROUNDS=n)
	$< $(FUZZ_ROUNDS) $(FUZZ_SEED)

# --- guests ------------------------------------------------------------------------------------------
ifndef GUEST_NAMES
include guest-tests/guests.mk
endif

# --- packages ----------------------------------------------------------------------------------------
.PHONY: deps doctor
deps: ## install the packages that are missing (as root or through sudo)
	@tools/deps

doctor: ## what this machine can run, and for each thing it cannot: why, and the remedy
	@$(PYTHON) tools/doctor

# --- images and runs -----------------------------------------------------------------------------------
# GUESTS='path.elf:name=a,mem=32M other.elf:name=b' runs a person's own guests instead of the demo.
# RUNNER=kvm|bochs|tcg, CPUS=, MEM= (MiB), BOCHS_CPU=, CMDLINE= (with GUESTS): see tools/run.
export BUILD RUNNER GUESTS CPUS MEM CMDLINE SECONDS_LIMIT VCPUS

.PHONY: iso run gdb
iso: $(BUILD)/keyhole.iso ## build/keyhole.iso: the hypervisor and the demo's guests

$(BUILD)/keyhole.iso: $(BUILD)/keyhole.elf guests tools/demo.toml
	@$(PYTHON) tools/mkiso -o $@ --kernel $< --demo

# The packages come first, as a step of their own: without them nothing else can be made.
run: ## install, build and run the demo (GUESTS='a.elf:name=a,mem=32M': your own guests)
	@tools/deps run
	@$(MAKE) -s --no-print-directory $(if $(strip $(GUESTS)),all guests,iso)
	@$(PYTHON) tools/run --build $(BUILD)

# VCPUS=2,1: two of them side by side.
.PHONY: run-linux test-linux
run-linux: ## Debian's Linux as a guest, fetched with apt; VCPUS=2, or VCPUS=2,1 for two of them
	@tools/deps run linux
	@$(MAKE) -s --no-print-directory all
	@$(PYTHON) tools/run-linux --build $(BUILD)

test-linux: ## more boots of it than `make test` has: up to four vCPUs, two guests, an older processor
	@LINUX=all T=test_linux $(PYTHON) tools/test

gdb: iso ## run under QEMU with a debugger's stub, and gdb with symbols
	@$(PYTHON) tools/gdb --build $(BUILD)

# --- tests and checks --------------------------------------------------------------------------------
.PHONY: test check
test: ## all tests; T=pattern runs some, JOBS=n side by side (2)
	@$(PYTHON) tools/test

.PHONY: test-fuzz
test-fuzz: ## a guest makes a million hypercalls, valid ones, wrong ones and random ones (CALLS=n, SEED=n)
	@FUZZ_CALLS=$(or $(CALLS),1000000) FUZZ_SEED=$(SEED) T=test_fuzz $(PYTHON) tools/test

# The gadget, with the normal design and with a direct map to compare with: builds of their own.
.PHONY: lab-leak lab-builds
lab-builds:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/lab CONFIG_LEAK_LAB=1 all
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/lab-direct CONFIG_LEAK_LAB=1 DIRECT_MAP=1 all

lab-leak: guests lab-builds ## read all that is mapped through a gadget: window, then direct map
	@$(PYTHON) tools/lab-leak --build $(BUILD)

.PHONY: map
map: all guests ## build/map.svg: the address space of a running hypervisor, and how much of RAM that is
	@$(PYTHON) tools/map --build $(BUILD)

.PHONY: trace
trace: all guests ## build/trace.json, for Perfetto, and a table: what the demo did, exit by exit (GUESTS= too)
	@$(PYTHON) tools/trace --build $(BUILD)

# One mistake at a time, each of which a test must notice.
.PHONY: test-mutants
test-mutants: all guests ## builds with one mistake each (tests/mutants.toml): which test notices
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/test CONFIG_TEST=1 all
	@$(PYTHON) tools/mutants --build $(BUILD)

.PHONY: model
model: ## Spin searches the protocols of docs/models, and their known mistakes
	@$(PYTHON) tools/model --build $(BUILD)

check: ## format, static analysis, layers, image, stack depth, both compilers
	@$(PYTHON) tools/check

compile_commands.json: Makefile tools/compile-commands ## for editors
	@$(PYTHON) tools/compile-commands $(MAKE) > $@.part && mv $@.part $@

include tools/nested/nested.mk
include tools/bench.mk

# --- the rest ----------------------------------------------------------------------------------------
.PHONY: clean help
clean: ## remove what was built
	rm -rf $(BUILD) compile_commands.json

help: ## this list
	@sed -n 's/^\([a-z_][a-zA-Z_.-]*\):[^#]*## \(.*\)/\1|\2/p' $(filter-out %.d,$(MAKEFILE_LIST)) | \
		sort | awk -F'|' '{ printf "  make %-22s %s\n", $$1, $$2 }'
	@echo
	@echo "  runs:   RUNNER=kvm|bochs|tcg CPUS=n MEM=MiB GUESTS='file:options ...' CMDLINE='options' (with GUESTS)"
	@echo "  builds: BUILD=dir CC=gcc|clang CONFIG_TEST=1; tests: T=pattern JOBS=n"
	@echo "  README.md has examples."
