/* Offsets of struct ap_mailbox (kernel/smp.c) that boot/ap_trampoline.S uses. */
#ifndef KEYHOLE_KERNEL_AP_MAILBOX_H
#define KEYHOLE_KERNEL_AP_MAILBOX_H

#define AP_MAILBOX_ROOT	 0
#define AP_MAILBOX_STACK 8
#define AP_MAILBOX_CPU	 16

#endif
