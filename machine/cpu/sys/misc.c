/* SPDX-License-Identifier: GPL-2.0-or-later */
/* HLT, PAUSE, caches, time, MSRs, random numbers, CPUID. */
#include "arch/msrs.h"
#include "machine/core/smp.h"
#include "machine/cpu/block.h"
#include "machine/cpu/sys/msr.h"
#include "machine/cpu/sys/priv.h"
#include "machine/vmx/vmx.h"

static const struct op *misc_done(struct cpu *c, const struct op *o)
{
	c->rip = cpu_next_rip(c, o);
	return block_go(c);
}

static void put_edx_eax(struct cpu *c, u64 v)
{
	c->gpr[RAX] = (u32)v;
	c->gpr[RDX] = v >> 32;
}

/* The model has no caches: only the time passes. */
const struct op *op_wbinvd(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	need_cpl0(c, o);
	vmx_intercept(c, o, EXIT_WBINVD, 0);
	cpu_charge(c, COST_WBINVD);
	return misc_done(c, o);
}

const struct op *op_invd(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	need_cpl0(c, o);
	vmx_intercept(c, o, EXIT_INVD, 0);
	cpu_charge(c, COST_WBINVD);
	return misc_done(c, o);
}

const struct op *op_hlt(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	need_cpl0(c, o);
	vmx_intercept(c, o, EXIT_HLT, 0);
	c->activity = HALTED;
	c->mwait = false;
	c->halt_since = cpu_now(c);
	return misc_done(c, o);
}

const struct op *op_pause(struct cpu *c, const struct op *o)
{
	vmx_intercept_pause(c, o);
	if (unlikely(c->m->ncpus > 1))
		smp_pause(c, o);
	OP_NEXT(c, o);
}

static u64 read_tsc(struct cpu *c, const struct op *o, unsigned reason)
{
	if (c->cpl && (c->cr4 & CR4_TSD))
		raise_gp0(c, o);
	vmx_intercept(c, o, reason, 0);
	smp_in_order(c, o);
	cpu_charge(c, COST_RDTSC);
	smp_tsc_order(c);
	return vmx_nonroot(c) ? vmx_tsc(c, cpu_rdtsc(c)) : cpu_rdtsc(c);
}

const struct op *op_rdtsc(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	put_edx_eax(c, read_tsc(c, o, EXIT_RDTSC));
	return misc_done(c, o);
}

const struct op *op_rdtscp(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	put_edx_eax(c, read_tsc(c, o, EXIT_RDTSCP));
	c->gpr[RCX] = (u32)c->tsc_aux;
	return misc_done(c, o);
}

/* There are no counters: CPUID 0AH enumerates none, so every index is #GP. */
const struct op *op_rdpmc(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	if (c->cpl && !(c->cr4 & CR4_PCE))
		raise_gp0(c, o);
	vmx_intercept(c, o, EXIT_RDPMC, 0);
	raise_gp0(c, o);
}

const struct op *op_rdmsr(struct cpu *c, const struct op *o)
{
	u32 index = (u32)c->gpr[RCX];
	u64 v;

	cpu_sync(c, o);
	need_cpl0(c, o);
	vmx_intercept_msr(c, o, index, false);
	if (msr_is_timed(index))
		smp_in_order(c, o);
	if (index == IA32_TIME_STAMP_COUNTER)
		smp_tsc_order(c);
	if (!vmx_x2apic_read(c, index, &v) && !msr_read(c, index, &v))
		raise_gp0(c, o);
	if (vmx_nonroot(c) && index == IA32_TIME_STAMP_COUNTER)
		v = vmx_tsc(c, v);
	put_edx_eax(c, v);
	stat_add(c->m, STAT_MSR_READS, 1);
	cpu_charge(c, COST_RDMSR);
	return misc_done(c, o);
}

static bool wrmsr(struct cpu *c, u32 index, u64 v)
{
	enum vmx_x2apic x = vmx_x2apic_write(c, index, v);

	return x == X2APIC_NOT_VIRTUAL ? msr_write(c, index, v) : x == X2APIC_DONE;
}

const struct op *op_wrmsr(struct cpu *c, const struct op *o)
{
	u32 index = (u32)c->gpr[RCX];

	cpu_sync(c, o);
	need_cpl0(c, o);
	vmx_intercept_msr(c, o, index, true);
	if (msr_is_timed(index))
		smp_in_order(c, o);
	if (!wrmsr(c, index, (u32)c->gpr[RAX] | c->gpr[RDX] << 32))
		raise_gp0(c, o);
	stat_add(c->m, STAT_MSR_WRITES, 1);
	cpu_charge(c, COST_WRMSR);
	return misc_done(c, o);
}

static const struct op *give_random(struct cpu *c, const struct op *o, unsigned reason)
{
	u64 v;

	cpu_sync(c, o);
	vmx_intercept_info(c, o, reason);
	v = machine_random(c->m);
	if (o->size == 2)
		c->gpr[o->dst] = (c->gpr[o->dst] & ~0xffffull) | (v & 0xffff);
	else
		c->gpr[o->dst] = o->size == 4 ? (u32)v : v;
	cpu_set_status(c, EFLAGS_CF);
	cpu_charge(c, COST_RDRAND);
	return misc_done(c, o);
}

const struct op *op_rdrand(struct cpu *c, const struct op *o)
{
	return give_random(c, o, EXIT_RDRAND);
}

const struct op *op_rdseed(struct cpu *c, const struct op *o)
{
	return give_random(c, o, EXIT_RDSEED);
}

const struct op *op_cpuid(struct cpu *c, const struct op *o)
{
	u32 r[4];

	cpu_sync(c, o);
	vmx_intercept(c, o, EXIT_CPUID, 0);
	cpuid_query(c, (u32)c->gpr[RAX], (u32)c->gpr[RCX], r);
	c->gpr[RAX] = r[0];
	c->gpr[RBX] = r[1];
	c->gpr[RCX] = r[2];
	c->gpr[RDX] = r[3];
	cpu_charge(c, COST_CPUID);
	return misc_done(c, o);
}

u64 cpu_rdtsc(struct cpu *c)
{
	return cpu_now(c) + c->tsc_offset;
}
