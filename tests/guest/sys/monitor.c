// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * MONITOR and MWAIT with one processor: what wakes, what does not, what is not allowed. Each wait has the APIC timer to end it
 * at last, so that a store that should have ended it is missed without a hang. SDM 2B "MONITOR", "MWAIT"; SDM 3A
 * "MONITOR/MWAIT Instruction" (10.10.4).
 */
#include "abi/machine.h"
#include "arch/apic.h"
#include "arch/msrs.h"
#include "arch/paging.h"
#include "tests/guest/sys/expect.h"

#define VECTOR 0x50
#define TICKS 2000
#define LINE 64

static u8 lines[8 * LINE] __attribute__((aligned(4096)));
#define WATCHED (lines + 2 * LINE)
static volatile unsigned interrupts;

static volatile u32 *apic(u32 reg)
{
	return (volatile u32 *)(u64)(APIC_BASE_DEFAULT + reg);
}

static bool on_timer(struct frame *f)
{
	if (f->vector == 0x51)
		return true;
	if (f->vector != VECTOR)
		return false;
	interrupts++;
	*apic(LAPIC_EOI) = 0;
	return true;
}

static void timer(u32 ticks)
{
	*apic(LAPIC_TIMER_DIVIDE) = 0xb; /* by 1 */
	*apic(LAPIC_LVT_TIMER) = VECTOR;
	*apic(LAPIC_TIMER_INITIAL) = ticks;
}

static void monitor(const void *p)
{
	__asm__ volatile("monitor" : : "a"(p), "c"(0), "d"(0) : "memory");
}

static void mwait(u32 extensions)
{
	__asm__ volatile("mwait" : : "a"(0), "c"(extensions) : "memory");
}

/* True if MWAIT went on waiting until the timer ended it. */
static bool waits(void)
{
	interrupts = 0;
	timer(TICKS);
	__asm__ volatile("sti; mwait; cli" : : "a"(0), "c"(0) : "memory");
	*apic(LAPIC_TIMER_INITIAL) = 0;
	return interrupts != 0;
}

/* --- what a store is --- */

#define STORE(name, insns) \
	__attribute__((naked)) static void name(void) { __asm__(insns "; ret"); }
STORE(st_nothing, "nop")
STORE(st_load, "mov (%rdi), %rax; cmpb $0, 63(%rdi); lock; orl $0, -8(%rsp)")
STORE(st_before, "movq $1, -8(%rdi)")
STORE(st_behind, "movq $1, 64(%rdi)")
STORE(st_first, "movb $1, (%rdi)")
STORE(st_last, "movb $1, 63(%rdi)")
STORE(st_into, "movq $1, -7(%rdi)")
STORE(st_out, "movq $1, 63(%rdi)")
STORE(st_locked, "lock incl 8(%rdi)")
STORE(st_exchange, "xchg %eax, 12(%rdi)")
STORE(st_failed, "mov $0x5a5a, %eax; movl $1, 128(%rdi); lock cmpxchg %edx, 16(%rdi)")
STORE(st_push, "mov %rsp, %r8; lea 8(%rdi), %rsp; push %rax; mov %r8, %rsp")
STORE(st_string, "sub $100, %rdi; mov $101, %ecx; rep stosb")
STORE(st_string_short, "sub $100, %rdi; mov $100, %ecx; rep stosb")
STORE(st_move, "lea 200(%rdi), %rsi; mov $1, %ecx; rep movsq")
STORE(st_vector, "movups %xmm0, 48(%rdi)")
STORE(st_x87, "fnstcw 62(%rdi)")

static void test_stores(void)
{
	static const struct { void (*fn)(void); bool wakes; const char *name; } store[] = {
		{ st_nothing, false, "no store" }, { st_load, false, "loads" }, { st_before, false, "a store before the line" },
		{ st_behind, false, "a store behind the line" }, { st_first, true, "its first byte" }, { st_last, true, "its last byte" },
		{ st_into, true, "a store that reaches into it" }, { st_out, true, "a store that reaches out of it" },
		{ st_locked, true, "LOCK INC" }, { st_exchange, true, "XCHG" }, { st_failed, true, "CMPXCHG that fails" },
		{ st_push, true, "PUSH" }, { st_string, true, "REP STOS" }, { st_string_short, false, "REP STOS up to it" },
		{ st_move, true, "REP MOVS" }, { st_vector, true, "MOVUPS" }, { st_x87, true, "FNSTCW" },
	};

	for (unsigned round = 0; round < 2; round++) /* also with write tags in the TLB */
		for (unsigned i = 0; i < sizeof(store) / sizeof(store[0]); i++) {
			monitor(WATCHED + 40);
			__asm__ volatile("mov %0, %%rdi; call *%1" : : "r"(WATCHED), "r"(store[i].fn)
					 : "rax", "rcx", "rdx", "rsi", "rdi", "r8", "memory", "cc");
			if (store[i].wakes)
				tcg_differs();
			check_eq(waits(), !store[i].wakes, store[i].name);
		}
}

/* The control device stores its answers itself. */
static void test_device(void)
{
	static struct machine_command_block block __attribute__((aligned(64)));

	if (inl(MACHINE_CTL_PORT + 8) != MACHINE_CTL_MAGIC) {
		put("skip stores by devices: no control device\n");
		return;
	}
	block.command = MACHINE_NOW;
	outl(MACHINE_CTL_PORT, (u32)(u64)&block);
	outl(MACHINE_CTL_PORT + 4, 0);
	monitor(&block);
	outl(MACHINE_CTL_PORT + 8, MACHINE_CTL_GO);
	check(!waits(), "a device's store");
	monitor(&block);
	check(waits(), "… once");
}

/* --- what else ends it --- */

static void test_states(void)
{
	monitor(WATCHED);
	waits();
	tcg_differs();
	check(!waits(), "MWAIT does not arm again");
	monitor(WATCHED);
	monitor(WATCHED + LINE);
	WATCHED[0] = 1;
	check(waits(), "a second MONITOR replaces the first");
	monitor(WATCHED);
	write_cr3(read_cr3());
	tcg_differs();
	check(!waits(), "MOV to CR3 disarms");
	monitor(WATCHED);
	__asm__ volatile("int $0x51" : : : "memory");
	tcg_differs();
	check(!waits(), "an event disarms");
	monitor((void *)(u64)APIC_BASE_DEFAULT);
	tcg_differs();
	check(!waits(), "a device's registers cannot be monitored");
	WATCHED[9] = 1;
	monitor(WATCHED);
	check(waits(), "a store before MONITOR does not count");
}

static void test_masked(void)
{
	u32 r[4];

	if (on_tcg)
		return;
	cpuid(5, 0, r);
	check(r[0] == LINE && r[1] == LINE, "lines of %u to %u bytes", r[0], r[1]);
	if ((r[2] & 3) != 3) {
		put("skip: no interrupts as break events\n");
		return;
	}
	check((r[3] >> 4 & 15) != 0, "a C1 state");
	interrupts = 0;
	monitor(WATCHED);
	timer(TICKS);
	mwait(1);
	check_eq(interrupts, 0, "a masked interrupt ends MWAIT and is not delivered");
	check_eq(*apic(LAPIC_IRR + 0x10 * (VECTOR / 32)) >> VECTOR % 32 & 1, 1, "… it is pending");
	__asm__ volatile("sti; nop; nop; cli" : : : "memory");
	check_eq(interrupts, 1, "… and is taken when it may be");
	monitor(WATCHED);
	__asm__ volatile("movb $1, %0" : "+m"(*WATCHED));
	mwait(1);
	check(true, "a store ends it as well");
}

/* --- what is not allowed --- */

static void test_faults(void)
{
	u64 here = (u64)WATCHED, *pte = &boot_pd[700];

	try_rax = here, try_rcx = 1, try_rdx = 0;
	expect(TRY("monitor"), VEC_GP, 0, "MONITOR with an extension");
	try_rax = here, try_rcx = 1ull << 40;
	tcg_differs();
	expect(TRY("monitor"), VEC_GP, 0, "… in the upper half of RCX");
	try_rax = 0, try_rcx = 2;
	expect(TRY("mwait"), VEC_GP, 0, "MWAIT with an unknown extension");
	if (on_tcg) /* which looks at neither, and halts */
		return;
	try_rax = 0, try_rcx = 1ull << 32;
	expect(TRY("mwait"), VEC_GP, 0, "… in the upper half of RCX");
	try_rax = 1ull << 63, try_rcx = 0;
	expect(TRY("monitor"), VEC_GP, 0, "MONITOR of a non-canonical address");
	try_rax = 1ull << 63, try_rcx = 0;
	expect(TRY(".byte 0x36; monitor"), VEC_GP, 0, "SS: is ignored in 64-bit mode");
	*pte &= ~(u64)PTE_P;
	invlpg(700ull << 21);
	try_rax = 700ull << 21, try_rcx = 0;
	expect(TRY("monitor"), VEC_PF, 0, "MONITOR of a page that is not there");
	*pte |= PTE_P;
	try_rcx = 0;
	expect(TRY("mov %%rsp, %%r8; pushq $0x33; pushq %%r8; pushfq; pushq $0x3b; lea 1f(%%rip), %%rax; mov $0x80000000, %%edx; add %%rdx, %%rax;"
		   "push %%rax; iretq; 1: monitor"), VEC_UD, 0, "MONITOR in ring 3");
	try_rcx = 0;
	expect(TRY("mov %%rsp, %%r8; pushq $0x33; pushq %%r8; pushfq; pushq $0x3b; lea 1f(%%rip), %%rax; mov $0x80000000, %%edx; add %%rdx, %%rax;"
		   "push %%rax; iretq; 1: mwait"), VEC_UD, 0, "MWAIT in ring 3");
}

/* 32-bit addresses are cut; FS has a base. */
static void test_addresses(void)
{
	u64 base = rdmsr(IA32_FS_BASE);

	__asm__ volatile("addr32 monitor" : : "a"((u64)WATCHED | 1ull << 40), "c"(0), "d"(0) : "memory");
	check(waits(), "a 32-bit address: armed");
	wrmsr(IA32_FS_BASE, (u64)WATCHED - 0x1000);
	__asm__ volatile(".byte 0x64; monitor" : : "a"(0x1000), "c"(0), "d"(0) : "memory");
	wrmsr(IA32_FS_BASE, base);
	WATCHED[3] = 1;
	tcg_differs();
	check(!waits(), "FS counts");
}

static void test_switch(void)
{
	u64 old = rdmsr(IA32_MISC_ENABLE);
	u32 r[4];

	if (on_tcg)
		return;
	wrmsr(IA32_MISC_ENABLE, old & ~MISC_ENABLE_MONITOR);
	cpuid(1, 0, r);
	check(!(r[2] & 8), "IA32_MISC_ENABLE takes MONITOR from CPUID");
	cpuid(5, 0, r);
	check(!(r[0] | r[1] | r[2] | r[3]), "and leaf 5");
	try_rax = (u64)WATCHED, try_rcx = 0;
	expect(TRY("monitor"), VEC_UD, 0, "MONITOR while it is off");
	try_rcx = 0;
	expect(TRY("mwait"), VEC_UD, 0, "MWAIT while it is off");
	wrmsr(IA32_MISC_ENABLE, old);
	cpuid(1, 0, r);
	check(r[2] & 8, "and gives it back");
}

void guest_main(void)
{
	u32 r[4];

	cpuid(1, 0, r);
	if (!(r[2] & 8)) {
		try_rax = (u64)WATCHED, try_rcx = 0;
		expect(TRY("monitor"), VEC_UD, 0, "MONITOR where it is not enumerated");
		try_rcx = 0;
		expect(TRY("mwait"), VEC_UD, 0, "MWAIT where it is not enumerated");
		return;
	}
	write_cr4(read_cr4() | CR4_OSFXSR);
	trap_hook = on_timer;
	*apic(LAPIC_SVR) = SVR_ENABLE | 0xff;
	*apic(LAPIC_TPR) = 0;
	test_stores();
	test_device();
	test_states();
	test_masked();
	test_faults();
	test_addresses();
	test_switch();
}
