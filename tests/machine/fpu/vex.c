/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every VEX encoding of AVX, AVX2, FMA and F16C that Zydis knows: has a handler, which refuses by the manual's rules
 * (SDM 2A "Exception Classifications of VEX-Encoded Instructions"), and changes nothing when its operand faults. What
 * the instructions compute is compared with the host's CPU by tests/semantics.
 */
#include <stdio.h>
#include <string.h>

#include "arch/x86.h"
#include "tests/machine/fpu/double.h"

#define BUFFER 512

static u8 buffer[BUFFER] __attribute__((aligned(4096)));
static struct cpu *cpu;
static unsigned failures, checks, encodings;

struct insn {
	u8 code[16];
	struct op ops[2];
	ZydisDecodedInstruction z;
};

static bool of_this_room(ZydisISASet set)
{
	return set == ZYDIS_ISA_SET_AVX || set == ZYDIS_ISA_SET_AVX2 || set == ZYDIS_ISA_SET_AVX2GATHER ||
	       set == ZYDIS_ISA_SET_AVXAES || set == ZYDIS_ISA_SET_FMA || set == ZYDIS_ISA_SET_F16C;
}

static void expect(const struct insn *i, const char *what, unsigned got, unsigned want)
{
	checks++;
	if (got == want)
		return;
	failures++;
	printf("%s (%02x%02x%02x%02x%02x%02x): %s: vector %u, expected %u\n", ZydisMnemonicGetString(i->z.mnemonic),
	       i->code[0], i->code[1], i->code[2], i->code[3], i->code[4], i->code[5], what, got, want);
}

/* All registers point at lin; masks have every sign set. */
static void prepare(u64 lin)
{
	fpu_reset(cpu);
	memset(cpu->fpu.ymm, 0xff, sizeof(cpu->fpu.ymm));
	for (unsigned i = 0; i < 16; i++)
		cpu->gpr[i] = lin;
	cpu->gpr[REG_ZERO] = 0;
	memset(buffer, 0, sizeof(buffer));
}

static unsigned run_with(struct insn *i, u64 cr0, u64 cr4, u64 xcr0)
{
	prepare((u64)buffer + 64);
	cpu->cr0 = CR0_PE | CR0_NE | cr0;
	cpu->cr4 = CR4_OSXMMEXCPT | cr4;
	cpu->xcr0 = xcr0;
	return double_run(cpu, i->ops);
}

static void test_controls(struct insn *i)
{
	const u64 all = XCR0_X87 | XCR0_SSE | XCR0_AVX;

	expect(i, "all enabled", run_with(i, 0, CR4_OSXSAVE, all), NO_VECTOR);
	expect(i, "CR0.EM and no CR4.OSFXSR do not matter", run_with(i, CR0_EM, CR4_OSXSAVE, all), NO_VECTOR);
	expect(i, "no CR4.OSXSAVE", run_with(i, 0, CR4_OSFXSR, all), VEC_UD);
	expect(i, "no AVX state", run_with(i, 0, CR4_OSXSAVE, XCR0_X87 | XCR0_SSE), VEC_UD);
	expect(i, "no SSE state", run_with(i, 0, CR4_OSXSAVE, XCR0_X87), VEC_UD);
	expect(i, "CR0.TS", run_with(i, CR0_TS, CR4_OSXSAVE, all), VEC_NM);
	expect(i, "CR0.TS, no AVX state", run_with(i, CR0_TS, CR4_OSXSAVE, XCR0_X87), VEC_UD);
	run_with(i, 0, CR4_OSXSAVE, all);
}

/* SDM 2A table 2-17: exception type 1. */
static bool needs_alignment(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_VMOVAPS:
	case ZYDIS_MNEMONIC_VMOVAPD:
	case ZYDIS_MNEMONIC_VMOVDQA:
	case ZYDIS_MNEMONIC_VMOVNTPS:
	case ZYDIS_MNEMONIC_VMOVNTPD:
	case ZYDIS_MNEMONIC_VMOVNTDQ:
	case ZYDIS_MNEMONIC_VMOVNTDQA:
		return true;
	default:
		return false;
	}
}

static void test_memory(struct insn *i)
{
	static struct fpu_state before;

	if (!(i->ops[0].flags & OP_MEM) || i->z.meta.isa_set == ZYDIS_ISA_SET_AVX2GATHER)
		return;
	prepare((u64)buffer + 64 + 16);
	if (i->z.raw.vex.L) /* 16 bytes aligned are not enough for 32 */
		expect(i, "aligned to 16", double_run(cpu, i->ops), needs_alignment(i->z.mnemonic) ? VEC_GP : NO_VECTOR);
	prepare((u64)buffer + 64 + 1);
	expect(i, "misaligned", double_run(cpu, i->ops), needs_alignment(i->z.mnemonic) ? VEC_GP : NO_VECTOR);
	prepare((u64)buffer + 64);
	memcpy(&before, &cpu->fpu, sizeof(before));
	double_guard(buffer + 64);
	expect(i, "not mapped", double_run(cpu, i->ops), VEC_PF);
	double_guard(NULL);
	memcpy(&before.scratch, &cpu->fpu.scratch, sizeof(before.scratch));
	if (memcmp(&before, &cpu->fpu, sizeof(before))) {
		expect(i, "registers changed by a fault", 0, 1);
	}
}

static void test_encoding(unsigned map, unsigned op, unsigned vex, unsigned modrm)
{
	struct insn i = { .code = { 0xc4, (u8)(0xe0 | map), (u8)vex, (u8)op, (u8)modrm } };
	ZydisDecoder d;

	if (map == 2 && op >= 0x90 && op <= 0x93 && modrm < 0xc0) { /* VSIB: another index than either register */
		i.code[4] = (u8)((modrm & 0x38) | 4);
		i.code[5] = 0x28;
	}
	ZydisDecoderInit(&d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&d, NULL, i.code, sizeof(i.code), &i.z)) ||
	    i.z.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX || !of_this_room(i.z.meta.isa_set))
		return;
	encodings++;
	if (!double_lower(cpu, i.code, sizeof(i.code), i.ops, &i.z)) {
		expect(&i, "has no handler", 1, 0);
		return;
	}
	test_controls(&i);
	test_memory(&i);
}

int main(void)
{
	if (fpu_host_lacks()) {
		printf("vex: the host's CPU lacks %s\n", fpu_host_lacks());
		return 77;
	}
	cpu = double_new();
	for (unsigned map = 1; map <= 3; map++)
		for (unsigned op = 0; op < 256; op++)
			for (unsigned k = 0; k < 256; k++) /* W, vvvv all ones or not, L, pp, mod, reg */
				test_encoding(map, op, (k & 1) << 7 | (k & 2 ? 0x78 : 0x30) | (k >> 2 & 7),
					      (k & 32 ? 0xc2 : 0x02) | (k & 64 ? 0x18 : 0) | (k & 128 ? 0x20 : 0));
	printf("vex: %u encodings, %u checks, %u failed\n", encodings, checks, failures);
	return failures || encodings < 1000;
}
