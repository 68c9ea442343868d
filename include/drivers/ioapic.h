/* The I/O APICs, as far as the hypervisor's own devices need them. drivers/ioapic.c. */
#ifndef KEYHOLE_DRIVERS_IOAPIC_H
#define KEYHOLE_DRIVERS_IOAPIC_H

#include "types.h"

bool ioapic_route_isa(unsigned irq, unsigned vector, uint32_t apic_id) must_use;

#endif
