/* Flat segments of a vCPU that VCPUOP_initialise starts in 32-bit mode: members of an initialiser.
 */
#ifndef GUEST_HVM_VCPU_H
#define GUEST_HVM_VCPU_H

#include "public/hvm/hvm_vcpu.h"

#define HVM_VCPU_FLAT_32                                                                      \
	.cs_limit = ~0u, .ds_limit = ~0u, .ss_limit = ~0u, .es_limit = ~0u, .tr_limit = 0x67, \
	.cs_ar = 0xc9b, .ds_ar = 0xc93, .ss_ar = 0xc93, .es_ar = 0xc93, .tr_ar = 0x8b

#endif
