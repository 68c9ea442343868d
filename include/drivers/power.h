/* The end of a run. drivers/power.c. */
#ifndef KEYHOLE_DRIVERS_POWER_H
#define KEYHOLE_DRIVERS_POWER_H

#include "types.h"

/* Switches the machine off, telling an emulator the status (0: well). Takes no lock but the
 * console's. */
noreturn_fn void power_off(unsigned status);

#endif
