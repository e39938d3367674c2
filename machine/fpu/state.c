/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reset, snapshots, and the refusals that every instruction of the room begins with. */
#include <cpuid.h>

#include "machine/core/snapshot.h"
#include "machine/cpu/sys/sys.h"
#include "machine/fpu/access.h"

void fpu_reset(struct cpu *c)
{
	memset(&c->fpu, 0, sizeof(c->fpu));
	c->fpu.fcw = FCW_INIT;
	c->fpu.mxcsr = MXCSR_DEFAULT;
}

void fpu_snap(struct cpu *c, struct snap *s)
{
	struct fpu_state *f = &c->fpu;

	for (unsigned i = 0; i < 16; i++)
		snap_var(s, "ymm", f->ymm[i]);
	for (unsigned i = 0; i < 8; i++) {
		snap_var(s, "st.mant", f->st[i].mant);
		snap_var(s, "st.se", f->st[i].se);
	}
	snap_var(s, "fcw", f->fcw);
	snap_var(s, "fsw", f->fsw);
	snap_var(s, "fop", f->fop);
	snap_var(s, "ftw", f->ftw);
	snap_var(s, "fip", f->fip);
	snap_var(s, "fdp", f->fdp);
	snap_var(s, "fcs", f->fcs);
	snap_var(s, "fds", f->fds);
	snap_var(s, "mxcsr", f->mxcsr);
}

/* Not every compiler has a name for it. */
static bool host_has_f16c(void)
{
	unsigned a, b, c, d;

	return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

const char *fpu_host_lacks(void)
{
	const struct { bool wanted; int there; const char *text; } all[] = {
		{ true, __builtin_cpu_supports("sse4.2"), "SSE4.2" },
		{ true, __builtin_cpu_supports("aes"), "AES-NI" },
		{ true, __builtin_cpu_supports("pclmul"), "PCLMULQDQ" },
		{ cpuid_has(NULL, FEAT_AVX), __builtin_cpu_supports("avx"), "AVX: --cpu -avx does without" },
		{ cpuid_has(NULL, FEAT_AVX2), __builtin_cpu_supports("avx2"), "AVX2: --cpu -avx2 does without" },
		{ cpuid_has(NULL, FEAT_FMA), __builtin_cpu_supports("fma"), "FMA: --cpu -fma does without" },
		{ cpuid_has(NULL, FEAT_F16C), host_has_f16c(), "F16C: --cpu -f16c does without" },
	};

	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (all[i].wanted && !all[i].there)
			return all[i].text;
	return NULL;
}

void sse_refuse(struct cpu *c, const struct op *o)
{
	bool ud = (c->cr0 & CR0_EM) || !(c->cr4 & CR4_OSFXSR);

	cpu_raise(c, o, ud ? VEC_UD : VEC_NM);
}

/*
 * SDM 3A "Interrupt 16": with CR0.NE clear the error goes out on FERR# and comes back as IRQ 13, which no guest of
 * ours uses.
 */
static _Noreturn void raise_mf(struct cpu *c, const struct op *o)
{
	if (!(c->cr0 & CR0_NE))
		machine_unimplemented(c, o, "x87 error with CR0.NE clear");
	cpu_raise(c, o, VEC_MF);
}

void x87_refuse(struct cpu *c, const struct op *o)
{
	if (c->cr0 & (CR0_EM | CR0_TS))
		cpu_raise(c, o, VEC_NM);
	raise_mf(c, o);
}

void mmx_refuse(struct cpu *c, const struct op *o)
{
	if (c->cr0 & CR0_EM)
		cpu_raise(c, o, VEC_UD);
	x87_refuse(c, o);
}

void sse_misaligned(struct cpu *c, const struct op *o)
{
	cpu_raise_err(c, o, VEC_GP, 0);
}

vec128 sse_ld128_slow(struct cpu *c, const struct op *o, u64 lin)
{
	union xmm v;

	mmu_ld_buf(c, o, lin, &v, sizeof(v));
	return v.v;
}
