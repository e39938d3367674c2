// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Code that changes under the CPU, as an engine that keeps decoded or translated code must see it. Each piece runs often
 * before it changes, so that whatever an engine does to hot code has been done. SDM 3A "Handling Self- and
 * Cross-Modifying Code": after a store to code the processor runs the new bytes, at the latest behind a jump; the
 * project's machine, as Intel's processors since the P6, with the very next instruction.
 */
#include "arch/paging.h"
#include "tests/guest/sys/expect.h"

#define HOT 300
#define WINDOW 0x10000000000ull /* 1 TiB: PML4 entry 2 */

typedef u64 fn(u64 a);

static u8 code[4][4096] __attribute__((aligned(4096)));
static u64 pdpt[512] __attribute__((aligned(4096))), pd[512] __attribute__((aligned(4096))),
	pt[512] __attribute__((aligned(4096)));

static u64 at(unsigned i)
{
	return WINDOW + i * 4096ull;
}

static void map(unsigned i, const void *page, u64 flags)
{
	pt[i] = (u64)page | flags;
	invlpg(at(i));
}

static void build(void)
{
	pd[0] = (u64)pt | 7;
	pdpt[0] = (u64)pd | 7;
	boot_pml4[2] = (u64)pdpt | 7;
	write_cr3(read_cr3());
}

static u64 call(u64 a, u64 arg)
{
	return ((fn *)a)(arg);
}

/* Calls often; returns how many calls did not give `want`. */
static unsigned heat(u64 a, u64 arg, u64 want)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < HOT; i++)
		bad += call(a, arg) != want;
	return bad;
}

/* mov $v, %eax; ret */
static void put_return(u8 *p, u32 v)
{
	p[0] = 0xb8;
	memcpy(p + 1, &v, 4);
	p[5] = 0xc3;
}

/* --- every way to store --- */

#define STORE(name, insns) \
	static void name(void *to, const u64 *v) \
	{ \
		__asm__ volatile(insns : : "D"(to), "S"(v) : "memory", "cc", "rax", "rcx", "rdx", "r8"); \
	}
STORE(by_bytes, "mov $8, %%ecx; 1: mov -1(%%rsi, %%rcx), %%al; mov %%al, -1(%%rdi, %%rcx); loop 1b")
STORE(by_words, "mov $4, %%ecx; 1: mov -2(%%rsi, %%rcx, 2), %%ax; mov %%ax, -2(%%rdi, %%rcx, 2); loop 1b")
STORE(by_dwords, "mov (%%rsi), %%eax; mov %%eax, (%%rdi); mov 4(%%rsi), %%eax; mov %%eax, 4(%%rdi)")
STORE(by_qword, "mov (%%rsi), %%rax; mov %%rax, (%%rdi)")
STORE(by_xchg, "mov (%%rsi), %%rax; xchg %%rax, (%%rdi)")
STORE(by_cmpxchg, "mov (%%rdi), %%rax; mov (%%rsi), %%rcx; lock cmpxchg %%rcx, (%%rdi)")
STORE(by_add, "mov (%%rsi), %%rax; sub (%%rdi), %%rax; add %%rax, (%%rdi)")
STORE(by_xor, "mov (%%rsi), %%rax; xor (%%rdi), %%rax; lock xor %%rax, (%%rdi)")
STORE(by_push, "mov %%rsp, %%r8; lea 8(%%rdi), %%rsp; push (%%rsi); mov %%r8, %%rsp")
STORE(by_movs, "movsq")
STORE(by_rep_movs, "mov $8, %%ecx; rep movsb")
STORE(by_rep_stos, "mov (%%rsi), %%rax; mov $1, %%ecx; rep stosq")
STORE(by_std, "add $7, %%rsi; add $7, %%rdi; mov $8, %%ecx; std; rep movsb; cld")
STORE(by_sse, "movq (%%rsi), %%xmm0; movq %%xmm0, (%%rdi)")
STORE(by_sse16, "movdqu 8(%%rdi), %%xmm1; movq (%%rsi), %%xmm0; movlhps %%xmm1, %%xmm0; movups %%xmm0, (%%rdi)")
STORE(by_movnti, "mov (%%rsi), %%rax; movnti %%rax, (%%rdi)")
STORE(by_x87, "fildll (%%rsi); fistpll (%%rdi)")
STORE(by_mmx, "movq (%%rsi), %%mm0; movq %%mm0, (%%rdi); emms")
STORE(by_cmpxchg16, "push %%rbx; mov (%%rdi), %%rax; mov 8(%%rdi), %%rdx; mov (%%rsi), %%rbx; mov %%rdx, %%rcx;"
      "lock cmpxchg16b (%%rdi); pop %%rbx")

static const struct { const char *name; void (*store)(void *to, const u64 *v); } stores[] = {
#define ROW(name) { #name, by_##name }
	ROW(bytes), ROW(words), ROW(dwords), ROW(qword), ROW(xchg), ROW(cmpxchg), ROW(add), ROW(xor), ROW(push),
	ROW(movs), ROW(rep_movs), ROW(rep_stos), ROW(std), ROW(sse), ROW(sse16), ROW(movnti), ROW(x87), ROW(mmx),
	ROW(cmpxchg16),
#undef ROW
};

static void every_store(u64 alias, const char *through)
{
	u8 *p = code[0] + 64;
	u64 run = at(0) + 64;

	for (unsigned i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		/* b8 imm32 c3 90 90 */
		const u64 old = 0x9090c300000000b8ull, v = old | (u64)(i + 1) << 8;
		unsigned bad;

		put_return(p, 0);
		memset(p + 6, 0x90, 10);
		bad = heat(run, 0, 0);
		for (unsigned k = 0; k < 40; k++) { /* the store itself is hot, too */
			stores[i].store((void *)(alias + 64), &old);
			bad += call(run, 0) != 0;
			stores[i].store((void *)(alias + 64), &v);
			bad += call(run, 0) != i + 1;
		}
		check_eq(bad, 0, stores[i].name);
	}
	put("# through %s\n", through);
}

/* --- the instruction just behind the store --- */

/* movb %dil, 1+(next); next: mov $imm8, %al; movzx %al, %eax; ret */
static const u8 next_insn[] = { 0x40, 0x88, 0x3d, 0x01, 0, 0, 0, 0xb0, 0x00, 0x0f, 0xb6, 0xc0, 0xc3 };
/* The same with the changed instruction three further on, and a jump that goes back to it once. */
static const u8 own_block[] = { 0x31, 0xc9, 0x40, 0x88, 0x3d, 0x07, 0, 0, 0, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xb0, 0x00,
	0xff, 0xc1, 0x83, 0xf9, 0x02, 0x75, 0xf7, 0x0f, 0xb6, 0xc0, 0xc3 };
/* rep stosb over what follows: mov %edi, %eax; lea next(%rip), %rdi; mov $1, %ecx; rep stosb; next: .. b0 ii: al */
static const u8 string_ahead[] = { 0x89, 0xf8, 0x48, 0x8d, 0x3d, 0x08, 0, 0, 0, 0xb9, 0x01, 0, 0, 0, 0xf3, 0xaa,
	0xb0, 0x00, 0x0f, 0xb6, 0xc0, 0xc3 };

static void next_instruction(void)
{
	unsigned bad = 0;

	memcpy(code[0] + 256, next_insn, sizeof(next_insn));
	for (unsigned i = 0; i < 2 * HOT; i++)
		bad += call(at(0) + 256, i & 0x7f) != (i & 0x7f);
	check_eq(bad, 0, "the next instruction changes");
	memcpy(code[0] + 320, own_block, sizeof(own_block));
	bad = 0;
	for (unsigned i = 0; i < 2 * HOT; i++)
		bad += call(at(0) + 320, i & 0x7f) != (i & 0x7f);
	check_eq(bad, 0, "an instruction further on in the same block, a loop");
	memcpy(code[0] + 384, string_ahead, sizeof(string_ahead));
	bad = 0;
	for (unsigned i = 0; i < 2 * HOT; i++)
		bad += call(at(0) + 384, i & 0x7f) != (i & 0x7f);
	check_eq(bad, 0, "a string instruction writes what follows it");
}

/* --- pages --- */

static void two_pages(void)
{
	u8 *p = code[0] + 4094;
	unsigned bad = 0;

	map(0, code[0], 7);
	map(1, code[1], 7);
	put_return(p, 0x11223344); /* b8 44 | 33 22 11 c3: code[0] and code[1] are neighbours in memory, too */
	bad += heat(at(0) + 4094, 0, 0x11223344);
	code[1][0] = 0x55;
	bad += call(at(0) + 4094, 0) != 0x11225544;
	check_eq(bad, 0, "an instruction on two pages, its second part written");
	bad = heat(at(0) + 4094, 0, 0x11225544);
	memcpy(code[2], code[1], 16);
	code[2][0] = 0x66;
	map(1, code[2], 7);
	bad += heat(at(0) + 4094, 0, 0x11226644);
	check_eq(bad, 0, "… its second page mapped to another frame");
	map(1, code[1], 7);
	bad = heat(at(0) + 4094, 0, 0x11225544);
	check_eq(bad, 0, "… and back");
	pt[1] = 0;
	invlpg(at(1));
	try_rax = at(0) + 4094;
	expect(TRY("call *%%rax"), VEC_PF, 0x10, "… its second page not there: a fetch fault");
	check_eq(trap.cr2, at(1), "at the second page");
	map(1, code[1], 7);
}

/* lea (%rip), %rax; ret: where it runs */
static const u8 where[] = { 0x48, 0x8d, 0x05, 0xf9, 0xff, 0xff, 0xff, 0xc3 };

static void aliases(void)
{
	unsigned bad = 0;

	memcpy(code[0] + 512, where, sizeof(where));
	for (unsigned i = 2; i < 10; i++)
		map(i, code[0], 7);
	for (unsigned k = 0; k < HOT; k++)
		for (unsigned i = 2; i < 10; i++)
			bad += call(at(i) + 512, 0) != at(i) + 512;
	check_eq(bad, 0, "one frame at eight addresses: each runs at its own");
	put_return(code[0] + 600, 1);
	bad = 0;
	for (unsigned i = 2; i < 10; i++)
		bad += heat(at(i) + 600, 0, 1);
	*(u8 *)(at(5) + 601) = 2;
	for (unsigned i = 2; i < 10; i++)
		bad += heat(at(i) + 600, 0, 2);
	check_eq(bad, 0, "… a store through one alias changes all");
}

static void other_frame(void)
{
	unsigned bad = 0;

	put_return(code[1] + 700, 100);
	put_return(code[2] + 700, 200);
	for (unsigned k = 0; k < HOT; k++) {
		map(11, code[1], 7);
		bad += call(at(11) + 700, 0) != 100;
		map(11, code[2], 7);
		bad += call(at(11) + 700, 0) != 200;
	}
	check_eq(bad, 0, "one address, two frames in turn");
	map(11, code[1], 7 | PTE_NX);
	try_rax = at(11) + 700;
	expect(TRY("call *%%rax"), VEC_PF, 0x11, "… no longer executable");
	map(11, code[1], 7);
	bad = heat(at(11) + 700, 0, 100);
	map(11, code[1], 5);
	bad += heat(at(11) + 700, 0, 100);
	check_eq(bad, 0, "… read-only");
}

/* A loop that counts in its own page: mov $10000, %ecx; 1: incl d(%rip); dec %ecx; jnz 1b; mov d(%rip), %eax; ret */
static const u8 counter[] = { 0xb9, 0x10, 0x27, 0, 0, 0xff, 0x05, 0xf5, 0, 0, 0, 0xff, 0xc9, 0x75, 0xf6, 0x8b, 0x05, 0xeb, 0, 0, 0,
	0xc3 };

static void mixed_page(void)
{
	u32 *d = (u32 *)(code[3] + 256);
	unsigned bad = 0;

	memcpy(code[3], counter, sizeof(counter));
	map(12, code[3], 7);
	*d = 0;
	for (unsigned i = 1; i <= 20; i++)
		bad += call(at(12), 0) != 10000 * i;
	check_eq(bad, 0, "data in the page of the code that writes it");
	put_return(code[3] + 1024, 0);
	for (unsigned i = 0; i < 3000; i++) { /* new code all the time, in a page with old code */
		put_return(code[3] + 1024 + i % 64 * 8, i);
		bad += call(at(12) + 1024 + i % 64 * 8, 0) != i;
	}
	check_eq(bad, 0, "new code all the time beside old code");
}

/* --- stores that no instruction names --- */

/*
 * A function that returns a page-table entry as its own immediate: the walker's accessed and dirty flags change code.
 * 48 b8 in the last bytes of the entry before (not present), 90 c3 in the one behind.
 */
static void walker_writes(void)
{
	u64 *e = &pt[101], other = (u64)code[2], mine;
	unsigned bad = 0;

	e[-1] = 0xb848000000000000ull;
	e[1] = 0xc390;
	map(14, pt, 7);
	e[0] = other | 3;
	bad += heat(at(14) + 101 * 8 - 2, 0, other | 3);
	(void)*(volatile u8 *)at(101);
	mine = call(at(14) + 101 * 8 - 2, 0);
	check_eq(mine, other | 3 | PTE_A, "the walker's accessed flag in code");
	bad += heat(at(14) + 101 * 8 - 2, 0, other | 3 | PTE_A);
	*(volatile u8 *)at(101) = 1;
	mine = call(at(14) + 101 * 8 - 2, 0);
	check_eq(mine, other | 3 | PTE_A | PTE_D, "… and its dirty flag");
	check_eq(bad, 0, "… and nothing else");
	e[0] = e[1] = e[-1] = 0;
	invlpg(at(101));
}

/* INT3's frame goes to a stack that is code: the pushed return address becomes an immediate. */
static bool hooked(struct frame *f)
{
	return f->vector == VEC_BP;
}

static void pushed_frames(void)
{
	u8 *p = code[2] + 2048;
	u64 rip = 0;
	unsigned bad = 0;

	/* movabs $RIP of the frame, %rax; ret. The frame is 40 bytes below the stack's end: RIP at -40. */
	p[-42] = 0x48;
	p[-41] = 0xb8;
	p[-32] = 0xc3; /* the frame's CS: 08 00: a stack one word lower leaves it alone */
	map(15, code[2], 7);
	trap_hook = hooked;
	for (unsigned i = 0; i < HOT; i++) {
		u64 was;

		__asm__ volatile("mov %%rsp, %%r8; mov %1, %%rsp; call 1f; 1: mov %%r8, %%rsp; lea 1b(%%rip), %0"
				 : "=r"(rip) : "r"(at(15) + 2048 - 32) : "r8", "memory");
		p[-32] = 0xc3;
		was = call(at(15) + 2048 - 42, 0);
		bad += was != rip;
		put_return(p, i); /* the code goes away and comes back */
	}
	trap_hook = NULL;
	check_eq(bad, 0, "a return address that a call pushes into code");
}

/* --- breakpoints in hot code --- */

/* mov %edi, %eax; inc %eax; inc %eax; mov %eax, d(%rip); inc %eax; ret */
static const u8 line[] = { 0x89, 0xf8, 0xff, 0xc0, 0xff, 0xc0, 0x89, 0x05, 0xf2, 0, 0, 0, 0xff, 0xc0, 0xc3 };
static unsigned hits;
static u64 hit_rip;

static bool on_debug(struct frame *f)
{
	hits++;
	hit_rip = f->rip;
	f->rflags |= EFLAGS_RF;
	return f->vector == VEC_DB || f->vector == VEC_BP;
}

static void debug_set(u64 address, u64 rw, u64 len)
{
	u64 dr7 = DR7_INIT | (address ? DR7_G(0) | (rw | len << 2) << 16 : 0), zero = 0;

	__asm__ volatile("mov %0, %%dr6; mov %1, %%dr0; mov %2, %%dr7" : : "r"(zero), "r"(address), "r"(dr7));
}

static void breakpoints(void)
{
	u64 run = at(3);
	u8 *p = code[0] + 1024;
	unsigned bad;

	memcpy(p, line, sizeof(line));
	run += 1024;
	bad = heat(run, 5, 8);
	trap_hook = on_debug;
	debug_set(run + 4, 0, 0);
	hits = 0;
	bad += heat(run, 5, 8);
	check_eq(hits, HOT, "an instruction breakpoint in hot code");
	check_eq(hit_rip, run + 4, "… before its instruction");
	debug_set(run + 12 + 0xf2, 1, 3);
	hits = 0;
	bad += heat(run, 5, 8);
	check_eq(hits, HOT, "a data breakpoint");
	check_eq(hit_rip, run + 12, "… behind its instruction");
	debug_set(0, 0, 0);
	hits = 0;
	bad += heat(run, 5, 8);
	check_eq(hits, 0, "none");
	p[4] = 0xcc; /* INT3 over INC; the byte after it is an INC's second: c0 would be another opcode, so both change */
	p[5] = 0x90;
	bad += heat(run, 5, 7);
	check_eq(hits, HOT, "INT3 over hot code");
	p[4] = 0xff;
	p[5] = 0xc0;
	hits = 0;
	bad += heat(run, 5, 8);
	check_eq(hits, 0, "… and away");
	hits = 0;
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; call *%%rax; pushfq; andq $~0x100, (%%rsp); popfq"
			 : : "a"(run), "D"(5ull) : "memory", "cc", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11");
	trap_hook = NULL;
	check_eq(hits, 1 + 6 + 3, "single steps through hot code"); /* CALL, six, PUSHFQ, ANDQ, POPFQ (TF was set) */
	check_eq(bad, 0, "results");
}

/* --- more code than a cache holds --- */

static void much_code(void)
{
	const unsigned functions = 40000, size = 64;
	u8 *p = (u8 *)0x1000000; /* 16 MiB: behind the image */
	unsigned bad = 0;

	for (unsigned i = 0; i < functions; i++) {
		memset(p + i * size, 0x90, 40);
		put_return(p + i * size + 40, i);
	}
	for (unsigned round = 0; round < 3; round++)
		for (unsigned i = 0; i < functions; i++)
			for (unsigned k = 0; k < (round ? 1u : 20u); k++)
				bad += call((u64)(p + i * size), 0) != i;
	check_eq(bad, 0, "40,000 functions");
}

void guest_main(void)
{
	build();
	map(0, code[0], 7);
	map(1, code[1], 7);
	map(13, code[0], 7);
	every_store(at(0), "the same address");
	every_store((u64)code[0], "another address");
	every_store(at(13), "a third");
	next_instruction();
	two_pages();
	aliases();
	other_frame();
	mixed_page();
	walker_writes();
	pushed_frames();
	breakpoints();
	much_code();
}
