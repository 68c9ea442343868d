/*
 * The small hypercalls: console_io, xen_version.
 *
 * State: none. No lock of its own. Text of a guest passes through a buffer on the private stack,
 * which is cleared afterwards, and goes nowhere but to the guest's own console buffer.
 *
 * Sources: Xen, public/xen.h, version.h, features.h.
 */
#include "kernel/guest_devices.h"
#include "kernel/hypercall.h"
#include "mem.h"
#include "public/console.h"
#include "public/errno.h"
#include "public/version.h"
#include "vcpu.h"

/* --- console_io ------------------------------------------------------------------------------- */

#define CONSOLE_CHUNK	 128u
#define CONSOLE_CALL_MAX 1024u /* bytes before a continuation */

/* The number of characters, CONSOLE_CHUNK at most; -XEN_EFAULT: nothing was read. */
static int64_t console_read(struct hypercall *c)
{
	size_t count = (uint32_t)c->arg[1] < CONSOLE_CHUNK ? (uint32_t)c->arg[1] : CONSOLE_CHUNK;
	char text[CONSOLE_CHUNK];
	struct guest_place place;
	size_t waiting = guest_input_count(&guest_devices_open(c->domain)->input);

	guest_devices_close(c->domain);
	if (count > waiting)
		count = waiting;
	if (!count)
		return 0;
	int rc = guest_place_find(&c->access, make_gva(c->arg[2]), count, &place);
	if (rc)
		return rc;
	count = guest_input_take(&guest_devices_open(c->domain)->input, text, count);
	guest_devices_close(c->domain);
	guest_place_write(&place, text, count);
	mem_wipe(text, count);
	return (int64_t)count;
}

/*
 * console_io(cmd, count, buffer): 0; -XEN_EFAULT after what could be read. Reading: how many
 * characters of what was typed for the caller; -XEN_EFAULT. -XEN_ENOSYS.
 */
int64_t hypercall_console_io(struct hypercall *c)
{
	char text[CONSOLE_CHUNK];
	uint32_t count = (uint32_t)c->arg[1];
	uint32_t done = 0;
	int rc = 0;

	if ((uint32_t)c->arg[0] == CONSOLEIO_read)
		return console_read(c);
	if ((uint32_t)c->arg[0] != CONSOLEIO_write)
		return -XEN_ENOSYS;
	while (done < count && done < CONSOLE_CALL_MAX) {
		uint32_t part = count - done < CONSOLE_CHUNK ? count - done : CONSOLE_CHUNK;
		gva_t from;
		rc = hypercall_element(c, make_gva(c->arg[2]), done, 1, &from);
		if (!rc)
			rc = guest_copy_in(&c->access, text, from, part);
		if (rc)
			break;
		uint32_t taken = (uint32_t)guest_console_write(c->domain, text, part);
		done += taken;
		if (taken < part) {
			vcpu_yield(); /* the line is slow */
			break;
		}
	}
	mem_wipe(text, sizeof(text));
	if (rc || done == count)
		return rc;
	gva_t rest;
	rc = hypercall_element(c, make_gva(c->arg[2]), done, 1, &rest);
	if (rc)
		return rc;
	c->arg[1] = count - done;
	c->arg[2] = gva_raw(rest);
	return hypercall_continue(c);
}

/* --- xen_version ------------------------------------------------------------------------------ */

#define VERSION_MAJOR 4u
#define VERSION_MINOR 17u

static const struct xen_extraversion extraversion = {".0-keyhole"};
static const struct xen_compile_info compile_info = {
    .compiler = __VERSION__,
    .compile_by = "keyhole",
    .compile_domain = "",
    .compile_date = "",
};
_Static_assert(sizeof(__VERSION__) <= sizeof(compile_info.compiler), "name of the compiler");
static const struct xen_capabilities_info capabilities = {
    "hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 "};
static const struct xen_changeset_info changeset = {"unavailable"};
static const struct xen_commandline command_line = {"<denied>"};
static const struct xen_domain_handle no_handle;

/* Only what works is announced. */
#define FEATURES                                                                   \
	(1u << XENFEAT_auto_translated_physmap | 1u << XENFEAT_not_direct_mapped | \
	 1u << XENFEAT_hvm_callback_vector | 1u << XENFEAT_hvm_safe_pvclock)

static int64_t get_features(struct hypercall *c, gva_t arg)
{
	struct xen_feature_info info;
	int rc = guest_copy_in(&c->access, &info, arg, sizeof(info));

	if (rc)
		return rc;
	if (info.submap_idx >= XENFEAT_NR_SUBMAPS)
		return -XEN_EINVAL;
	info.submap = FEATURES;
	return guest_copy_out(&c->access, arg, &info, sizeof(info));
}

/* All but the number. */
noinline_fn static int64_t version_text(struct hypercall *c, uint32_t cmd, gva_t arg)
{
	switch (cmd) {
	case XENVER_extraversion:
		return guest_copy_out(&c->access, arg, &extraversion, sizeof(extraversion));
	case XENVER_compile_info:
		return guest_copy_out(&c->access, arg, &compile_info, sizeof(compile_info));
	case XENVER_capabilities:
		return guest_copy_out(&c->access, arg, &capabilities, sizeof(capabilities));
	case XENVER_changeset:
		return guest_copy_out(&c->access, arg, &changeset, sizeof(changeset));
	case XENVER_platform_parameters: {
		/* No part of the address space of such a guest is the hypervisor's. */
		static const struct xen_platform_parameters parameters = {.virt_start = 0};
		return hypercall_copy_out(c, &layout_platform_parameters, arg, &parameters);
	}
	case XENVER_get_features:
		return get_features(c, arg);
	case XENVER_pagesize:
		return gva_raw(arg) ? -XEN_EINVAL : (int64_t)PAGE_SIZE;
	case XENVER_guest_handle:
		return guest_copy_out(&c->access, arg, &no_handle, sizeof(no_handle));
	case XENVER_commandline:
		return guest_copy_out(&c->access, arg, &command_line, sizeof(command_line));
	case XENVER_build_id:
		return -XEN_ENODATA;
	default:
		return -XEN_ENOSYS;
	}
}

/*
 * xen_version(cmd, arg): a number, or 0 with *arg filled; -XEN_EFAULT; -XEN_EINVAL: a feature
 * submap that is not there, or an argument to XENVER_pagesize; -XEN_ENODATA: there is no build id;
 * -XEN_ENOSYS.
 */
int64_t hypercall_xen_version(struct hypercall *c)
{
	uint32_t cmd = (uint32_t)c->arg[0];

	if (cmd == XENVER_version)
		return VERSION_MAJOR << 16 | VERSION_MINOR;
	return version_text(c, cmd, make_gva(c->arg[1]));
}
