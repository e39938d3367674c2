// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hot accesses and hot code whose meaning changes with a bit elsewhere: a control register, a base, a right, the mode. Each
 * runs often on either side of the change, and has to follow it at once.
 */
#include "arch/msrs.h"
#include "tests/guest/code/hot.h"

#define TURNS 30
#define EACH 20

u32 call32(u32 at);
u32 call_unpaged(u32 at, u32 ecx, u64 cr4, u64 cr3);

/* mov (%rcx), %rdx; ret, and more of the kind. None has another meaning in 32-bit code but load and fs_load: EDX. */
static const u8 load[] = { 0x48, 0x8b, 0x11, 0xc3 }, store[] = { 0x48, 0x89, 0x11, 0xc3 };
static const u8 open_load[] = { 0x0f, 0x01, 0xcb, 0x48, 0x8b, 0x11, 0x0f, 0x01, 0xca, 0xc3 }; /* stac; …; clac */
static const u8 fs_load[] = { 0x64, 0x48, 0x8b, 0x11, 0xc3 }, gs_load[] = { 0x65, 0x48, 0x8b, 0x11, 0xc3 };
static const u8 vector_load[] = { 0xf3, 0x0f, 0x6f, 0x01, 0x66, 0x0f, 0xef, 0xc0, 0xc3 }; /* movdqu (%rcx), %xmm0; pxor %xmm0, %xmm0 */
static const u8 user_load[] = { 0x48, 0x8b, 0x11, 0x0f, 0x0b }; /* …; ud2 */
static const u8 load32[] = { 0x8b, 0x11, 0xc3 };
/* 64-bit: xor %eax, %eax; add $0x12345678, %rax. 32-bit: the REX prefix is DEC EAX. */
static const u8 either[] = { 0x31, 0xc0, 0x48, 0x05, 0x78, 0x56, 0x34, 0x12, 0xc3 };

static u64 data[512] __attribute__((aligned(4096))), data2[512] __attribute__((aligned(4096)));

#define DATA 32 /* the window's page with the data; CODE: with the code, for the supervisor */
#define CODE 33
#define UCODE 34

static u64 put_code(const u8 *insns, size_t n)
{
	memcpy(code[0] + 256, insns, n);
	return at(CODE) + 256;
}

static u64 run(u64 a, u64 where)
{
	try_rax = a;
	try_rcx = where;
	return TRY("call *%%rax");
}

struct toggle {
	const char *name;
	const u8 *insns;
	size_t n;
	u64 flags;       /* of the data's page */
	void (*set)(bool on);
	u16 vector;      /* with it on */
	u16 error;
	u64 run_at;      /* 0: the code's page */
};

static void set_cr0(u64 bit, bool on) { write_cr0(on ? read_cr0() | bit : read_cr0() & ~bit); }
static void set_cr4(u64 bit, bool on) { write_cr4(on ? read_cr4() | bit : read_cr4() & ~bit); }
static void set_pkru(u32 v) { __asm__ volatile("wrpkru" : : "a"(v), "c"(0), "d"(0) : "memory"); }

static void wp(bool on) { set_cr0(CR0_WP, on); }
static void ts(bool on) { set_cr0(CR0_TS, on); }
static void em(bool on) { set_cr0(CR0_EM, on); }
static void no_fxsr(bool on) { set_cr4(CR4_OSFXSR, !on); }
static void smap(bool on) { set_cr4(CR4_SMAP, on); }
static void smep(bool on) { set_cr4(CR4_SMEP, on); }
static void no_nxe(bool on)
{
	wrmsr(IA32_EFER, on ? rdmsr(IA32_EFER) & ~EFER_NXE : rdmsr(IA32_EFER) | EFER_NXE);
	invlpg(at(DATA)); /* the manual does not promise that WRMSR does */
}
static void key_ad(bool on) { set_pkru(on ? PKRU_AD(1) : 0); }
static void key_wd(bool on) { set_pkru(on ? PKRU_WD(1) : 0); }
static void entry(bool on) { map(DATA, data, on ? 0 : 3); }
static void entry_ro(bool on) { map(DATA, data, on ? 1 : 3); }

#define KEY1 (1ull << PTE_PKEY_SHIFT)
#define CODE_OF(x) x, sizeof(x)

static void toggled(const struct toggle *t)
{
	u64 a = put_code(t->insns, t->n);
	unsigned bad = 0;

	if (t->run_at)
		a = t->run_at + 256;
	map(DATA, data, t->flags);
	for (unsigned k = 0; k < TURNS; k++) {
		bool on = k % 2;

		t->set(on);
		for (unsigned i = 0; i < EACH; i++) {
			u64 v;

			try_rdx = 0;
			v = run(a, at(DATA) + 8);
			bad += v != (on ? t->vector : NO_TRAP) || (on && v == VEC_PF && trap.f.error != t->error);
			bad += !on && t->insns == load && try_rdx != data[1];
		}
	}
	t->set(false);
	wp(true);
	if (t->set == no_nxe)
		tcg_differs(); /* it knows no reserved bit 63 */
	check_eq(bad, 0, t->name);
}

static void rights(void)
{
	static const struct toggle always[] = {
		{ "CR0.WP: a store to a read-only page", CODE_OF(store), 1, wp, VEC_PF, 3, 0 },
		{ "a page that is there and not", CODE_OF(load), 3, entry, VEC_PF, 0, 0 },
		{ "a page that is writable and not", CODE_OF(store), 3, entry_ro, VEC_PF, 3, 0 },
		{ "EFER.NXE: bit 63 is reserved without", CODE_OF(load), 3 | PTE_NX, no_nxe, VEC_PF, 9, 0 },
		{ "CR0.TS", CODE_OF(vector_load), 3, ts, VEC_NM, 0, 0 },
		{ "CR0.EM", CODE_OF(vector_load), 3, em, VEC_UD, 0, 0 },
		{ "CR4.OSFXSR", CODE_OF(vector_load), 3, no_fxsr, VEC_UD, 0, 0 },
	};
	static const struct toggle maps = { "CR4.SMAP: a user page", CODE_OF(load), 7, smap, VEC_PF, 1, 0 };
	static const struct toggle opens = { "CR4.SMAP and EFLAGS.AC: the same, allowed", CODE_OF(open_load), 7, smap, NO_TRAP, 0, 0 };
	static const struct toggle execs = { "CR4.SMEP: code in a user page", CODE_OF(load), 3, smep, VEC_PF, 0x11, WINDOW + UCODE * 4096ull };
	static const struct toggle keys[] = {
		{ "PKRU.AD: a load", CODE_OF(load), 7 | KEY1, key_ad, VEC_PF, 0x21, 0 },
		{ "PKRU.WD: a store", CODE_OF(store), 7 | KEY1, key_wd, VEC_PF, 0x23, 0 },
		{ "PKRU.WD: a load", CODE_OF(load), 7 | KEY1, key_wd, NO_TRAP, 0, 0 },
	};

	for (unsigned i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		toggled(&always[i]);
	if (need_feature(7, 0, 1, 20, "SMAP")) {
		toggled(&maps);
		set_cr4(CR4_SMAP, true); /* STAC is there with the feature alone */
		toggled(&opens);
	}
	if (need_feature(7, 0, 1, 7, "SMEP"))
		toggled(&execs);
	if (!need_feature(7, 0, 2, 3, "protection keys"))
		return;
	set_cr4(CR4_PKE, true);
	for (unsigned i = 0; i < 3; i++)
		toggled(&keys[i]);
	set_cr4(CR4_PKE, false);
}

/* --- bases --- */

static void base_by_msr(u32 msr, u64 base) { wrmsr(msr, base); }

static void base_by_insn(u32 msr, u64 base)
{
	if (msr == IA32_FS_BASE)
		__asm__ volatile("wrfsbase %0" : : "r"(base));
	else
		__asm__ volatile("wrgsbase %0" : : "r"(base));
}

/* The base below 4 GiB of a descriptor. */
static void base_by_selector(u32 msr, u64 base)
{
	gdt_set(SEL_FREE, (u32)base, 0xfffff, 0x93, 0xc);
	if (msr == IA32_FS_BASE)
		__asm__ volatile("mov %0, %%fs" : : "r"(SEL_FREE));
	else
		__asm__ volatile("mov %0, %%gs" : : "r"(SEL_FREE));
}

static void base_by_swap(u32 msr, u64 base)
{
	wrmsr(IA32_KERNEL_GS_BASE, base);
	__asm__ volatile("swapgs");
	(void)msr;
}

static void bases(void)
{
	static const struct { const char *name; const u8 *insns; u32 msr; void (*set)(u32 msr, u64 base); bool fsgs; } ways[] = {
		{ "FS base by WRMSR", fs_load, IA32_FS_BASE, base_by_msr, false },
		{ "GS base by WRMSR", gs_load, IA32_GS_BASE, base_by_msr, false },
		{ "FS base by its selector", fs_load, IA32_FS_BASE, base_by_selector, false },
		{ "GS base by SWAPGS", gs_load, IA32_GS_BASE, base_by_swap, false },
		{ "FS base by WRFSBASE", fs_load, IA32_FS_BASE, base_by_insn, true },
		{ "GS base by WRGSBASE", gs_load, IA32_GS_BASE, base_by_insn, true },
	};
	bool have = need_feature(7, 0, 1, 0, "FSGSBASE");

	if (have)
		set_cr4(CR4_FSGSBASE, true);
	for (unsigned w = 0; w < 6; w++) {
		u64 a = put_code(ways[w].insns, sizeof(fs_load));
		unsigned bad = 0;

		if (ways[w].fsgs && !have)
			continue;
		for (unsigned k = 0; k < TURNS; k++) {
			const u64 *d = k % 2 ? data2 : data;

			ways[w].set(ways[w].msr, (u64)d);
			for (unsigned i = 0; i < EACH; i++)
				bad += run(a, 16) != NO_TRAP || try_rdx != d[2];
		}
		ways[w].set(ways[w].msr, 0x7fffffffff00ull);
		if (ways[w].set != base_by_selector) { /* the sum is not canonical */
			bad += run(a, 0x100) != VEC_GP;
			bad += run(a, 0xf8) == VEC_GP;
		}
		check_eq(bad, 0, ways[w].name);
	}
	wrmsr(IA32_FS_BASE, 0);
	wrmsr(IA32_GS_BASE, 0);
}

/* --- modes --- */

/* The same load by ring 3: of a page that it may read, and of one that it may not. */
static void rings(void)
{
	unsigned bad = 0;

	put_code(user_load, sizeof(user_load));
	for (unsigned k = 0; k < 4 * TURNS; k++) {
		bool allowed = k % 4 != 3, user = k % 2;
		u64 v;

		map(DATA, data, allowed ? 7 : 3);
		try_rax = at(UCODE) + 256;
		try_rcx = at(DATA) + 24;
		try_rdx = 0;
		if (user)
			v = TRY("push $0x33; push %%rsp; push $2; push $0x3b; push %%rax; iretq");
		else
			v = TRY("jmp *%%rax");
		bad += v != (user && !allowed ? VEC_PF : VEC_UD) || (v == VEC_PF && trap.f.error != 5);
	}
	check_eq(bad, 0, "one piece of code in two rings");
}

static void widths(void)
{
	unsigned bad = 0;

	put_code(either, sizeof(either));
	for (unsigned k = 0; k < TURNS; k++)
		for (unsigned i = 0; i < EACH; i++)
			bad += k % 2 ? call32((u32)(u64)code[0] + 256) != 0x12345677 : call((u64)code[0] + 256, 0) != 0x12345678;
	check_eq(bad, 0, "one piece of code in 64-bit and in compatibility mode");
}

static void paging_off(void)
{
	u64 cr4 = read_cr4(), cr3 = read_cr3(), alias = (u64)&data[3] + 0x80000000;
	u32 a = (u32)(u64)code[0] + 256;
	unsigned bad = 0;

	put_code(load32, sizeof(load32));
	for (unsigned k = 0; k < TURNS; k++)
		for (unsigned i = 0; i < EACH; i++) {
			run(a, alias);
			bad += (u32)try_rdx != (u32)data[3];
			if (i % 4 == 0) /* 2 GiB and more: nothing there */
				bad += call_unpaged(a, (u32)alias, cr4, cr3) == (u32)data[3];
			else if (i % 4 == 1)
				bad += call_unpaged(a, (u32)(u64)&data[3], cr4, cr3) != (u32)data[3];
		}
	check_eq(bad, 0, "CR0.PG");
}

static void five_levels(void)
{
	static u64 pml5[512] __attribute__((aligned(4096)));
	u64 cr4 = read_cr4(), cr3 = read_cr3(), a = put_code(load, sizeof(load));
	unsigned bad = 0;

	if (!need_feature(7, 0, 2, 16, "5-level paging"))
		return;
	pml5[0] = cr3 | 7;
	boot_pml4[256] = boot_pml4[2]; /* 2^47: not canonical with four levels */
	map(DATA, data, 7);
	for (unsigned k = 0; k < TURNS; k++) {
		bool five = k % 2;

		call_unpaged(0, 0, five ? cr4 | CR4_LA57 : cr4, five ? (u64)pml5 : cr3);
		for (unsigned i = 0; i < EACH; i++) {
			u64 v = run(a, (1ull << 47) + DATA * 4096 + 24);

			bad += five ? v != NO_TRAP || try_rdx != data[3] : v != VEC_GP;
			v = run(a, 0xffff800000000000ull + DATA * 4096 + 24);
			bad += five ? v != VEC_PF : v != NO_TRAP || try_rdx != data[3];
		}
	}
	call_unpaged(0, 0, cr4, cr3);
	check_eq(bad, 0, "CR4.LA57");
}

void guest_main(void)
{
	build_window();
	map(CODE, code[0], 3);
	map(UCODE, code[0], 7);
	for (unsigned i = 0; i < 512; i++) {
		data[i] = 0x1111000000000000ull + i;
		data2[i] = 0x2222000000000000ull + i;
	}
	rights();
	bases();
	rings();
	widths();
	paging_off();
	five_levels();
}
