/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this room relies on in the order of arch/vmcs_fields.def: groups of segment fields follow enum sreg, then
 * LDTR, TR.
 */
#ifndef OOH_MACHINE_VMX_LAYOUT_H
#define OOH_MACHINE_VMX_LAYOUT_H

#include "machine/vmx/vmcs.h"

enum { SEG_LDTR = SREG_COUNT, SEG_TR, SEG_FIELDS };

#define SEG_GROUP(suffix) \
	_Static_assert(VF_GUEST_CS_##suffix == VF_GUEST_ES_##suffix + CS && \
		       VF_GUEST_SS_##suffix == VF_GUEST_ES_##suffix + SS && \
		       VF_GUEST_DS_##suffix == VF_GUEST_ES_##suffix + DS && VF_GUEST_FS_##suffix == VF_GUEST_ES_##suffix + FS && \
		       VF_GUEST_GS_##suffix == VF_GUEST_ES_##suffix + GS && \
		       VF_GUEST_LDTR_##suffix == VF_GUEST_ES_##suffix + SEG_LDTR && \
		       VF_GUEST_TR_##suffix == VF_GUEST_ES_##suffix + SEG_TR, "order of rows: " #suffix);
SEG_GROUP(SELECTOR)
SEG_GROUP(BASE)
SEG_GROUP(LIMIT)
SEG_GROUP(AR)
_Static_assert(VF_GUEST_PDPTE3 == VF_GUEST_PDPTE0 + 3, "order of rows: PDPTE");
_Static_assert(VF_CR3_TARGET_VALUE_3 == VF_CR3_TARGET_VALUE_0 + 3, "order of rows: CR3 targets");
_Static_assert(VF_HOST_GS_SELECTOR == VF_HOST_ES_SELECTOR + GS, "order of rows: host selectors");

/* The field SUFFIX of segment s (enum sreg, SEG_LDTR or SEG_TR) in the guest-state area: an lvalue. */
#define VMCS_SEG(c, s, SUFFIX) ((c)->vmx.vmcs->f[VF_GUEST_ES_##SUFFIX + (s)])

static inline struct segment *vmx_segment(struct cpu *c, unsigned s)
{
	return s == SEG_LDTR ? &c->ldtr : s == SEG_TR ? &c->tr : &c->seg[s];
}

#endif
