/*
 * hvm_op(cmd, arg). Structures are alike for both widths of caller. Source: Xen,
 * public/hvm/hvm_op.h, public/hvm/params.h.
 */
#ifndef KEYHOLE_PUBLIC_HVM_OP_H
#define KEYHOLE_PUBLIC_HVM_OP_H

#include "../base.h"

#define HVMOP_set_param		       0
#define HVMOP_get_param		       1
#define HVMOP_pagetable_dying	       9
#define HVMOP_set_evtchn_upcall_vector 23

#define HVM_PARAM_CALLBACK_IRQ	 0
#define HVM_PARAM_STORE_PFN	 1
#define HVM_PARAM_STORE_EVTCHN	 2
#define HVM_PARAM_CONSOLE_PFN	 17
#define HVM_PARAM_CONSOLE_EVTCHN 18
#define HVM_NR_PARAMS		 39

/* HVM_PARAM_CALLBACK_IRQ: how, in the top byte; below the interrupt line, the pin of a PCI device,
 * or the vector. */
#define HVM_CALLBACK_TYPE_SHIFT	 56
#define HVM_CALLBACK_TYPE_GSI	 0u
#define HVM_CALLBACK_TYPE_PCI	 1u
#define HVM_CALLBACK_TYPE_VECTOR 2u

#ifndef __ASSEMBLER__
struct xen_hvm_param {
	domid_t domid;
	uint16_t pad;
	uint32_t index;
	xen_uint64_t value;
};
struct xen_hvm_evtchn_upcall_vector {
	uint32_t vcpu;
	uint8_t vector, pad[3];
};
XEN_CHECK_SIZE(struct xen_hvm_param, 16);
XEN_CHECK_SIZE(struct xen_hvm_evtchn_upcall_vector, 8);
#endif

#endif
