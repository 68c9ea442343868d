/*
 * Test builds: what is left of a vCPU where none is loaded any more. A panic if anything is.
 *
 * State: none. No lock.
 */
#ifdef CONFIG_TEST
#include "vmx/cleared.h"
#include "cpu.h"
#include "mm/private.h"
#include "percpu.h"
#include "print.h"

#define FXSAVE_REGISTERS 32 /* offset of ST0; XMM0 to XMM15 follow */
#define FXSAVE_END	 416

void cleared_check_registers(void)
{
	struct {
		uint8_t bytes[512] aligned_to(16);
	} area;
	uint64_t registers_left = read_cr2() | rdmsr(MSR_IA32_STAR) | rdmsr(MSR_IA32_LSTAR) |
				  rdmsr(MSR_IA32_CSTAR) | rdmsr(MSR_IA32_KERNEL_GS_BASE);

	for (unsigned i = 0; i < 4; i++)
		registers_left |= read_dr(i);
	__asm__ volatile("fxsave64 %0" : "=m"(area));
	for (unsigned i = FXSAVE_REGISTERS; i < FXSAVE_END; i++)
		registers_left |= area.bytes[i];
	assert_always(!registers_left);
}

void cleared_check_stack(void)
{
	const uint64_t *p = (const uint64_t *)(private_base_of(cpu_index()) + PRIVATE_STACK);
	const uint64_t *end = (const uint64_t *)this_cpu()->run_stack;
	uint64_t stack_left = 0;

	for (; p < end; p++)
		stack_left |= *(const volatile uint64_t *)p;
	assert_always(!stack_left);
}
#endif
