/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model-specific registers. A row a register: what it reads, what a write does. What has no row is #GP. Source: SDM 4.
 * There is no firmware: what a BIOS sets up (MTRRs, FEATURE_CONTROL) stands in reset.c.
 */
#include "arch/msrs.h"
#include "arch/vmx.h"
#include "machine/cpu/sys/msr.h"
#include "machine/cpu/sys/priv.h"
#include "machine/dev/apic.h"
#include "machine/vmx/vmx.h"

#define MICROCODE 0x0b000040ull
#define MTRR_VARIABLE 10

/*
 * Not affected by: RDCL, L1TF, SSB, MDS, page-size-change MCE, TAA, MMIO stale data (3 bits), BHI, post-barrier RSB,
 * GDS, RFDS, ITS; and enhanced IBRS. SDM 4 table 2-2, IA32_ARCH_CAPABILITIES.
 */
#define ARCH_CAPABILITIES \
	(BIT64(0) | BIT64(1) | BIT64(3) | BIT64(4) | BIT64(5) | BIT64(6) | BIT64(8) | BIT64(13) | BIT64(14) | BIT64(15) | \
	 BIT64(20) | BIT64(24) | BIT64(26) | BIT64(27) | BIT64(62))

/* What a register or a bit comes with: 0 nothing, else 1 + the feature. */
#define WITH(name) (1 + FEAT_##name)

static bool there(u8 needs)
{
	return !needs || cpuid_has(NULL, (enum cpu_feature)(needs - 1));
}

typedef bool msr_write_fn(struct cpu *c, u64 v);
typedef u64 msr_read_fn(struct cpu *c);

bool sys_pat_valid(u64 v)
{
	for (unsigned i = 0; i < 64; i += 8) {
		unsigned type = (unsigned)bits(v, i + 7, i);

		if (type > MEMTYPE_UC_MINUS || type == 2 || type == 3)
			return false;
	}
	return true;
}

static bool mtrr_type_ok(unsigned type)
{
	return type <= MEMTYPE_WB && type != 2 && type != 3;
}

bool sys_efer_valid(const struct cpu *c, u64 v)
{
	u64 known = EFER_SCE | EFER_LME | EFER_LMA | (cpuid_has(c, FEAT_NX) ? EFER_NXE : 0);

	return !(v & ~known);
}

/* --- writes with a meaning of their own --- */

static bool write_efer(struct cpu *c, u64 v)
{
	u64 changed = (v ^ c->efer) & ~EFER_LMA;

	if (!sys_efer_valid(c, v) || ((changed & EFER_LME) && (c->cr0 & CR0_PG)))
		return false;
	c->efer ^= changed; /* LMA is read-only */
	if (changed & EFER_NXE)
		mmu_flush_all(c);
	mmu_update_mode(c);
	return true;
}

static void shift_tsc(struct cpu *c, u64 delta)
{
	c->tsc_offset += delta;
	c->tsc_adjust += delta;
	apic_tsc_changed(c->apic);
}

static bool write_tsc(struct cpu *c, u64 v)
{
	shift_tsc(c, v - cpu_rdtsc(c));
	return true;
}

static bool write_tsc_adjust(struct cpu *c, u64 v)
{
	shift_tsc(c, v - c->tsc_adjust);
	return true;
}

static bool write_pat(struct cpu *c, u64 v)
{
	if (!sys_pat_valid(v))
		return false;
	c->pat = v;
	return true;
}

/*
 * SDM 4 table 2-2, IA32_MISC_ENABLE: the bits that software may change, and the features they come with. None that
 * only saves power, or that tells a chipset something, has an effect here.
 */
static const struct { u64 bit; u8 needs; } misc_enable_of[] = {
	{ MISC_ENABLE_FAST_STRINGS, 0 }, { MISC_ENABLE_THERMAL, 0 }, { MISC_ENABLE_SPEEDSTEP, WITH(EIST) },
	{ MISC_ENABLE_MONITOR, WITH(MONITOR) }, { MISC_ENABLE_LIMIT_CPUID, 0 }, { MISC_ENABLE_NO_XTPR, WITH(XTPR) },
	{ MISC_ENABLE_XD_DISABLE, WITH(NX) },
};

static u64 misc_enable_bits(void)
{
	u64 v = 0;

	for (unsigned i = 0; i < sizeof(misc_enable_of) / sizeof(misc_enable_of[0]); i++)
		if (there(misc_enable_of[i].needs))
			v |= misc_enable_of[i].bit;
	return v;
}

u64 msr_misc_enable_reset(void)
{
	u64 on = MISC_ENABLE_FAST_STRINGS | MISC_ENABLE_THERMAL | MISC_ENABLE_SPEEDSTEP | MISC_ENABLE_MONITOR;

	return (on & misc_enable_bits()) | MISC_ENABLE_NO_BTS | MISC_ENABLE_NO_PEBS;
}

/*
 * cpuid_has() follows the register. The manual does not say what becomes of EFER.NXE when the execute-disable feature goes:
 * here it is cleared, as the bit is then reserved.
 */
static bool write_misc_enable(struct cpu *c, u64 v)
{
	if ((v ^ c->misc_enable) & ~misc_enable_bits())
		return false;
	c->misc_enable = v;
	if (v & MISC_ENABLE_XD_DISABLE)
		write_efer(c, c->efer & ~EFER_NXE);
	return true;
}

/* SDM 3B "Enhanced Intel SpeedStep Technology" (15.1): a target; this CPU has one operating point only. */
static bool write_perf_ctl(struct cpu *c, u64 v)
{
	if (v & ~BITS(15, 0))
		return false;
	c->perf_ctl = v;
	return true;
}

static bool write_mtrr_def(struct cpu *c, u64 v)
{
	if ((v & ~(MTRR_DEF_TYPE | MTRR_DEF_FE | MTRR_DEF_E)) || !mtrr_type_ok((unsigned)(v & MTRR_DEF_TYPE)))
		return false;
	c->mtrr_def = v;
	return true;
}

static u64 spec_ctrl_bits(void)
{
	return (there(WITH(IBRS_IBPB)) ? BIT64(0) : 0) | (there(WITH(STIBP)) ? BIT64(1) : 0) |
		(there(WITH(SSBD)) ? BIT64(2) : 0) | (there(WITH(BHI_CTRL)) ? BIT64(10) : 0);
}

static bool write_spec_ctrl(struct cpu *c, u64 v)
{
	if (v & ~spec_ctrl_bits())
		return false;
	c->spec_ctrl = v;
	return true;
}

static bool write_tsc_aux(struct cpu *c, u64 v)
{
	if (v >> 32)
		return false;
	c->tsc_aux = v;
	return true;
}

/* Last-branch records and single steps on branches; no branch trace, nothing that freezes. */
static bool write_debugctl(struct cpu *c, u64 v)
{
	if (v & ~DEBUGCTL_IMPLEMENTED)
		return false;
	c->debugctl = v;
	return true;
}

static bool write_zero(struct cpu *c, u64 v)
{
	(void)c;
	return v == 0;
}

/* IA32_PRED_CMD, IA32_FLUSH_CMD: one command bit; the model has neither predictors nor caches. */
static bool write_command(struct cpu *c, u64 v)
{
	(void)c;
	return v <= 1;
}

/* No supervisor state components. */
static bool write_xss(struct cpu *c, u64 v)
{
	if (v)
		return false;
	c->xss = v;
	return true;
}

static bool write_ignored(struct cpu *c, u64 v)
{
	(void)c;
	(void)v;
	return true;
}

static bool write_lstar(struct cpu *c, u64 v)
{
	if (!sys_base_valid(v))
		return false;
	c->lstar = v;
	return true;
}

static bool write_fmask(struct cpu *c, u64 v)
{
	c->fmask = (u32)v;
	return true;
}

/* --- rows --- */

enum kind {
	MSR_CONST, /* reads value; a write is #GP */
	MSR_PLAIN, /* field, any value */
	MSR_CANON, /* field, canonical addresses only */
	MSR_SPECIAL, /* field for reads, or value if there is none; write() */
	MSR_WRITE_ONLY,
};

struct row {
	u32 index;
	enum kind kind;
	u16 field; /* offset in struct cpu; 0: none */
	u64 value;
	msr_write_fn *write;
};

#define FIELD(member) (u16)offsetof(struct cpu, member)
_Static_assert(offsetof(struct cpu, seg) < 65536 && offsetof(struct cpu, fpu) < 65536, "offsets in 16 bits");

static const struct row rows[] = {
	{ IA32_P5_MC_ADDR, MSR_CONST, 0, 0, NULL },
	{ IA32_P5_MC_TYPE, MSR_CONST, 0, 0, NULL },
	{ IA32_PLATFORM_ID, MSR_CONST, 0, 0, NULL },
	{ MSR_SMI_COUNT, MSR_CONST, 0, 0, NULL },
	{ IA32_FEATURE_CONTROL, MSR_SPECIAL, FIELD(feature_control), 0, NULL },
	{ IA32_TSC_ADJUST, MSR_SPECIAL, FIELD(tsc_adjust), 0, write_tsc_adjust },
	{ IA32_SPEC_CTRL, MSR_SPECIAL, FIELD(spec_ctrl), 0, write_spec_ctrl },
	{ IA32_PRED_CMD, MSR_WRITE_ONLY, 0, 0, write_command },
	{ IA32_BIOS_UPDT_TRIG, MSR_WRITE_ONLY, 0, 0, write_ignored },
	{ IA32_BIOS_SIGN_ID, MSR_SPECIAL, 0, MICROCODE << 32, write_ignored },
	{ MSR_PLATFORM_INFO, MSR_CONST, 0, (TSC_HZ / 100000000) << 8, NULL },
	{ IA32_MTRRCAP, MSR_CONST, 0, MTRR_VARIABLE | MTRRCAP_FIX | MTRRCAP_WC, NULL },
	{ IA32_ARCH_CAPABILITIES, MSR_CONST, 0, ARCH_CAPABILITIES, NULL },
	{ IA32_FLUSH_CMD, MSR_WRITE_ONLY, 0, 0, write_command },
	{ IA32_SYSENTER_CS, MSR_PLAIN, FIELD(sysenter_cs), 0, NULL },
	{ IA32_SYSENTER_ESP, MSR_CANON, FIELD(sysenter_esp), 0, NULL },
	{ IA32_SYSENTER_EIP, MSR_CANON, FIELD(sysenter_eip), 0, NULL },
	{ IA32_MCG_CAP, MSR_CONST, 0, 0, NULL }, /* no banks */
	{ IA32_MCG_STATUS, MSR_SPECIAL, 0, 0, write_zero },
	{ IA32_PERF_STATUS, MSR_CONST, 0, (TSC_HZ / 100000000) << 8, NULL },
	{ IA32_PERF_CTL, MSR_SPECIAL, FIELD(perf_ctl), 0, write_perf_ctl },
	{ IA32_MISC_ENABLE, MSR_SPECIAL, FIELD(misc_enable), 0, write_misc_enable },
	{ IA32_DEBUGCTL, MSR_SPECIAL, FIELD(debugctl), 0, write_debugctl },
	{ MSR_LASTBRANCH_TOS, MSR_SPECIAL, FIELD(lbr_top), 0, NULL }, /* read-only */
	{ IA32_PAT, MSR_SPECIAL, FIELD(pat), 0, write_pat },
	{ IA32_MTRR_DEF_TYPE, MSR_SPECIAL, FIELD(mtrr_def), 0, write_mtrr_def },
	{ IA32_XSS, MSR_SPECIAL, FIELD(xss), 0, write_xss },
	{ IA32_EFER, MSR_SPECIAL, FIELD(efer), 0, write_efer },
	{ IA32_STAR, MSR_PLAIN, FIELD(star), 0, NULL },
	{ IA32_LSTAR, MSR_SPECIAL, FIELD(lstar), 0, write_lstar },
	{ IA32_CSTAR, MSR_CANON, FIELD(cstar), 0, NULL },
	{ IA32_FMASK, MSR_SPECIAL, FIELD(fmask), 0, write_fmask },
	{ IA32_FS_BASE, MSR_CANON, FIELD(seg[FS].base), 0, NULL },
	{ IA32_GS_BASE, MSR_CANON, FIELD(seg[GS].base), 0, NULL },
	{ IA32_KERNEL_GS_BASE, MSR_CANON, FIELD(kernel_gs_base), 0, NULL },
	{ IA32_TSC_AUX, MSR_SPECIAL, FIELD(tsc_aux), 0, write_tsc_aux },
};

/* Registers that are there only with a feature. */
static const struct { u32 index; u8 needs; } needs_of[] = {
	{ IA32_TSC_ADJUST, WITH(TSC_ADJUST) }, { IA32_PRED_CMD, WITH(IBRS_IBPB) }, { IA32_FLUSH_CMD, WITH(L1D_FLUSH) },
	{ IA32_ARCH_CAPABILITIES, WITH(ARCH_CAPABILITIES) }, { IA32_XSS, WITH(XSAVES) }, { IA32_TSC_AUX, WITH(RDTSCP) },
	{ IA32_PERF_STATUS, WITH(EIST) }, { IA32_PERF_CTL, WITH(EIST) }, { IA32_TSC_DEADLINE, WITH(TSC_DEADLINE) },
};

static bool exists(u32 index)
{
	for (unsigned i = 0; i < sizeof(needs_of) / sizeof(needs_of[0]); i++)
		if (needs_of[i].index == index)
			return there(needs_of[i].needs);
	return index != IA32_SPEC_CTRL || spec_ctrl_bits();
}

static const struct row *find_row(u32 index)
{
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].index == index)
			return &rows[i];
	return NULL;
}

static u64 *row_field(struct cpu *c, const struct row *r)
{
	return (u64 *)(void *)((char *)c + r->field);
}

static bool row_read(struct cpu *c, const struct row *r, u64 *value)
{
	if (r->kind == MSR_WRITE_ONLY)
		return false;
	*value = r->field ? *row_field(c, r) : r->value;
	return true;
}

static bool row_write(struct cpu *c, const struct row *r, u64 v)
{
	switch (r->kind) {
	case MSR_CANON:
		if (!sys_base_valid(v))
			return false;
		/* fallthrough */
	case MSR_PLAIN:
		*row_field(c, r) = v;
		return true;
	case MSR_SPECIAL:
	case MSR_WRITE_ONLY:
		return r->write && r->write(c, v);
	case MSR_CONST:
		break;
	}
	return false;
}

/* --- MTRR ranges --- */

static u64 *mtrr_fixed(struct cpu *c, u32 index)
{
	switch (index) {
	case IA32_MTRR_FIX64K_00000:
		return &c->mtrr_fix[0];
	case IA32_MTRR_FIX16K_80000:
	case IA32_MTRR_FIX16K_A0000:
		return &c->mtrr_fix[1 + index - IA32_MTRR_FIX16K_80000];
	default:
		if (index >= IA32_MTRR_FIX4K_C0000 && index <= IA32_MTRR_FIX4K_F8000)
			return &c->mtrr_fix[3 + index - IA32_MTRR_FIX4K_C0000];
		return NULL;
	}
}

static u64 *mtrr_variable(struct cpu *c, u32 index)
{
	if (index < IA32_MTRR_PHYSBASE0 || index >= IA32_MTRR_PHYSBASE0 + 2 * MTRR_VARIABLE)
		return NULL;
	return &c->mtrr_var[index - IA32_MTRR_PHYSBASE0];
}

static u64 *last_branch(struct cpu *c, u32 index)
{
	if (index - MSR_LASTBRANCH_0_FROM_IP < LASTBRANCH_DEPTH)
		return &c->lbr_from[index - MSR_LASTBRANCH_0_FROM_IP];
	if (index - MSR_LASTBRANCH_0_TO_IP < LASTBRANCH_DEPTH)
		return &c->lbr_to[index - MSR_LASTBRANCH_0_TO_IP];
	return NULL;
}

static bool write_mtrr_fixed(u64 *reg, u64 v)
{
	for (unsigned i = 0; i < 64; i += 8)
		if (!mtrr_type_ok((unsigned)bits(v, i + 7, i)))
			return false;
	*reg = v;
	return true;
}

static bool write_mtrr_variable(u64 *reg, u32 index, u64 v)
{
	u64 low = index & 1 ? MTRR_PHYSMASK_V : MTRR_DEF_TYPE;

	if ((v & ~(low | (CPU_PHYS_MASK & ~PAGE_OFFSET_MASK))) ||
	    (!(index & 1) && !mtrr_type_ok((unsigned)(v & MTRR_DEF_TYPE))))
		return false;
	*reg = v;
	return true;
}

static bool is_apic_msr(u32 index)
{
	return index == IA32_APIC_BASE || index == IA32_TSC_DEADLINE ||
		(index >= IA32_X2APIC_BASE && index < IA32_X2APIC_BASE + 0x100);
}

static bool is_vmx_msr(u32 index)
{
	return index >= IA32_VMX_BASIC && index <= IA32_VMX_VMFUNC;
}

bool msr_is_timed(u32 index)
{
	return is_apic_msr(index) || index == IA32_TIME_STAMP_COUNTER || index == IA32_TSC_ADJUST;
}

bool msr_read(struct cpu *c, u32 index, u64 *value)
{
	const struct row *r = find_row(index);
	const u64 *range = mtrr_fixed(c, index) ? mtrr_fixed(c, index) : mtrr_variable(c, index);

	if (!exists(index))
		return false;
	if (r)
		return row_read(c, r, value);
	if (range) {
		*value = *range;
		return true;
	}
	if (last_branch(c, index)) {
		*value = *last_branch(c, index);
		return true;
	}
	if (index == IA32_TIME_STAMP_COUNTER) {
		*value = cpu_rdtsc(c);
		return true;
	}
	if (is_apic_msr(index))
		return apic_msr_read(c->apic, index, value);
	return is_vmx_msr(index) && vmx_msr_read(c, index, value);
}

bool msr_write(struct cpu *c, u32 index, u64 value)
{
	const struct row *r = find_row(index);

	if (!exists(index))
		return false;
	if (r)
		return row_write(c, r, value);
	if (mtrr_fixed(c, index))
		return write_mtrr_fixed(mtrr_fixed(c, index), value);
	if (mtrr_variable(c, index))
		return write_mtrr_variable(mtrr_variable(c, index), index, value);
	if (last_branch(c, index) && sys_base_valid(value)) {
		*last_branch(c, index) = value;
		return true;
	}
	if (index == IA32_TIME_STAMP_COUNTER)
		return write_tsc(c, value);
	if (is_apic_msr(index))
		return apic_msr_write(c->apic, index, value);
	return false; /* the VMX capability MSRs are read-only */
}

/*
 * What a BIOS leaves: write-back by default, UC for the VGA hole and the 1 GiB below 4 GiB, write-protected ROM area.
 */
void msr_reset_mtrrs(struct cpu *c)
{
	static const u8 type[11] = { 6, 6, 0, 5, 5, 5, 5, 5, 5, 5, 5 };

	c->mtrr_def = MEMTYPE_WB | MTRR_DEF_E | MTRR_DEF_FE;
	for (unsigned i = 0; i < 11; i++)
		c->mtrr_fix[i] = type[i] * 0x0101010101010101ull;
	memset(c->mtrr_var, 0, sizeof(c->mtrr_var));
	c->mtrr_var[0] = RAM_LOW_MAX | MEMTYPE_UC;
	c->mtrr_var[1] = (CPU_PHYS_MASK & ~(0x100000000ull - RAM_LOW_MAX - 1)) | MTRR_PHYSMASK_V;
}
