/*
 * Port I/O that the hypervisor itself answers: a serial port that can only send, a debug port for
 * characters, and the debug-exit port. Any other port is absent: reads give ones, writes are
 * dropped.
 *
 * State: one bit a domain (struct domain), since a register that a guest can write and read back
 * would keep its data in memory mapped everywhere; so the scratch register and the like do not
 * exist here. No lock: only the domain's own vCPUs come here, and the worst race is between two of
 * them.
 *
 * Sources: National Semiconductor, PC16550D data sheet; QEMU, isa-debug-exit; Bochs, port 0xE9.
 */
#include "domain.h"
#include "percpu.h"
#include "vcpu.h"

#define PORT_DEBUG_EXIT 0xf4
#define PORT_DEBUG_TEXT 0xe9 /* reads as its own number where it exists */

#define SERIAL_BASE 0x3f8
#define SERIAL_END  0x400
enum {
	SERIAL_DATA, /* with DLAB: low half of the divisor */
	SERIAL_IER,  /* with DLAB: high half */
	SERIAL_IIR,
	SERIAL_LCR,
	SERIAL_MCR,
	SERIAL_LSR,
	SERIAL_MSR
};
#define LCR_8N1	      0x03
#define LCR_DLAB      0x80
#define IIR_NONE      0x01 /* no interrupt pending, no FIFO */
#define LSR_EMPTY     0x60 /* transmitter and its holding register empty, nothing received */
#define MSR_CONNECTED 0xb0 /* carrier, data set ready, clear to send */
#define DIVISOR	      1	   /* 115200 */

#define ABSENT 0xff

static uint8_t serial_read(const struct domain *d, unsigned reg)
{
	switch (reg) {
	case SERIAL_DATA:
		return d->serial_dlab ? DIVISOR : 0;
	case SERIAL_IIR:
		return IIR_NONE;
	case SERIAL_LCR:
		return LCR_8N1 | (d->serial_dlab ? LCR_DLAB : 0);
	case SERIAL_LSR:
		return LSR_EMPTY;
	case SERIAL_MSR:
		return MSR_CONNECTED;
	default:
		return 0;
	}
}

static void serial_write(struct domain *d, unsigned reg, uint8_t value)
{
	if (reg == SERIAL_LCR) {
		d->serial_dlab = value & LCR_DLAB;
	} else if (reg == SERIAL_DATA && !d->serial_dlab) {
		char c = (char)value;
		guest_console_write(d, &c, 1);
	}
}

static uint8_t read_byte(const struct domain *d, uint32_t port)
{
	if (port >= SERIAL_BASE && port < SERIAL_END)
		return serial_read(d, port - SERIAL_BASE);
	if (port == PORT_DEBUG_TEXT)
		return PORT_DEBUG_TEXT;
	return ABSENT;
}

static void write_byte(struct domain *d, uint32_t port, uint8_t value)
{
	if (port >= SERIAL_BASE && port < SERIAL_END) {
		serial_write(d, port - SERIAL_BASE, value);
	} else if (port == PORT_DEBUG_TEXT) {
		char c = (char)value;
		guest_console_write(d, &c, 1);
	}
}

/* IN of 1, 2 or 4 bytes by the current vCPU: a wide access is one of each port in turn. */
uint32_t guest_io_read(uint16_t port, unsigned size_bytes)
{
	const struct domain *d = this_cpu()->current->domain;
	uint32_t value = 0;

	for (unsigned i = 0; i < size_bytes; i++)
		value |= (uint32_t)read_byte(d, (uint32_t)port + i) << (8 * i);
	return value;
}

/* OUT of 1, 2 or 4 bytes by the current vCPU. A write to the debug-exit port ends its domain. */
void guest_io_write(uint16_t port, unsigned size_bytes, uint32_t value)
{
	struct domain *d = this_cpu()->current->domain;

	if (port == PORT_DEBUG_EXIT) {
		domain_end(d, END_DEBUG_EXIT, value & 0xff);
		return;
	}
	for (unsigned i = 0; i < size_bytes; i++)
		write_byte(d, (uint32_t)port + i, (uint8_t)(value >> (8 * i)));
}
