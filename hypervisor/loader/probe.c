// SPDX-License-Identifier: GPL-2.0-only
/*
 * Whether this CPU has what the hypervisor needs, and the control words that ask for it.
 * SDM 3D appendix A "VMX Capability Reporting Facility".
 */
#define pr_fmt(fmt) "ooh_hv: " fmt

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/printk.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/special_insns.h>

#include "arch/msrs.h"
#include "arch/vmx.h"
#include "arch/vmx_controls.h"
#include "loader/loader.h"

/* A control word: what must be 1, what must be 0, what is taken if it is there. */
struct wish {
	u32 msr, true_msr;
	unsigned int kind;
	u32 need, refuse, like;
};

/*
 * The controls we like make instructions work in the guest that raise #UD or exit without them. CR3 accesses are
 * refused because every context switch would exit.
 */
static const struct wish wishes[] = {
	{ IA32_VMX_PINBASED_CTLS, IA32_VMX_TRUE_PINBASED_CTLS, VMX_KIND_PIN,
	  PIN_NMI_EXITING | PIN_VIRTUAL_NMIS, PIN_EXTINT_EXITING, 0 },
	{ IA32_VMX_PROCBASED_CTLS, IA32_VMX_TRUE_PROCBASED_CTLS, VMX_KIND_PROC,
	  PROC_MSR_BITMAPS | PROC_SECONDARY_CONTROLS, PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING, 0 },
	{ IA32_VMX_PROCBASED_CTLS2, IA32_VMX_PROCBASED_CTLS2, VMX_KIND_PROC2,
	  PROC2_ENABLE_EPT | PROC2_ENABLE_VPID | PROC2_ENABLE_PML, 0,
	  PROC2_ENABLE_RDTSCP | PROC2_ENABLE_INVPCID | PROC2_ENABLE_XSAVES | PROC2_ENABLE_USER_WAIT |
	  PROC2_ENABLE_PCONFIG },
	{ IA32_VMX_EXIT_CTLS, IA32_VMX_TRUE_EXIT_CTLS, VMX_KIND_VMEXIT,
	  VMEXIT_HOST_64 | VMEXIT_SAVE_DEBUG_CONTROLS, VMEXIT_LOAD_PERF_GLOBAL_CTRL, 0 },
	{ IA32_VMX_ENTRY_CTLS, IA32_VMX_TRUE_ENTRY_CTLS, VMX_KIND_VMENTRY,
	  VMENTRY_IA32E_GUEST | VMENTRY_LOAD_DEBUG_CONTROLS, VMENTRY_LOAD_PERF_GLOBAL_CTRL, 0 },
};

static const struct {
	u64 bit;
	const char *name;
} ept_needs[] = {
	{ EPT_CAP_WALK_4, "EPT walk of 4 levels" },
	{ EPT_CAP_WB, "write-back EPT structures" },
	{ EPT_CAP_2M, "EPT pages of 2 MiB" },
	{ EPT_CAP_AD, "EPT accessed and dirty flags" },
	{ EPT_CAP_INVEPT | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL, "INVEPT of one context and all" },
	{ VPID_CAP_INVVPID | VPID_CAP_INVVPID_ALL, "INVVPID of all contexts" },
};

u64 ooh_rdmsr(u32 msr)
{
	u64 value = 0;

	rdmsrl_safe(msr, &value); /* 0 where it does not exist: "not there" for every capability */
	return value;
}

static u64 allowed(const struct wish *w)
{
	return ooh_rdmsr(ooh_rdmsr(IA32_VMX_BASIC) & VMX_BASIC_TRUE_MSRS ? w->true_msr : w->msr);
}

/* Low half: bits that must be 1. High half: bits that may be 1. */
static u32 missing_bits(const struct wish *w)
{
	u64 cap = allowed(w);

	return (w->need & ~(u32)(cap >> 32)) | (w->refuse & (u32)cap);
}

static u32 grant(const struct wish *w)
{
	u64 cap = allowed(w);

	return (w->need | w->like | (u32)cap) & (u32)(cap >> 32);
}

int ooh_controls(struct ooh_controls *c)
{
	u32 *word[] = { &c->pin, &c->proc, &c->proc2, &c->exit, &c->entry };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(wishes); i++) {
		if (missing_bits(&wishes[i]))
			return -EOPNOTSUPP;
		*word[i] = grant(&wishes[i]);
	}
	return 0;
}

static void add(char *list, size_t size, const char *name)
{
	size_t used = strlen(list);

	scnprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

static void list_missing(char *list, size_t size)
{
	u64 ept = ooh_rdmsr(IA32_VMX_EPT_VPID_CAP);
	unsigned int i, bit;

	for (i = 0; i < ARRAY_SIZE(wishes); i++)
		for (bit = 0; bit < 32; bit++)
			if (missing_bits(&wishes[i]) & BIT32(bit))
				add(list, size, vmx_control_name(wishes[i].kind, bit));
	for (i = 0; i < ARRAY_SIZE(ept_needs); i++)
		if (~ept & ept_needs[i].bit)
			add(list, size, ept_needs[i].name);
}

int ooh_probe(void)
{
	u64 control = ooh_rdmsr(IA32_FEATURE_CONTROL);
	char list[256] = "";

	if (!(cpuid_ecx(1) & BIT32(5))) {
		pr_err("cannot enable: this CPU (or the machine below) has no VT-x\n");
		return -EOPNOTSUPP;
	}
	if ((control & FEATURE_CONTROL_LOCK) && !(control & FEATURE_CONTROL_VMX)) {
		pr_err("cannot enable: the firmware has locked VT-x off (IA32_FEATURE_CONTROL = %#llx)\n", control);
		return -EPERM;
	}
	if (__read_cr4() & X86_CR4_VMXE) {
		pr_err("cannot enable: VT-x is in use (CR4.VMXE is set; stop KVM's virtual machines)\n");
		return -EBUSY;
	}
	list_missing(list, sizeof(list));
	if (*list) {
		pr_err("cannot enable: this CPU lacks %s\n", list);
		return -EOPNOTSUPP;
	}
	return 0;
}
