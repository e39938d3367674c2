// SPDX-License-Identifier: GPL-2.0-or-later
/* Breakpoints and single steps in code that an engine has made fast. SDM 3B chapter 18. */
#include "tests/guest/code/hot.h"

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

/* All four at once in hot code; each reports itself. */
static void four(void)
{
	u64 run = at(3) + 1024, dr7 = DR7_INIT, zero = 0;
	unsigned bad = 0, seen[4] = { 0 };

	memcpy(code[0] + 1024, line, sizeof(line));
	bad += heat(run, 5, 8);
	for (unsigned n = 0; n < 4; n++)
		dr7 |= DR7_G(n);
	__asm__ volatile("mov %0, %%dr6; mov %1, %%dr0; mov %2, %%dr1; mov %3, %%dr2; mov %4, %%dr3; mov %5, %%dr7"
			 : : "r"(zero), "r"(run), "r"(run + 2), "r"(run + 6), "r"(run + 14), "r"(dr7));
	trap_hook = on_debug;
	hits = 0;
	for (unsigned i = 0; i < HOT; i++) {
		__asm__ volatile("mov %0, %%dr6" : : "r"(zero));
		bad += call(run, 5) != 8;
		for (unsigned n = 0; n < 4; n++) /* DR6 gathers: all four were met */
			seen[n] += trap.dr6 >> n & 1;
	}
	debug_set(0, 0, 0);
	trap_hook = NULL;
	check_eq(hits, 4 * HOT, "four instruction breakpoints in hot code");
	check_eq(seen[3], HOT, "… the last one sets its bit");
	check_eq(bad, 0, "… results");
}

/* A loop over an array: a data breakpoint on one of its words fires once a turn, whatever the engine made of the loop. */
static void data_in_a_loop(void)
{
	static u32 words[256] __attribute__((aligned(64)));
	/* mov $256, %ecx; 1: incl -4(%rdi, %rcx, 4); mov -4(%rdi, %rcx, 4), %eax; dec %ecx; jnz 1b; ret */
	static const u8 loop[] = { 0xb9, 0, 1, 0, 0, 0xff, 0x44, 0x8f, 0xfc, 0x8b, 0x44, 0x8f, 0xfc, 0xff, 0xc9, 0x75, 0xf4, 0xc3 };
	u64 run = at(3) + 1200;
	unsigned turns = 0;

	memcpy(code[0] + 1200, loop, sizeof(loop));
	for (unsigned i = 0; i < HOT; i++)
		call(run, (u64)words), turns++;
	trap_hook = on_debug;
	hits = 0;
	debug_set((u64)&words[100], 1, 3); /* writes */
	for (unsigned i = 0; i < 50; i++)
		call(run, (u64)words), turns++;
	check_eq(hits, 50, "a word's writes in a hot loop");
	check_eq(hit_rip, run + 9, "… behind the store");
	hits = 0;
	debug_set((u64)&words[100], 3, 3); /* reads and writes */
	for (unsigned i = 0; i < 50; i++)
		call(run, (u64)words), turns++;
	check_eq(hits, 100, "… its reads and writes");
	hits = 0;
	debug_set((u64)&words[100] + 1, 3, 0); /* one byte in it */
	call(run, (u64)words), turns++;
	check_eq(hits, 2, "… one of its bytes");
	debug_set(0, 0, 0);
	trap_hook = NULL;
	check_eq(words[0] == turns && words[100] == turns && words[255] == turns, 1, "… results");
}

/*
 * Hot code that turns a breakpoint on and meets it at once: mov %rdi, %dr7; inc %eax (the place); inc %eax; mov %rsi, %dr7; ret,
 * and hot code that sets TF itself: push %rdi; popfq; inc %eax; inc %eax; ret.
 */
static const u8 turns_on[] = { 0x31, 0xc0, 0x0f, 0x23, 0xff, 0xff, 0xc0, 0xff, 0xc0, 0x0f, 0x23, 0xfe, 0xc3 };
static const u8 traps_itself[] = { 0x31, 0xc0, 0x57, 0x9d, 0xff, 0xc0, 0xff, 0xc0, 0x9c, 0x59, 0x80, 0xe5, 0xfe, 0x51, 0x9d, 0xc3 };

static void in_its_block(void)
{
	u64 run = at(3) + 1300, dr7 = DR7_INIT | DR7_G(0), off = DR7_INIT;
	unsigned bad = 0;

	memcpy(code[0] + 1300, turns_on, sizeof(turns_on));
	memcpy(code[0] + 1400, traps_itself, sizeof(traps_itself));
	__asm__ volatile("mov %0, %%dr0" : : "r"(run + 5));
	trap_hook = on_debug;
	hits = 0;
	for (unsigned i = 0; i < 2 * HOT; i++) {
		u64 v;

		__asm__ volatile("call *%1" : "=a"(v) : "r"(run), "D"(i < HOT ? off : dr7), "S"(off) : "rcx", "memory");
		bad += v != 2;
		bad += hits != (i < HOT ? 0 : i - HOT + 1);
	}
	check_eq(bad, 0, "hot code turns a breakpoint on, right before its place");
	hits = bad = 0;
	for (unsigned i = 0; i < 2 * HOT; i++) {
		bad += call(at(3) + 1400, i < HOT ? 2 : 0x102) != 2;
		bad += hits != (i < HOT ? 0 : (i - HOT + 1) * 7); /* INC, INC, PUSHFQ, POP, AND, PUSH, POPFQ */
	}
	check_eq(bad, 0, "hot code sets its own trap flag");
	trap_hook = NULL;
}

/* INT3 planted by a store of the hot loop itself into its own next turn. */
static void planted(void)
{
	/* mov $9, %ecx; 1: nop (the place); dec %ecx; cmp $4, %ecx; jne 2f; movb $0xcc, place; 2: test %ecx, %ecx; jnz 1b; ret */
	static const u8 plants[] = { 0xb9, 9, 0, 0, 0, 0x90, 0xff, 0xc9, 0x83, 0xf9, 0x04, 0x75, 0x07, 0xc6, 0x05, 0xf1, 0xff, 0xff, 0xff, 0xcc,
		0x85, 0xc9, 0x75, 0xed, 0xc3 };
	u64 run = at(3) + 1500;
	unsigned bad = 0;

	trap_hook = on_debug;
	for (unsigned i = 0; i < HOT; i++) {
		memcpy(code[0] + 1500, plants, sizeof(plants));
		hits = 0;
		call(run, 0);
		bad += hits != 4 || hit_rip != run + 6;
	}
	trap_hook = NULL;
	check_eq(bad, 0, "INT3 that a loop plants in itself");
}

void guest_main(void)
{
	build_window();
	map(3, code[0], 7);
	breakpoints();
	four();
	data_in_a_loop();
	in_its_block();
	planted();
}
