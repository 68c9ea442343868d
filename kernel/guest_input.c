/*
 * Input of guests: what was typed for one of them, until it reads it.
 *
 * It waits in a buffer in the frame of the guest's devices (kernel/guest_io.c), which is its own.
 * What does not fit is dropped, as by a serial port that nobody reads. There are three ways to read
 * it: the serial port (kernel/guest_uart.c), the console ring (console_ring.c) and console_io
 * (hypercall_misc.c). Who reads first has it.
 *
 * Pure; state: *in. Lock: the caller's, devices_lock of the domain.
 */
#include "kernel/guest_devices.h"

void guest_input_put(struct guest_input *in, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (guest_input_count(in) == GUEST_INPUT_SIZE)
			in->dropped++;
		else
			in->text[in->written++ % GUEST_INPUT_SIZE] = text[i];
	}
}

size_t guest_input_take(struct guest_input *in, char *text, size_t length)
{
	size_t done = 0;

	for (; done < length && guest_input_count(in); done++)
		text[done] = in->text[in->read++ % GUEST_INPUT_SIZE];
	return done;
}
