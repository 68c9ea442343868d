/*
 * The 16550 serial ports COM1 and COM2, 115200 8N1. Sending is polled; what is received comes by
 * interrupt, from uart_receive_on() on.
 *
 * State: what each port was found to be; written at boot, then only `stuck`, under the lock of the
 * console (kernel/print.c), which serialises all writers. Needs no memory management, so that it
 * works from the first C code. Every wait is bounded: a port that does not drain costs characters,
 * never the machine.
 *
 * Source: National Semiconductor PC16550D data sheet, "Registers".
 */
#include "drivers/uart.h"
#include "cpu.h"
#include "drivers/tsc.h"

/* Registers, offsets from the port. */
#define UART_DATA	0 /* with LCR_DLAB: divisor, low byte */
#define UART_IER	1 /* with LCR_DLAB: divisor, high byte */
#define UART_IIR	2 /* read */
#define UART_FCR	2 /* write */
#define UART_LCR	3
#define UART_MCR	4
#define UART_LSR	5
#define UART_SCRATCH	7
#define IIR_FIFO_MASK	0xc0u
#define FCR_ENABLE	0x07u /* FIFOs on and empty */
#define FCR_TRIGGER_8	0x81u /* on as they are; an interrupt at 8 characters, or a pause */
#define IER_RECEIVED	0x01u
#define IER_ROOM	0x02u
#define LCR_8N1		0x03u
#define LCR_DLAB	0x80u
#define MCR_DTR_RTS	0x03u
#define MCR_OUT2	0x08u /* on a PC: lets interrupts through */
#define LSR_READY	0x01u /* a character has been received */
#define LSR_THRE	0x20u /* room for a character, or for a whole FIFO */
#define LSR_TEMT	0x40u /* the last bit has left */
#define DIVISOR_115200	1
#define FIFO_CHARACTERS 16u

/* A port that is looked at from time to time is stuck when it does not empty its FIFO meanwhile. */
#define STUCK_MS 100u

/* Polls of LSR: at a microsecond or more each, longer than a full FIFO takes. */
#define WAIT_POLLS 100000u

struct port {
	uint16_t base;
	bool present;
	bool stuck; /* the last wait was in vain: look once only until it moves again */
	unsigned burst;
	uint64_t
	    busy_since; /* time-stamp counter, of the first vain look of uart_room(); 0: none */
};

static struct port ports[UART_COUNT] = {{.base = 0x3f8}, {.base = 0x2f8}};

static uint8_t get(const struct port *p, uint16_t reg)
{
	return in8((uint16_t)(p->base + reg));
}

static void put(const struct port *p, uint16_t reg, uint8_t value)
{
	out8((uint16_t)(p->base + reg), value);
}

static bool wait_for(struct port *p, uint8_t bit)
{
	for (unsigned i = p->stuck ? 1 : WAIT_POLLS; i; i--) {
		if (get(p, UART_LSR) & bit) {
			p->stuck = false;
			return true;
		}
		__builtin_ia32_pause();
	}
	p->stuck = true;
	return false;
}

static bool has_scratch(const struct port *p, uint8_t value)
{
	put(p, UART_SCRATCH, value);
	return get(p, UART_SCRATCH) == value;
}

/* Finds and sets up a port; false if there is none. What the firmware still sends gets out first.
 */
bool uart_init(enum uart which)
{
	struct port *p = &ports[which];

	p->present = has_scratch(p, 0x5a) && has_scratch(p, 0xa5);
	if (!p->present)
		return false;
	p->stuck = false;
	wait_for(p, LSR_TEMT);
	put(p, UART_IER, 0);
	put(p, UART_LCR, LCR_DLAB);
	put(p, UART_DATA, DIVISOR_115200);
	put(p, UART_IER, 0);
	put(p, UART_LCR, LCR_8N1);
	put(p, UART_FCR, FCR_ENABLE);
	put(p, UART_MCR, MCR_DTR_RTS);
	bool fifo = (get(p, UART_IIR) & IIR_FIFO_MASK) == IIR_FIFO_MASK;
	p->burst = fifo ? FIFO_CHARACTERS : 1;
	return true;
}

/* Sends length characters as they are; does nothing without the port. */
void uart_write(enum uart which, const char *text, size_t length)
{
	struct port *p = &ports[which];

	if (!p->present)
		return;
	p->busy_since = 0;
	while (length) {
		unsigned burst = length < p->burst ? (unsigned)length : p->burst;

		if (wait_for(p, LSR_THRE))
			for (unsigned i = 0; i < burst; i++)
				put(p, UART_DATA, (uint8_t)text[i]);
		text += burst;
		length -= burst;
	}
}

unsigned uart_room(enum uart which)
{
	struct port *p = &ports[which];

	if (!p->present)
		return UINT32_MAX;
	if (get(p, UART_LSR) & LSR_THRE) {
		p->stuck = false;
		return p->burst;
	}
	if (!p->busy_since)
		p->busy_since = rdtsc();
	p->stuck |= rdtsc() - p->busy_since > STUCK_MS * tsc_khz();
	return p->stuck ? p->burst : 0;
}

/* Waits until the last bit has left the machine. */
void uart_drain(enum uart which)
{
	if (ports[which].present)
		wait_for(&ports[which], LSR_TEMT);
}

/* From now on what arrives makes an interrupt, UART_IRQ_COM1 or UART_IRQ_COM2 of the ISA bus. False
 * without the port. */
bool uart_receive_on(enum uart which)
{
	struct port *p = &ports[which];

	if (!p->present)
		return false;
	if (p->burst > 1)
		put(p, UART_FCR, FCR_TRIGGER_8);
	put(p, UART_MCR, MCR_DTR_RTS | MCR_OUT2);
	put(p, UART_IER, IER_RECEIVED);
	return true;
}

/*
 * The next character that was received; false: none is left, and the next one makes a new
 * interrupt.
 */
bool uart_receive(enum uart which, char *c)
{
	const struct port *p = &ports[which];

	if (!p->present || !(get(p, UART_LSR) & LSR_READY))
		return false;
	*c = (char)get(p, UART_DATA);
	return true;
}

/* Has the interrupt come again for what has not been received: it is one of an edge. */
void uart_receive_later(enum uart which)
{
	const struct port *p = &ports[which];

	put(p, UART_IER, 0);
	put(p, UART_IER, IER_RECEIVED);
}

void uart_tell_room(enum uart which, bool on)
{
	put(&ports[which], UART_IER, IER_RECEIVED | (on ? IER_ROOM : 0));
}
