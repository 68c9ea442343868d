# The guest kernels of guest-tests/: one folder each, one ELF file each, $(BUILD)/guests/NAME.elf.
# Part of the top Makefile, and good alone: make -f guest-tests/guests.mk guests
#
# A folder with a main.c is a guest, made of all its .c and .S files; one whose name ends in 32 is built for 32
# bits. A folder with a file `source` holds no code: it is the 32-bit twin of the guest named there. A folder
# with a test.toml alone runs guests of other folders in another way. One with a link.ld is linked by that.

BUILD ?= build
GUEST_CC ?= gcc
GUEST_OBJ := $(BUILD)/obj/guests

# GUEST_DEBUG=-g is for a debugger: GRUB would load it all, a byte at a time, which takes long in an emulator.
GUEST_DEBUG ?=
# No red zone: an exception handler runs on the interrupted stack. No SSE: tests keep values there.
GUEST_CFLAGS := -std=gnu11 -ffreestanding -fno-pic -fno-pie -O2 $(GUEST_DEBUG) -fno-stack-protector \
	-fno-asynchronous-unwind-tables -fcf-protection=none -fno-strict-aliasing -mno-red-zone \
	-mgeneral-regs-only -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wundef -Wvla -Wno-clobbered -Iinclude -Iguest-tests/lib -MMD -MP
GUEST_LDFLAGS := -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none

GUEST_NAMES := $(patsubst guest-tests/%/main.c,%,$(wildcard guest-tests/*/main.c)) \
	$(patsubst guest-tests/%/source,%,$(wildcard guest-tests/*/source))
GUEST_LIB := apic.c grant.c hypercall.c memory.c print.c start.c tap.c trap.c

# Where the sources of a guest are, and what they become.
guest_folder = guest-tests/$(if $(wildcard guest-tests/$(1)/source),$(shell cat guest-tests/$(1)/source),$(1))
guest_script = $(firstword $(wildcard guest-tests/$(1)/link.ld $(call guest_folder,$(1))/link.ld) guest-tests/lib/link.ld)
guest_objects = $(patsubst $(call guest_folder,$(1))/%,$(GUEST_OBJ)/$(1)/%.o,$(wildcard \
	$(call guest_folder,$(1))/*.c $(call guest_folder,$(1))/*.S))

.PHONY: guests
guests: $(GUEST_NAMES:%=$(BUILD)/guests/%.elf) ## build the guest kernels

# $(1): 32 or 64
define guest_lib_rule
$(GUEST_OBJ)/lib$(1)/%.c.o: guest-tests/lib/%.c
	@mkdir -p $$(@D)
	$(GUEST_CC) -m$(1) $(GUEST_CFLAGS) -c $$< -o $$@
$(GUEST_OBJ)/lib$(1)/%.S.o: guest-tests/lib/%.S
	@mkdir -p $$(@D)
	$(GUEST_CC) -m$(1) -Iinclude -MMD -MP -c $$< -o $$@
GUEST_LIB$(1) := $$(GUEST_LIB:%=$(GUEST_OBJ)/lib$(1)/%.o) $(GUEST_OBJ)/lib$(1)/entry$(1).S.o
endef
$(foreach bits,32 64,$(eval $(call guest_lib_rule,$(bits))))
# Further processors.
GUEST_LIB64 += $(GUEST_OBJ)/lib64/start_ap.S.o

# $(1): guest, $(2): 32 or 64, $(3): linker emulation
define guest_rule
$(GUEST_OBJ)/$(1)/%.c.o: $(call guest_folder,$(1))/%.c
	@mkdir -p $$(@D)
	$(GUEST_CC) -m$(2) $(GUEST_CFLAGS) -c $$< -o $$@
$(GUEST_OBJ)/$(1)/%.S.o: $(call guest_folder,$(1))/%.S
	@mkdir -p $$(@D)
	$(GUEST_CC) -m$(2) -Iinclude -Iguest-tests/lib -MMD -MP -c $$< -o $$@
$(BUILD)/guests/$(1).elf: $(call guest_objects,$(1)) $(GUEST_LIB$(2)) $(call guest_script,$(1))
	@mkdir -p $$(@D)
	ld -m $(3) $(GUEST_LDFLAGS) -T $(call guest_script,$(1)) $$(filter %.o,$$^) -o $$@
endef
$(foreach g,$(filter %32,$(GUEST_NAMES)),$(eval $(call guest_rule,$(g),32,elf_i386)))
$(foreach g,$(filter-out %32,$(GUEST_NAMES)),$(eval $(call guest_rule,$(g),64,elf_x86_64)))

-include $(wildcard $(GUEST_OBJ)/*/*.d)
