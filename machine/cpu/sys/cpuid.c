/* SPDX-License-Identifier: GPL-2.0-or-later */
/* CPUID, and which instructions exist by it. SDM 2A "CPUID". */
#include "arch/cpuid.h"
#include "arch/msrs.h"
#include "machine/cpu/sys/monitor.h"
#include "machine/cpu/sys/priv.h"
#include "machine/dev/apic.h"
#include "machine/fpu/xsave.h"

#define MAX_BASIC 0x16
#define MAX_EXTENDED 0x80000008
#define SIGNATURE 0x000406f1u /* family 6, model 4FH (Broadwell), stepping 1 */
#define BRAND "ooh-machine"

enum { EAX, EBX, ECX, EDX };

struct feature {
	u32 leaf, mask;
	u8 subleaf, reg;
};

static const struct feature feature[FEAT_COUNT] = {
#define CPUID_FEATURE(name, leaf, subleaf, reg, bit, text) { leaf, 1u << (bit), subleaf, reg },
#include "arch/cpuid.def"
#undef CPUID_FEATURE
};

/* Bits of CR4 that come with a feature. The rest are every CPU's. */
static const struct { u64 bit; u8 feature; } cr4_of[] = {
	{ CR4_VMXE, FEAT_VMX }, { CR4_FSGSBASE, FEAT_FSGSBASE }, { CR4_PCIDE, FEAT_PCID }, { CR4_SMEP, FEAT_SMEP },
	{ CR4_SMAP, FEAT_SMAP }, { CR4_OSXSAVE, FEAT_XSAVE }, { CR4_UMIP, FEAT_UMIP },
	{ CR4_PKE, FEAT_PKU }, { CR4_LA57, FEAT_LA57 },
};

u64 cpuid_cr4(void)
{
	u64 v = CR4_VME | CR4_PVI | CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_MCE | CR4_PGE | CR4_PCE | CR4_OSFXSR |
		CR4_OSXMMEXCPT;

	for (unsigned i = 0; i < sizeof(cr4_of) / sizeof(cr4_of[0]); i++)
		if (cpuid_has(NULL, (enum cpu_feature)cr4_of[i].feature))
			v |= cr4_of[i].bit;
	return v;
}

/* SDM 4 table 2-2, IA32_MISC_ENABLE bit 22: for systems that know no leaves above 2. */
static u32 max_basic(const struct cpu *c)
{
	return c->misc_enable & MISC_ENABLE_LIMIT_CPUID ? 2 : MAX_BASIC;
}

static void add_features(const struct cpu *c, u32 leaf, u32 subleaf, u32 out[4])
{
	for (unsigned i = 0; i < FEAT_COUNT; i++)
		if (cpuid_has(c, i) && feature[i].leaf == leaf && feature[i].subleaf == subleaf)
			out[feature[i].reg] |= feature[i].mask;
}

/* Bits needed to number n things. */
static unsigned width(unsigned n)
{
	unsigned w = 0;

	while (1u << w < n)
		w++;
	return w;
}

static void leaf_vendor(const struct cpu *c, u32 out[4])
{
	out[EAX] = max_basic(c);
	memcpy(&out[EBX], "Genu", 4);
	memcpy(&out[EDX], "ineI", 4);
	memcpy(&out[ECX], "ntel", 4);
}

static void leaf_version(struct cpu *c, u32 out[4])
{
	unsigned n = c->m->ncpus;

	out[EAX] = SIGNATURE;
	/* APIC id, addressable ids, CLFLUSH line of 64 bytes */
	out[EBX] = c->id << 24 | (1u << width(n)) << 16 | 8u << 8;
	if (n > 1)
		out[EDX] |= CPUID_HTT;
	if (!c->apic || (apic_base(c->apic) & APIC_BASE_ENABLE))
		out[EDX] |= CPUID_APIC;
	if (c->cr4 & CR4_OSXSAVE)
		out[ECX] |= CPUID_OSXSAVE;
}

/* Descriptors as a Broadwell's: TLBs, prefetch, "see leaf 4". */
static void leaf_descriptors(u32 out[4])
{
	out[EAX] = 0x76036301;
	out[EBX] = 0x00f0b5ff;
	out[EDX] = 0x00c30000;
}

/* Lines of 64 bytes; extensions, with masked interrupts as events that end MWAIT; one C1 state. */
static void leaf_monitor(const struct cpu *c, u32 out[4])
{
	if (!cpuid_has(c, FEAT_MONITOR))
		return;
	out[EAX] = out[EBX] = MONITOR_LINE;
	out[ECX] = 3;
	out[EDX] = 1u << 4;
}

/* Deterministic cache parameters: L1D, L1I, L2, L3. ways, sets, threads that share it. */
static void leaf_cache(struct cpu *c, u32 subleaf, u32 out[4])
{
	static const struct { u8 type, level; u32 ways, sets; bool shared; } cache[] = {
		{ 1, 1, 8, 64, false }, { 2, 1, 8, 64, false }, { 3, 2, 8, 512, false }, { 3, 3, 16, 8192, true },
	};
	unsigned cores = 1u << width(c->m->ncpus);

	if (subleaf >= 4)
		return;
	out[EAX] = cache[subleaf].type | (u32)cache[subleaf].level << 5 | 1u << 8 | (cores - 1) << 26;
	if (cache[subleaf].shared)
		out[EAX] |= (cores - 1) << 14;
	out[EBX] = (cache[subleaf].ways - 1) << 22 | (64 - 1);
	out[ECX] = cache[subleaf].sets - 1;
	out[EDX] = cache[subleaf].shared ? 4 : 0; /* hashed; neither inclusive */
}

/* One thread a core, all cores in one package. */
static void leaf_topology(struct cpu *c, u32 subleaf, u32 out[4])
{
	out[ECX] = subleaf & 0xff;
	out[EDX] = c->id;
	if (subleaf == 0) {
		out[EBX] = 1;
		out[ECX] |= 1u << 8;
	} else if (subleaf == 1) {
		out[EAX] = width(c->m->ncpus);
		out[EBX] = c->m->ncpus;
		out[ECX] |= 2u << 8;
	}
}

u64 cpuid_xcr0(const struct cpu *c)
{
	return XCR0_X87 | XCR0_SSE | (cpuid_has(c, FEAT_AVX) ? XCR0_AVX : 0) | (cpuid_has(c, FEAT_PKU) ? XCR0_PKRU : 0);
}

/* SDM 1 "Enumeration of CPU Support for XSAVE Instructions": sizes, then a subleaf a component. No supervisor ones. */
static void leaf_xsave(struct cpu *c, u32 subleaf, u32 out[4])
{
	u64 all = cpuid_xcr0(c);

	if (!cpuid_has(c, FEAT_XSAVE))
		return;
	if (subleaf == 0) {
		out[EAX] = (u32)all;
		out[EBX] = xsave_size(c->xcr0);
		out[ECX] = xsave_size(all);
	} else if (subleaf == 1) {
		out[EBX] = cpuid_has(c, FEAT_XSAVES) ? xsave_size_compacted(c->xcr0 | c->xss) : 0;
	} else if (subleaf < 64 && (all >> subleaf & 1)) {
		out[EAX] = xsave_component(subleaf)->size;
		out[EBX] = xsave_component(subleaf)->offset;
	}
}

static void leaf_frequency(u32 leaf, u32 out[4])
{
	if (leaf == 0x15) {
		out[EAX] = 1;
		out[EBX] = TSC_HZ / CRYSTAL_HZ;
		out[ECX] = CRYSTAL_HZ;
	} else {
		out[EAX] = out[EBX] = TSC_HZ / 1000000;
		out[ECX] = 100; /* bus, MHz */
	}
}

static void leaf_brand(u32 leaf, u32 out[4])
{
	char text[48] = BRAND;

	memcpy(out, text + (leaf - 0x80000002) * 16, 16);
}

static void leaf_extended(u32 leaf, u32 out[4])
{
	switch (leaf) {
	case 0x80000000:
		out[EAX] = MAX_EXTENDED;
		break;
	case 0x80000002:
	case 0x80000003:
	case 0x80000004:
		leaf_brand(leaf, out);
		break;
	case 0x80000006:
		out[ECX] = 256u << 16 | 6u << 12 | 64; /* L2: KiB, 8-way, line */
		break;
	case 0x80000008:
		out[EAX] = (cpuid_has(NULL, FEAT_LA57) ? 57u : 48u) << 8 | CPU_PHYS_BITS;
		break;
	}
}

void cpuid_query(struct cpu *c, u32 leaf, u32 subleaf, u32 out[4])
{
	/* What is out of range reads as the highest basic leaf, on Intel's CPUs. */
	if ((leaf > max_basic(c) && leaf < 0x80000000) || leaf > MAX_EXTENDED)
		leaf = max_basic(c);
	memset(out, 0, 4 * sizeof(out[0]));
	add_features(c, leaf, leaf == 7 || leaf == 0xd ? subleaf : 0, out);
	switch (leaf) {
	case 0:
		leaf_vendor(c, out);
		break;
	case 1:
		leaf_version(c, out);
		break;
	case 2:
		leaf_descriptors(out);
		break;
	case 4:
		leaf_cache(c, subleaf, out);
		break;
	case 5:
		leaf_monitor(c, out);
		break;
	case 7:
		out[EAX] = subleaf == 0 ? 2 : 0; /* highest subleaf */
		if (subleaf == 0 && (c->cr4 & CR4_PKE))
			out[ECX] |= CPUID_OSPKE;
		break;
	case 0xb:
		leaf_topology(c, subleaf, out);
		break;
	case 0xd:
		leaf_xsave(c, subleaf, out);
		break;
	case 0x15:
	case 0x16:
		leaf_frequency(leaf, out);
		break;
	default:
		leaf_extended(leaf, out);
	}
}

/* --- instructions --- */

/*
 * What an instruction set needs: 0 what this CPU does not know at all, ALWAYS what every 64-bit CPU has (and prefetch
 * hints, which are NOPs where unknown), else 1 + the feature.
 */
#define ALWAYS 255
_Static_assert(FEAT_COUNT < ALWAYS - 1, "features are numbered in a byte");
#define NEEDS(set, name) [ZYDIS_ISA_SET_##set] = 1 + FEAT_##name
#define BASE(set) [ZYDIS_ISA_SET_##set] = ALWAYS

static const u8 isa_needs[ZYDIS_ISA_SET_MAX_VALUE + 1] = {
	BASE(FAT_NOP), BASE(I186), BASE(I286PROTECTED), BASE(I286REAL), BASE(I386), BASE(I486), BASE(I486REAL),
	BASE(I86), BASE(PAUSE), BASE(PENTIUMREAL), BASE(PPRO), BASE(PREFETCH_NOP), BASE(PREFETCHWT1), BASE(RDPMC),
	BASE(X87),
	NEEDS(ADOX_ADCX, ADX), NEEDS(AES, AESNI), NEEDS(BMI1, BMI1), NEEDS(BMI2, BMI2),
	NEEDS(CLFLUSHOPT, CLFLUSHOPT), NEEDS(CLFSH, CLFSH), NEEDS(CLWB, CLWB), NEEDS(CMOV, CMOV),
	NEEDS(CMPXCHG16B, CX16), NEEDS(FCMOV, CMOV), NEEDS(FXSAVE, FXSR), NEEDS(FXSAVE64, FXSR),
	NEEDS(INVPCID, INVPCID), NEEDS(LAHF, LAHF64), NEEDS(LONGMODE, LM), NEEDS(LZCNT, LZCNT),
	NEEDS(MONITOR, MONITOR), NEEDS(MOVBE, MOVBE), NEEDS(PCLMULQDQ, PCLMULQDQ), NEEDS(PENTIUMMMX, MMX),
	NEEDS(PKU, PKU), NEEDS(POPCNT, POPCNT), NEEDS(RDPID, RDPID), NEEDS(RDRAND, RDRAND), NEEDS(RDSEED, RDSEED),
	NEEDS(RDTSCP, RDTSCP), NEEDS(RDWRFSGS, FSGSBASE), NEEDS(RTM, RTM), NEEDS(SERIALIZE, SERIALIZE),
	NEEDS(SHA, SHA), NEEDS(SMAP, SMAP), NEEDS(SMX, SMX), NEEDS(SSE, SSE), NEEDS(SSE2, SSE2),
	NEEDS(SSE2MMX, SSE2), NEEDS(SSE3, SSE3), NEEDS(SSE3X87, SSE3), NEEDS(SSE4, SSE4_1), NEEDS(SSE42, SSE4_2),
	NEEDS(SSEMXCSR, SSE), NEEDS(SSE_PREFETCH, SSE), NEEDS(SSSE3, SSSE3), NEEDS(SSSE3MMX, SSSE3), NEEDS(VMFUNC, VMX),
	NEEDS(VTX, VMX), NEEDS(WAITPKG, WAITPKG), NEEDS(XSAVE, XSAVE), NEEDS(XSAVEC, XSAVEC), NEEDS(XSAVEOPT, XSAVEOPT),
	NEEDS(XSAVES, XSAVES), NEEDS(AVX, AVX), NEEDS(AVX2, AVX2), NEEDS(AVX2GATHER, AVX2), NEEDS(AVXAES, AVX),
	NEEDS(F16C, F16C), NEEDS(FMA, FMA),
};

bool sys_enumerated(const ZydisDecodedInstruction *insn)
{
	u8 need = isa_needs[insn->meta.isa_set];

	return need == ALWAYS || (need && cpuid_has(NULL, (enum cpu_feature)(need - 1)));
}
