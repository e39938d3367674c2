/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SDM 3C "Checks on Guest Segment Registers" (27.3.1.2). A broken rule makes the entry fail with exit reason 33. */
#include "arch/x86.h"
#include "machine/cpu/sys/sys.h"
#include "machine/vmx/entry.h"
#include "machine/vmx/layout.h"

enum { LDTR = SEG_LDTR, TR = SEG_TR };

static u64 sel(const struct cpu *c, unsigned s)
{
	return VMCS_SEG(c, s, SELECTOR);
}

static u64 base(const struct cpu *c, unsigned s)
{
	return VMCS_SEG(c, s, BASE);
}

static u64 limit(const struct cpu *c, unsigned s)
{
	return VMCS_SEG(c, s, LIMIT);
}

static u64 ar(const struct cpu *c, unsigned s)
{
	return VMCS_SEG(c, s, AR);
}

static unsigned type(const struct cpu *c, unsigned s)
{
	return (unsigned)(ar(c, s) & VMX_AR_TYPE);
}

static unsigned dpl(const struct cpu *c, unsigned s)
{
	return (unsigned)bits(ar(c, s), 6, 5);
}

static unsigned rpl(const struct cpu *c, unsigned s)
{
	return (unsigned)(sel(c, s) & SELECTOR_RPL);
}

static bool usable(const struct cpu *c, unsigned s)
{
	return !(ar(c, s) & VMX_AR_UNUSABLE);
}

static bool v86(const struct cpu *c)
{
	return VMCS(c, GUEST_RFLAGS) & EFLAGS_VM;
}

static bool ia32e(const struct cpu *c)
{
	return vmx_entry_ctl(c, VMENTRY_IA32E_GUEST);
}

static bool unrestricted(const struct cpu *c)
{
	return vmx_proc2(c, PROC2_UNRESTRICTED_GUEST);
}

/* CS is always looked at; the others if they are usable. */
static bool checked(const struct cpu *c, unsigned s)
{
	return !v86(c) && (s == CS || usable(c, s));
}

static bool ti(const struct cpu *c, unsigned s)
{
	return (s == LDTR && !usable(c, s)) || !(sel(c, s) & SELECTOR_TI);
}

static bool ss_rpl(const struct cpu *c, unsigned s)
{
	return v86(c) || unrestricted(c) || rpl(c, SS) == rpl(c, CS);
}

static bool v86_base(const struct cpu *c, unsigned s)
{
	return !v86(c) || base(c, s) == sel(c, s) << 4;
}

static bool base_canonical(const struct cpu *c, unsigned s)
{
	return (s == LDTR && !usable(c, s)) || sys_base_valid(base(c, s));
}

static bool base_high(const struct cpu *c, unsigned s)
{
	return (s != CS && !usable(c, s)) || !(base(c, s) >> 32);
}

static bool v86_limit(const struct cpu *c, unsigned s)
{
	return !v86(c) || limit(c, s) == 0xffff;
}

static bool v86_ar(const struct cpu *c, unsigned s)
{
	return !v86(c) || ar(c, s) == 0xf3;
}

static bool cs_type(const struct cpu *c, unsigned s)
{
	unsigned t = type(c, CS);

	return v86(c) || ((t & SEG_TYPE_CODE) && (t & SEG_TYPE_A)) || (t == 3 && unrestricted(c));
}

static bool ss_type(const struct cpu *c, unsigned s)
{
	return !checked(c, SS) || type(c, SS) == 3 || type(c, SS) == 7;
}

/* Accessed; and readable if it is code. */
static bool data_type(const struct cpu *c, unsigned s)
{
	unsigned t = type(c, s);

	return !checked(c, s) || ((t & SEG_TYPE_A) && (!(t & SEG_TYPE_CODE) || (t & SEG_TYPE_R)));
}

static bool s_bit(const struct cpu *c, unsigned s)
{
	return !checked(c, s) || (ar(c, s) & VMX_AR_S);
}

static bool cs_dpl(const struct cpu *c, unsigned s)
{
	if (v86(c))
		return true;
	switch (type(c, CS)) {
	case 3: return dpl(c, CS) == 0;
	case 9:
	case 11: return dpl(c, CS) == dpl(c, SS);
	default: return dpl(c, CS) <= dpl(c, SS);
	}
}

static bool ss_dpl_rpl(const struct cpu *c, unsigned s)
{
	return v86(c) || unrestricted(c) || dpl(c, SS) == rpl(c, SS);
}

static bool ss_dpl_real(const struct cpu *c, unsigned s)
{
	if (v86(c) || (type(c, CS) != 3 && (VMCS(c, GUEST_CR0) & CR0_PE)))
		return true;
	return dpl(c, SS) == 0;
}

/* Data and non-conforming code only. */
static bool data_dpl(const struct cpu *c, unsigned s)
{
	return !checked(c, s) || unrestricted(c) || type(c, s) > 11 || dpl(c, s) >= rpl(c, s);
}

static bool present(const struct cpu *c, unsigned s)
{
	return !checked(c, s) || (ar(c, s) & VMX_AR_P);
}

static bool reserved(const struct cpu *c, unsigned s)
{
	return !checked(c, s) || !(ar(c, s) & VMX_AR_RESERVED);
}

static bool cs_long_default(const struct cpu *c, unsigned s)
{
	return v86(c) || !ia32e(c) || !(ar(c, CS) & VMX_AR_L) || !(ar(c, CS) & VMX_AR_DB);
}

static bool granularity_fits(const struct cpu *c, unsigned s)
{
	bool g = ar(c, s) & VMX_AR_G;

	if ((limit(c, s) & 0xfff) != 0xfff && g)
		return false;
	return !(limit(c, s) >> 20) || g;
}

static bool granularity(const struct cpu *c, unsigned s)
{
	return !checked(c, s) || granularity_fits(c, s);
}

static bool tr_type(const struct cpu *c, unsigned s)
{
	return type(c, TR) == SYS_TYPE_TSS_BUSY || (!ia32e(c) && type(c, TR) == SYS_TYPE_TSS16_BUSY);
}

static bool tr_attributes(const struct cpu *c, unsigned s)
{
	u64 a = ar(c, TR);

	return !(a & VMX_AR_S) && (a & VMX_AR_P) && !(a & VMX_AR_UNUSABLE) && !(a & VMX_AR_RESERVED);
}

static bool tr_granularity(const struct cpu *c, unsigned s)
{
	return granularity_fits(c, TR);
}

static bool ldtr_attributes(const struct cpu *c, unsigned s)
{
	u64 a = ar(c, LDTR);

	if (!usable(c, LDTR))
		return true;
	return type(c, LDTR) == SYS_TYPE_LDT && !(a & VMX_AR_S) && (a & VMX_AR_P) && !(a & VMX_AR_RESERVED) &&
	       granularity_fits(c, LDTR);
}

#define EACH(rule, text) \
	{ rule, ES, "guest ES: " text }, { rule, CS, "guest CS: " text }, { rule, SS, "guest SS: " text }, \
	{ rule, DS, "guest DS: " text }, { rule, FS, "guest FS: " text }, { rule, GS, "guest GS: " text }
#define EACH_DATA(rule, text) \
	{ rule, ES, "guest ES: " text }, { rule, DS, "guest DS: " text }, \
	{ rule, FS, "guest FS: " text }, { rule, GS, "guest GS: " text }

static const struct vmx_rule segment_rules[] = {
	{ ti, TR, "guest TR: TI" },
	{ ti, LDTR, "guest LDTR: TI" },
	{ ss_rpl, SS, "guest SS: RPL as CS.RPL" },
	EACH(v86_base, "base in virtual-8086 mode"),
	{ base_canonical, TR, "guest TR: base canonical" },
	{ base_canonical, FS, "guest FS: base canonical" },
	{ base_canonical, GS, "guest GS: base canonical" },
	{ base_canonical, LDTR, "guest LDTR: base canonical" },
	{ base_high, CS, "guest CS: base bits 63:32" },
	{ base_high, SS, "guest SS: base bits 63:32" },
	{ base_high, DS, "guest DS: base bits 63:32" },
	{ base_high, ES, "guest ES: base bits 63:32" },
	EACH(v86_limit, "limit in virtual-8086 mode"),
	EACH(v86_ar, "access rights in virtual-8086 mode"),
	{ cs_type, CS, "guest CS: type" },
	{ ss_type, SS, "guest SS: type" },
	EACH_DATA(data_type, "type"),
	EACH(s_bit, "S"),
	{ cs_dpl, CS, "guest CS: DPL" },
	{ ss_dpl_rpl, SS, "guest SS: DPL as RPL" },
	{ ss_dpl_real, SS, "guest SS: DPL is 0 in real mode" },
	EACH_DATA(data_dpl, "DPL"),
	EACH(present, "P"),
	EACH(reserved, "reserved access rights"),
	{ cs_long_default, CS, "guest CS: D/B with L" },
	EACH(granularity, "G against limit"),
	{ tr_type, TR, "guest TR: type" },
	{ tr_attributes, TR, "guest TR: S, P, unusable, reserved" },
	{ tr_granularity, TR, "guest TR: G against limit" },
	{ ldtr_attributes, LDTR, "guest LDTR: type, S, P, reserved, G" },
};

const char *vmx_check_guest_segments(const struct cpu *c)
{
	return vmx_broken_rule(c, segment_rules, sizeof(segment_rules) / sizeof(segment_rules[0]));
}
