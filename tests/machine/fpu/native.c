/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "tests/machine/fpu/native.h"

/* Named by the assembler below, by absolute address. */
struct native_state native_in, native_out;
u64 native_host_rsp;
u8 *native_code;
const u32 native_mxcsr = 0x1f80;
static u8 *page;
static volatile unsigned fault;
static u8 signal_stack[65536], instruction_stack[4096];

void native_enter(void);
extern u8 native_back[], native_finish[];

asm(
	".text\n"
	".globl native_enter, native_back, native_finish\n"
	"native_enter:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, native_host_rsp\n"
	"	fxrstor64 native_in\n"
	"	mov native_in+512+32, %rsp\n"
	"	pushq native_in+512+128\n	popfq\n"
	"	mov native_in+512+0, %rax\n	mov native_in+512+8, %rcx\n	mov native_in+512+16, %rdx\n"
	"	mov native_in+512+24, %rbx\n	mov native_in+512+40, %rbp\n	mov native_in+512+48, %rsi\n"
	"	mov native_in+512+56, %rdi\n	mov native_in+512+64, %r8\n	mov native_in+512+72, %r9\n"
	"	mov native_in+512+80, %r10\n	mov native_in+512+88, %r11\n	mov native_in+512+96, %r12\n"
	"	mov native_in+512+104, %r13\n	mov native_in+512+112, %r14\n	mov native_in+512+120, %r15\n"
	"	jmp *native_code\n"
	"native_back:\n"
	"	mov %rax, native_out+512+0\n	mov %rcx, native_out+512+8\n	mov %rdx, native_out+512+16\n"
	"	mov %rbx, native_out+512+24\n	mov %rsp, native_out+512+32\n	mov %rbp, native_out+512+40\n"
	"	mov %rsi, native_out+512+48\n	mov %rdi, native_out+512+56\n	mov %r8, native_out+512+64\n"
	"	mov %r9, native_out+512+72\n	mov %r10, native_out+512+80\n	mov %r11, native_out+512+88\n"
	"	mov %r12, native_out+512+96\n	mov %r13, native_out+512+104\n	mov %r14, native_out+512+112\n"
	"	mov %r15, native_out+512+120\n"
	"	pushfq\n	popq native_out+512+128\n"
	"	fxsave64 native_out\n"
	"native_finish:\n"
	"	mov native_host_rsp, %rsp\n"
	"	fninit\n	ldmxcsr native_mxcsr\n	cld\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
	"	ret\n");
_Static_assert(sizeof(struct fx_image) == 512, "FXSAVE's layout");

/* The kernel's frame has all registers as the instruction left them; the run goes on at its end. */
static void on_fault(int sig, siginfo_t *info, void *context)
{
	static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				       REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };
	ucontext_t *u = context;
	greg_t *g = u->uc_mcontext.gregs;

	if ((u8 *)g[REG_RIP] != page) {
		fprintf(stderr, "native: signal %d outside the instruction, RIP %llx\n", sig, g[REG_RIP]);
		_exit(3);
	}
	memcpy(&native_out.fx, u->uc_mcontext.fpregs, sizeof(native_out.fx));
	for (unsigned i = 0; i < 16; i++)
		native_out.gpr[i] = (u64)g[order[i]];
	native_out.flags = (u64)g[REG_EFL];
	fault = (unsigned)g[REG_TRAPNO];
	g[REG_RIP] = (greg_t)native_finish;
	/* A pending x87 error must not meet the waiting instructions of what follows. */
	u->uc_mcontext.fpregs->swd = 0;
	u->uc_mcontext.fpregs->cwd = 0x37f;
}

static void set_up(void)
{
	static const int signals[] = { SIGFPE, SIGSEGV, SIGILL, SIGBUS };
	stack_t stack = { .ss_sp = signal_stack, .ss_size = sizeof(signal_stack) };
	struct sigaction sa = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (page == MAP_FAILED || sigaltstack(&stack, NULL)) {
		perror("native: set-up");
		exit(3);
	}
	for (unsigned i = 0; i < 4; i++)
		sigaction(signals[i], &sa, NULL);
	native_code = page;
}

const u8 *native_page(void)
{
	if (!page)
		set_up();
	return page;
}

unsigned native_run(const u8 *bytes, unsigned n, const struct native_state *in, struct native_state *out)
{
	s32 rel = (s32)(native_back - (native_page() + n + 5));

	memcpy(page, bytes, n);
	page[n] = 0xe9;
	memcpy(page + n + 1, &rel, 4);
	native_in = *in;
	native_in.gpr[4] = (u64)(instruction_stack + sizeof(instruction_stack) / 2);
	fault = NATIVE_NO_FAULT;
	native_enter();
	*out = native_out;
	out->gpr[4] = in->gpr[4];
	return fault;
}

void native_canonical(struct fx_image *fx)
{
	asm volatile("fxrstor64 %0\n\tfxsave64 %0\n\tfninit\n\tldmxcsr %1" : "+m"(*fx) : "m"(native_mxcsr) : "memory",
		     "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
		     "xmm12", "xmm13", "xmm14", "xmm15");
}
