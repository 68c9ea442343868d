/*
 * Port I/O that the hypervisor itself answers: which port belongs to which device. Any other port
 * is absent: reads give ones, writes are dropped. docs/abi.md lists them all.
 *
 * State: struct guest_devices, in a frame of the domain that is mapped nowhere but in the window
 * while a port is answered. Lock: devices_lock of the domain.
 *
 * Sources: QEMU, isa-debug-exit; Bochs, port 0xE9; IBM PC AT and Intel's chipsets for ports 0x64,
 * 0x92 and 0xcf9.
 */
#include "cpu.h"
#include "drivers/rtc.h"
#include "drivers/tsc.h"
#include "kernel/guest_devices.h"
#include "kernel/guest_ports.h"
#include "mm/frame.h"
#include "mm/window.h"
#include "percpu.h"
#include "vcpu.h"

#define PORT_PIT	  0x40 /* to 0x43 */
#define PORT_KBD_DATA	  0x60
#define PORT_SPEAKER	  0x61
#define PORT_KBD	  0x64
#define PORT_CMOS_INDEX	  0x70
#define PORT_CMOS_DATA	  0x71
#define PORT_SYSTEM_A	  0x92
#define PORT_DEBUG_TEXT	  0xe9	/* reads as its own number where it exists */
#define PORT_DEBUG_EXIT	  0xf4	/* to 0xf7 */
#define PORT_CRTC	  0x3d4 /* a register's number, then its value */
#define PORT_FWCFG_SELECT 0x510
#define PORT_FWCFG_DATA	  0x511
#define PORT_PCI_ADDRESS  0xcf8

/* Keyboard controller: commands from here on pulse its output lines, the lowest of which resets. */
#define KBD_PULSE	0xf0
#define KBD_PULSE_NOT_0 0x01
#define KBD_IDLE	0x00 /* ready for a command, has nothing to say */

#define SYSTEM_A_RESET 0x01
#define SYSTEM_A_A20   0x02 /* always on */

#define CMOS_INDEX 0x7f /* the bit above masks NMIs on a PC */

#define ABSENT 0xff

/* Gives a new domain its devices, as after a reset. -XEN_ENOMEM: nothing has changed. */
int guest_devices_create(struct domain *d)
{
	int rc = frame_alloc(0, d->id, FRAME_VCPU, &d->devices);

	if (rc)
		return rc;
	struct guest_devices *devices = window_open(WINDOW_DEVICES, d->devices);
	guest_pit_reset(&devices->pit);
	window_close(WINDOW_DEVICES);
	return 0;
}

/* Takes them away. Its vCPUs run nowhere, and never will. */
void guest_devices_free(struct domain *d)
{
	if (mfn_raw(d->devices))
		frame_free(d->devices, 0);
	d->devices = make_mfn(0);
}

struct guest_devices *guest_devices_open(struct domain *d)
{
	lock_acquire(&d->devices_lock);
	return window_open(WINDOW_DEVICES, d->devices);
}

void guest_devices_close(struct domain *d)
{
	window_close(WINDOW_DEVICES);
	lock_release(&d->devices_lock);
}

static uint64_t pit_now(void)
{
	return guest_pit_ticks(rdtsc(), tsc_khz());
}

/* There is no screen, but who prints on one asks where the cursor is, and believes the answer. */
static uint8_t *crtc_register(struct guest_crtc *c, uint32_t port)
{
	return port == PORT_CRTC ? &c->index : &c->registers[c->index % CRTC_REGISTERS];
}

/* Ports of devices with a state. */
static uint8_t read_device(struct domain *d, uint32_t port)
{
	struct guest_devices *devices = guest_devices_open(d);
	uint8_t value;

	if (port >= PORT_SERIAL)
		value = port == PORT_FWCFG_DATA
			    ? guest_fwcfg_read(&devices->fwcfg, d->ram_bytes, d->vcpu_count)
			    : guest_uart_read(&devices->uart, &devices->input, port - PORT_SERIAL);
	else if (port >= PORT_CRTC)
		value = *crtc_register(&devices->crtc, port);
	else if (port == PORT_CMOS_DATA)
		value = guest_cmos_read(devices->cmos_index,
					rtc_at_tsc_0() + rdtsc() / (tsc_khz() * 1000));
	else if (port == PORT_SPEAKER)
		value = guest_pit_speaker_read(&devices->pit, pit_now());
	else
		value = guest_pit_read(&devices->pit, port - PORT_PIT, pit_now());
	guest_devices_close(d);
	return value;
}

static uint8_t read_byte(struct domain *d, uint32_t port)
{
	switch (port) {
	case PORT_PIT ... PORT_PIT + 3:
	case PORT_SPEAKER:
	case PORT_CMOS_DATA:
	case PORT_CRTC ... PORT_CRTC + 1:
	case PORT_SERIAL ... PORT_SERIAL + 7:
	case PORT_FWCFG_DATA:
		return read_device(d, port);
	case PORT_KBD:
	case PORT_KBD_DATA:
		return KBD_IDLE;
	case PORT_SYSTEM_A:
		return SYSTEM_A_A20;
	case PORT_SLEEP_STATUS:
	case PORT_SLEEP_CONTROL:
		return 0; /* has not slept */
	case PORT_DEBUG_TEXT:
		return PORT_DEBUG_TEXT;
	}
	return ABSENT;
}

/* False: there is no room for the character. */
static bool write_text(struct domain *d, char c)
{
	if (guest_console_write(d, &c, 1))
		return true;
	vcpu_yield();
	return false;
}

static bool write_serial(struct domain *d, unsigned reg, uint8_t value)
{
	bool send = guest_uart_write(&guest_devices_open(d)->uart, reg, value);

	guest_devices_close(d);
	return !send || write_text(d, (char)value);
}

static void write_device(struct domain *d, uint32_t port, uint8_t value)
{
	struct guest_devices *devices = guest_devices_open(d);

	if (port >= PORT_CRTC)
		*crtc_register(&devices->crtc, port) = value;
	else if (port == PORT_CMOS_INDEX)
		devices->cmos_index = value & CMOS_INDEX;
	else if (port == PORT_SPEAKER)
		guest_pit_speaker_write(&devices->pit, value, pit_now());
	else
		guest_pit_write(&devices->pit, port - PORT_PIT, value, pit_now());
	guest_devices_close(d);
}

/* What makes a PC reset. */
static bool is_reset(uint32_t port, uint8_t value)
{
	switch (port) {
	case PORT_KBD:
		return value >= KBD_PULSE && !(value & KBD_PULSE_NOT_0);
	case PORT_SYSTEM_A:
		return value & SYSTEM_A_RESET;
	case PORT_RESET_CONTROL:
		return value & RESET_CONTROL_CPU;
	}
	return false;
}

/* False: not now. Of the bytes of an access only one can be text. */
static bool write_byte(struct domain *d, uint32_t port, uint8_t value)
{
	if (port >= PORT_SERIAL && port < PORT_SERIAL + 8)
		return write_serial(d, port - PORT_SERIAL, value);
	if (port == PORT_DEBUG_TEXT)
		return write_text(d, (char)value);
	if ((port >= PORT_PIT && port < PORT_PIT + 4) || port == PORT_SPEAKER ||
	    port == PORT_CMOS_INDEX || (port & ~1u) == PORT_CRTC)
		write_device(d, port, value);
	else if (is_reset(port, value))
		domain_end(d, END_REBOOT, 0);
	else if (port == PORT_SLEEP_CONTROL &&
		 (value & (SLEEP_ENABLE | SLEEP_TYPE_MASK)) == (SLEEP_ENABLE | SLEEP_TYPE_OFF))
		domain_end(d, END_POWEROFF, 0);
	return true;
}

uint32_t guest_io_read(uint16_t port, unsigned size_bytes)
{
	struct domain *d = this_cpu()->current->domain;
	uint32_t value = 0;

	for (unsigned i = 0; i < size_bytes; i++)
		value |= (uint32_t)read_byte(d, (uint32_t)port + i) << (8 * i);
	return value;
}

/*
 * OUT of 1, 2 or 4 bytes by the current vCPU: as many single ones, but for the ports that are wider
 * than a byte. A write to the debug-exit port ends its domain. False: there is no room for text;
 * the vCPU gives way, and executes the instruction again.
 */
bool guest_io_write(uint16_t port, unsigned size_bytes, uint32_t value)
{
	struct domain *d = this_cpu()->current->domain;

	if (port >= PORT_DEBUG_EXIT && port < PORT_DEBUG_EXIT + 4) {
		domain_end(d, END_DEBUG_EXIT, value & 0xff);
		return true;
	}
	if (port == PORT_PCI_ADDRESS && size_bytes == 4)
		return true; /* no PCI bus: not the reset port in its middle */
	if (port == PORT_FWCFG_SELECT && size_bytes == 2) {
		guest_fwcfg_select(&guest_devices_open(d)->fwcfg, (uint16_t)value);
		guest_devices_close(d);
		return true;
	}
	for (unsigned i = 0; i < size_bytes; i++)
		if (!write_byte(d, (uint32_t)port + i, (uint8_t)(value >> (8 * i))))
			return false;
	return true;
}
