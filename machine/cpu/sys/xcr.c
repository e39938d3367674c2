/* SPDX-License-Identifier: GPL-2.0-or-later */
/* XCR0, PKRU, RDPID, UMIP. SDM 2C "XGETBV", "XSETBV", SDM 2B "RDPKRU", "WRPKRU". */
#include "machine/cpu/sys/priv.h"
#include "machine/fpu/xsave.h"
#include "machine/vmx/vmcs.h"
#include "machine/vmx/vmx.h"

static void put_edx_eax(struct cpu *c, u64 v)
{
	c->gpr[RAX] = (u32)v;
	c->gpr[RDX] = v >> 32;
}

const struct op *op_xgetbv(struct cpu *c, const struct op *o)
{
	u32 index = (u32)c->gpr[RCX];

	if (!(c->cr4 & CR4_OSXSAVE))
		cpu_raise(c, o, VEC_UD);
	if (index > 1 || (index == 1 && !cpuid_has(c, FEAT_XGETBV1)))
		raise_gp0(c, o);
	put_edx_eax(c, index ? c->xcr0 & xsave_shown(c) : c->xcr0);
	OP_NEXT(c, o);
}

/* SDM 3A "Extended Control Registers": x87 always; AVX only with SSE. */
static bool xcr0_valid(const struct cpu *c, u64 v)
{
	return !(v & ~cpuid_xcr0(c)) && (v & XCR0_X87) && !((v & XCR0_AVX) && !(v & XCR0_SSE));
}

const struct op *op_xsetbv(struct cpu *c, const struct op *o)
{
	u64 v = (u32)c->gpr[RAX] | c->gpr[RDX] << 32;

	cpu_sync(c, o);
	if (!(c->cr4 & CR4_OSXSAVE))
		cpu_raise(c, o, VEC_UD);
	need_cpl0(c, o);
	vmx_intercept(c, o, EXIT_XSETBV, 0);
	if ((u32)c->gpr[RCX] || !xcr0_valid(c, v))
		raise_gp0(c, o);
	c->xcr0 = v;
	cpu_charge(c, COST_MOV_CR);
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

/* SDM 2B "RDPID"; in non-root operation it is there with RDTSCP only (SDM 3C 26.3). */
const struct op *op_rdpid(struct cpu *c, const struct op *o)
{
	if (vmx_nonroot(c) && !vmx_proc2(c, PROC2_ENABLE_RDTSCP))
		cpu_raise(c, o, VEC_UD);
	c->gpr[o->dst] = (u32)c->tsc_aux;
	OP_NEXT(c, o);
}

const struct op *op_rdpkru(struct cpu *c, const struct op *o)
{
	if (!(c->cr4 & CR4_PKE))
		cpu_raise(c, o, VEC_UD);
	if ((u32)c->gpr[RCX])
		raise_gp0(c, o);
	put_edx_eax(c, c->pkru);
	OP_NEXT(c, o);
}

void sys_load_pkru(struct cpu *c, u32 v)
{
	if (v == c->pkru)
		return;
	c->pkru = v;
	mmu_update_mode(c);
}

const struct op *op_wrpkru(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	if (!(c->cr4 & CR4_PKE))
		cpu_raise(c, o, VEC_UD);
	if ((u32)c->gpr[RCX] || (u32)c->gpr[RDX])
		raise_gp0(c, o);
	sys_load_pkru(c, (u32)c->gpr[RAX]);
	c->rip = cpu_next_rip(c, o);
	return op_leave(c);
}

void need_no_umip(struct cpu *c, const struct op *o)
{
	if (c->cpl && (c->cr4 & CR4_UMIP))
		raise_gp0(c, o);
}
