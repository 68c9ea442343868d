/*
 * From the entry to main(), and what the start info says.
 * State: the start info's address, written by the entry code.
 */
#include "guest.h"

/* In .data, not .bss: written before anything else. */
uint32_t start_info_address __attribute__((section(".data"))) = 0;

void guest_start(void);

void guest_start(void)
{
	trap_init();
	hypercall_init();
	main();
	tap_done();
}

static const void *at(uint64_t physical)
{
	return (const void *)(uintptr_t)physical;
}

const struct hvm_start_info *start_info(void)
{
	const struct hvm_start_info *info = at(start_info_address);

	if (info == NULL || info->magic != XEN_HVM_START_MAGIC_VALUE)
		tap_bail_out("no start info at 0x%x", start_info_address);
	return info;
}

const char *command_line(void)
{
	const struct hvm_start_info *info = at(start_info_address);

	/* A guest that was started in another way has none here. */
	if (info == NULL || info->magic != XEN_HVM_START_MAGIC_VALUE || !info->cmdline_paddr)
		return "";
	return at(info->cmdline_paddr);
}

const char *option(const char *name)
{
	size_t length = strlen(name);

	for (const char *p = command_line(); *p != '\0';) {
		if (memcmp(p, name, length) == 0) {
			if (p[length] == '=')
				return p + length + 1;
			if (p[length] == ' ' || p[length] == '\0')
				return "";
		}
		while (*p != ' ' && *p != '\0')
			p++;
		while (*p == ' ')
			p++;
	}
	return NULL;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

uint64_t option_number(const char *name, uint64_t otherwise)
{
	const char *p = option(name);
	int base = 10;
	uint64_t value = 0;

	if (p == NULL)
		return otherwise;
	if (p[0] == '0' && (p[1] | 0x20) == 'x') {
		base = 16;
		p += 2;
	}
	while (digit(*p) < base)
		value = value * (unsigned)base + (unsigned)digit(*p++);
	if (*p == 'K')
		value <<= 10;
	if (*p == 'M')
		value <<= 20;
	if (*p == 'G')
		value <<= 30;
	return value;
}

uint32_t self_domain(void)
{
	struct cpuid leaf = cpuid(XEN_CPUID_LEAF(4), 0);

	if (!xen_present || !(leaf.eax & XEN_HVM_CPUID_DOMID_PRESENT))
		return (uint32_t)option_number("self", 0);
	return leaf.ecx;
}

uint64_t ram_next(uint64_t from, uint64_t *length)
{
	const struct hvm_start_info *info = start_info();
	const struct hvm_memmap_table_entry *map = at(info->memmap_paddr);
	uint64_t best = 0;

	*length = 0;
	for (uint32_t i = 0; i < info->memmap_entries; i++) {
		uint64_t begin = map[i].addr > from ? map[i].addr : from;
		uint64_t end = map[i].addr + map[i].size;

		if (map[i].type != XEN_HVM_MEMMAP_TYPE_RAM || begin >= end)
			continue;
		if (*length == 0 || begin < best) {
			best = begin;
			*length = end - begin;
		}
	}
	return best;
}

uint64_t hvm_parameter(uint32_t index)
{
	struct xen_hvm_param p = {.domid = DOMID_SELF, .index = index};

	tap_is(hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (unsigned long)&p, 0), 0,
	       "parameter %u", index);
	return p.value;
}
