/*
 * The VMX instructions, except VMLAUNCH and VMRESUME (vmx's entry stub).
 *
 * State: the processor's current VMCS, which belongs to this CPU; no lock. Every instruction's CF
 * and ZF are looked at, in every build, but for vmcs_read_sure(). VMREAD and VMWRITE fail only
 * through a mistake of ours (no current VMCS, a field of a feature that the processor lacks), so
 * their failure does not return; the others return a status.
 *
 * Sources: Intel SDM Vol. 3, "VMX Instruction Reference", "Conventions".
 */
#ifndef KEYHOLE_VMX_VMCS_H
#define KEYHOLE_VMX_VMCS_H

#include "types.h"
#include "vmx/vmcs_fields.h"

/* Status of a VMX instruction. VMfailValid leaves a number in the VM-instruction error field. */
enum vmx_status { VMX_OK = 0, VMX_FAIL_VALID = 1, VMX_FAIL_INVALID = 2 };

/* Panics: names the instruction, which can only fail through a mistake of ours, the field, and the
 * VM-instruction error if there is one. */
noreturn_fn void vmx_instruction_failed(const char *what, uint32_t encoding);

static inline uint64_t vmcs_read_raw(uint32_t encoding)
{
	uint64_t value;
	bool failed;

	__asm__ volatile("vmread %[field], %[value]"
			 : [value] "=rm"(value), "=@ccbe"(failed)
			 : [field] "r"((uint64_t)encoding)
			 : "memory");
	if (unlikely(failed))
		vmx_instruction_failed("VMREAD", encoding);
	return value;
}

/*
 * The same where it cannot fail: an access just before has shown that there is a current VMCS, and
 * every processor has the field. Test builds look all the same.
 */
static inline uint64_t vmcs_read_sure(uint32_t encoding)
{
#ifdef CONFIG_TEST
	return vmcs_read_raw(encoding);
#else
	uint64_t value;

	__asm__ volatile("vmread %[field], %[value]"
			 : [value] "=r"(value)
			 : [field] "r"((uint64_t)encoding)
			 : "cc", "memory");
	return value;
#endif
}

static inline void vmcs_write_raw(uint32_t encoding, uint64_t value)
{
	bool failed;

	__asm__ volatile("vmwrite %[value], %[field]"
			 : "=@ccbe"(failed)
			 : [value] "rm"(value), [field] "r"((uint64_t)encoding)
			 : "memory");
	if (unlikely(failed))
		vmx_instruction_failed("VMWRITE", encoding);
}

static inline uint16_t vmcs_read16(vmcs16_t field)
{
	return (uint16_t)vmcs_read_raw(field.encoding);
}
static inline uint32_t vmcs_read32(vmcs32_t field)
{
	return (uint32_t)vmcs_read_raw(field.encoding);
}
static inline uint64_t vmcs_read64(vmcs64_t field)
{
	return vmcs_read_raw(field.encoding);
}
static inline uint64_t vmcs_readn(vmcsn_t field)
{
	return vmcs_read_raw(field.encoding);
}

static inline void vmcs_write16(vmcs16_t field, uint16_t value)
{
	vmcs_write_raw(field.encoding, value);
}
static inline void vmcs_write32(vmcs32_t field, uint32_t value)
{
	vmcs_write_raw(field.encoding, value);
}
static inline void vmcs_write64(vmcs64_t field, uint64_t value)
{
	vmcs_write_raw(field.encoding, value);
}
static inline void vmcs_writen(vmcsn_t field, uint64_t value)
{
	vmcs_write_raw(field.encoding, value);
}

/* For reports, where a field may not exist. On failure *value is 0. */
must_use static inline enum vmx_status vmcs_try_read(uint32_t encoding, uint64_t *value)
{
	bool invalid, valid;

	*value = 0;
	__asm__ volatile("vmread %[field], %[value]"
			 : [value] "+r"(*value), "=@ccc"(invalid), "=@ccz"(valid)
			 : [field] "r"((uint64_t)encoding)
			 : "memory");
	return invalid ? VMX_FAIL_INVALID : valid ? VMX_FAIL_VALID : VMX_OK;
}

must_use static inline enum vmx_status vmcs_try_write(uint32_t encoding, uint64_t value)
{
	bool invalid, valid;

	__asm__ volatile("vmwrite %[value], %[field]"
			 : "=@ccc"(invalid), "=@ccz"(valid)
			 : [value] "r"(value), [field] "r"((uint64_t)encoding)
			 : "memory");
	return invalid ? VMX_FAIL_INVALID : valid ? VMX_FAIL_VALID : VMX_OK;
}

/* VMXON, VMCLEAR, VMPTRLD: the operand is the physical address of a 4 KiB-aligned VMX region. */
#define VMX_DEFINE_REGION_INSTRUCTION(name)                                          \
	must_use static inline enum vmx_status name(paddr_t region)                  \
	{                                                                            \
		uint64_t operand = paddr_raw(region);                                \
		bool invalid, valid;                                                 \
                                                                                     \
		__asm__ volatile(#name " %[operand]"                                 \
				 : "=@ccc"(invalid), "=@ccz"(valid)                  \
				 : [operand] "m"(operand)                            \
				 : "memory");                                        \
		return invalid ? VMX_FAIL_INVALID : valid ? VMX_FAIL_VALID : VMX_OK; \
	}
VMX_DEFINE_REGION_INSTRUCTION(vmxon)
VMX_DEFINE_REGION_INSTRUCTION(vmclear)
VMX_DEFINE_REGION_INSTRUCTION(vmptrld)
#undef VMX_DEFINE_REGION_INSTRUCTION

must_use static inline enum vmx_status vmxoff(void)
{
	bool invalid, valid;

	__asm__ volatile("vmxoff" : "=@ccc"(invalid), "=@ccz"(valid) : : "memory");
	return invalid ? VMX_FAIL_INVALID : valid ? VMX_FAIL_VALID : VMX_OK;
}

#ifdef KEYHOLE_HOST_TEST
/* Against a model of the TLB. */
enum vmx_status invept(uint64_t type, uint64_t eptp);
enum vmx_status invvpid(uint64_t type, uint16_t vpid, gva_t address);
#else
/* type: INVEPT_... of vmx/controls.h; eptp: the EPT pointer as in the VMCS, 0 for all contexts. */
must_use static inline enum vmx_status invept(uint64_t type, uint64_t eptp)
{
	struct {
		uint64_t eptp;
		uint64_t zero;
	} descriptor = {eptp, 0};
	bool invalid, valid;

	static_assert_size(descriptor, 16);
	__asm__ volatile("invept %[descriptor], %[type]"
			 : "=@ccc"(invalid), "=@ccz"(valid)
			 : [descriptor] "m"(descriptor), [type] "r"(type)
			 : "memory");
	return invalid ? VMX_FAIL_INVALID : valid ? VMX_FAIL_VALID : VMX_OK;
}

/* type: INVVPID_... of vmx/controls.h; vpid from 1, address only for INVVPID_ADDRESS. */
must_use static inline enum vmx_status invvpid(uint64_t type, uint16_t vpid, gva_t address)
{
	struct {
		uint64_t vpid;
		uint64_t address;
	} descriptor = {vpid, gva_raw(address)};
	bool invalid, valid;

	static_assert_size(descriptor, 16);
	__asm__ volatile("invvpid %[descriptor], %[type]"
			 : "=@ccc"(invalid), "=@ccz"(valid)
			 : [descriptor] "m"(descriptor), [type] "r"(type)
			 : "memory");
	return invalid ? VMX_FAIL_INVALID : valid ? VMX_FAIL_VALID : VMX_OK;
}
#endif

#endif
