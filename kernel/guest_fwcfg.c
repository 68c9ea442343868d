/*
 * QEMU's firmware configuration as a guest sees it: what of it says how large the machine is. No
 * files, no DMA; keys that are not named here read as zeros, as there.
 *
 * Pure; state: *f. Lock: the caller's. Source: QEMU, docs/specs/fw_cfg.rst and
 * include/standard-headers/linux/qemu_fw_cfg.h.
 */
#include "kernel/guest_devices.h"

#define FW_CFG_SIGNATURE 0x00u
#define FW_CFG_ID	 0x01u
#define FW_CFG_RAM_SIZE	 0x03u
#define FW_CFG_NB_CPUS	 0x05u
#define FW_CFG_MAX_CPUS	 0x0fu
#define FW_CFG_FILE_DIR	 0x19u

#define SIGNATURE   0x554d4551u /* "QEMU" */
#define ID_PORTS    0x01u	/* selector and data port, no DMA */
#define OFFSET_NONE UINT32_MAX	/* behind the end of everything */

void guest_fwcfg_select(struct guest_fwcfg *f, uint16_t key)
{
	f->key = key;
	f->offset = 0;
}

/* The next byte of what was selected; zeros behind its end. */
uint8_t guest_fwcfg_read(struct guest_fwcfg *f, uint64_t ram_bytes, uint32_t vcpu_count)
{
	uint64_t value = 0; /* little-endian; FW_CFG_FILE_DIR is a count of no files */

	switch (f->key) {
	case FW_CFG_SIGNATURE:
		value = SIGNATURE;
		break;
	case FW_CFG_ID:
		value = ID_PORTS;
		break;
	case FW_CFG_RAM_SIZE:
		value = ram_bytes;
		break;
	case FW_CFG_NB_CPUS:
	case FW_CFG_MAX_CPUS:
		value = vcpu_count;
		break;
	case FW_CFG_FILE_DIR:
	default:
		break;
	}
	uint32_t at = f->offset;
	if (at < OFFSET_NONE)
		f->offset = at + 1;
	return at < sizeof(value) ? (uint8_t)(value >> (8 * at)) : 0;
}
