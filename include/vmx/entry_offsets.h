/* Offsets of struct cpu_private that vmx/entry.S uses; checked in vmx/run.c. */
#ifndef KEYHOLE_VMX_ENTRY_OFFSETS_H
#define KEYHOLE_VMX_ENTRY_OFFSETS_H

#define CPU_RUN_STACK	  16
#define CPU_VMCS_LAUNCHED 24

#endif
