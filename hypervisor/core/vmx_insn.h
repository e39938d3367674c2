/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The VMX instructions, each returning whether it succeeded (neither VMfailInvalid nor VMfailValid).
 * SDM 3C "VMX Instruction Reference". Callers must look at the result; see hv_read() and hv_write() in root mode.
 */
#ifndef OOH_HV_VMX_INSN_H
#define OOH_HV_VMX_INSN_H

#include "core/types.h"

struct vmx_invalidation {
	uint64_t context, address;
};

#define VMX_INSN(text, ...) \
	({ bool ok_; asm volatile(text : "=@cca"(ok_) : __VA_ARGS__ : "memory"); ok_; })

static inline bool vmx_on(uint64_t region)
{
	return VMX_INSN("vmxon %1", "m"(region));
}

static inline bool vmx_clear(uint64_t vmcs)
{
	return VMX_INSN("vmclear %1", "m"(vmcs));
}

static inline bool vmx_load(uint64_t vmcs)
{
	return VMX_INSN("vmptrld %1", "m"(vmcs));
}

static inline bool vmx_write(uint64_t field, uint64_t value)
{
	return VMX_INSN("vmwrite %1, %2", "rm"(value), "r"(field));
}

static inline bool vmx_read(uint64_t field, uint64_t *value)
{
	bool ok;

	asm volatile("vmread %2, %1" : "=@cca"(ok), "=rm"(*value) : "r"(field) : "memory");
	return ok;
}

static inline bool vmx_invept(uint64_t type, uint64_t eptp)
{
	struct vmx_invalidation d = { eptp, 0 };

	return VMX_INSN("invept %1, %2", "m"(d), "r"(type));
}

static inline bool vmx_invvpid(uint64_t type, uint64_t vpid)
{
	struct vmx_invalidation d = { vpid, 0 };

	return VMX_INSN("invvpid %1, %2", "m"(d), "r"(type));
}

static inline bool vmx_off(void)
{
	bool ok;

	asm volatile("vmxoff" : "=@cca"(ok) : : "memory");
	return ok;
}

#endif
