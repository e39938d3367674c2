// SPDX-License-Identifier: GPL-2.0-or-later
/* Changes of privilege level and of code size: IRET, far RET, call gates, SYSCALL, SYSENTER, compatibility mode. */
#include "arch/msrs.h"
#include "tests/guest/sys/expect.h"

static u8 user_stack[4096] __attribute__((aligned(16)));
#define USER_TOP (USER(user_stack) + sizeof(user_stack))

/* Goes to CS:target with the user's stack; rax: target, rdx: CS. The code there ends with an event. */
#define TO_USER "push $0x33; push %%rcx; push $2; push %%rdx; push %%rax; iretq"

__asm__(".text\n"
	"user_int3: int3\n"
	"user_cli: cli\n"
	"user_hlt: hlt\n"
	"user_int80: int $0x80\n"
	"user_in: in $0x60, %al\n"
	"user_in_ok: int3\n"
	"user_popf: pushq $0x3246; popfq; pushfq; pop %rax; int3\n"
	"user_syscall: syscall; int3\n"
	"user_sysenter: sysenter\n"
	"user_rdmsr: rdmsr\n"
	"user_cr: mov %cr0, %rax\n"
	"user_kernel: mov gdt, %rax\n"
	"user_swapgs: swapgs\n"
	"user_ud: ud2\n"
	"user_segs: mov %ds, %ecx; mov %es, %edx; int3\n"
	"user_callgate: lcall *gate_pointer(%rip)\n"
	"gate_pointer: .long 0; .word 0x53\n"
	"gate_target: int3\n"
	".code32\n"
	"user32_int3: int3\n"
	"user32_addr: mov $0x12345678, %eax; add $-1, %esp; push %eax; int3\n"
	"user32_syscall: sysenter\n"
	"user32_into: mov $0x7fffffff, %eax; inc %eax; into\n"
	"kernel32_far: ljmp $8, $kernel64_back\n"
	".code64\n"
	"kernel64_back: int3\n"
	"syscall_entry: mov %rsp, %rdx; int3\n"
	"sysenter_entry: int3\n");
extern u8 user_int3[], user_cli[], user_hlt[], user_int80[], user_in[], user_popf[], user_syscall[], user_sysenter[];
extern u8 user_rdmsr[], user_cr[], user_kernel[], user_swapgs[], user_ud[], user_segs[], user_callgate[], gate_target[];
extern u8 user32_int3[], user32_addr[], user32_into[], user32_syscall[], kernel32_far[], kernel64_back[];
extern u8 syscall_entry[], sysenter_entry[];

/* Runs code at CPL 3 until an event. */
static u64 user(const u8 *code, u64 cs)
{
	try_rax = USER(code);
	try_rcx = USER_TOP;
	try_rdx = cs;
	return TRY(TO_USER);
}

static void test_user(void)
{
	tcg_differs();
	expect(user(user_int80, SEL_UCODE64), VEC_GP, 0x80 * 8 + 2, "INT n through a gate of DPL 0");
	gate_set(0x80, ((u64)idt[0x80].offset_mid << 16) + idt[0x80].offset_low, SYS_TYPE_INTR, 3, 0);
	expect(user(user_int80, SEL_UCODE64), 0x80, 0, "INT n through a gate of DPL 3");
	check_eq(trap.f.cs, SEL_UCODE64, "CS in the frame");
	check_eq(trap.f.ss, SEL_UDATA, "SS in the frame");
	check_eq(trap.f.rsp, USER_TOP, "RSP in the frame");
	check_eq(trap.handler_rsp + sizeof(struct frame), tss.rsp[0], "RSP0 is the stack");
	expect(user(user_ud, SEL_UCODE64), VEC_UD, 0, "#UD at CPL 3");
	tcg_differs();
	expect(user(user_int3, SEL_UCODE64), VEC_GP, VEC_BP * 8 + 2, "INT3 through a gate of DPL 0");
	idt[VEC_BP].type |= 0x60;
	expect(user(user_int3, SEL_UCODE64), VEC_BP, 0, "INT3 through a gate of DPL 3");
	expect(user(user_cli, SEL_UCODE64), VEC_GP, 0, "CLI at CPL 3");
	expect(user(user_hlt, SEL_UCODE64), VEC_GP, 0, "HLT at CPL 3");
	expect(user(user_rdmsr, SEL_UCODE64), VEC_GP, 0, "RDMSR at CPL 3");
	expect(user(user_cr, SEL_UCODE64), VEC_GP, 0, "MOV from CR0 at CPL 3");
	expect(user(user_swapgs, SEL_UCODE64), VEC_GP, 0, "SWAPGS at CPL 3");
	expect(user(user_kernel, SEL_UCODE64), VEC_PF, 5, "a supervisor page at CPL 3");
	expect(user(user_popf, SEL_UCODE64), VEC_BP, 0, "POPF at CPL 3");
	check_eq(trap.f.rax, 0x46 | EFLAGS_ONE, "… changes neither IF nor IOPL");
}

static void test_iret_checks(void)
{
	u64 target = USER(user_int3);

	try_rax = target, try_rcx = USER_TOP, try_rdx = SEL_UCODE64;
	expect(TRY("push $0x10; push %%rcx; push $2; push %%rdx; push %%rax; iretq"), VEC_GP, 0x10,
	       "IRET with SS of the wrong RPL");
	try_rax = target, try_rcx = USER_TOP, try_rdx = SEL_UCODE64;
	expect(TRY("push $0; push %%rcx; push $2; push %%rdx; push %%rax; iretq"), VEC_GP, 0,
	       "IRET to CPL 3 with a null SS");
	try_rax = target, try_rcx = USER_TOP, try_rdx = 0x38;
	expect(TRY(TO_USER), VEC_GP, 0x38, "IRET with RPL 0 to code of DPL 3");
	try_rax = target, try_rcx = USER_TOP, try_rdx = 0;
	expect(TRY(TO_USER), VEC_GP, 0, "IRET to a null CS");
	try_rax = 0x8000000000000000ull, try_rcx = USER_TOP, try_rdx = SEL_UCODE64;
	expect(TRY(TO_USER), VEC_GP, 0, "IRET to a non-canonical address");
	try_rax = target, try_rcx = USER_TOP, try_rdx = 0x1003;
	expect(TRY(TO_USER), VEC_GP, 0x1000, "IRET with CS outside the GDT");
	gdt_set(SEL_FREE, 0, 0xfffff, 0xfb, 0xe);
	try_rax = target, try_rcx = USER_TOP, try_rdx = SEL_FREE | 3;
	tcg_differs();
	expect(TRY(TO_USER), VEC_GP, SEL_FREE, "IRET to code with L and D");
	gdt_set(SEL_FREE, 0, 0xfffff, 0x7b, 0xa);
	try_rax = target, try_rcx = USER_TOP, try_rdx = SEL_FREE | 3;
	expect(TRY(TO_USER), VEC_NP, SEL_FREE, "IRET to absent code");
	expect(TRY("pushfq; orl $0x4000, (%%rsp); popfq; push $0x10; push %%rsp; push $2; push $8; lea 1f(%%rip), %%rax;"
		   "push %%rax; iretq; 1: nop"),
	       VEC_GP, 0, "IRET with NT in 64-bit mode");
	expect(TRY("mov %%rsp, %%rcx; push $0; push %%rcx; push $2; push $8; lea 1f(%%rip), %%rax; push %%rax; iretq;"
		   "1: mov %%ss, %%eax"), NO_TRAP, 0, "IRET within ring 0 to a null SS");
	check_eq(try_rax, 0, "… loads it");
	__asm__ volatile("mov %0, %%ss" : : "r"(SEL_DATA));
	expect(TRY("push $0x10; lea 8(%%rsp), %%rcx; push %%rcx; push $0x247; push $8; lea 1f(%%rip), %%rax; push %%rax;"
		   "iretq; 1: pushfq; pop %%rcx; cli"), NO_TRAP, 0, "IRET loads flags");
	check_eq(try_rcx, 0x247, "… all of them");
}

static void test_data_segments(void)
{
	__asm__ volatile("mov %0, %%ds; mov %1, %%es" : : "r"(SEL_DATA), "r"(SEL_UDATA));
	expect(user(user_segs, SEL_UCODE64), VEC_BP, 0, "IRET to CPL 3");
	check_eq(trap.f.rcx, 0, "DS of DPL 0 becomes null");
	check_eq(trap.f.rdx, SEL_UDATA, "ES of DPL 3 stays");
}

static void test_io(void)
{
	tss.iopb = sizeof(tss);
	expect(user(user_in, SEL_UCODE64), VEC_GP, 0, "IN at CPL 3 without a bitmap");
	tss.iopb = offsetof(struct tss, bitmap);
	memset(tss.bitmap, 0xff, sizeof(tss.bitmap));
	expect(user(user_in, SEL_UCODE64), VEC_GP, 0, "IN at CPL 3 with its bit set");
	tss.bitmap[0x60 / 8] = 0xfe;
	expect(user(user_in, SEL_UCODE64), VEC_BP, 0, "IN at CPL 3 with its bit clear");
	tss.iopb = sizeof(tss);
}

static void test_syscall(void)
{
	wrmsr(IA32_STAR, (u64)SEL_CODE64 << 32 | (u64)(SEL_UCODE32) << 48);
	wrmsr(IA32_LSTAR, (u64)syscall_entry);
	wrmsr(IA32_FMASK, EFLAGS_CF | EFLAGS_ZF);
	expect(user(user_syscall, SEL_UCODE64), VEC_BP, 0, "SYSCALL");
	check_eq(trap.f.cs, SEL_CODE64, "CS by STAR");
	check_eq(trap.f.ss, SEL_DATA, "SS by STAR");
	check_eq(trap.f.rcx, USER(user_syscall) + 2, "RCX is the return address");
	check_eq(trap.f.rdx, USER_TOP, "RSP is the user's");
	wrmsr(IA32_EFER, rdmsr(IA32_EFER) & ~EFER_SCE);
	expect(user(user_syscall, SEL_UCODE64), VEC_UD, 0, "SYSCALL with SCE = 0");
	wrmsr(IA32_EFER, rdmsr(IA32_EFER) | EFER_SCE);
	tcg_differs();
	expect(user(user_syscall, SEL_UCODE32), VEC_UD, 0, "SYSCALL in compatibility mode");
	try_rcx = USER(user_segs);
	expect(TRY("mov $0x202, %%r11d; mov %[top], %%rsp; sysretq", [top] "r"(USER_TOP)), VEC_BP, 0,
	       "SYSRET");
	check_eq(trap.f.cs, SEL_UCODE64, "CS of 64-bit SYSRET");
	check_eq(trap.f.ss, SEL_UDATA, "SS of SYSRET");
	check_eq(trap.f.rflags & EFLAGS_IF, EFLAGS_IF, "flags by R11");
	try_rcx = USER(user32_int3);
	expect(TRY("mov $0x2, %%r11d; mov %[top], %%rsp; sysretl", [top] "r"(USER_TOP)), VEC_BP, 0, "32-bit SYSRET");
	check_eq(trap.f.cs, SEL_UCODE32, "CS of 32-bit SYSRET");
}

static void test_sysret_noncanonical(void)
{
	try_rcx = 0x8000000000000000ull;
	expect(TRY("mov $2, %%r11d; sysretq"), VEC_GP, 0, "SYSRET to a non-canonical address");
	tcg_differs();
	check_eq(trap.f.cs, SEL_CODE64, "… faults in ring 0");
}

static void test_sysenter(void)
{
	wrmsr(IA32_SYSENTER_CS, 0);
	expect(user(user_sysenter, SEL_UCODE64), VEC_GP, 0, "SYSENTER with a null CS");
	wrmsr(IA32_SYSENTER_CS, SEL_CODE64);
	wrmsr(IA32_SYSENTER_EIP, (u64)sysenter_entry);
	wrmsr(IA32_SYSENTER_ESP, tss.rsp[0] - 512);
	expect(user(user_sysenter, SEL_UCODE64), VEC_BP, 0, "SYSENTER");
	check_eq(trap.f.cs, SEL_CODE64, "CS of SYSENTER");
	check_eq(trap.f.rsp, tss.rsp[0] - 512, "RSP of SYSENTER");
	check_eq(trap.f.rflags & EFLAGS_IF, 0, "IF is clear");
	expect(user(user32_syscall, SEL_UCODE32), VEC_BP, 0, "SYSENTER from compatibility mode");
	check_eq(trap.f.cs, SEL_CODE64, "… enters 64-bit mode");
	try_rcx = USER_TOP, try_rdx = USER(user32_int3);
	expect(TRY("sysexitl"), VEC_BP, 0, "32-bit SYSEXIT");
	check_eq(trap.f.cs, SEL_CODE64 + 16 + 3, "CS of 32-bit SYSEXIT");
	try_rcx = USER_TOP, try_rdx = USER(user_int3);
	expect(TRY("rex.w sysexit"), VEC_BP, 0, "64-bit SYSEXIT");
	check_eq(trap.f.cs, SEL_CODE64 + 32 + 3, "CS of 64-bit SYSEXIT");
}

static void test_compat(void)
{
	expect(user(user32_int3, SEL_UCODE32), VEC_BP, 0, "compatibility mode");
	check_eq(trap.f.cs, SEL_UCODE32, "CS in the frame");
	check_eq(trap.f.ss, SEL_UDATA, "SS in the frame");
	expect(user(user32_addr, SEL_UCODE32), VEC_BP, 0, "32-bit pushes");
	check_eq(trap.f.rsp, USER_TOP - 5, "ESP moved by 4 and 1");
	check_eq(trap.f.rax, 0x12345678, "MOV EAX");
	tcg_differs();
	expect(user(user32_into, SEL_UCODE32), VEC_GP, VEC_OF * 8 + 2, "INTO with a gate of DPL 0");
	TRY("push %%rax; lea 1f(%%rip), %%rax; movl $0x18, 4(%%rsp); mov %%eax, (%%rsp); push $0x18; push %%rax; lretq;"
	    ".code32; 1: ljmp $8, $2f; .code64; 2: mov $0x1234, %%eax");
	check_eq(trap.f.vector, NO_TRAP, "far RET to 32-bit ring 0, far JMP back");
	check_eq(try_rax, 0x1234, "… and on");
	try_rax = (u64)kernel32_far;
	TRY("push $0x18; push %%rax; lretq");
	check_eq(trap.f.vector, VEC_BP, "INT3 after a far JMP from compatibility mode");
	check_eq(trap.f.rip, (u64)kernel64_back + 1, "RIP");
}

static void set_call_gate(u16 sel, u64 target, u16 cs, unsigned dpl)
{
	gdt[sel / 8] = (target & 0xffff) | (u64)cs << 16 | (u64)(0x8c | dpl << 5) << 40 | (target >> 16 & 0xffff) << 48;
	gdt[sel / 8 + 1] = target >> 32;
}

static void test_call_gate(void)
{
	set_call_gate(SEL_FREE, (u64)gate_target, SEL_CODE64, 3);
	expect(user(user_callgate, SEL_UCODE64), VEC_BP, 0, "CALL through a call gate to ring 0");
	check_eq(trap.f.cs, SEL_CODE64, "CS of the gate");
	check_eq(trap.f.rsp, tss.rsp[0] - 32, "RSP0 with SS, RSP, CS, RIP");
	check_eq(*(u64 *)(tss.rsp[0] - 8), SEL_UDATA, "SS pushed");
	check_eq(*(u64 *)(tss.rsp[0] - 16), USER_TOP, "RSP pushed");
	check_eq(*(u64 *)(tss.rsp[0] - 24), SEL_UCODE64, "CS pushed");
	check_eq(trap.f.ss, 0, "SS is null");
	set_call_gate(SEL_FREE, (u64)gate_target, SEL_CODE64, 0);
	expect(user(user_callgate, SEL_UCODE64), VEC_GP, SEL_FREE, "CALL through a gate of DPL 0");
	set_call_gate(SEL_FREE, (u64)gate_target, SEL_CODE32, 3);
	expect(user(user_callgate, SEL_UCODE64), VEC_GP, SEL_CODE32, "CALL through a gate to 32-bit code");
	set_call_gate(SEL_FREE, (u64)gate_target, SEL_CODE64, 3);
	gdt[SEL_FREE / 8 + 1] |= 0x1f0000000000ull >> 0;
	expect(user(user_callgate, SEL_UCODE64), VEC_GP, SEL_FREE, "a call gate with a type in its upper half");
	set_call_gate(SEL_FREE, (u64)gate_target, SEL_CODE64, 3);
	gdt[SEL_FREE / 8] &= ~(0x80ull << 40);
	expect(user(user_callgate, SEL_UCODE64), VEC_NP, SEL_FREE, "an absent call gate");
	gdt[SEL_FREE / 8] = gdt[SEL_FREE / 8 + 1] = 0;
}

/* A call gate within ring 0 pushes on the same stack; far RET comes back. */
static void test_far_return(void)
{
	TRY("lea 1f(%%rip), %%rax; push $8; push %%rax; mov %%rsp, %%rdx; lretq; 1: mov %%rsp, %%rcx");
	check_eq(trap.f.vector, NO_TRAP, "far RET within ring 0");
	check_eq(try_rcx, try_rdx + 16, "RSP after it");
	TRY("lea 1f(%%rip), %%rax; push $8; push %%rax; mov %%rsp, %%rdx; lretq $24; 1: mov %%rsp, %%rcx");
	check_eq(try_rcx, try_rdx + 40, "far RET n");
	try_rax = USER(user_int3), try_rcx = USER_TOP;
	expect(TRY("push $0x33; push %%rcx; push $0x3b; push %%rax; lretq"), VEC_BP, 0, "far RET to ring 3");
	check_eq(trap.f.cs, SEL_UCODE64, "CS");
	check_eq(trap.f.rsp, USER_TOP, "RSP");
	expect(TRY("push $0x10; push $0; push $0; push $0; lretq"), VEC_GP, 0, "far RET to a null CS");
}

void guest_main(void)
{
	test_user();
	test_iret_checks();
	test_data_segments();
	test_io();
	test_syscall();
	test_sysret_noncanonical();
	test_sysenter();
	test_compat();
	test_call_gate();
	test_far_return();
}
