/*
 * Input of guests: what was typed for one of them, until it reads it.
 *
 * A guest's text waits in a buffer in the frame of its devices (kernel/guest_io.c), which is its
 * own. What does not fit is dropped, as by a serial port that nobody reads.
 *
 * State: the buffers. Lock: devices_lock of the domain. Ready for many CPUs.
 */
#include "kernel/guest_devices.h"

void guest_input_put(struct guest_input *in, const char *text, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		if (in->written - in->read == GUEST_INPUT_SIZE)
			in->dropped++;
		else
			in->text[in->written++ % GUEST_INPUT_SIZE] = text[i];
	}
}

size_t guest_input_take(struct guest_input *in, char *text, size_t length)
{
	size_t done = 0;

	for (; done < length && !guest_input_empty(in); done++)
		text[done] = in->text[in->read++ % GUEST_INPUT_SIZE];
	return done;
}

/*
 * Characters for d, which domain_find() has given, from any CPU. No window slot for devices is
 * open. What does not fit is counted and dropped.
 */
void guest_console_input(struct domain *d, const char *text, size_t length)
{
	guest_input_put(&guest_devices_open(d)->input, text, length);
	guest_devices_close(d);
}
