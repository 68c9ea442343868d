/*
 * A guest's serial port: a 16550 that sends at once, and receives what is typed for the guest, or
 * in loopback mode its own characters. Its interrupts can be polled for (IIR), none is raised:
 * there are no interrupt lines.
 *
 * Pure; state: *u, *in. Lock: the caller's. Source: National Semiconductor, PC16550D data sheet,
 * "Registers".
 */
#include "kernel/guest_devices.h"

enum {
	REG_DATA,    /* with DLAB: low half of the divisor */
	REG_IER,     /* with DLAB: high half */
	REG_IIR_FCR, /* IIR when read, FCR when written */
	REG_LCR,
	REG_MCR,
	REG_LSR,
	REG_MSR,
	REG_SCRATCH
};
#define IER_RECEIVED  0x01u
#define IER_SENT      0x02u
#define IER_VALID     0x0fu
#define IIR_NONE      0x01u
#define IIR_SENT      0x02u
#define IIR_RECEIVED  0x04u
#define IIR_FIFO      0xc0u
#define FCR_ENABLE    0x01u
#define FCR_CLEAR_IN  0x02u
#define LCR_DLAB      0x80u
#define MCR_OUTPUTS   0x0fu /* DTR, RTS, OUT1, OUT2 */
#define MCR_LOOPBACK  0x10u
#define MCR_VALID     0x1fu
#define LSR_RECEIVED  0x01u
#define LSR_OVERRUN   0x02u
#define LSR_EMPTY     0x60u /* holding register and transmitter */
#define MSR_CONNECTED 0xb0u /* carrier, data set ready, clear to send */

/* In loopback mode DTR, RTS, OUT1 and OUT2 come back as DSR, CTS, RI and DCD. */
static uint8_t modem_status(const struct guest_uart *u)
{
	unsigned out = u->mcr & MCR_OUTPUTS;

	if (!(u->mcr & MCR_LOOPBACK))
		return MSR_CONNECTED;
	return (uint8_t)((out & 1) << 5 | (out & 2) << 3 | (out & 4) << 4 | (out & 8) << 4);
}

/* The line is open in loopback mode. */
static bool has_received(const struct guest_uart *u, const struct guest_input *in)
{
	return u->has_looped || (!(u->mcr & MCR_LOOPBACK) && guest_input_count(in));
}

static uint8_t received(struct guest_uart *u, struct guest_input *in)
{
	char c = (char)u->looped;

	if (has_received(u, in) && !u->has_looped)
		(void)guest_input_take(in, &c, 1);
	u->has_looped = false;
	return (uint8_t)c;
}

static uint8_t line_status(struct guest_uart *u, const struct guest_input *in)
{
	uint8_t overrun = in->dropped != u->overruns_seen ? LSR_OVERRUN : 0;

	u->overruns_seen = in->dropped;
	return LSR_EMPTY | overrun | (has_received(u, in) ? LSR_RECEIVED : 0);
}

static uint8_t identify_interrupt(struct guest_uart *u, const struct guest_input *in)
{
	uint8_t fifo = u->fifo ? IIR_FIFO : 0;

	if (u->ier & IER_RECEIVED && has_received(u, in))
		return fifo | IIR_RECEIVED;
	if (!(u->ier & IER_SENT) || !u->sent)
		return fifo | IIR_NONE;
	u->sent = false; /* reading this register ends it */
	return fifo | IIR_SENT;
}

/* IN from register 0 to 7. */
uint8_t guest_uart_read(struct guest_uart *u, struct guest_input *in, unsigned reg)
{
	bool divisor = u->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		return divisor ? u->divisor[0] : received(u, in);
	case REG_IER:
		return divisor ? u->divisor[1] : u->ier;
	case REG_IIR_FCR:
		return identify_interrupt(u, in);
	case REG_LCR:
		return u->lcr;
	case REG_MCR:
		return u->mcr;
	case REG_LSR:
		return line_status(u, in);
	case REG_MSR:
		return modem_status(u);
	default:
		return u->scratch;
	}
}

static bool send(struct guest_uart *u, uint8_t value)
{
	u->sent = true;
	if (!(u->mcr & MCR_LOOPBACK))
		return true;
	u->looped = value;
	u->has_looped = true;
	return false;
}

bool guest_uart_write(struct guest_uart *u, unsigned reg, uint8_t value)
{
	bool divisor = u->lcr & LCR_DLAB;

	switch (reg) {
	case REG_DATA:
		if (!divisor)
			return send(u, value);
		u->divisor[0] = value;
		break;
	case REG_IER:
		if (divisor) {
			u->divisor[1] = value;
			break;
		}
		u->sent |= value & ~u->ier & IER_SENT;
		u->ier = value & IER_VALID;
		break;
	case REG_IIR_FCR:
		u->fifo = value & FCR_ENABLE;
		if (value & FCR_CLEAR_IN)
			u->has_looped = false;
		break;
	case REG_LCR:
		u->lcr = value;
		break;
	case REG_MCR:
		u->mcr = value & MCR_VALID;
		break;
	case REG_SCRATCH:
		u->scratch = value;
		break;
	}
	return false;
}
