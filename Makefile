# Keyhole. `make help` lists what there is.
#
#   BUILD=dir        where output goes (build)
#   CC=gcc|clang     compiler
#   CONFIG_TEST=1    test build: built-in checks that a guest can ask for
#   CONFIG_LEAK_LAB=1  lab build: the gadget of `make lab-leak`
#   DIRECT_MAP=1     comparator build: all memory mapped, the window leads there
#   CONFIG_BENCH=1   bench build: measures itself before the guests run (make bench)
#   WERROR=0         warnings are not errors
#   V=1              show the commands

BUILD ?= build
V ?= 0
CONFIG_TEST ?= 0
CONFIG_LEAK_LAB ?= 0
DIRECT_MAP ?= 0
CONFIG_BENCH ?= 0
WERROR ?= 1
PYTHON ?= /usr/bin/python3
LD := ld
NM := nm

CFLAGS := -std=c11 -ffreestanding -fno-pic -fno-pie -mcmodel=kernel -O2 -g -pipe \
	-mno-red-zone -mgeneral-regs-only -fno-omit-frame-pointer -fno-optimize-sibling-calls \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fno-strict-aliasing -fcf-protection=none \
	-Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef \
	-fstack-usage -Iinclude -MMD -MP
ifeq ($(WERROR),1)
CFLAGS += -Werror
endif
ifeq ($(CONFIG_TEST),1)
CFLAGS += -DCONFIG_TEST
endif
ifeq ($(CONFIG_LEAK_LAB),1)
CFLAGS += -DCONFIG_LEAK_LAB
endif
ifeq ($(DIRECT_MAP),1)
CFLAGS += -DCONFIG_DIRECT_MAP
endif
# A build with one mistake made on purpose (include/mutant.h).
ifdef MUTANT
CFLAGS += -DMUTANT_$(MUTANT)=1
UNIT_DEFINES := -DMUTANT_$(MUTANT)=1
endif
ifeq ($(CONFIG_BENCH),1)
CFLAGS += -DCONFIG_BENCH
endif
LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments \
	--build-id=none -T linker.ld

# One short line for each command; V=1 shows the commands themselves.
run = $(if $(filter 1,$(V)),,@echo '  $(1)'; )

# Sources: every file of a layer's folder belongs to the image.
LAYERS := boot kernel mm vmx drivers selftest
SOURCES := $(foreach d,$(LAYERS),$(wildcard $(d)/*.c $(d)/*.S))
OBJECTS := $(patsubst %,$(BUILD)/obj/%.o,$(SOURCES))

.PHONY: all
all: $(BUILD)/keyhole.elf ## build the hypervisor's image

$(BUILD)/obj/%.c.o: %.c Makefile
	@mkdir -p $(@D)
	$(call run,CC $<)$(CC) $(CFLAGS) -c $< -o $@

$(BUILD)/obj/%.S.o: %.S Makefile
	@mkdir -p $(@D)
	$(call run,AS $<)$(CC) -Iinclude -MMD -MP -c $< -o $@

# Two links: the first gives the function names, the second carries them. The table comes behind all
# other text and read-only data, so that no address moves between the two.
$(BUILD)/keyhole.pass1.elf: $(OBJECTS) linker.ld
	$(call run,LD $@)$(LD) $(LDFLAGS) $(OBJECTS) -o $@

$(BUILD)/symbols.S: $(BUILD)/keyhole.pass1.elf tools/symbols
	$(call run,SYM $@)$(NM) -n $< | $(PYTHON) tools/symbols > $@

$(BUILD)/keyhole.elf: $(BUILD)/symbols.S
	$(call run,LD $@)$(CC) -c $< -o $(BUILD)/symbols.o && \
	$(LD) $(LDFLAGS) $(OBJECTS) $(BUILD)/symbols.o -o $@

-include $(OBJECTS:.o=.d)
-include tools/tools.mk
