/* What hypercall handlers share. kernel/hypercall.c. */
#ifndef KEYHOLE_KERNEL_HYPERCALL_H
#define KEYHOLE_KERNEL_HYPERCALL_H

#include "../domain.h"
#include "../guest_call.h"
#include "../public/xen.h"
#include "../types.h"
#include "compat.h"

/* Elements of a batch that are worked off before a continuation. */
#define HYPERCALL_BATCH 64u

/* Whether a domid means the caller. */
static inline bool hypercall_is_caller(const struct hypercall *c, domid_t id)
{
	return id == DOMID_SELF || id == c->domain->id;
}

int64_t hypercall_continue(struct hypercall *c);

int hypercall_copy_in(struct hypercall *c, const struct compat_layout *layout, void *to,
		      gva_t from) must_use;
int hypercall_copy_out(struct hypercall *c, const struct compat_layout *layout, gva_t to,
		       const void *from) must_use;

/* Arrays. The address of element index, of element_size bytes each; -XEN_EFAULT where it would wrap
 * around the caller's address space. */
int hypercall_element(const struct hypercall *c, gva_t array, uint64_t index, unsigned element_size,
		      gva_t *out) must_use;
/* Elements of the width of the caller's unsigned long: frame numbers and indices. */
int hypercall_word_in(struct hypercall *c, gva_t array, uint64_t index, uint64_t *out) must_use;
/* count of them, in one piece, from array[first] on; at least one. What is in out on an error is
 * undefined. */
int hypercall_words_in(struct hypercall *c, gva_t array, uint64_t first, unsigned count,
		       uint64_t out[]) must_use;
int hypercall_word_out(struct hypercall *c, gva_t array, uint64_t index, uint64_t value) must_use;

/* The handlers. */
int64_t hypercall_console_io(struct hypercall *c);
int64_t hypercall_xen_version(struct hypercall *c);
int64_t hypercall_sched_op(struct hypercall *c);
int64_t hypercall_grant_table_op(struct hypercall *c);
int64_t hypercall_memory_op(struct hypercall *c);
int64_t hypercall_event_channel_op(struct hypercall *c);
int64_t hypercall_control(struct hypercall *c); /* kernel/lifecycle_op.c */
int64_t hypercall_grant(struct hypercall *c);	/* kernel/grant_op.c */
int64_t hypercall_foreign(struct hypercall *c); /* kernel/foreign_op.c */
int64_t hypercall_vcpu_op(struct hypercall *c);
int64_t hypercall_hvm_op(struct hypercall *c);
int64_t hypercall_vm_assist(struct hypercall *c); /* kernel/runstate.c */
int64_t hypercall_multicall(struct hypercall *c); /* kernel/multicall.c */
/* A call in its list, of the caller's width: any but another list. kernel/hypercall.c. */
int64_t hypercall_in_list(struct hypercall *c, uint32_t number);
int64_t sched_op_poll(struct hypercall *c); /* kernel/evtchn_op.c */

/* In the command of a memory_op: the command's bits; above them, where a batch goes on. */
#define MEMOP_EXTENT_SHIFT 6

#endif
