/* What is typed on the serial console. kernel/console_input.c. */
#ifndef KEYHOLE_KERNEL_CONSOLE_INPUT_H
#define KEYHOLE_KERNEL_CONSOLE_INPUT_H

#include "../domain.h"

/* Has characters come in, if the machine can. Boot CPU, once, before guests run. */
void console_input_init(void);
/* Says where input goes, which is the first guest's to begin with. */
void console_input_announce(void);
/* From now on input goes to that domain, which is live; 0: to the monitor. */
void console_input_to(domid_t id);
/* A piece of what waits to be printed (kernel/print_later.c); comes again when the line has room.
 */
void console_later_turn(void);
/* Hands on what was typed: at each turn of a CPU's loop, with no lock held. */
void console_input_turn(void);

#endif
