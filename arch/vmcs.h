/* SPDX-License-Identifier: GPL-2.0-or-later OR LGPL-2.1-only */
/*
 * VMCS field encodings: enum vmcs_field { VMCS_GUEST_RIP = 0x681e, ... } from vmcs_fields.def,
 * and the layout of an encoding.
 * Source: SDM 3C "VMREAD, VMWRITE, and Encodings of VMCS Fields" (25.11.2), SDM 3D appendix B.
 * In assembler the same names are absolute symbols.
 */
#ifndef OOH_ARCH_VMCS_H
#define OOH_ARCH_VMCS_H

#include "arch/bits.h"
#include "arch/vmx_controls.h"

#ifdef __ASSEMBLER__

#define VMCS_FIELD(name, encoding, width, class, cap, text) .set VMCS_##name, encoding;
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD

#else

enum vmcs_field {
#define VMCS_FIELD(name, encoding, width, class, cap, text) VMCS_##name = encoding,
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD
};

/* Bits of an encoding. */
#define VMCS_ENC_HIGH      BIT32(0) /* access type: the upper half of a 64-bit field */
#define VMCS_ENC_INDEX(e)  (((e) >> 1) & 0x1ff)
#define VMCS_ENC_CLASS(e)  (((e) >> 10) & 3)
#define VMCS_ENC_WIDTH(e)  (((e) >> 13) & 3)
#define VMCS_ENC_RESERVED  (BIT32(12) | (0xffffffffu & ~0x7fffu)) /* bits 12 and 31:15 are 0 in every encoding */

enum vmcs_class {
	VMCS_CLASS_CONTROL = 0,
	VMCS_CLASS_RO = 1,
	VMCS_CLASS_GUEST = 2,
	VMCS_CLASS_HOST = 3
};

enum vmcs_width {
	VMCS_WIDTH_16 = 0,
	VMCS_WIDTH_64 = 1,
	VMCS_WIDTH_32 = 2,
	VMCS_WIDTH_N = 3
};

/*
 * A row whose width or class contradicts its encoding does not compile; nor does a reserved bit or a "high"
 * encoding.
 */
#define VMCS_FIELD(name, encoding, width, class, cap, text) \
	_Static_assert(VMCS_ENC_CLASS(encoding) == VMCS_CLASS_##class, #name ": class"); \
	_Static_assert(VMCS_ENC_WIDTH(encoding) == VMCS_WIDTH_##width, #name ": width"); \
	_Static_assert(((encoding) & (VMCS_ENC_HIGH | VMCS_ENC_RESERVED)) == 0, #name ": reserved bits"); \
	_Static_assert(VMX_CAP_##cap >= 0, #name ": capability");
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD

/* Highest index used by any encoding: what IA32_VMX_VMCS_ENUM bits 9:1 report when all fields exist. */
#define VMCS_MAX_INDEX 0x1bu

/* Name of a field without its VMCS_ prefix ("GUEST_RIP"), or "?" for an encoding that is not in the table. */
static inline const char *vmcs_field_name(unsigned int encoding)
{
	switch (encoding) {
#define VMCS_FIELD(name, enc, width, class, cap, text) case enc: return #name;
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD
	}
	return "?";
}

#endif /* __ASSEMBLER__ */

#endif
