// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The generator. Bytes are drawn at random from opcode lists and kept if Zydis decodes them to an instruction that a
 * user program may run anywhere: no system calls, no way out of the sequence. Most address registers point into the
 * data pages, so that most accesses succeed and some fault. Status flags that the manual leaves undefined are
 * followed through the sequence: an instruction that would read one is not generated, and they are not compared.
 */
#include <stdio.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "sem.h"

#define STATUS_FLAGS 0x8d5u
#define FLAG_CF 0x001u
#define FLAG_OF 0x800u
#define NO_TARGET 0xffu
/* Registers that start as pointers, and those that start as small numbers for indices. */
#define POINTERS ((1u << 3) | (1u << 5) | (1u << 6) | (1u << 7) | (1u << 12) | (1u << 13) | (1u << 14) | (1u << 15))
#define INDICES  ((1u << 8) | (1u << 9))
#define INDICES32 (1u << 2)

struct maker {
	struct sem_rng *r;
	struct sem_program *p;
	unsigned classes;
	bool compared; /* the last instruction was a comparison: branches after those have handlers of their own */
	uint8_t target[SEM_MAX_INSNS];       /* of a branch: instruction number */
	uint32_t joining[SEM_MAX_INSNS + 8]; /* undefined flags that branches bring along */
	ZydisDecoder decoder;
};

/* What one draw made. */
struct draw {
	uint8_t bytes[16];
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
};

uint64_t sem_random(struct sem_rng *r)
{
	uint64_t z = r->s += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static unsigned below(struct sem_rng *r, unsigned n)
{
	return (unsigned)(sem_random(r) % n);
}

static bool percent(struct sem_rng *r, unsigned n)
{
	return below(r, 100) < n;
}

static const uint8_t one_byte[] = {
	0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15,
	0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d,
	0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x50, 0x51, 0x53, 0x56, 0x58, 0x59,
	0x5a, 0x5d, 0x5f, 0x63, 0x68, 0x69, 0x6a, 0x6b, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79,
	0x7a, 0x7b, 0x7c, 0x7d, 0x7e, 0x7f, 0x80, 0x81, 0x83, 0x80, 0x81, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89,
	0x8a, 0x8b, 0x8d, 0x8f, 0x90, 0x91, 0x97, 0x98, 0x99, 0x9c, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2, 0xa4, 0xa5, 0xa6,
	0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf, 0xb0, 0xb4, 0xb8, 0xbb, 0xbe, 0xc0, 0xc1, 0xd0, 0xd1,
	0xd2, 0xd3, 0xc0, 0xc1, 0xd2, 0xd3, 0xc6, 0xc7, 0xc8, 0xc9, 0xd7, 0xe0, 0xe1, 0xe2, 0xe3, 0xe8, 0xe9, 0xeb,
	0xf5, 0xf6, 0xf7, 0xf6, 0xf7, 0xf6, 0xf7, 0xf8, 0xf9, 0xfc, 0xfd, 0xfe, 0xff, 0xff,
};
static const uint8_t two_byte[] = {
	0x0b, 0x0d, 0x18, 0x1e, 0x1f, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4c,
	0x4d, 0x4e, 0x4f, 0x80, 0x82, 0x84, 0x85, 0x86, 0x88, 0x8a, 0x8c, 0x8e, 0x8f, 0x90, 0x91, 0x92, 0x93, 0x94,
	0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa3, 0xa4, 0xa5, 0xab, 0xac, 0xad, 0xaf,
	0xaf, 0xb0, 0xb1, 0xb3, 0xb6, 0xb7, 0xb8, 0xb9, 0xba, 0xba, 0xbb, 0xbc, 0xbd, 0xbc, 0xbd, 0xbe, 0xbf, 0xc0,
	0xc1, 0xc3, 0xc7, 0xc7, 0xc8, 0xca, 0xcd, 0xcf, 0xff,
};
/* What 64-bit mode does not have, beside the above. */
static const uint8_t one_byte_32[] = {
	0x27, 0x2f, 0x37, 0x3f, 0x40, 0x41, 0x47, 0x48, 0x4b, 0x4f, 0x60, 0x61, 0xd4, 0xd5, 0xd6,
};
static const uint8_t vex_38[] = { 0xf2, 0xf3, 0xf5, 0xf6, 0xf7 };

#define PICK(r, list) (list)[below((r), sizeof(list))]

static unsigned put_prefixes(struct sem_rng *r, uint8_t *b)
{
	static const uint8_t rare[] = { 0x2e, 0x36, 0x3e, 0x26, 0x67, 0xf2, 0xf3, 0xf0, 0xf2, 0xf3 };
	unsigned n = 0;

	if (percent(r, 18))
		b[n++] = 0x66;
	if (percent(r, 12))
		b[n++] = PICK(r, rare);
	return n;
}

static unsigned put_rex(struct sem_rng *r, uint8_t *b)
{
	if (percent(r, 35))
		return 0;
	b[0] = (uint8_t)(0x40 | below(r, 8) | (percent(r, 60) ? 8 : 0));
	return 1;
}

static unsigned put_vex(struct sem_rng *r, uint8_t *b)
{
	bool map3 = percent(r, 10); /* RORX */

	b[0] = 0xc4;
	b[1] = (uint8_t)((below(r, 8) << 5) | (map3 ? 3 : 2));
	b[2] = (uint8_t)((below(r, 2) << 7) | (below(r, 16) << 3) | below(r, 4));
	b[3] = map3 ? 0xf0 : PICK(r, vex_38);
	return 4;
}

static unsigned put_integer_opcode(struct sem_rng *r, unsigned classes, uint8_t *b)
{
	unsigned k = below(r, 100), n = 0;

	if (classes & SEM_32BIT) {
		if (percent(r, 12)) {
			b[0] = PICK(r, one_byte_32);
			return 1;
		}
	} else {
		if (k < 6)
			return put_vex(r, b);
		n = put_rex(r, b);
	}
	if (k < 60) {
		b[n++] = PICK(r, one_byte);
		return n;
	}
	b[n++] = 0x0f;
	if (k < 94) {
		b[n++] = PICK(r, two_byte);
		return n;
	}
	b[n++] = 0x38;
	b[n++] = (uint8_t)(percent(r, 30) ? 0xf6 : 0xf0 + below(r, 2));
	return n;
}

/* SSE: mandatory prefix, 0F, sometimes 38 or 3A, and a vector opcode. */
static unsigned put_sse_opcode(struct sem_rng *r, uint8_t *b)
{
	static const uint8_t prefix[] = { 0x66, 0x66, 0x66, 0xf2, 0xf3 };
	unsigned n = 0, k = below(r, 100);

	if (percent(r, 75))
		b[n++] = PICK(r, prefix);
	if (percent(r, 40))
		b[n++] = (uint8_t)(0x40 | below(r, 16));
	b[n++] = 0x0f;
	if (k < 72) {
		static const uint8_t row[] = { 0x10, 0x20, 0x50, 0x60, 0x70, 0xd0, 0xe0, 0xf0, 0xc0 };

		b[n++] = (uint8_t)(PICK(r, row) | below(r, 16));
	} else if (k < 88) {
		b[n++] = 0x38;
		b[n++] = (uint8_t)(percent(r, 12) ? 0xdb + below(r, 5) : below(r, 0x42));
	} else {
		b[n++] = 0x3a;
		b[n++] = (uint8_t)(percent(r, 6) ? 0xdf : below(r, 2) ? 8 + below(r, 16) : 0x40 + below(r, 0x24));
	}
	return n;
}

/* AVX: VEX of either length and a vector opcode; vvvv is all ones where there is no second source. */
static unsigned put_avx_opcode(struct sem_rng *r, uint8_t *b)
{
	static const uint8_t map1[] = { 0x10, 0x20, 0x50, 0x60, 0x70, 0xd0, 0xe0, 0xf0, 0xc0, 0x10 };
	static const uint8_t map2[] = { 0x00, 0x10, 0x20, 0x30, 0x40, 0x50, 0x70, 0x90, 0xa0, 0xb0, 0x90, 0xa0, 0xb0 };
	static const uint8_t map3[] = { 0x00, 0x10, 0x20, 0x40, 0x60 };
	static const uint8_t prefix[] = { 1, 1, 1, 0, 2, 3 };
	unsigned map = below(r, 10) < 5 ? 1 : below(r, 3) ? 2 : 3;
	uint8_t row = map == 1 ? PICK(r, map1) : map == 2 ? PICK(r, map2) : PICK(r, map3);
	uint8_t vvvv = (uint8_t)(percent(r, 40) ? 15 : below(r, 16)), l = (uint8_t)below(r, 2);

	b[0] = 0xc4;
	b[1] = (uint8_t)(below(r, 8) << 5 | map);
	b[2] = (uint8_t)((percent(r, 35) ? 0x80 : 0) | vvvv << 3 | l << 2 | (map == 1 ? PICK(r, prefix) : 1));
	b[3] = (uint8_t)(row | below(r, 16));
	if (map == 1 && percent(r, 30)) { /* the short prefix */
		b[1] = (uint8_t)((b[1] & 0x80) | (b[2] & 0x7f));
		b[0] = 0xc5;
		b[2] = b[3];
		return 3;
	}
	return 4;
}

static unsigned put_opcode(struct maker *m, uint8_t *b)
{
	unsigned k = below(m->r, 4);

	if (m->compared && k < 2) {
		b[0] = (uint8_t)(0x70 + below(m->r, 16));
		return 1;
	}
	if ((m->classes & SEM_AVX) && k >= 1)
		return k == 1 ? put_sse_opcode(m->r, b) : put_avx_opcode(m->r, b);
	if ((m->classes & SEM_SSE) && k >= 2)
		return put_sse_opcode(m->r, b);
	if ((m->classes & SEM_X87) && k == 1) {
		b[0] = (uint8_t)(0xd8 + below(m->r, 8));
		return 1;
	}
	return put_integer_opcode(m->r, m->classes, b);
}

static bool decode(struct maker *m, struct draw *d)
{
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&m->decoder, d->bytes, sizeof(d->bytes), &d->insn, d->ops));
}

static bool absolute(const struct draw *d)
{
	return d->insn.raw.disp.size == 64 || (d->insn.opcode >= 0xa0 && d->insn.opcode <= 0xa3 &&
					       d->insn.raw.disp.size == 32);
}

/* Bytes of an instruction, decoded; displacements are made small. */
static bool draw_bytes(struct maker *m, struct draw *d)
{
	unsigned n = put_prefixes(m->r, d->bytes);
	uint64_t tail[2] = { sem_random(m->r), sem_random(m->r) };

	n += put_opcode(m, d->bytes + n);
	memcpy(d->bytes + n, tail, sizeof(d->bytes) - n);
	if (!decode(m, d))
		return false;
	if ((m->classes & SEM_SSE) && d->insn.raw.disp.size == 8 && percent(m->r, 80)) {
		d->bytes[d->insn.raw.disp.offset] &= 0xf0;
		return decode(m, d);
	}
	if (d->insn.raw.disp.size >= 16) {
		int32_t disp = ((int32_t)below(m->r, 256) - 64) & (m->classes & SEM_SSE ? ~15 : ~0);
		unsigned size = d->insn.raw.disp.size / 8u;

		if (absolute(d)) {
			uint64_t at = SEM_DATA + below(m->r, 2 * SEM_PAGE);

			memcpy(d->bytes + d->insn.raw.disp.offset, &at, size);
		} else {
			memcpy(d->bytes + d->insn.raw.disp.offset, &disp, size);
		}
		return decode(m, d);
	}
	return true;
}

static bool allowed_set(ZydisISASet set, unsigned classes)
{
	switch (set) {
	case ZYDIS_ISA_SET_I86:
	case ZYDIS_ISA_SET_I186:
	case ZYDIS_ISA_SET_I386:
	case ZYDIS_ISA_SET_I486REAL:
	case ZYDIS_ISA_SET_PENTIUMREAL:
	case ZYDIS_ISA_SET_LONGMODE:
	case ZYDIS_ISA_SET_CMOV:
	case ZYDIS_ISA_SET_FAT_NOP:
	case ZYDIS_ISA_SET_LAHF:
	case ZYDIS_ISA_SET_POPCNT:
	case ZYDIS_ISA_SET_LZCNT:
	case ZYDIS_ISA_SET_BMI1:
	case ZYDIS_ISA_SET_BMI2:
	case ZYDIS_ISA_SET_ADOX_ADCX:
	case ZYDIS_ISA_SET_MOVBE:
	case ZYDIS_ISA_SET_CMPXCHG16B:
	case ZYDIS_ISA_SET_PREFETCH_NOP:
	case ZYDIS_ISA_SET_SSE_PREFETCH:
	case ZYDIS_ISA_SET_PPRO:
	case ZYDIS_ISA_SET_PAUSE:
		return true;
	case ZYDIS_ISA_SET_SSE:
	case ZYDIS_ISA_SET_SSE2:
	case ZYDIS_ISA_SET_SSE3:
	case ZYDIS_ISA_SET_SSSE3:
	case ZYDIS_ISA_SET_SSE4:
	case ZYDIS_ISA_SET_AES:
	case ZYDIS_ISA_SET_PCLMULQDQ:
	case ZYDIS_ISA_SET_SSE42:
		return classes & SEM_SSE;
	case ZYDIS_ISA_SET_SSE2MMX:
	case ZYDIS_ISA_SET_SSSE3MMX:
	case ZYDIS_ISA_SET_PENTIUMMMX:
		/* An MMX instruction that faults may have changed TOP: not after x87 ones. */
		return (classes & SEM_SSE) && !(classes & SEM_X87);
	case ZYDIS_ISA_SET_AVX:
	case ZYDIS_ISA_SET_AVX2:
	case ZYDIS_ISA_SET_AVX2GATHER:
	case ZYDIS_ISA_SET_AVXAES:
	case ZYDIS_ISA_SET_F16C:
	case ZYDIS_ISA_SET_FMA:
		return classes & SEM_AVX;
	case ZYDIS_ISA_SET_X87:
	case ZYDIS_ISA_SET_FCMOV:
	case ZYDIS_ISA_SET_SSE3X87:
		return classes & SEM_X87;
	default:
		return false;
	}
}

static bool allowed_category(ZydisInstructionCategory category, unsigned classes)
{
	switch (category) {
	case ZYDIS_CATEGORY_SYSTEM:
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_IO:
	case ZYDIS_CATEGORY_IOSTRINGOP:
	case ZYDIS_CATEGORY_RET:
	case ZYDIS_CATEGORY_SEGOP:
		return false;
	default:
		return classes != 0;
	}
}

static bool allowed_mnemonic(ZydisMnemonic m)
{
	switch (m) {
	case ZYDIS_MNEMONIC_POPF: /* trap flag, alignment check */
	case ZYDIS_MNEMONIC_POPFD:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_STI:
	case ZYDIS_MNEMONIC_CLI:
	case ZYDIS_MNEMONIC_CPUID:
	case ZYDIS_MNEMONIC_RDTSC:
	case ZYDIS_MNEMONIC_RDPMC:
	case ZYDIS_MNEMONIC_RDRAND:
	case ZYDIS_MNEMONIC_RDSEED:
	case ZYDIS_MNEMONIC_INT3:
	case ZYDIS_MNEMONIC_MASKMOVQ: /* with a mask of 0 it may fault or not */
	case ZYDIS_MNEMONIC_MASKMOVDQU:
	case ZYDIS_MNEMONIC_VMASKMOVDQU:
	case ZYDIS_MNEMONIC_FNSAVE:
	case ZYDIS_MNEMONIC_FNSTENV: /* instruction pointers, opcode */
	case ZYDIS_MNEMONIC_FLDENV:
	case ZYDIS_MNEMONIC_FRSTOR:
		return false;
	default:
		return true;
	}
}

static int gpr_number(ZydisRegister r)
{
	switch (ZydisRegisterGetClass(r)) {
	case ZYDIS_REGCLASS_GPR64:
	case ZYDIS_REGCLASS_GPR32:
	case ZYDIS_REGCLASS_GPR16:
		return ZydisRegisterGetId(r);
	case ZYDIS_REGCLASS_GPR8:
		return ZydisRegisterGetId(ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, r));
	default:
		return -1;
	}
}

static unsigned index_registers(const struct maker *m)
{
	return m->classes & SEM_32BIT ? INDICES32 : INDICES;
}

static bool in_set(unsigned set, ZydisRegister r)
{
	int n = gpr_number(r);

	return n >= 0 && (set >> n & 1);
}

/* Far transfers, segment registers and the like; relative branches are given targets later. */
static bool allowed_operands(const struct draw *d)
{
	for (unsigned i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperand *o = &d->ops[i];

		if (o->type == ZYDIS_OPERAND_TYPE_POINTER)
			return false;
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN) {
			ZydisRegisterClass class = ZydisRegisterGetClass(o->reg.value);

			if (class == ZYDIS_REGCLASS_SEGMENT || class == ZYDIS_REGCLASS_CONTROL ||
			    class == ZYDIS_REGCLASS_DEBUG)
				return false;
		}
		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (o->mem.segment == ZYDIS_REGISTER_FS || o->mem.segment == ZYDIS_REGISTER_GS))
			return false;
	}
	return true;
}

static bool is_branch(const struct draw *d)
{
	return d->insn.meta.branch_type != ZYDIS_BRANCH_TYPE_NONE;
}

static bool allowed_branch(const struct draw *d)
{
	return !is_branch(d) || (d->ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && d->insn.operand_width != 16);
}

/* Mostly: addresses from pointer registers, and no pointer overwritten. */
static bool plausible(struct maker *m, const struct draw *d)
{
	for (unsigned i = 0; i < d->insn.operand_count; i++) {
		const ZydisDecodedOperand *o = &d->ops[i];

		if (o->type == ZYDIS_OPERAND_TYPE_MEMORY && o->mem.type <= ZYDIS_MEMOP_TYPE_VSIB) {
			bool base = o->mem.base == ZYDIS_REGISTER_RIP || in_set(POINTERS | 1u << 4, o->mem.base);
			bool index = o->mem.index == ZYDIS_REGISTER_NONE || in_set(index_registers(m), o->mem.index);
			bool vsib = o->mem.type == ZYDIS_MEMOP_TYPE_VSIB;

			if (o->mem.base == ZYDIS_REGISTER_NONE && d->insn.raw.disp.size >= 32)
				base = true;
			if (!(base && (index || vsib)) && percent(m->r, 95))
				return false;
		}
		if (o->type == ZYDIS_OPERAND_TYPE_REGISTER && (o->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
		    o->visibility != ZYDIS_OPERAND_VISIBILITY_HIDDEN &&
			    in_set(POINTERS | index_registers(m) | 1u << 4, o->reg.value) &&
		    percent(m->r, 85))
			return false;
	}
	return true;
}

static bool is_shift(const ZydisDecodedInstruction *in)
{
	return in->meta.category == ZYDIS_CATEGORY_SHIFT || in->meta.category == ZYDIS_CATEGORY_ROTATE;
}

/* Double shifts of 16 bits by more than 16 have no defined result. */
static bool undefined_result(const struct draw *d)
{
	ZydisMnemonic m = d->insn.mnemonic;

	return ((m == ZYDIS_MNEMONIC_SHLD || m == ZYDIS_MNEMONIC_SHRD) && d->insn.operand_width == 16) ||
	       (m == ZYDIS_MNEMONIC_BSWAP && d->insn.operand_width == 16);
}

static bool acceptable(struct maker *m, const struct draw *d)
{
	const ZydisDecodedInstruction *in = &d->insn;

	return allowed_set(in->meta.isa_set, m->classes) && allowed_category(in->meta.category, m->classes) &&
	       allowed_mnemonic(in->mnemonic) && allowed_operands(d) && allowed_branch(d) && !undefined_result(d) &&
	       !(in->attributes & (ZYDIS_ATTRIB_HAS_XACQUIRE | ZYDIS_ATTRIB_HAS_XRELEASE)) && plausible(m, d);
}

/* Flags after the instruction that have no defined value. */
static uint32_t undefined_after(const struct draw *d, uint32_t before)
{
	const ZydisAccessedFlags *f = d->insn.cpu_flags;
	uint32_t undefined = f->undefined & STATUS_FLAGS;
	uint32_t defined = (f->modified | f->set_0 | f->set_1) & STATUS_FLAGS & ~undefined;

	if (is_shift(&d->insn)) {
		/*
		 * The count may be 0, which changes nothing, or more than the operand has bits, which leaves CF
		 * undefined.
		 */
		if (d->insn.operand_width < 32 && undefined)
			undefined |= FLAG_CF;
		undefined |= FLAG_OF;
		defined = 0;
	}
	if (d->insn.meta.category == ZYDIS_CATEGORY_STRINGOP)
		defined = 0; /* repeated 0 times */
	return (before & ~defined) | undefined;
}

static void init_decoder(ZydisDecoder *d, unsigned bits)
{
	if (bits == 64)
		ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else
		ZydisDecoderInit(d, ZYDIS_MACHINE_MODE_LONG_COMPAT_32, ZYDIS_STACK_WIDTH_32);
}

static uint32_t tested(const struct draw *d)
{
	switch (d->insn.mnemonic) {
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFD:
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_LAHF:
		return STATUS_FLAGS;
	default:
		return d->insn.cpu_flags->tested & STATUS_FLAGS;
	}
}

static bool compares(ZydisMnemonic m)
{
	return m == ZYDIS_MNEMONIC_CMP || m == ZYDIS_MNEMONIC_TEST || m == ZYDIS_MNEMONIC_SUB ||
	       m == ZYDIS_MNEMONIC_AND;
}

static bool make_insn(struct maker *m, unsigned i)
{
	struct sem_program *p = m->p;
	struct draw d;

	do {
		if (!draw_bytes(m, &d))
			continue;
	} while (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&m->decoder, d.bytes, sizeof(d.bytes), &d.insn, d.ops)) ||
		 !acceptable(m, &d) || (tested(&d) & p->undefined[i]));
	memcpy(p->code + p->start[i], d.bytes, d.insn.length);
	p->start[i + 1] = (uint16_t)(p->start[i] + d.insn.length);
	p->undefined[i + 1] = undefined_after(&d, p->undefined[i]) | m->joining[i + 1];
	m->compared = compares(d.insn.mnemonic);
	m->target[i] = NO_TARGET;
	if (is_branch(&d)) {
		m->target[i] = (uint8_t)(i + 1 + below(m->r, 4));
		m->joining[m->target[i]] |= p->undefined[i];
	}
	return true;
}

static void patch_branches(struct maker *m)
{
	struct sem_program *p = m->p;

	for (unsigned i = 0; i < p->n; i++) {
		ZydisDecodedInstruction in;
		ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
		int32_t rel;

		if (m->target[i] == NO_TARGET)
			continue;
		ZydisDecoderDecodeFull(&m->decoder, p->code + p->start[i], ZYDIS_MAX_INSTRUCTION_LENGTH, &in, ops);
		rel = p->start[m->target[i] < p->n ? m->target[i] : p->n] - p->start[i + 1];
		memcpy(p->code + p->start[i] + in.raw.imm[0].offset, &rel, in.raw.imm[0].size / 8u);
	}
}

/* Flags that a branch brings to an instruction count where the join is known only later. */
static void join_flags(struct maker *m)
{
	for (unsigned i = 1; i <= m->p->n; i++)
		m->p->undefined[i] |= m->joining[i];
	for (unsigned i = m->p->n + 1; i < SEM_MAX_INSNS + 8; i++)
		m->p->undefined[m->p->n] |= m->joining[i];
}

void sem_generate(struct sem_rng *r, unsigned classes, struct sem_program *p)
{
	struct maker m = { .r = r, .p = p, .classes = classes };

	init_decoder(&m.decoder, classes & SEM_32BIT ? 32 : 64);
	ZydisDecoderEnableMode(&m.decoder, ZYDIS_DECODER_MODE_MPX, ZYAN_FALSE);
	ZydisDecoderEnableMode(&m.decoder, ZYDIS_DECODER_MODE_CET, ZYAN_FALSE);
	memset(p, 0, sizeof(*p));
	p->bits = classes & SEM_32BIT ? 32 : 64;
	memset(p->code, 0xcc, sizeof(p->code));
	p->n = 8 + below(r, SEM_MAX_INSNS - 8);
	for (unsigned i = 0; i < p->n; i++)
		make_insn(&m, i);
	patch_branches(&m);
	join_flags(&m);
}

static uint64_t interesting(struct sem_rng *r)
{
	static const uint64_t values[] = {
		0, 1, 2, 7, 8, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff,
		0x80000000, 0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull, ~1ull,
	};
	static const uint8_t edges[] = { 0, 1, 8, 31, 32, 62, 63, 64 };

	switch (below(r, 5)) {
	case 0:  return values[below(r, sizeof(values) / sizeof(values[0]))];
	case 1:  return below(r, 256);
	case 3:  return PICK(r, edges) | PICK(r, edges) << 8; /* also start and length of BEXTR */
	case 2:  return (uint64_t)(int64_t)(int32_t)sem_random(r);
	default: return sem_random(r);
	}
}

/* Any rounding and precision, flags that stand, DAZ and FTZ; mostly masked exceptions. */
static void initial_controls(struct sem_rng *r, unsigned classes, struct sem_state *s)
{
	uint16_t fcw = 0x37f, fsw = 0;
	uint32_t mxcsr = 0x1f80;

	if (percent(r, 50))
		mxcsr = (uint32_t)sem_random(r) & (percent(r, 25) ? 0xffff : 0xe07f);
	if (percent(r, 70))
		mxcsr |= 0x1f80;
	if (percent(r, 50))
		fcw = (uint16_t)(0x40 | (sem_random(r) & 0x0f00) | (percent(r, 75) ? 0x3f : sem_random(r) & 0x3f));
	if (classes & SEM_X87)
		fsw = (uint16_t)(sem_random(r) & 0x7f7f & ~(~fcw & 0x3fu)); /* nothing pending */
	memcpy(s->fx, &fcw, 2);
	memcpy(s->fx + 2, &fsw, 2);
	s->fx[4] = classes & SEM_X87 ? (uint8_t)sem_random(r) : 0;
	memcpy(s->fx + 24, &mxcsr, 4);
}

/* Half a register: numbers of common size, indices, or anything. */
static void vector_half(struct sem_rng *r, uint8_t *out)
{
	uint64_t v[2] = { interesting(r), interesting(r) };

	if (percent(r, 40)) {
		double f[2] = { (double)(int32_t)sem_random(r) / 1024, (double)(int16_t)sem_random(r) };

		memcpy(v, f, sizeof(v));
	} else if (percent(r, 40)) {
		float f[4] = { (float)(int16_t)sem_random(r), 1.5f, -0.25f, (float)(int8_t)sem_random(r) };

		memcpy(v, f, sizeof(v));
	} else if (percent(r, 30)) {
		for (unsigned i = 0; i < 2; i++)
			v[i] = below(r, 256) | (uint64_t)(percent(r, 50) ? below(r, 256) : 0) << 32;
	}
	memcpy(out, v, sizeof(v));
}

static void initial_x87(struct sem_rng *r, uint8_t *out)
{
	uint64_t mant = interesting(r) | (percent(r, 85) ? 1ull << 63 : 0);
	uint16_t se = (uint16_t)(percent(r, 60) ? 16383 - 40 + below(r, 80) : sem_random(r));

	if (percent(r, 15))
		se = (uint16_t)(percent(r, 50) ? 0x7fff : 0);
	se |= (uint16_t)(below(r, 2) << 15);
	memcpy(out, &mant, 8);
	memcpy(out + 8, &se, 2);
}

static void initial_fpu(struct sem_rng *r, unsigned classes, struct sem_state *s)
{
	memset(s->fx, 0, sizeof(s->fx));
	s->fx[SEM_XSAVE_HEADER] = 7;
	initial_controls(r, classes, s);
	for (unsigned i = 0; (classes & SEM_X87) && i < 8; i++)
		initial_x87(r, s->fx + 32 + 16 * i);
	for (unsigned i = 0; i < 16; i++) {
		vector_half(r, s->fx + 160 + 16 * i);
		if ((classes & SEM_AVX) && percent(r, 80))
			vector_half(r, s->fx + SEM_XSAVE_HIGH + 16 * i);
	}
}

void sem_initial_state(struct sem_rng *r, unsigned classes, struct sem_state *s)
{
	unsigned indices = classes & SEM_32BIT ? INDICES32 : INDICES;

	memset(s, 0, sizeof(*s));
	for (unsigned i = 0; i < 16; i++) {
		if (POINTERS >> i & 1)
			s->gpr[i] = SEM_DATA + below(r, SEM_DATA_SIZE - 512) / (percent(r, 50) ? 1 : 2);
		else if (indices >> i & 1)
			s->gpr[i] = below(r, 64);
		else
			s->gpr[i] = interesting(r);
	}
	for (unsigned i = 0; (classes & SEM_SSE) && i < 16; i++)
		if (((POINTERS | indices) >> i & 1) && percent(r, 90))
			s->gpr[i] &= ~15ull; /* most 16-byte operands must be aligned */
	s->gpr[4] = SEM_DATA + SEM_PAGE + 8 * below(r, 256);
	s->rflags = 0x202 | (sem_random(r) & STATUS_FLAGS) | (percent(r, 15) ? 0x400 : 0);
	s->rip = SEM_CODE;
	for (unsigned i = 0; (classes & SEM_32BIT) && i < 16; i++)
		s->gpr[i] = (uint32_t)s->gpr[i];
	initial_fpu(r, classes, s);
}

void sem_print_program(const struct sem_program *p)
{
	ZydisDecoder decoder;
	ZydisFormatter formatter;
	ZydisDecodedInstruction in;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	char text[128];

	init_decoder(&decoder, p->bits);
	ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
	for (unsigned i = 0; i < p->n; i++) {
		const uint8_t *b = p->code + p->start[i];
		uint64_t at = SEM_CODE + p->start[i];

		if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, b, 15, &in, ops)))
			continue;
		ZydisFormatterFormatInstruction(&formatter, &in, ops, in.operand_count_visible, text, sizeof(text), at,
						NULL);
		printf("  %08llx  %-40s ;", (unsigned long long)at, text);
		for (unsigned k = 0; k < in.length; k++)
			printf(" %02x", b[k]);
		printf("\n");
	}
}
