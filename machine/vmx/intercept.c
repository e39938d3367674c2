/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which instructions exit: SDM 3C "Instructions That Cause VM Exits" (26.1) and "Changes to Instruction Behavior in
 * VMX Non-Root Operation" (26.3). Those that depend on one control are rows of a table; the others have a function
 * each.
 */
#include "arch/msrs.h"
#include "arch/x86.h"
#include "machine/vmx/exit.h"
#include "machine/vmx/virt_apic.h"
#include "machine/vmx/vmcs.h"
#include "machine/vmx/vmx.h"

enum word { EXITS_ALWAYS = 1, BY_PROC, BY_PROC2 };

/*
 * By exit reason: the control that makes the instruction exit; and the one without which it is #UD in non-root
 * operation.
 */
static const struct {
	u8 word;
	u32 control;
	u32 enabled_by; /* secondary control */
} rows[EXIT_REASON_COUNT] = {
	[EXIT_CPUID] = { EXITS_ALWAYS },
	[EXIT_GETSEC] = { EXITS_ALWAYS },
	[EXIT_INVD] = { EXITS_ALWAYS },
	[EXIT_XSETBV] = { EXITS_ALWAYS },
	[EXIT_VMCALL] = { EXITS_ALWAYS },
	[EXIT_VMCLEAR] = { EXITS_ALWAYS },
	[EXIT_VMLAUNCH] = { EXITS_ALWAYS },
	[EXIT_VMPTRLD] = { EXITS_ALWAYS },
	[EXIT_VMPTRST] = { EXITS_ALWAYS },
	[EXIT_VMREAD] = { EXITS_ALWAYS },
	[EXIT_VMRESUME] = { EXITS_ALWAYS },
	[EXIT_VMWRITE] = { EXITS_ALWAYS },
	[EXIT_VMXOFF] = { EXITS_ALWAYS },
	[EXIT_VMXON] = { EXITS_ALWAYS },
	[EXIT_INVEPT] = { EXITS_ALWAYS },
	[EXIT_INVVPID] = { EXITS_ALWAYS },
	[EXIT_HLT] = { BY_PROC, PROC_HLT_EXITING },
	[EXIT_INVLPG] = { BY_PROC, PROC_INVLPG_EXITING },
	[EXIT_INVPCID] = { BY_PROC, PROC_INVLPG_EXITING, PROC2_ENABLE_INVPCID },
	[EXIT_RDPMC] = { BY_PROC, PROC_RDPMC_EXITING },
	[EXIT_RDTSC] = { BY_PROC, PROC_RDTSC_EXITING },
	[EXIT_RDTSCP] = { BY_PROC, PROC_RDTSC_EXITING, PROC2_ENABLE_RDTSCP },
	[EXIT_MWAIT] = { BY_PROC, PROC_MWAIT_EXITING },
	[EXIT_MONITOR] = { BY_PROC, PROC_MONITOR_EXITING },
	[EXIT_PAUSE] = { BY_PROC, PROC_PAUSE_EXITING },
	[EXIT_GDTR_IDTR] = { BY_PROC2, PROC2_DESC_TABLE_EXITING },
	[EXIT_LDTR_TR] = { BY_PROC2, PROC2_DESC_TABLE_EXITING },
	[EXIT_WBINVD] = { BY_PROC2, PROC2_WBINVD_EXITING },
	[EXIT_XSAVES] = { BY_PROC2, PROC2_ENABLE_XSAVES, PROC2_ENABLE_XSAVES },
	[EXIT_XRSTORS] = { BY_PROC2, PROC2_ENABLE_XSAVES, PROC2_ENABLE_XSAVES },
	[EXIT_RDRAND] = { BY_PROC2, PROC2_RDRAND_EXITING },
	[EXIT_RDSEED] = { BY_PROC2, PROC2_RDSEED_EXITING },
};

/* True if the instruction exits. An unknown reason is a mistake of the caller: the machine stops. */
static bool exits(struct cpu *c, const struct op *o, unsigned reason)
{
	if (!vmx_nonroot(c))
		return false;
	if (reason >= EXIT_REASON_COUNT || !rows[reason].word)
		machine_unimplemented(c, o, "VM exit by instruction with reason %u", reason);
	if (rows[reason].enabled_by && !vmx_proc2(c, rows[reason].enabled_by))
		cpu_raise(c, o, VEC_UD);
	switch (rows[reason].word) {
	case BY_PROC: return vmx_proc(c, rows[reason].control);
	case BY_PROC2: return vmx_proc2(c, rows[reason].control);
	}
	return true;
}

void vmx_intercept(struct cpu *c, const struct op *o, unsigned reason, u64 qual)
{
	if (exits(c, o, reason))
		vmx_exit_instruction(c, o, reason, qual, 0);
}

void vmx_intercept_info(struct cpu *c, const struct op *o, unsigned reason)
{
	if (exits(c, o, reason))
		vmx_exit_instruction(c, o, reason, vmx_insn_displacement(c, o), vmx_insn_info(o));
}

void vmx_intercept_invlpg(struct cpu *c, const struct op *o, u64 lin)
{
	vmx_intercept(c, o, EXIT_INVLPG, lin);
}

static _Noreturn void exit_cr(struct cpu *c, const struct op *o, unsigned cr, unsigned access, unsigned gpr)
{
	u64 qual = cr | (u64)access << QUAL_CR_ACCESS_SHIFT | (u64)gpr << QUAL_CR_GPR_SHIFT;

	vmx_exit_instruction(c, o, EXIT_CR_ACCESS, qual, 0);
}

static bool cr3_is_target(const struct cpu *c, u64 value)
{
	for (unsigned i = 0; i < VMCS(c, CR3_TARGET_COUNT); i++)
		if (c->vmx.vmcs->f[VF_CR3_TARGET_VALUE_0 + i] == value)
			return true;
	return false;
}

/* Bits that the host owns must be written as their shadow reads, and keep what they are. */
static u64 write_masked(struct cpu *c, const struct op *o, unsigned cr, u64 value, u64 mask, u64 read_shadow, u64 now,
			unsigned gpr)
{
	if ((value ^ read_shadow) & mask)
		exit_cr(c, o, cr, QUAL_CR_MOV_TO, gpr);
	return (value & ~mask) | (now & mask);
}

u64 vmx_write_cr(struct cpu *c, const struct op *o, unsigned cr, u64 value, unsigned gpr)
{
	if (!vmx_nonroot(c))
		return value;
	switch (cr) {
	case 0:
		return write_masked(c, o, 0, value, VMCS(c, CR0_MASK), VMCS(c, CR0_READ_SHADOW), c->cr0, gpr);
	case 3:
		if (vmx_proc(c, PROC_CR3_LOAD_EXITING) && !cr3_is_target(c, value))
			exit_cr(c, o, 3, QUAL_CR_MOV_TO, gpr);
		return value;
	case 4:
		return write_masked(c, o, 4, value, VMCS(c, CR4_MASK), VMCS(c, CR4_READ_SHADOW), c->cr4, gpr);
	case 8:
		if (vmx_proc(c, PROC_CR8_LOAD_EXITING))
			exit_cr(c, o, 8, QUAL_CR_MOV_TO, gpr);
	}
	return value;
}

u64 vmx_read_cr(struct cpu *c, const struct op *o, unsigned cr, u64 value, unsigned gpr)
{
	if (!vmx_nonroot(c))
		return value;
	switch (cr) {
	case 0:
		return (value & ~VMCS(c, CR0_MASK)) | (VMCS(c, CR0_READ_SHADOW) & VMCS(c, CR0_MASK));
	case 3:
		if (vmx_proc(c, PROC_CR3_STORE_EXITING))
			exit_cr(c, o, 3, QUAL_CR_MOV_FROM, gpr);
		return value;
	case 4:
		return (value & ~VMCS(c, CR4_MASK)) | (VMCS(c, CR4_READ_SHADOW) & VMCS(c, CR4_MASK));
	case 8:
		if (vmx_proc(c, PROC_CR8_STORE_EXITING))
			exit_cr(c, o, 8, QUAL_CR_MOV_FROM, gpr);
		if (vmx_proc(c, PROC_TPR_SHADOW))
			return vmx_virtual_cr8(c);
	}
	return value;
}

void vmx_intercept_clts(struct cpu *c, const struct op *o)
{
	if (vmx_nonroot(c) && (VMCS(c, CR0_MASK) & VMCS(c, CR0_READ_SHADOW) & CR0_TS))
		exit_cr(c, o, 0, QUAL_CR_CLTS, 0);
}

bool vmx_clts_allowed(struct cpu *c)
{
	return !vmx_nonroot(c) || !(VMCS(c, CR0_MASK) & CR0_TS);
}

/* SDM 3C 26.1.3 "LMSW": PE can only be set by it, so only setting it counts. */
u64 vmx_lmsw(struct cpu *c, const struct op *o, u16 value, bool mem, u64 lin)
{
	u64 wanted = (c->cr0 & ~(CR0_MP | CR0_EM | CR0_TS)) | (value & (CR0_PE | CR0_MP | CR0_EM | CR0_TS));
	u64 mask, differs;

	if (!vmx_nonroot(c))
		return wanted;
	mask = VMCS(c, CR0_MASK);
	differs = (value ^ VMCS(c, CR0_READ_SHADOW)) & mask & (CR0_MP | CR0_EM | CR0_TS);
	differs |= value & ~VMCS(c, CR0_READ_SHADOW) & mask & CR0_PE;
	if (differs) {
		struct vmexit x = {
			.reason = EXIT_CR_ACCESS,
			.qual = (u64)QUAL_CR_LMSW << QUAL_CR_ACCESS_SHIFT | (mem ? QUAL_CR_LMSW_MEMORY : 0) |
				(u64)value << QUAL_CR_LMSW_SHIFT,
			.gla = mem ? lin : 0,
			.insn_len = o->len,
		};
		cpu_sync(c, o);
		vmx_exit(c, &x);
	}
	return (wanted & ~mask) | (c->cr0 & mask);
}

void vmx_intercept_mov_dr(struct cpu *c, const struct op *o, unsigned dr, bool write, unsigned gpr)
{
	if (vmx_nonroot(c) && vmx_proc(c, PROC_MOV_DR_EXITING))
		vmx_exit_instruction(c, o, EXIT_DR_ACCESS, dr | (write ? 0 : QUAL_DR_FROM) | (u64)gpr << QUAL_DR_GPR_SHIFT, 0);
}

/* SDM 3C "I/O-Bitmap Addresses" (25.6.4): a bit a port; an access that wraps around the 64-KiB space exits. */
static bool io_exits(struct cpu *c, u16 port, unsigned size)
{
	if (!vmx_proc(c, PROC_IO_BITMAPS))
		return vmx_proc(c, PROC_UNCOND_IO_EXITING);
	for (u32 p = port; p < (u32)port + size; p++) {
		u64 map = p < 0x8000 ? VMCS(c, IO_BITMAP_A) : VMCS(c, IO_BITMAP_B);

		if (p > 0xffff || (vmx_phys_read(c, map + (p & 0x7fff) / 8, 1) >> (p & 7) & 1))
			return true;
	}
	return false;
}

void vmx_intercept_io(struct cpu *c, const struct op *o, u16 port, unsigned size, bool in, bool string, bool rep,
		      bool imm, u64 lin)
{
	struct vmexit x = { .reason = EXIT_IO };

	if (!vmx_nonroot(c) || !io_exits(c, port, size))
		return;
	x.qual = (size - 1) | (in ? QUAL_IO_IN : 0) | (string ? QUAL_IO_STRING : 0) | (rep ? QUAL_IO_REP : 0) |
		 (imm ? QUAL_IO_IMMEDIATE : 0) | (u64)port << QUAL_IO_PORT_SHIFT;
	x.insn_len = o->len;
	if (string) {
		x.gla = lin;
		/* SDM 3C table 28-9: address size; the segment is defined for OUTS only. */
		x.insn_info = (o->asize == 8 ? 2u : o->asize == 4 ? 1u : 0u) << INSN_INFO_ASIZE_SHIFT;
		if (!in)
			x.insn_info |= (u32)o->seg << INSN_INFO_SEG_SHIFT;
	}
	cpu_sync(c, o);
	vmx_exit(c, &x);
}

/* SDM 3C "MSR-Bitmap Address" (25.6.9): MSRs outside the two ranges exit. */
static bool msr_exits(struct cpu *c, u32 msr, bool write)
{
	u64 map = VMCS(c, MSR_BITMAP) + (write ? MSR_BITMAP_WRITE_LOW : MSR_BITMAP_READ_LOW);

	if (!vmx_proc(c, PROC_MSR_BITMAPS))
		return true;
	if (msr >= MSR_BITMAP_HIGH_FIRST && msr <= MSR_BITMAP_HIGH_LAST)
		map += MSR_BITMAP_READ_HIGH - MSR_BITMAP_READ_LOW;
	else if (msr > MSR_BITMAP_LOW_LAST)
		return true;
	return vmx_phys_read(c, map + (msr & 0x1fff) / 8, 1) >> (msr & 7) & 1;
}

void vmx_intercept_msr(struct cpu *c, const struct op *o, u32 msr, bool write)
{
	if (vmx_nonroot(c) && msr_exits(c, msr, write))
		vmx_exit_instruction(c, o, write ? EXIT_WRMSR : EXIT_RDMSR, 0, 0);
}

/* SDM 3C 26.1.3 "XRSTORS", "XSAVES": they exit for a component of IA32_XSS that the XSS-exiting bitmap names. */
void vmx_intercept_xsaves(struct cpu *c, const struct op *o, unsigned reason, u64 mask)
{
	if (exits(c, o, reason) && (mask & c->xss & VMCS(c, XSS_EXIT_BITMAP)))
		vmx_exit_instruction(c, o, reason, vmx_insn_displacement(c, o), vmx_insn_info(o));
}

/* The PAUSE at CPL 0 and TSC `now` exits: the loop that it belongs to has lasted for longer than PLE_Window. */
static bool pause_loop_exits(struct cpu *c, u64 now)
{
	struct vmx_state *v = &c->vmx;
	bool first = !v->paused || now - v->pause_last > VMCS(c, PLE_GAP);

	v->paused = true;
	v->pause_last = now;
	if (first)
		v->pause_first = now;
	return now - v->pause_first > VMCS(c, PLE_WINDOW);
}

/* SDM 3C 26.3 "MWAIT" */
bool vmx_keeps_awake(const struct cpu *c)
{
	return vmx_nonroot(c) && !(c->eflags & EFLAGS_IF) && (vmx_proc(c, PROC_INTR_WINDOW_EXITING) || vmx_virtual_interrupt(c));
}

/* SDM 3C 26.1.3 "PAUSE": "PAUSE-loop exiting" counts at CPL 0 and without "PAUSE exiting" only. */
void vmx_intercept_pause(struct cpu *c, const struct op *o)
{
	if (!vmx_nonroot(c))
		return;
	cpu_sync(c, o);
	vmx_intercept(c, o, EXIT_PAUSE, 0);
	if (c->cpl == 0 && vmx_proc2(c, PROC2_PAUSE_LOOP_EXITING) && pause_loop_exits(c, cpu_rdtsc(c)))
		vmx_exit_instruction(c, o, EXIT_PAUSE, 0, 0);
}

/* SDM 3C "Time-Stamp Counter Offset and Multiplier" (25.6.5): a multiplier of 2^48 is 1. */
u64 vmx_tsc(struct cpu *c, u64 tsc)
{
	if (!vmx_nonroot(c) || !vmx_proc(c, PROC_TSC_OFFSETTING))
		return tsc;
	if (vmx_proc2(c, PROC2_TSC_SCALING))
		tsc = (u64)((unsigned __int128)tsc * VMCS(c, TSC_MULTIPLIER) >> 48);
	return tsc + VMCS(c, TSC_OFFSET);
}

bool vmx_unrestricted(const struct cpu *c)
{
	return vmx_nonroot(c) && vmx_proc2(c, PROC2_UNRESTRICTED_GUEST);
}
