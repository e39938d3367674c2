/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What no native run can show: every form of the FPU room's instructions under each setting of CR0.EM, CR0.TS,
 * CR0.MP and CR4.OSFXSR must raise what SDM 3A "System Programming for Instruction Set Extensions" and the
 * instruction's page say; and every form with a memory operand that faults at its last byte must leave registers
 * and memory as they were.
 */
#include <stdio.h>
#include <string.h>

#include "arch/x86.h"
#include "tests/machine/fpu/double.h"
#include "tests/machine/fpu/forms.h"
#include "tests/machine/fpu/random.h"

#define BUFFER 1024

static u8 buffer[2 * BUFFER] __attribute__((aligned(4096)));
static struct cpu *cpu;
static unsigned failures, checks;

/* Whose rules apply: by the registers that the instruction uses. */
enum rules { RULES_NONE, RULES_SSE, RULES_MMX, RULES_X87, RULES_FWAIT };

static enum rules rules_of(const struct form *f, const struct made *m)
{
	unsigned a = f->row->shape >> 4, b = f->row->shape & 15;

	switch (m->insn.mnemonic) {
	case ZYDIS_MNEMONIC_MOVNTI:
	case ZYDIS_MNEMONIC_CRC32:
		return RULES_NONE;
	case ZYDIS_MNEMONIC_FWAIT:
		return RULES_FWAIT;
	case ZYDIS_MNEMONIC_LDMXCSR:
	case ZYDIS_MNEMONIC_STMXCSR:
		return RULES_SSE;
	case ZYDIS_MNEMONIC_EMMS:
		return RULES_MMX;
	default:
		if (a == K_X || b == K_X || m->insn.meta.category == ZYDIS_CATEGORY_CONVERT)
			return RULES_SSE;
		return a == K_Y || b == K_Y ? RULES_MMX : RULES_X87;
	}
}

static unsigned expected(enum rules r, u64 cr0, u64 cr4)
{
	switch (r) {
	case RULES_NONE:
		return NO_VECTOR;
	case RULES_FWAIT:
		return (cr0 & CR0_MP) && (cr0 & CR0_TS) ? VEC_NM : NO_VECTOR;
	case RULES_X87:
		return cr0 & (CR0_EM | CR0_TS) ? VEC_NM : NO_VECTOR;
	default:
		if (cr0 & CR0_EM)
			return VEC_UD;
		if (r == RULES_SSE && !(cr4 & CR4_OSFXSR))
			return VEC_UD;
		return cr0 & CR0_TS ? VEC_NM : NO_VECTOR;
	}
}

static void prepare(const struct made *m, u64 lin)
{
	memset(&cpu->fpu, 0, sizeof(cpu->fpu));
	fpu_reset(cpu);
	cpu->fpu.ftw = 0xf0;
	cpu->fpu.fsw = 4 << 11;
	for (unsigned i = 0; i < 16; i++) {
		/* A mask with all bytes set for MASKMOVQ and MASKMOVDQU; no length for PCMPESTRI. */
		memset(&cpu->fpu.ymm[i].lo, 0xff, 16);
		cpu->gpr[i] = lin;
		cpu->fpu.st[i & 7].mant = ~0ull;
		cpu->fpu.st[i & 7].se = 0x4000;
	}
	memset(buffer, 0, sizeof(buffer));
	cpu->gpr[REG_ZERO] = 0;
	if (m->ops[0].base < 16)
		cpu->gpr[m->ops[0].base] = lin - (u64)(s64)m->ops[0].disp;
}

static void fail(const struct made *m, const char *what, unsigned got, unsigned want)
{
	printf("%s (", ZydisMnemonicGetString(m->insn.mnemonic));
	for (unsigned i = 0; i < m->len; i++)
		printf("%02x", m->code[i]);
	printf("): %s: vector %u, expected %u\n", what, got, want);
	failures++;
}

static void test_controls(const struct form *f, struct made *m)
{
	enum rules r = rules_of(f, m);

	for (unsigned i = 0; i < 16; i++) {
		u64 cr0 = CR0_PE | CR0_NE | (i & 1 ? CR0_EM : 0) | (i & 2 ? CR0_TS : 0) | (i & 4 ? CR0_MP : 0);
		u64 cr4 = CR4_OSXMMEXCPT | (i & 8 ? CR4_OSFXSR : 0);
		unsigned want = expected(r, cr0, cr4), got;
		char what[64];

		prepare(m, (u64)buffer);
		cpu->cr0 = cr0;
		cpu->cr4 = cr4;
		got = double_run(cpu, m->ops);
		snprintf(what, sizeof(what), "CR0 %llx CR4 %llx", (unsigned long long)cr0, (unsigned long long)cr4);
		if (got != want)
			fail(m, what, got, want);
		checks++;
	}
	cpu->cr0 = CR0_PE | CR0_NE;
	cpu->cr4 = CR4_OSXMMEXCPT | CR4_OSFXSR;
}

static unsigned operand_size(const struct form *f, const struct made *m)
{
	if (m->insn.mnemonic == ZYDIS_MNEMONIC_MASKMOVDQU)
		return 16;
	if (m->insn.mnemonic == ZYDIS_MNEMONIC_MASKMOVQ)
		return 8;
	/* Of FXSAVE's area the last bytes are not touched. */
	return f->msize == 512 ? 416 : f->msize;
}

static void test_fault(const struct form *f, struct made *m)
{
	static struct fpu_state before;
	static u64 gpr[REG_COUNT];
	unsigned n = operand_size(f, m), got;
	u64 flags;

	if (!n)
		return;
	/* The last byte, or with alignment the last piece, lies beyond the guard. */
	prepare(m, (u64)buffer + BUFFER - (n >= 16 ? n - n % 16 : 0));
	double_guard(buffer + BUFFER + (n >= 16 ? n % 16 : n) - 1);
	memcpy(&before, &cpu->fpu, sizeof(before));
	memcpy(gpr, cpu->gpr, sizeof(gpr));
	flags = cpu->eflags;
	got = double_run(cpu, m->ops);
	double_guard(NULL);
	checks++;
	if (got != VEC_PF)
		fail(m, "operand beyond the mapped page", got, VEC_PF);
	if (memcmp(&before, &cpu->fpu, sizeof(before)) || memcmp(gpr, cpu->gpr, sizeof(gpr)) || flags != cpu->eflags)
		fail(m, "registers changed by an instruction that faulted", got, VEC_PF);
	/* Ten bytes are stored as eight and two: on silicon the first eight are there when the last two fault. */
	for (unsigned i = 0; i < sizeof(buffer); i++)
		if (buffer[i] && !(n == 10 && i >= BUFFER && i < BUFFER + 8)) {
			fail(m, "memory changed by an instruction that faulted", got, VEC_PF);
			return;
		}
}

/* FXSAVE in 32-bit code writes 8 XMM registers; real-mode environments hold linear pointers. */
static void test_images(void)
{
	static const u8 fxsave[] = { 0x0f, 0xae, 0x00 }, fnstenv[] = { 0xd9, 0x30 }, fnstenv16[] = { 0x66, 0xd9, 0x30 };
	struct made m;
	u32 env[7];
	u16 env16[7];

	double_lower(cpu, fxsave, sizeof(fxsave), &m.ops[0], &m.insn);
	prepare(&m, (u64)buffer);
	cpu->code_size = 32;
	double_run(cpu, m.ops);
	cpu->code_size = 64;
	if (buffer[287] != 0xff || buffer[288] != 0)
		failures++, printf("FXSAVE in 32-bit code: not 8 registers\n");

	cpu->cr0 &= ~CR0_PE;
	double_lower(cpu, fnstenv, sizeof(fnstenv), &m.ops[0], &m.insn);
	prepare(&m, (u64)buffer);
	cpu->fpu.fip = 0x12345;
	cpu->fpu.fdp = 0xfedcba98;
	cpu->fpu.fop = 0x7a5;
	double_run(cpu, m.ops);
	memcpy(env, buffer, sizeof(env));
	if (env[3] != 0xffff2345 || env[4] != 0x17a5 || env[5] != 0xffffba98 || env[6] != 0xfedc000)
		failures++, printf("FNSTENV in real mode: %x %x %x %x\n", env[3], env[4], env[5], env[6]);
	double_lower(cpu, fnstenv16, sizeof(fnstenv16), &m.ops[0], &m.insn);
	double_run(cpu, m.ops);
	memcpy(env16, buffer, sizeof(env16));
	if (env16[3] != 0x2345 || env16[4] != 0x17a5 || env16[5] != 0xba98 || env16[6] != 0xc000)
		failures++, printf("16-bit FNSTENV in real mode: %x %x %x %x\n", env16[3], env16[4], env16[5], env16[6]);
	cpu->cr0 |= CR0_PE;
	checks += 3;
}

int main(void)
{
	const struct fpu_row *r;
	struct form forms[FORMS_MAX];
	struct made m;

	rnd_seed(1);
	cpu = double_new();
	for (unsigned i = 0; (r = form_row(i)) != NULL; i++) {
		unsigned n = forms_of(cpu, r, forms);

		for (unsigned k = 0; k < n; k++) {
			while (!form_make(cpu, &forms[k], &m))
				;
			test_controls(&forms[k], &m);
			test_fault(&forms[k], &m);
		}
	}
	test_images();
	printf("refusals: %u checks, %u failed\n", checks, failures);
	return failures != 0;
}
