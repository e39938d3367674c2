// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Code that changes under the CPU, as an engine that keeps decoded or translated code must see it. Each piece runs often
 * before it changes, so that whatever an engine does to hot code has been done. SDM 3A "Handling Self- and
 * Cross-Modifying Code": after a store to code the processor runs the new bytes, at the latest behind a jump; the
 * project's machine, as Intel's processors since the P6, with the very next instruction.
 */
#include "tests/guest/code/hot.h"

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
STORE(by_pop, "mov %%rsp, %%r8; mov %%rsi, %%rsp; pop (%%rdi); mov %%r8, %%rsp")
STORE(by_not, "mov (%%rsi), %%rax; not %%rax; mov %%rax, (%%rdi); notq (%%rdi)")
STORE(by_neg, "mov (%%rsi), %%rax; neg %%rax; mov %%rax, (%%rdi); negq (%%rdi)")
STORE(by_inc, "mov (%%rsi), %%rax; dec %%rax; mov %%rax, (%%rdi); incq (%%rdi)")
STORE(by_dec, "mov (%%rsi), %%rax; inc %%rax; mov %%rax, (%%rdi); decq (%%rdi)")
STORE(by_sub, "mov (%%rdi), %%rax; sub (%%rsi), %%rax; sub %%rax, (%%rdi)")
STORE(by_adc, "mov (%%rsi), %%rax; sub (%%rdi), %%rax; clc; adc %%rax, (%%rdi)")
STORE(by_sbb, "mov (%%rdi), %%rax; sub (%%rsi), %%rax; clc; sbb %%rax, (%%rdi)")
STORE(by_and_or, "mov (%%rsi), %%rax; and %%rax, (%%rdi); or %%rax, (%%rdi)")
STORE(by_rol, "mov (%%rsi), %%rax; ror $13, %%rax; mov %%rax, (%%rdi); rolq $13, (%%rdi)")
STORE(by_shld, "mov (%%rsi), %%rax; shldq $32, %%rax, (%%rdi); shl $32, %%rax; shldq $32, %%rax, (%%rdi)")
STORE(by_xadd, "mov (%%rsi), %%rax; sub (%%rdi), %%rax; lock xadd %%rax, (%%rdi)")
STORE(by_bit, "mov $63, %%ecx; mov (%%rsi), %%rax; 1: bt %%rcx, %%rax; jc 2f; btr %%rcx, (%%rdi); jmp 3f; 2: bts %%rcx, (%%rdi);"
      "3: dec %%ecx; jns 1b")
STORE(by_setcc, "mov (%%rsi), %%rax; mov %%rax, (%%rdi); movzbl 1(%%rsi), %%ecx; test $1, %%cl; setnz 1(%%rdi); and $0xfe, %%cl;"
      "add %%cl, 1(%%rdi)")
STORE(by_immediate, "mov (%%rsi), %%rax; mov %%rax, (%%rdi); movl $0, 1(%%rdi); movzbl 1(%%rsi), %%ecx; addb %%cl, 1(%%rdi)")
STORE(by_movbe, "mov (%%rsi), %%rax; bswap %%rax; movbe %%rax, (%%rdi)")
STORE(by_pextr, "movq (%%rsi), %%xmm0; pextrq $0, %%xmm0, (%%rdi)")
STORE(by_movh, "movq (%%rsi), %%xmm0; movlhps %%xmm0, %%xmm0; movhps %%xmm0, (%%rdi)")
STORE(by_movss, "movss (%%rsi), %%xmm0; movss %%xmm0, (%%rdi); movd 4(%%rsi), %%xmm0; movd %%xmm0, 4(%%rdi)")
STORE(by_movsd, "movsd (%%rsi), %%xmm0; movsd %%xmm0, (%%rdi)")
STORE(by_mask, "mov %%rdi, %%rax; pcmpeqd %%xmm0, %%xmm0; psrldq $8, %%xmm0; movdqu (%%rsi), %%xmm1; maskmovdqu %%xmm0, %%xmm1")
STORE(by_cmpxchg8, "push %%rbx; mov (%%rdi), %%eax; mov 4(%%rdi), %%edx; mov (%%rsi), %%ebx; mov 4(%%rsi), %%ecx;"
      "lock cmpxchg8b (%%rdi); pop %%rbx")
STORE(by_cmpxchg16, "push %%rbx; mov (%%rdi), %%rax; mov 8(%%rdi), %%rdx; mov (%%rsi), %%rbx; mov %%rdx, %%rcx;"
      "lock cmpxchg16b (%%rdi); pop %%rbx")

static const struct { const char *name; void (*store)(void *to, const u64 *v); } stores[] = {
#define ROW(name) { #name, by_##name }
	ROW(bytes), ROW(words), ROW(dwords), ROW(qword), ROW(xchg), ROW(cmpxchg), ROW(add), ROW(xor), ROW(push),
	ROW(movs), ROW(rep_movs), ROW(rep_stos), ROW(std), ROW(sse), ROW(sse16), ROW(movnti), ROW(x87), ROW(mmx),
	ROW(pop), ROW(not), ROW(neg), ROW(inc), ROW(dec), ROW(sub), ROW(adc), ROW(sbb), ROW(and_or), ROW(rol), ROW(shld),
	ROW(xadd), ROW(bit), ROW(setcc), ROW(immediate), ROW(movbe), ROW(pextr), ROW(movh), ROW(movss), ROW(movsd),
	ROW(mask), ROW(cmpxchg8), ROW(cmpxchg16),
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

/* xor %eax, %eax; mov $7, %ecx; 1: addb $1, own immediate; mov own immediate, %al; dec %ecx; jnz 1b; ret */
static const u8 itself[] = { 0x31, 0xc0, 0xb9, 0x07, 0, 0, 0, 0x80, 0x05, 0xff, 0xff, 0xff, 0xff, 0x01, 0x8a, 0x05, 0xf9, 0xff, 0xff, 0xff,
	0xff, 0xc9, 0x75, 0xef, 0xc3 };
/* lea over(%rip), %rsi = a copy; rep movsb over itself and what follows: the copy differs in MOV's immediate, behind. */
static const u8 string_over[] = { 0x56, 0x57, 0x48, 0x89, 0xfe, 0x48, 0x8d, 0x3d, 0xf9, 0xff, 0xff, 0xff, 0xb9, 0x18, 0, 0, 0, 0xf3, 0xa4,
	0xb8, 0, 0, 0, 0, 0x5f, 0x5e, 0x90, 0x90, 0x90, 0xc3 };
/* lea 8+next(%rip), %rsp; push %rdi over next: movabs $imm64, %rax ... its immediate; mov %rcx, %rsp; ret */
static const u8 push_ahead[] = { 0x48, 0x89, 0xe1, 0x48, 0x8d, 0x25, 0x0b, 0, 0, 0, 0x57, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0,
	0x48, 0x89, 0xcc, 0xc3 };

static void own_instruction(void)
{
	u8 *p = code[0] + 448, other[sizeof(string_over)];
	unsigned bad = 0;

	memcpy(p, itself, sizeof(itself));
	for (unsigned i = 0; i < 2 * HOT; i++) {
		p[13] = 1;
		bad += call(at(0) + 448, 0) != 128; /* doubled seven times */
	}
	check_eq(bad, 0, "an instruction changes itself, a loop");
	p = code[0] + 1024;
	memcpy(p, string_over, sizeof(string_over));
	memcpy(other, string_over, sizeof(string_over));
	bad = 0;
	for (unsigned i = 1; i < 2 * HOT; i++) {
		memcpy(other + 20, &i, 4);
		bad += call(at(0) + 1024, (u64)other + 5) != i;
	}
	check_eq(bad, 0, "a string instruction writes itself and what follows");
	memcpy(code[0] + 1100, push_ahead, sizeof(push_ahead));
	bad = 0;
	for (u64 i = 1; i < 2 * HOT; i++)
		bad += call(at(0) + 1100, i << 32 | i) != (i << 32 | i);
	check_eq(bad, 0, "PUSH into the next instruction");
}

/* Blocks that lead to each other in one page: the one that is written is not the one that leads there. */
static void linked(void)
{
	static const u8 branch[] = { 0x85, 0xff, 0x74, 0x7c }; /* test %edi, %edi; jz 128 bytes from here; else straight on */
	u8 *p = code[0] + 1536;
	u64 run = at(0) + 1536;
	unsigned bad = 0;

	memcpy(p, branch, sizeof(branch));
	put_return(p + 4, 0);
	put_return(p + 128, 0);
	for (unsigned i = 1; i < 40; i++) {
		for (unsigned k = 0; k < HOT; k++)
			bad += call(run, k % 2) != i - 1;
		p[5] = (u8)i;
		bad += call(run, 1) != i;
		p[129] = (u8)i;
		bad += call(run, 0) != i;
	}
	check_eq(bad, 0, "what a branch leads to, and what follows it");
}

/* One store to the end of one page and the beginning of the next changes code in both. */
static void both_pages(void)
{
	u8 *p = code[0] + 4090;
	unsigned bad = 0;

	put_return(p, 0);
	put_return(p + 6, 0);
	bad += heat(at(0) + 4090, 0, 0) + heat(at(1), 0, 0);
	for (u64 i = 1; i < 2 * HOT; i++) {
		/* the upper three bytes of the one's immediate, RET, MOV and three bytes of the other's */
		*(volatile u64 *)(at(0) + 4092) = (i & 0xff) | 0xb8c3ull << 24 | (i & 0xff) << 40;
		bad += call(at(0) + 4090, 0) != (i & 0xff) << 8;
		bad += call(at(1), 0) != (i & 0xff);
	}
	check_eq(bad, 0, "one store changes code in two pages");
}

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

static bool is_breakpoint(struct frame *f)
{
	return f->vector == VEC_BP;
}

/* INT3's frame goes over hot code: the lowest byte of its RIP is C3H, a RET. */
static void event_frames(void)
{
	static const u8 trap_and_go[] = { 0xcc, 0xff, 0xe2 }; /* int3; jmp *%rdx */
	u8 *p = code[2] + 1024 - 40;
	u64 rsp = at(15) + 1024, v;
	unsigned bad = 0;

	map(15, code[2], 7);
	memcpy(code[1] + 0x1c2, trap_and_go, sizeof(trap_and_go));
	trap_hook = is_breakpoint;
	for (unsigned i = 0; i < 20; i++) {
		put_return(p, 5);
		bad += heat(at(15) + 1024 - 40, 0, 5);
		__asm__ volatile("mov %%rsp, %%r8; mov %1, %%rsp; lea 1f(%%rip), %%rdx; jmp *%2; 1: mov %%r8, %%rsp; mov $77, %%eax; call *%3"
				 : "=&a"(v) : "r"(rsp), "r"(at(1) + 0x1c2), "r"(at(15) + 1024 - 40) : "rdx", "rcx", "r8", "memory");
		bad += v != 77;
	}
	trap_hook = NULL;
	check_eq(bad, 0, "an event's frame over hot code");
}

static void pushed_frames(void)
{
	u8 *p = code[2] + 2048;
	u64 rip = 0;
	unsigned bad = 0;

	/* movabs $the return address, %rax; ret */
	p[-42] = 0x48;
	p[-41] = 0xb8;
	map(15, code[2], 7);
	for (unsigned i = 0; i < HOT; i++) {
		u64 was;

		__asm__ volatile("mov %%rsp, %%r8; mov %1, %%rsp; call 1f; 1: mov %%r8, %%rsp; lea 1b(%%rip), %0"
				 : "=r"(rip) : "r"(at(15) + 2048 - 32) : "r8", "memory");
		p[-32] = 0xc3;
		was = call(at(15) + 2048 - 42, 0);
		bad += was != rip;
		put_return(p, i); /* the code goes away and comes back */
	}
	check_eq(bad, 0, "a return address that a call pushes into code");
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
	build_window();
	map(0, code[0], 7);
	map(1, code[1], 7);
	map(13, code[0], 7);
	every_store(at(0), "the same address");
	every_store((u64)code[0], "another address");
	every_store(at(13), "a third");
	next_instruction();
	own_instruction();
	both_pages();
	linked();
	walker_writes();
	pushed_frames();
	event_frames();
	much_code();
}
