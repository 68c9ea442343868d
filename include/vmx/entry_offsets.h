/* Offsets and numbers that vmx/entry.S uses; checked in vmx/run.c. */
#ifndef KEYHOLE_VMX_ENTRY_OFFSETS_H
#define KEYHOLE_VMX_ENTRY_OFFSETS_H

#define CPU_RUN_STACK	  8
#define CPU_VMCS_LAUNCHED 16
#define CPU_TRACE_BEGIN	  20
#define REGS_RBX	  32 /* of struct vcpu_regs */
#define REGS_RBP	  40

/* What vmx_exit_quick() returns, besides the reason of an exit that it leaves to vmx_exit(). */
#define EXIT_ENTER     -1 /* enter the guest: RBX and R12 to R15 are its own still */
#define EXIT_ENTER_RBX -2 /* the same, but RBX was changed */
#define EXIT_WORK      -3 /* the exit has been dealt with, but something waits before the entry */
#define EXIT_WORK_RBX  -4 /* the same, and RBX was changed; vmx_exit() gets EXIT_WORK */

#define RUN_STACK_ROOM 512 /* bytes: more than the frames of vcpu_load() and below take */

#endif
