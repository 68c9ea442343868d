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
	-Wall -Wextra -Werror
UNIT_HEADERS := $(shell find include tests/unit -name '*.h' 2>/dev/null)
UNIT_NAMES := $(patsubst tests/unit/%.c,%,$(wildcard tests/unit/test_*.c))
# `make unit T=window` runs the programs whose name contains "window".
UNIT_CHOSEN = $(if $(T),$(foreach n,$(UNIT_NAMES),$(if $(findstring $(T),$(n)),$(n))),$(UNIT_NAMES))

unit_header_field = $(shell sed -n 's,^[ /]*\* *$(1): *\(.*[^ ]\) *\*/ *$$,\1,p' tests/unit/$(2).c)

define unit_rule
$(BUILD)/unit/$(1): tests/unit/$(1).c $(call unit_header_field,sources,$(1)) $(UNIT_HEADERS)
	@mkdir -p $$(@D)
	$(UNIT_CC) $(UNIT_CFLAGS) $(call unit_header_field,flags,$(1)) \
		-o $$@ tests/unit/$(1).c $(call unit_header_field,sources,$(1))
endef
$(foreach n,$(UNIT_NAMES),$(eval $(call unit_rule,$(n))))

.PHONY: unit unit-programs
unit-programs: $(UNIT_NAMES:%=$(BUILD)/unit/%)

unit: $(addprefix $(BUILD)/unit/,$(UNIT_CHOSEN)) ## unit tests on the host, with sanitizers (T=name: some)
	@$(PYTHON) tools/unit --log-dir $(BUILD)/logs $^
