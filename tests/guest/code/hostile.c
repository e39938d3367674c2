// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest that wants out of its memory. Each kind of access first runs often on a good page, so that an engine has made
 * it fast; then the same instruction meets addresses that are not canonical, wrap around at 2^64, lie behind the last byte
 * of RAM, in holes and devices, or begin on the last good byte before one of these. What each does is up to the manual:
 * here it must do something the CPU can do, RAM that was not named must not change, and holes read as ones. Best run on a
 * machine built with the sanitizers.
 */
#include "arch/paging.h"
#include "tests/guest/sys/expect.h"

#define HOT 100
#define WINDOW 0x10000000000ull   /* 1 TiB: PML4 entry 2 */
#define TOP 0xfffffffffffff000ull /* the last page */
#define EDGE 0x7ffffffff000ull    /* the last page of the lower half */
#define LOW_HALF (1ull << 47)

static u64 pdpt[512] __attribute__((aligned(4096))), pd[512] __attribute__((aligned(4096))),
	pt[512] __attribute__((aligned(4096)));
static u64 low_pt[512] __attribute__((aligned(4096)));
static u64 top_pdpt[512] __attribute__((aligned(4096))), edge_pdpt[512] __attribute__((aligned(4096)));
static u8 good[4096] __attribute__((aligned(4096))), guard[2][4096] __attribute__((aligned(4096)));
static u8 stack[8192] __attribute__((aligned(16)));
extern u32 boot_info;
static u64 ram_end;

#define KINDS(X) \
	X(load1, "mov (%%rax), %%cl") \
	X(load2, "mov (%%rax), %%cx") \
	X(load4, "mov (%%rax), %%ecx") \
	X(load8, "mov (%%rax), %%rcx") \
	X(load16, "movdqu (%%rax), %%xmm0") \
	X(load10, "fldt (%%rax); fstp %%st(0)") \
	X(store1, "mov %%cl, (%%rax)") \
	X(store2, "mov %%cx, (%%rax)") \
	X(store4, "mov %%ecx, (%%rax)") \
	X(store8, "mov %%rcx, (%%rax)") \
	X(store16, "movups %%xmm1, (%%rax)") \
	X(store10, "fldz; fstpt (%%rax)") \
	X(nontemporal, "movnti %%rcx, (%%rax)") \
	X(add8, "add %%rcx, (%%rax)") \
	X(locked, "lock xadd %%rcx, (%%rax)") \
	X(exchange, "xchg %%rcx, (%%rax)") \
	X(compare8, "mov %%rax, %%rsi; lock cmpxchg8b (%%rsi)") \
	X(compare16, "mov %%rax, %%rsi; lock cmpxchg16b (%%rsi)") \
	X(negative, "mov $-4096, %%r8; mov 4096(%%rax, %%r8), %%rcx") \
	X(scaled, "mov $-1, %%r8; mov 8(%%rax, %%r8, 8), %%rcx") \
	X(bit_far, "mov $-0x8000, %%r8; bts %%r8, 0x1000(%%rax)") \
	X(wraps, "mov $-16, %%r8; lea 0x40(%%rax), %%rsi; mov -0x80(%%rsi, %%r8, 4), %%rcx; mov 0x7fffffc0(%%rsi, %%r8, 4), %%r9") \
	X(narrow, "mov $-1, %%r8; addr32 mov 1(%%eax, %%r8d), %%rcx") \
	X(narrow_to, "mov $-1, %%r8; addr32 mov %%rcx, 4(%%eax, %%r8d, 4)") \
	X(narrow_fs, "addr32 mov %%fs:8(%%eax), %%rcx") \
	X(zeroes, "xor %%ecx, %%ecx; vpxor %%xmm1, %%xmm1, %%xmm1; vmovdqu (%%rax), %%ymm0; vmovdqu %%ymm1, (%%rax); vzeroupper") \
	X(masked, "vpcmpeqd %%ymm0, %%ymm0, %%ymm0; vmaskmovps %%ymm1, %%ymm0, (%%rax); vzeroupper") \
	X(gathers, "vpcmpeqd %%xmm0, %%xmm0, %%xmm0; vpxor %%xmm1, %%xmm1, %%xmm1; vpgatherdd %%xmm0, 8(%%rax, %%xmm1, 8), %%xmm2") \
	X(huge_count, "mov %%rax, %%rdi; mov $-1, %%rcx; rep stosq") \
	X(huge_from, "mov %%rax, %%rsi; lea good(%%rip), %%rdi; mov $0x200, %%ecx; bts $63, %%rcx; rep lodsb") \
	X(back_over, "mov %%rax, %%rdi; mov %%rax, %%rsi; mov $0x3000, %%ecx; std; rep movsw; cld") \
	X(narrow_count, "mov %%rax, %%rdi; movabs $0x10000000040, %%rcx; addr32 rep stosb") \
	X(push_down, "lea 8(%%rax), %%rsp; push %%rcx; push %%rcx; push %%rcx") \
	X(pop_up, "mov %%rax, %%rsp; pop %%rcx; pop %%rcx; pop %%rcx") \
	X(push_flags, "lea 8(%%rax), %%rsp; pushfq; call 1f; 1: pushw %%cx") \
	X(push, "lea 8(%%rax), %%rsp; push %%rcx") \
	X(pop, "mov %%rax, %%rsp; pop %%rcx") \
	X(call, "lea 8(%%rax), %%rsp; call 1f; 1:") \
	X(ret, "mov %%rax, %%rsp; ret") \
	X(leave, "mov %%rax, %%rbp; leave") \
	X(enter, "lea 16(%%rax), %%rsp; enter $8, $1") \
	X(iret, "mov %%rax, %%rsp; iretq") \
	X(movs_to, "mov %%rax, %%rdi; lea good(%%rip), %%rsi; mov $32, %%ecx; rep movsb") \
	X(movs_from, "mov %%rax, %%rsi; lea good+64(%%rip), %%rdi; mov $32, %%ecx; rep movsb") \
	X(stos_long, "mov %%rax, %%rdi; mov $48, %%ecx; rep stosb") \
	X(stos_back, "mov %%rax, %%rdi; mov $3, %%ecx; std; rep stosq; cld") \
	X(scas, "mov %%rax, %%rdi; mov $64, %%ecx; repne scasb") \
	X(cmps, "mov %%rax, %%rdi; lea good(%%rip), %%rsi; mov $64, %%ecx; repe cmpsb") \
	X(fxsave, "fxsave64 (%%rax)") \
	X(fnsave, "fnsave (%%rax); fninit") \
	X(ldmxcsr, "ldmxcsr (%%rax); movl $0x1f80, -64(%%rsp); ldmxcsr -64(%%rsp)") \
	X(mask, "pcmpeqd %%xmm0, %%xmm0; mov %%rax, %%rdi; maskmovdqu %%xmm0, %%xmm1") \
	X(sgdt, "sgdt (%%rax)") \
	X(lgdt, "lgdt (%%rax); lgdt boot_gdtr(%%rip)") \
	X(far_jump, "rex.w ljmp *(%%rax)") \
	X(near_jump, "jmp *(%%rax)") \
	X(run, "jmp *%%rax") \
	X(flush, "clflush (%%rax)") \
	X(invalidate, "invlpg (%%rax)") \
	X(prefetch, "prefetcht0 (%%rax)") \
	X(by_fs, "mov %%fs:(%%rax), %%rcx") \
	X(to_fs, "mov %%rcx, %%fs:(%%rax)")

#define KIND(name, insns) static u64 do_##name(void) { u64 v = TRY(insns); __asm__ volatile("cld"); return v; }
KINDS(KIND)
#undef KIND

static const struct { const char *name; u64 (*run)(void); } kinds[] = {
#define KIND(name, insns) { #name, do_##name },
	KINDS(KIND)
#undef KIND
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static u64 page(unsigned i)
{
	return WINDOW + i * 4096ull;
}

static void map(unsigned i, u64 physical)
{
	pt[i] = physical | 7;
	invlpg(page(i));
}

static void build(void)
{
	const u32 *info = (const u32 *)(u64)boot_info;

	ram_end = 0x100000 + (u64)info[2] * 1024; /* mem_upper: KiB from 1 MiB on */
	ram_end = (ram_end + 0xffffff) & ~0xffffffull; /* what is above belongs to the firmware */
	for (unsigned i = 1; i < 4 * 512; i++)
		boot_pd[i] |= PTE_NX; /* a wild jump is not to wander about for long */
	for (u64 i = 0; i < 512; i++)
		low_pt[i] = i == 1 ? 0 : i << 12 | 7 | (i > 0 && i < 256 ? PTE_NX : 0); /* what wraps around ends at 4096 */
	boot_pd[0] = (u64)low_pt | 7;
	pd[0] = (u64)pt | 7;
	pd[1] = (ram_end & ~0x1fffffull) | 0x87; /* a large page at the end of RAM, or just behind it */
	pdpt[0] = (u64)pd | 7;
	pdpt[1] = 0x40000000 | 0x87; /* 1 GiB, all of it behind RAM if that is small */
	boot_pml4[2] = (u64)pdpt | 7;
	top_pdpt[511] = (u64)pd | 7;
	pd[511] = (u64)pt | 7;
	pt[511] = (u64)good | 7; /* page TOP */
	boot_pml4[511] = (u64)top_pdpt | 7;
	edge_pdpt[511] = (u64)pd | 7;
	boot_pml4[255] = (u64)edge_pdpt | 7; /* page EDGE */
	write_cr3(read_cr3());
	map(0, (u64)good);
	map(1, (u64)good);
	map(2, ram_end - 4096);
	map(3, ram_end);
	map(4, ram_end - 4096);
	map(6, (u64)good);
	map(7, 0xfffffff000ull - 0x1000); /* high, no RAM */
	map(8, (u64)good);
	pt[9] = 0;
	map(10, 0xa0000);            /* VGA hole */
	map(11, 0xfffff000);         /* firmware */
}

/* Is anything but good[] changed? The guards surround it; behind them is the last page of RAM. */
static bool guards_hold(void)
{
	for (unsigned i = 0; i < 4096; i++)
		if (guard[0][i] != 0xa5 || guard[1][i] != 0x5a)
			return false;
	return true;
}

static void fill(void)
{
	memset(guard[0], 0xa5, 4096);
	memset(guard[1], 0x5a, 4096);
	memset(good, 0x90, sizeof(good)); /* as an address it is not canonical, as code it runs to the end of its page */
	memset((void *)(ram_end - 4096), 0x90, 4096);
	for (volatile u8 *low = (u8 *)64; low < (u8 *)128; low++)
		low[-64] = 0x06; /* #UD: code at the end of all addresses goes on at 0 */
}

/* Strings that go on until something stops them; they change all that they may. */
static bool is_endless(unsigned k)
{
	return kinds[k].name[0] == 'h';
}

static void warm(unsigned k)
{
	for (unsigned i = 0; i < HOT; i++) {
		try_rax = page(0) + 128 + i % 8 * 64;
		kinds[k].run();
		if (is_endless(k))
			fill();
	}
}

static void wild(const u64 *where, unsigned n, const char *name)
{
	static const u16 offsets[] = { 0, 1, 8, 64, 0xff0, 0xff1, 0xff8, 0xff9, 0xffc, 0xffd, 0xffe, 0xfff };
	unsigned traps = 0, odd = 0, runs = 0;

	for (unsigned k = 0; k < NKINDS; k++) {
		fill();
		warm(k);
		for (unsigned i = 0; i < n; i++)
			for (unsigned o = 0; o < sizeof(offsets) / sizeof(offsets[0]); o++) {
				u64 vector;

				if (is_endless(k) && (o % 6 || (where[i] >= WINDOW + (1 << 30) && where[i] < WINDOW + (2ull << 30))))
					continue; /* they take long; 1 GiB of nothing takes minutes */
				try_rax = where[i] + offsets[o];
				try_rcx = 0x1122334455667788ull;
				try_rdx = 0;
				vector = kinds[k].run();
				traps += vector != NO_TRAP;
				odd += vector != NO_TRAP && vector > 31;
				runs++;
				if (is_endless(k))
					fill();
			}
	}
	check(odd == 0 && traps > 0, "%s: %u accesses, %u events", name, runs, traps);
	check(guards_hold(), "… and the rest of RAM is as it was");
}

static void addresses(void)
{
	static const u64 not_canonical[] = { LOW_HALF - 4096, LOW_HALF, 0xffff7fffffffffffull - 4095, 0x8000000000000000ull,
		0x00ff000000000000ull, 0x7fffffffffffffffull - 4095, 0xfffeffffffffffffull - 4095 };
	static const u64 ends[] = { TOP, EDGE, EDGE - 4096 };
	const u64 holes[] = { page(2), page(3), page(4), page(7), page(8), page(9), page(10) };
	const u64 large[] = { WINDOW + (1 << 21), WINDOW + (1 << 21) + 0x1ff000, WINDOW + (1 << 30), WINDOW + (1 << 30) + 0x1000,
		WINDOW + (1 << 30) + 0x3ffff000 };
	static const u64 unmapped[] = { 0x20000000000ull, 0x123456789000ull, 0xffff800000000000ull, 0xfffffffffffff000ull - (1ull << 39) };

	wild(not_canonical, 7, "addresses that are not canonical");
	wild(ends, 3, "the ends of both halves");
	wild(holes, 7, "the end of RAM, and holes");
	wild(large, 5, "large pages that reach beyond RAM");
	wild(unmapped, 4, "addresses that are not mapped");
}

/* Loads of hot code from behind RAM see ones, stores go nowhere. */
static void behind_ram(void)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < HOT; i++) {
		try_rax = page(i % 2 ? 3 : 0);
		try_rcx = 0;
		do_load8();
		bad += i % 2 && try_rcx != ~0ull;
	}
	for (unsigned i = 0; i < HOT; i++) {
		try_rax = page(3) + i;
		try_rcx = i;
		do_store8();
		do_load8();
		bad += try_rcx != ~0ull;
	}
	tcg_differs(); /* it reads zeroes */
	check_eq(bad, 0, "nothing behind RAM");
}

/* Tables of the CPU's own in places without memory: each ends as the manual has it, or in a shutdown, not elsewhere. */
static void tables(void)
{
	static const u64 roots[] = { 0x40000000, 0xfffffff000ull - 0x1000, 0xfee00000, 0xa0000 };
	u64 saved[3] = { boot_pml4[3], pdpt[2], pd[3] };

	for (unsigned i = 0; i < 4; i++) {
		boot_pml4[3] = roots[i] | 7;
		try_rax = 0x18000000000ull;
		check(do_load8() != NO_TRAP || true, "a PDPT at %lx", roots[i]);
		pdpt[2] = roots[i] | 7;
		try_rax = WINDOW + (2ull << 30);
		check(do_store8() != NO_TRAP || true, "a PD there");
		pd[3] = roots[i] | 7;
		try_rax = WINDOW + (3ull << 21);
		check(do_load8() != NO_TRAP || true, "a PT there");
		write_cr3(read_cr3());
	}
	boot_pml4[3] = saved[0];
	pdpt[2] = saved[1];
	pd[3] = saved[2];
	write_cr3(read_cr3());
}

/* Bases that make a good offset wild. */
static void bases(void)
{
	static const u64 fs[] = { 0xffffffffffffff00ull, 0x00007fffffffff00ull, 0xffff800000000000ull, 0xffffffff00000000ull };
	unsigned traps = 0;

	for (unsigned i = 0; i < 4; i++) {
		wrmsr(0xc0000100, 0);
		for (unsigned h = 0; h < HOT; h++) {
			try_rax = page(0);
			do_to_fs();
		}
		wrmsr(0xc0000100, fs[i]);
		for (unsigned o = 0; o < 512; o++) {
			try_rax = o;
			traps += do_by_fs() != NO_TRAP;
			try_rax = page(0) + o;
			traps += do_to_fs() != NO_TRAP;
		}
	}
	wrmsr(0xc0000100, 0);
	check(traps > 0, "wild segment bases: %u events", traps);
	check(guards_hold(), "… and the rest of RAM is as it was");
}

static void vectors_on(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	if (!(r[2] >> 28 & 1))
		return; /* #UD then, which is an end as well */
	write_cr4(read_cr4() | CR4_OSXSAVE);
	__asm__ volatile("xsetbv" : : "a"(7), "c"(0), "d"(0));
}

/* What a narrow address is, and what a wide sum is, to the byte. */
static void sums(void)
{
	u64 *low = (u64 *)0x80000800, base = page(0) + 0x100; /* physical 800H: also linear 800H */
	unsigned bad = 0;

	*low = 0x1234567890abcdefull;
	*(u64 *)(good + 0x100) = 0xfedcba0987654321ull;
	for (unsigned i = 0; i < HOT; i++) {
		/* 32 bits: (2^32 - 8) + 2^31 * 2 + 0x808 */
		try_rax = 0xaaaaaaaafffffff8ull;
		try_rdx = 0xbbbbbbbb80000000ull;
		bad += TRY("addr32 mov 0x808(%%eax, %%edx, 2), %%rcx") != NO_TRAP || try_rcx != *low;
		/* 64 bits: the index times eight wraps */
		try_rax = base + 8;
		try_rdx = 0x1fffffffffffffffull;
		bad += TRY("mov (%%rax, %%rdx, 8), %%rcx") != NO_TRAP || try_rcx != 0xfedcba0987654321ull;
		/* a base above, a displacement below */
		try_rax = base + 0x80000000;
		bad += TRY("mov -0x80000000(%%rax), %%rcx") != NO_TRAP || try_rcx != 0xfedcba0987654321ull;
		/* the segment's base is added after the sum has been cut to 32 bits */
		wrmsr(0xc0000100, base - 0x10);
		try_rax = 0xfffffff8;
		bad += TRY("addr32 mov %%fs:0x18(%%eax), %%rcx") != NO_TRAP || try_rcx != 0xfedcba0987654321ull;
		wrmsr(0xc0000100, 0);
	}
	check_eq(bad, 0, "sums that wrap");
}

void guest_main(void)
{
	build();
	fill();
	tss.ist[0] = (u64)(stack + sizeof(stack));
	for (unsigned i = 0; i < 32; i++)
		idt[i].ist = 1; /* the stack pointer may be anything */
	vectors_on();
	behind_ram();
	sums();
	addresses();
	bases();
	tables();
	put("# RAM ends at %lx\n", ram_end);
}
