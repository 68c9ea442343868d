/* Offsets and numbers that vmx/entry.S uses; checked in vmx/run.c. */
#ifndef KEYHOLE_VMX_ENTRY_OFFSETS_H
#define KEYHOLE_VMX_ENTRY_OFFSETS_H

#define CPU_RUN_STACK	  8
#define CPU_VMCS_LAUNCHED 16
#define REGS_RBX	  32 /* of struct vcpu_regs */
#define EXIT_ENTER_QUICK  2
#define RUN_STACK_ROOM	  512 /* bytes: more than the frames of vcpu_load() and below take */

#endif
