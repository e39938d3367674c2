/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reset, INIT and SIPI; what follows from the mode; the CPU's part of a snapshot. SDM 3A "Processor State After Reset"
 * (table 10-1).
 */
#include "arch/msrs.h"
#include "arch/vmx.h"
#include "machine/core/snapshot.h"
#include "machine/cpu/sys/msr.h"
#include "machine/cpu/sys/monitor.h"
#include "machine/cpu/sys/priv.h"
#include "machine/dev/apic.h"
#include "machine/vmx/vmx.h"

static u8 code_size(const struct cpu *c)
{
	if (in_long_mode(c) && (c->seg[CS].ar & DESC_L))
		return 64;
	return c->seg[CS].ar & DESC_DB && !in_v86(c) ? 32 : 16;
}

/* SS.DPL is the CPL, in the VMCS as here (SDM 3C "Guest Segment Registers"). */
static u8 current_cpl(const struct cpu *c)
{
	if (!(c->cr0 & CR0_PE))
		return 0;
	return in_v86(c) ? 3 : (u8)bits(c->seg[SS].ar, 6, 5);
}

void cpu_update_code_mode(struct cpu *c)
{
	c->code_size = code_size(c);
	c->stack_mask = c->code_size == 64 ? ~0ull : c->seg[SS].ar & DESC_DB ? 0xffffffff : 0xffff;
	c->cpl = current_cpl(c);
	mmu_update_mode(c);
}

static struct segment reset_segment(u16 sel, u64 base, u32 type)
{
	return (struct segment){ .sel = sel, .base = base, .limit = 0xffff, .ar = DESC_P | DESC_S | type | SEG_TYPE_A };
}

static void reset_segments(struct cpu *c)
{
	for (unsigned i = 0; i < SREG_COUNT; i++)
		c->seg[i] = reset_segment(0, 0, SEG_TYPE_W);
	c->seg[CS] = reset_segment(0xf000, 0xffff0000, SEG_TYPE_CODE | SEG_TYPE_R);
	c->ldtr = (struct segment){ .limit = 0xffff, .ar = DESC_P | SYS_TYPE_LDT };
	c->tr = (struct segment){ .limit = 0xffff, .ar = DESC_P | SYS_TYPE_TSS_BUSY };
	c->gdtr = c->idtr = (struct table_reg){ .limit = 0xffff };
}

/* What RESET and INIT have in common. */
static void reset_registers(struct cpu *c)
{
	memset(c->gpr, 0, sizeof(c->gpr));
	c->gpr[RDX] = 0x000406f1; /* the signature, as CPUID 1 gives it */
	c->rip = 0xfff0;
	reset_segments(c);
	memset(c->dr, 0, sizeof(c->dr));
	c->dr[6] = DR6_INIT;
	c->dr[7] = DR7_INIT;
	c->cr2 = c->cr3 = c->cr4 = 0;
	c->efer = 0;
	c->inhibit = 0;
	c->pending_dbg = 0;
	c->nmi_blocked = false;
	c->is_delivering = false;
	c->mwait = c->mwait_intr = false;
	monitor_disarm(c);
	memset(c->pdpte, 0, sizeof(c->pdpte));
}

static void reset_msrs(struct cpu *c)
{
	c->star = c->lstar = c->cstar = c->fmask = c->kernel_gs_base = c->tsc_aux = 0;
	c->sysenter_cs = c->sysenter_esp = c->sysenter_eip = 0;
	c->pat = PAT_RESET;
	c->xcr0 = XCR0_X87;
	c->pkru = 0;
	c->misc_enable = msr_misc_enable_reset();
	c->perf_ctl = 0;
	c->feature_control = FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX;
	c->debugctl = c->spec_ctrl = c->xss = 0;
	memset(c->lbr_from, 0, sizeof(c->lbr_from));
	memset(c->lbr_to, 0, sizeof(c->lbr_to));
	c->lbr_top = 0;
	c->tsc_offset = -cpu_now(c);
	c->tsc_adjust = 0;
	msr_reset_mtrrs(c);
}

static void reset_done(struct cpu *c, u64 cr0)
{
	c->cr0 = cr0;
	mmu_flush_all(c);
	cpu_set_rflags(c, EFLAGS_ONE);
	cpu_update_code_mode(c);
	code_flush_all(c);
	c->activity = c->id == 0 ? ACTIVE : WAIT_SIPI;
}

void cpu_reset(struct cpu *c)
{
	reset_registers(c);
	reset_msrs(c);
	fpu_reset(c);
	apic_reset(c->apic);
	vmx_reset(c);
	c->pending = 0;
	reset_done(c, CR0_CD | CR0_NW | CR0_ET);
}

void cpu_stop(struct cpu *c)
{
	c->activity = WAIT_SIPI;
}

/* CD and NW keep their values. */
void sys_init(struct cpu *c)
{
	u64 cr0 = (c->cr0 & (CR0_CD | CR0_NW)) | CR0_ET;

	reset_registers(c);
	apic_init_signal(c->apic);
	c->pending &= PEND_STOP | PEND_SIPI;
	reset_done(c, cr0);
}

void sys_sipi(struct cpu *c, u8 vector)
{
	c->seg[CS].sel = (u16)(vector << 8);
	c->seg[CS].base = (u64)vector << 12;
	c->rip = 0;
	c->activity = ACTIVE;
	cpu_update_code_mode(c);
}

/* Member by member: what lies between them is no state. */
static void snap_segment(struct snap *s, const char *name, struct segment *g)
{
	u64 v[] = { g->base, g->limit, g->ar, g->sel };

	snap_var(s, name, v);
	*g = (struct segment){ .base = v[0], .limit = (u32)v[1], .ar = (u32)v[2], .sel = (u16)v[3] };
}

static void snap_table(struct snap *s, const char *name, struct table_reg *t)
{
	u64 v[] = { t->base, t->limit };

	snap_var(s, name, v);
	*t = (struct table_reg){ .base = v[0], .limit = (u16)v[1] };
}

static void snap_system_registers(struct cpu *c, struct snap *s)
{
	static const char *const names[SREG_COUNT] = { "es", "cs", "ss", "ds", "fs", "gs" };

	for (unsigned i = 0; i < SREG_COUNT; i++)
		snap_segment(s, names[i], &c->seg[i]);
	snap_segment(s, "ldtr", &c->ldtr);
	snap_segment(s, "tr", &c->tr);
	snap_table(s, "gdtr", &c->gdtr);
	snap_table(s, "idtr", &c->idtr);
	snap_var(s, "cr0", c->cr0);
	snap_var(s, "cr2", c->cr2);
	snap_var(s, "cr3", c->cr3);
	snap_var(s, "cr4", c->cr4);
	snap_var(s, "xcr0", c->xcr0);
	snap_var(s, "dr", c->dr);
	snap_var(s, "efer", c->efer);
	snap_var(s, "pdpte", c->pdpte);
}

static void snap_msrs(struct cpu *c, struct snap *s)
{
	snap_var(s, "star", c->star);
	snap_var(s, "lstar", c->lstar);
	snap_var(s, "cstar", c->cstar);
	snap_var(s, "fmask", c->fmask);
	snap_var(s, "kernel_gs_base", c->kernel_gs_base);
	snap_var(s, "tsc_aux", c->tsc_aux);
	snap_var(s, "pat", c->pat);
	snap_var(s, "sysenter_cs", c->sysenter_cs);
	snap_var(s, "sysenter_esp", c->sysenter_esp);
	snap_var(s, "sysenter_eip", c->sysenter_eip);
	snap_var(s, "misc_enable", c->misc_enable);
	snap_var(s, "perf_ctl", c->perf_ctl);
	snap_var(s, "feature_control", c->feature_control);
	snap_var(s, "tsc_adjust", c->tsc_adjust);
	snap_var(s, "tsc_offset", c->tsc_offset);
	snap_var(s, "debugctl", c->debugctl);
	snap_var(s, "lbr_from", c->lbr_from);
	snap_var(s, "lbr_to", c->lbr_to);
	snap_var(s, "lbr_top", c->lbr_top);
	snap_var(s, "spec_ctrl", c->spec_ctrl);
	snap_var(s, "xss", c->xss);
	snap_var(s, "pkru", c->pkru);
	snap_var(s, "mtrr_def", c->mtrr_def);
	snap_var(s, "mtrr_fix", c->mtrr_fix);
	snap_var(s, "mtrr_var", c->mtrr_var);
}

static void snap_run_state(struct cpu *c, struct snap *s)
{
	snap_var(s, "budget", c->budget);
	snap_var(s, "deadline", c->deadline);
	snap_var(s, "pending", c->pending);
	snap_var(s, "inhibit", c->inhibit);
	snap_var(s, "activity", c->activity);
	snap_var(s, "pending_dbg", c->pending_dbg);
	snap_var(s, "nmi_blocked", c->nmi_blocked);
	snap_var(s, "single", c->single);
	snap_var(s, "halt_since", c->halt_since);
	if (c->id == 0)
		snap_var(s, "seed", c->m->seed);
}

/* Taken between two instructions: nothing is being delivered, no block runs. */
void cpu_snap(struct cpu *c, struct snap *s)
{
	u64 flags = cpu_rflags(c);

	snap_bytes(s, "gpr", c->gpr, 16 * sizeof(c->gpr[0]));
	snap_var(s, "rip", c->rip);
	snap_var(s, "rflags", flags);
	snap_system_registers(c, s);
	snap_msrs(c, s);
	snap_run_state(c, s);
	monitor_snap(c, s);
	fpu_snap(c, s);
	vmx_snap(c, s);
	mmu_snap(c, s);
	if (!snap_restoring(s))
		return;
	cpu_set_rflags(c, flags);
	cpu_update_code_mode(c);
}
