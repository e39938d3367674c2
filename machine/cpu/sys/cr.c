/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control and debug registers, and the instructions that drop translations. SDM 3A "Control Registers" (2.5), SDM 2B
 * "MOV".
 */
#include "arch/paging.h"
#include "machine/cpu/block.h"
#include "machine/cpu/sys/monitor.h"
#include "machine/cpu/sys/priv.h"
#include "machine/dev/apic.h"
#include "machine/vmx/vmx.h"

#define CR0_IMPLEMENTED \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define CR4_FLUSHING (CR4_PSE | CR4_PAE | CR4_PGE | CR4_PCIDE | CR4_SMEP)

static const struct op *cr_done(struct cpu *c, const struct op *o)
{
	c->rip = cpu_next_rip(c, o);
	return block_go(c);
}

bool sys_cr0_valid(u64 v)
{
	return !(v >> 32) && !((v & CR0_PG) && !(v & CR0_PE)) && !((v & CR0_NW) && !(v & CR0_CD));
}

/* --- PAE page-directory-pointer-table registers: SDM 3A "PDPTE Registers" (4.4.1) --- */

bool sys_read_pdptes(struct cpu *c, const struct op *o, u64 cr3, u64 pdpte[4])
{
	u64 v[4];

	for (unsigned i = 0; i < 4; i++) {
		v[i] = mmu_ld_gpa(c, o, (gpa_t){ (cr3 & CR3_PAE_ADDRESS) + 8 * i });
		if ((v[i] & PTE_P) && (v[i] & (PAE_PDPTE_RESERVED | (PTE_ADDRESS & ~CPU_PHYS_MASK))))
			return false;
	}
	memcpy(pdpte, v, sizeof(v));
	return true;
}

static void load_pdptes(struct cpu *c, const struct op *o, u64 cr3)
{
	if (!sys_read_pdptes(c, o, cr3, c->pdpte))
		raise_gp0(c, o);
}

/* --- CR0 --- */

/* What the present state forbids. SDM 3A "Control Registers" and 9.8.5 "Initializing IA-32e Mode". */
static bool cr0_allowed(const struct cpu *c, u64 v)
{
	bool set_pg = (v & CR0_PG) && !(c->cr0 & CR0_PG), clear_pg = !(v & CR0_PG) && (c->cr0 & CR0_PG);

	if (!sys_cr0_valid(v) || !vmx_cr_allowed(c, 0, v))
		return false;
	if (set_pg && (c->efer & EFER_LME) && (!(c->cr4 & CR4_PAE) || (c->seg[CS].ar & DESC_L)))
		return false;
	return !(clear_pg && (in_64bit(c) || (c->cr4 & CR4_PCIDE)));
}

static void write_cr0(struct cpu *c, const struct op *o, u64 v)
{
	u64 changed;

	if (!cr0_allowed(c, v))
		raise_gp0(c, o);
	v = (v & CR0_IMPLEMENTED) | CR0_ET;
	changed = v ^ c->cr0;
	if ((v & CR0_PG) && (c->cr4 & CR4_PAE) && !(c->efer & EFER_LME) && (changed & (CR0_PG | CR0_CD | CR0_NW)))
		load_pdptes(c, o, c->cr3);
	if ((changed & CR0_PG) && (c->efer & EFER_LME))
		c->efer ^= EFER_LMA;
	c->cr0 = v;
	monitor_disarm(c);
	if (changed & CR0_PG)
		mmu_flush_all(c);
	cpu_update_code_mode(c);
}

/* --- CR3 --- */

static void write_cr3(struct cpu *c, const struct op *o, u64 v)
{
	bool keep = (c->cr4 & CR4_PCIDE) && (v & CR3_KEEP_TLB);

	if (in_long_mode(c) && ((v & ~(keep ? CR3_KEEP_TLB : 0)) & ~CPU_PHYS_MASK))
		raise_gp0(c, o);
	if ((c->cr0 & CR0_PG) && (c->cr4 & CR4_PAE) && !in_long_mode(c))
		load_pdptes(c, o, v);
	c->cr3 = v & ~CR3_KEEP_TLB;
	monitor_disarm(c);
	mmu_cr3_written(c, keep);
}

/* --- CR4 --- */

static bool cr4_allowed(const struct cpu *c, u64 v)
{
	u64 set = v & ~c->cr4;

	if ((v & ~CR4_IMPLEMENTED) || !vmx_cr_allowed(c, 4, v))
		return false;
	if (in_long_mode(c) && (!(v & CR4_PAE) || ((v ^ c->cr4) & CR4_LA57)))
		return false;
	return !((set & CR4_PCIDE) && (!in_long_mode(c) || (c->cr3 & CR3_PCID)));
}

static void write_cr4(struct cpu *c, const struct op *o, u64 v)
{
	u64 changed = v ^ c->cr4;

	if (!cr4_allowed(c, v))
		raise_gp0(c, o);
	if ((c->cr0 & CR0_PG) && (v & CR4_PAE) && !in_long_mode(c) &&
	    (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP)))
		load_pdptes(c, o, c->cr3);
	c->cr4 = v;
	monitor_disarm(c);
	if (changed & CR4_FLUSHING)
		mmu_flush_all(c);
	mmu_update_mode(c);
}

static void write_cr8(struct cpu *c, const struct op *o, u64 v)
{
	if (v >> 4)
		raise_gp0(c, o);
	if (!vmx_write_cr8(c, v))
		apic_set_tpr(c->apic, v);
}

const struct op *op_mov_to_cr(struct cpu *c, const struct op *o)
{
	u64 v = in_64bit(c) ? c->gpr[o->src] : (u32)c->gpr[o->src];

	cpu_sync(c, o);
	need_cpl0(c, o);
	v = vmx_write_cr(c, o, o->dst, v, o->src);
	switch (o->dst) {
	case 0:
		write_cr0(c, o, v);
		break;
	case 2:
		c->cr2 = v;
		break;
	case 3:
		write_cr3(c, o, v);
		break;
	case 4:
		write_cr4(c, o, v);
		break;
	default:
		write_cr8(c, o, v);
	}
	cpu_charge(c, o->dst == 3 ? COST_MOV_CR3 : COST_MOV_CR);
	return cr_done(c, o);
}

static u64 read_cr(struct cpu *c, unsigned cr)
{
	switch (cr) {
	case 0:
		return c->cr0;
	case 2:
		return c->cr2;
	case 3:
		return c->cr3;
	case 4:
		return c->cr4;
	default:
		return apic_get_tpr(c->apic);
	}
}

const struct op *op_mov_from_cr(struct cpu *c, const struct op *o)
{
	u64 v;

	cpu_sync(c, o);
	need_cpl0(c, o);
	v = vmx_read_cr(c, o, o->src, read_cr(c, o->src), o->dst);
	c->gpr[o->dst] = in_64bit(c) ? v : (u32)v;
	OP_NEXT(c, o);
}

/* LMSW loads PE, MP, EM and TS; it can set PE but not clear it. */
const struct op *op_lmsw(struct cpu *c, const struct op *o)
{
	u64 lin = 0, v;
	u16 msw;

	cpu_sync(c, o);
	need_cpl0(c, o);
	if (o->flags & OP_MEM) {
		lin = op_lin(c, o, 2, ACCESS_READ);
		msw = ld16(c, o, lin);
	} else {
		msw = (u16)c->gpr[o->dst];
	}
	v = vmx_lmsw(c, o, msw, o->flags & OP_MEM, lin);
	write_cr0(c, o, (c->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (v & (CR0_PE | CR0_MP | CR0_EM | CR0_TS)));
	cpu_charge(c, COST_MOV_CR);
	return cr_done(c, o);
}

const struct op *op_smsw(struct cpu *c, const struct op *o)
{
	u64 v;

	cpu_sync(c, o);
	need_no_umip(c, o);
	v = vmx_read_cr(c, o, 0, c->cr0, o->dst);
	if (o->flags & OP_MEM)
		st16(c, o, op_lin(c, o, 2, ACCESS_WRITE), (u16)v);
	else if (o->size == 2)
		c->gpr[o->dst] = (c->gpr[o->dst] & ~0xffffull) | (u16)v;
	else
		c->gpr[o->dst] = o->size == 4 ? (u32)v : v;
	OP_NEXT(c, o);
}

const struct op *op_clts(struct cpu *c, const struct op *o)
{
	cpu_sync(c, o);
	need_cpl0(c, o);
	vmx_intercept_clts(c, o);
	if (!vmx_nonroot(c) || vmx_clts_allowed(c))
		c->cr0 &= ~CR0_TS;
	return cr_done(c, o);
}

/* --- debug registers: SDM 3B "Debug Registers" (18.2) --- */

/* DR4 and DR5 are DR6 and DR7 unless CR4.DE is set. The VM exit comes even before the check of CPL (SDM 3C 26.1.3). */
static unsigned check_mov_dr(struct cpu *c, const struct op *o, unsigned dr, bool write, unsigned gpr)
{
	vmx_intercept_mov_dr(c, o, dr, write, gpr);
	if ((dr == 4 || dr == 5) && (c->cr4 & CR4_DE))
		cpu_raise(c, o, VEC_UD);
	need_cpl0(c, o);
	if (c->dr[7] & DR7_GD) {
		const struct event e = { .vector = VEC_DB, .type = EV_HW_EXCEPTION, .cr2_or_dr6 = DR6_BD };

		cpu_raise_event(c, o, &e);
	}
	return dr == 4 || dr == 5 ? dr + 2 : dr;
}

const struct op *op_mov_to_dr(struct cpu *c, const struct op *o)
{
	u64 v = in_64bit(c) ? c->gpr[o->src] : (u32)c->gpr[o->src];
	unsigned dr;

	cpu_sync(c, o);
	dr = check_mov_dr(c, o, o->dst, true, o->src);
	if (dr >= 6 && v >> 32)
		raise_gp0(c, o);
	if (dr == 6)
		c->dr[6] = (v & DR6_WRITABLE) | DR6_INIT;
	else if (dr == 7)
		sys_load_dr7(c, v);
	else
		c->dr[dr] = v;
	return cr_done(c, o);
}

const struct op *op_mov_from_dr(struct cpu *c, const struct op *o)
{
	unsigned dr;

	cpu_sync(c, o);
	dr = check_mov_dr(c, o, o->src, false, o->dst);
	c->gpr[o->dst] = in_64bit(c) ? c->dr[dr] : (u32)c->dr[dr];
	OP_NEXT(c, o);
}

/* --- translations --- */

const struct op *op_invlpg(struct cpu *c, const struct op *o)
{
	u64 lin;

	cpu_sync(c, o);
	need_cpl0(c, o);
	lin = seg_linear_unchecked(c, (enum sreg)o->seg, op_ea(c, o));
	vmx_intercept_invlpg(c, o, lin);
	if (sys_canonical(c, lin))
		mmu_invlpg(c, lin);
	cpu_charge(c, COST_INVLPG);
	return cr_done(c, o);
}

static bool invpcid_valid(const struct cpu *c, u64 type, const u64 d[2])
{
	if (type > 3 || (d[0] & ~CR3_PCID))
		return false;
	if (type <= 1 && !(c->cr4 & CR4_PCIDE) && d[0])
		return false;
	return type != 0 || sys_base_valid(d[1]);
}

/* SDM 2A "INVPCID": the register operand is the type, memory holds PCID and address. */
const struct op *op_invpcid(struct cpu *c, const struct op *o)
{
	u64 d[2], type;

	cpu_sync(c, o);
	need_cpl0(c, o);
	vmx_intercept_info(c, o, EXIT_INVPCID);
	type = in_64bit(c) ? c->gpr[o->dst] : (u32)c->gpr[o->dst];
	ld_buf(c, o, op_lin(c, o, 16, ACCESS_READ), d, 16);
	if (!invpcid_valid(c, type, d))
		raise_gp0(c, o);
	mmu_invpcid(c, (unsigned)type, (u16)d[0], d[1]);
	cpu_charge(c, COST_INVLPG);
	return cr_done(c, o);
}
