/*
 * The devices of a PC that the hypervisor itself has for guests; docs/abi.md, "Ports", lists what
 * they can do. kernel/guest_io.c leads there; each device is pure logic in a file of its own.
 *
 * Registers that a guest can write derive from it: they lie in a frame of the domain that is mapped
 * only while a port is answered.
 */
#ifndef KEYHOLE_KERNEL_GUEST_DEVICES_H
#define KEYHOLE_KERNEL_GUEST_DEVICES_H

#include "../domain.h"
#include "../public/xs_wire.h"
#include "../types.h"

/* kernel/guest_input.c: what was typed for a guest and it has not read yet. */
#define GUEST_INPUT_SIZE 1024u
struct guest_input {
	uint32_t written, read; /* characters, ever */
	uint32_t dropped;	/* likewise */
	char text[GUEST_INPUT_SIZE];
};
static inline size_t guest_input_count(const struct guest_input *in)
{
	return in->written - in->read;
}
void guest_input_put(struct guest_input *in, const char *text, size_t length);
/* How many characters there were, length at most. */
size_t guest_input_take(struct guest_input *in, char *text, size_t length);

/* kernel/guest_uart.c: a 16550, whose line leads to the console and from it. */
struct guest_uart {
	uint8_t ier, lcr, mcr, scratch, divisor[2];
	uint8_t looped;		     /* what came back in loopback mode */
	bool fifo, has_looped, sent; /* sent: an interrupt would be pending for it */
	uint32_t overruns_seen;	     /* characters dropped when the status was last read */
};
uint8_t guest_uart_read(struct guest_uart *u, struct guest_input *in, unsigned reg);
/* OUT to register 0 to 7. True: the value is a character for the line. */
bool guest_uart_write(struct guest_uart *u, unsigned reg, uint8_t value);

/* kernel/guest_cmos.c: the real-time clock. now: seconds since 1970. */
uint8_t guest_cmos_read(uint8_t index, uint64_t now);

/* kernel/guest_pit.c: the 8254 timer and what port 0x61 has to do with it. now: ticks of its clock
 * since some time in the past. */
#define PIT_CHANNELS 3u
struct guest_pit_channel {
	uint64_t since;	  /* the tick from which it counts */
	uint64_t counted; /* ticks that it had counted when its gate closed */
	uint32_t reload;  /* 1 to 65536 */
	uint16_t latch;
	uint8_t mode, access, status, low;
	bool loaded, started, gate;
	bool latched, status_latched, read_high, write_high;
};
struct guest_pit {
	struct guest_pit_channel channels[PIT_CHANNELS];
	uint8_t speaker;
};
void guest_pit_reset(struct guest_pit *p);
uint64_t guest_pit_ticks(uint64_t tsc, uint64_t tsc_khz);
uint8_t guest_pit_read(struct guest_pit *p, unsigned reg, uint64_t now);
void guest_pit_write(struct guest_pit *p, unsigned reg, uint8_t value, uint64_t now);
uint8_t guest_pit_speaker_read(const struct guest_pit *p, uint64_t now);
void guest_pit_speaker_write(struct guest_pit *p, uint8_t value, uint64_t now);

/* kernel/guest_fwcfg.c: what QEMU tells of a machine. */
struct guest_fwcfg {
	uint16_t key;
	uint32_t offset;
};
void guest_fwcfg_select(struct guest_fwcfg *f, uint16_t key);
uint8_t guest_fwcfg_read(struct guest_fwcfg *f, uint64_t ram_bytes, uint32_t vcpu_count);

/* kernel/guest_io.c: the screen controller's registers, which are kept and do nothing. */
#define CRTC_REGISTERS 32u
struct guest_crtc {
	uint8_t index, registers[CRTC_REGISTERS];
};

/*
 * kernel/guest_console.c: a guest's text on its way to the console. What a full one does not take
 * the guest has to write again.
 */
#define GUEST_CONSOLE_SIZE 2048u
struct guest_console {
	uint32_t written, read; /* characters, ever */
	uint8_t utf8_left;	/* continuation bytes that may follow */
	uint8_t utf8_min;	/* the least value of the next one */
	uint8_t sequence;	/* of a control sequence what has come */
	char text[GUEST_CONSOLE_SIZE];
};
static inline bool guest_console_full(const struct guest_console *c)
{
	return c->written - c->read == GUEST_CONSOLE_SIZE;
}

/* kernel/xenstore.c: a request of which a part has come. */
struct guest_store {
	struct xsd_sockmsg head;
	uint64_t taken; /* bytes of it, head and body */
	char path[6];	/* the body's first */
};

struct guest_devices {
	struct guest_uart uart;
	struct guest_pit pit;
	struct guest_fwcfg fwcfg;
	struct guest_crtc crtc;
	uint8_t cmos_index;
	struct guest_console console;
	struct guest_input input;
	struct guest_store store;
};
_Static_assert(sizeof(struct guest_devices) <= PAGE_SIZE, "they share a frame");

int guest_devices_create(struct domain *d) must_use;
void guest_devices_free(struct domain *d);
/* The devices of d, in the window, with devices_lock held until they are closed. */
struct guest_devices *guest_devices_open(struct domain *d);
void guest_devices_close(struct domain *d);

/*
 * kernel/console_ring.c: text typed for d, which domain_find() has given, from any CPU; no slot of
 * the window for devices or events is open. What its buffer has no room for is dropped and counted.
 */
void guest_console_input(struct domain *d, const char *text, size_t length);

/* kernel/guest_screen.c: has what a domain that has ended, and whose RAM is still there, left on a
 * PC's screen written to the console; nothing if it ever wrote there itself. */
void guest_screen_show(struct domain *d);

/* One piece of what guests have written to the console, if the line has room, from any CPU. Whether
 * there is more. */
bool guest_console_drain(void);
/* Has no guest begin another line, until go_on; true if none is in the middle of one, and nobody
 * else holds them, so that lines of the hypervisor's cut none in two. Else to be called again. who:
 * not 0, another one for each caller. */
bool guest_console_hold(uint32_t who);
void guest_console_go_on(uint32_t who);
/* Whether all that d has written is out. */
bool guest_console_drained(const struct domain *d);

#endif
