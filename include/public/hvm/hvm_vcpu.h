/*
 * VCPUOP_initialise: the state in which a vCPU starts. Laid out alike for both widths of caller.
 * Source: Xen, public/hvm/hvm_vcpu.h.
 */
#ifndef KEYHOLE_PUBLIC_HVM_VCPU_H
#define KEYHOLE_PUBLIC_HVM_VCPU_H

#include "../base.h"

/* vcpu_hvm_context.mode */
#define VCPU_HVM_MODE_32B 0u /* segments as given, any paging */
#define VCPU_HVM_MODE_64B 1u /* in long mode, flat segments */

/* The rights of a segment (..._ar): type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11. */
#define VCPU_HVM_AR_DEFINED 0x0fffu

#ifndef __ASSEMBLER__
struct vcpu_hvm_x86_32 {
	uint32_t eax, ecx, edx, ebx, esp, ebp, esi, edi, eip, eflags;
	uint32_t cr0, cr3, cr4;
	uint32_t pad1; /* 0 */
	uint64_t efer;
	uint32_t cs_base, ds_base, ss_base, es_base, tr_base;
	uint32_t cs_limit, ds_limit, ss_limit, es_limit, tr_limit; /* bytes */
	uint16_t cs_ar, ds_ar, ss_ar, es_ar, tr_ar;
	uint16_t pad2[3]; /* 0 */
};
struct vcpu_hvm_x86_64 {
	uint64_t rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, rip, rflags;
	uint64_t cr0, cr3, cr4, efer;
};
struct vcpu_hvm_context {
	uint32_t mode;
	uint32_t pad; /* 0 */
	union {
		struct vcpu_hvm_x86_32 x86_32;
		struct vcpu_hvm_x86_64 x86_64;
	} cpu_regs;
};
XEN_CHECK_SIZE(struct vcpu_hvm_x86_32, 120);
XEN_CHECK_OFFSET(struct vcpu_hvm_x86_32, efer, 56);
XEN_CHECK_OFFSET(struct vcpu_hvm_x86_32, cs_ar, 104);
XEN_CHECK_SIZE(struct vcpu_hvm_context, 128);
XEN_CHECK_OFFSET(struct vcpu_hvm_context, cpu_regs, 8);
#endif

#endif
