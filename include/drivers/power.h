/* The end of a run. drivers/power.c. */
#ifndef KEYHOLE_DRIVERS_POWER_H
#define KEYHOLE_DRIVERS_POWER_H

#include "types.h"

/*
 * Ends the run and switches the machine off, telling an emulator the status (0: well): after the
 * last character has left the serial ports, by QEMU's debug-exit port, Bochs's port, ACPI S5.
 * Without any of them, says so and halts. Takes no lock but the console's.
 */
noreturn_fn void power_off(unsigned status);

#endif
