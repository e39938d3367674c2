/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The legacy region that FXSAVE and XSAVE share. SDM 1 "FXSAVE Area", "Legacy Region of an XSAVE Area". */
#ifndef OOH_MACHINE_FPU_FXSAVE_H
#define OOH_MACHINE_FPU_FXSAVE_H

#include "machine/fpu/access.h"

#define FX_MXCSR 24
#define FX_ST    32
#define FX_XMM   160

/* XMM registers that the present mode has. */
static inline unsigned fx_xmms(const struct cpu *c)
{
	return c->code_size == 64 ? 16 : 8;
}

/* buf: the region. wide: 64-bit pointers instead of 32-bit ones with selectors. */
void fx_put_x87(const struct cpu *c, u8 *buf, bool wide);
void fx_get_x87(struct cpu *c, const u8 *buf, bool wide);
void fx_put_mxcsr(const struct cpu *c, u8 *buf);
void fx_put_xmm(const struct cpu *c, u8 *buf);
void fx_get_xmm(struct cpu *c, const u8 *buf);
/* x87 state as FNINIT leaves it, and empty registers of 0. */
void fx_init_x87(struct cpu *c);

#endif
