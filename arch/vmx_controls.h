/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * Control bits: PIN_EXTINT_EXITING, PROC_HLT_EXITING, PROC2_ENABLE_EPT, VMEXIT_HOST_64, VMENTRY_IA32E_GUEST,
 * VMFUNC_EPTP_SWITCHING ... as 32-bit masks from vmx_controls.def; and enum vmx_cap, which names each control as
 * "kind and bit" for support maps.
 * Source: SDM 3C 25.6 to 25.8; default1 classes: SDM 3D appendix A.2 to A.5.
 */
#ifndef OOH_ARCH_VMX_CONTROLS_H
#define OOH_ARCH_VMX_CONTROLS_H

#include "arch/bits.h"

#define VMX_KIND_PIN     0
#define VMX_KIND_PROC    1
#define VMX_KIND_PROC2   2
#define VMX_KIND_VMEXIT  3
#define VMX_KIND_VMENTRY 4
#define VMX_KIND_VMFUNC  5
#define VMX_KIND_COUNT   6

/*
 * Reserved bits that were 1 on the first VMX CPUs (the "default1" class) and can be 0 only where the TRUE capability
 * MSRs say so. In them are three controls with a name: CR3-load and CR3-store exiting, load and save debug controls.
 */
#define PIN_DEFAULT1     0x00000016
#define PROC_DEFAULT1    0x0401e172
#define VMEXIT_DEFAULT1  0x00036dff
#define VMENTRY_DEFAULT1 0x000011ff

#ifdef __ASSEMBLER__

#define VMX_CONTROL(kind, name, bit, text) .set kind##_##name, 1 << bit;
#include "arch/vmx_controls.def"
#undef VMX_CONTROL

#else

/* One enum per control word, so that each stays within unsigned int. */
#define VMX_CONTROL(kind, name, bit, text) enum { kind##_##name = BIT32(bit) };
#include "arch/vmx_controls.def"
#undef VMX_CONTROL

#define VMX_CAP(kind, bit)  ((VMX_KIND_##kind << 5) | (bit))
#define VMX_CAP_KIND(cap)   ((cap) >> 5)
#define VMX_CAP_BIT(cap)    ((cap) & 31)

enum vmx_cap {
#define VMX_CONTROL(kind, name, bit, text) VMX_CAP_##kind##_##name = VMX_CAP(kind, bit),
#include "arch/vmx_controls.def"
#undef VMX_CONTROL
	VMX_CAP_ALWAYS = VMX_KIND_COUNT << 5
};

/* Name of a control ("ENABLE_EPT"), or "?" for a reserved bit. kind is VMX_KIND_*. */
static inline const char *vmx_control_name(unsigned int kind, unsigned int bit)
{
	switch ((kind << 5) | bit) {
#define VMX_CONTROL(kind, name, bit, text) case VMX_CAP(kind, bit): return #name;
#include "arch/vmx_controls.def"
#undef VMX_CONTROL
	}
	return "?";
}

#endif /* __ASSEMBLER__ */

#endif
