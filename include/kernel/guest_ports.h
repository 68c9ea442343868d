/*
 * The serial port, ports and bits of a guest's power control that its ACPI tables name
 * (kernel/acpi_build.c) and the port I/O answers (kernel/guest_io.c).
 *
 * The sleep registers lie where QEMU's chipset has the high bytes of PM1a_CNT and PM1a_STS, and are
 * laid out like them: kernels that know no ACPI power off by a word of 0x2000 to port 0x604.
 *
 * Sources: ACPI specification 6.2, "Sleep Control and Status Registers"; Intel's chipsets for
 * 0xcf9.
 */
#ifndef KEYHOLE_KERNEL_GUEST_PORTS_H
#define KEYHOLE_KERNEL_GUEST_PORTS_H

#define PORT_SERIAL 0x3f8u /* to 0x3ff */

#define PORT_SLEEP_STATUS  0x601u
#define PORT_SLEEP_CONTROL 0x605u
#define SLEEP_TYPE_MASK	   0x1cu
#define SLEEP_TYPE_OFF	   0x00u
#define SLEEP_ENABLE	   0x20u

#define PORT_RESET_CONTROL 0xcf9u
#define RESET_CONTROL_CPU  0x04u

#endif
