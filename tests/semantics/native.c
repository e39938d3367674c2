// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The host's side: pages at fixed addresses, registers loaded and saved around the sequence, faults caught as
 * signals.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "native.h"
#include "sem.h"

static uint8_t *code_view; /* the code page, writable */
static struct sem_state *result;
const struct sem_state *native_input;
uint64_t native_stack, native_target = SEM_CODE;
uint32_t native_avx; /* the upper halves of the vector registers exist */

#define CS_64  0x33 /* Linux's selectors */
#define CS_32  0x23
const struct native_far native_far = { SEM_CODE, CS_32 };

/*
 * Saves the callee's registers, loads all of native_input and jumps to the sequence; the signal handler returns to
 * native_exit.
 */
__asm__(".text\n"
	"native_load_fpu:\n"
	"	testl $1, native_avx(%rip)\n"
	"	jz 1f\n"
	"	mov $7, %eax\n"
	"	xor %edx, %edx\n"
	"	xrstor64 192(%rdi)\n"
	"	ret\n"
	"1:	fxrstor64 192(%rdi)\n"
	"	ret\n"
	".globl native_enter\n"
	"native_enter:\n"
	"	push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, native_stack(%rip)\n"
	"	mov native_input(%rip), %rdi\n"
	"	call native_load_fpu\n"
	"	pushq 136(%rdi)\n"
	"	popfq\n"
	"	mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
	"	mov 32(%rdi), %rsp; mov 40(%rdi), %rbp; mov 48(%rdi), %rsi\n"
	"	mov 64(%rdi), %r8; mov 72(%rdi), %r9; mov 80(%rdi), %r10; mov 88(%rdi), %r11\n"
	"	mov 96(%rdi), %r12; mov 104(%rdi), %r13; mov 112(%rdi), %r14; mov 120(%rdi), %r15\n"
	"	mov 56(%rdi), %rdi\n"
	"	jmp *native_target(%rip)\n"
	".globl native_enter32\n"
	"native_enter32:\n"
	"	push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15\n"
	"	mov %rsp, native_stack(%rip)\n"
	"	mov native_input(%rip), %rdi\n"
	"	call native_load_fpu\n"
	"	mov $0x2b, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	pushq 136(%rdi)\n"
	"	popfq\n"
	"	mov 0(%rdi), %rax; mov 8(%rdi), %rcx; mov 16(%rdi), %rdx; mov 24(%rdi), %rbx\n"
	"	mov 32(%rdi), %rsp; mov 40(%rdi), %rbp; mov 48(%rdi), %rsi; mov 56(%rdi), %rdi\n"
	"	ljmpl *native_far(%rip)\n"
	".globl native_exit\n"
	"native_exit:\n"
	"	mov native_stack(%rip), %rsp\n"
	"	fninit\n"
	"	xor %eax, %eax\n"
	"	mov %eax, %ds\n"
	"	mov %eax, %es\n"
	"	pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp\n"
	"	ret\n");

_Static_assert(__builtin_offsetof(struct sem_state, rflags) == 136, "native_enter knows the layout");
_Static_assert(__builtin_offsetof(struct sem_state, fx) == 192, "native_enter knows the layout");

static void save_registers(const greg_t *g, struct sem_state *s)
{
	static const int order[16] = { REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
				       REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15 };

	for (unsigned i = 0; i < 16; i++)
		s->gpr[i] = (uint64_t)g[order[i]];
	s->rip = (uint64_t)g[REG_RIP];
	s->rflags = (uint64_t)g[REG_EFL];
	s->vector = (uint32_t)g[REG_TRAPNO];
	s->error = (uint32_t)g[REG_ERR];
	s->cr2 = (uint64_t)g[REG_CR2];
}

/* The kernel's frame holds an XSAVE image, in which components in their initial state may be left out. */
static void save_fpu(const void *frame, uint8_t *fx)
{
	uint64_t present;

	memcpy(fx, frame, native_avx ? SEM_XSAVE_SIZE : SEM_XSAVE_HEADER);
	memcpy(&present, fx + SEM_XSAVE_HEADER, 8);
	if (native_avx && !(present & 4))
		memset(fx + SEM_XSAVE_HIGH, 0, SEM_XSAVE_SIZE - SEM_XSAVE_HIGH);
}

static void on_signal(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	greg_t *g = uc->uc_mcontext.gregs;

	(void)info;
	if (!result) { /* not ours: the test itself is broken */
		static const char text[] = "semantics: stray signal\n";

		if (write(2, text, sizeof(text) - 1) < 0 || sig)
			_exit(3);
	}
	save_registers(g, result);
	save_fpu(uc->uc_mcontext.fpregs, result->fx);
	result = NULL;
	g[REG_RIP] = (greg_t)(uintptr_t)native_exit;
	g[REG_EFL] = 0x202;
	g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffll) | CS_64;
}

static bool catch_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
	static uint8_t stack[64 * 1024];
	stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	if (sigaltstack(&alt, NULL))
		return false;
	for (unsigned i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (sigaction(signals[i], &sa, NULL))
			return false;
	return true;
}

static bool map_pages(void)
{
	int fd = memfd_create("semantics", 0);
	void *code, *data;

	if (fd < 0 || ftruncate(fd, SEM_PAGE))
		return false;
	code_view = mmap(NULL, SEM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	code = mmap((void *)SEM_CODE, SEM_PAGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
	data = mmap((void *)SEM_DATA, SEM_DATA_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_FIXED_NOREPLACE, -1, 0);
	close(fd);
	if (code_view != MAP_FAILED)
		memset(code_view, 0xcc, SEM_PAGE);
	return code_view != MAP_FAILED && code == (void *)SEM_CODE && data == (void *)SEM_DATA;
}

bool native_has_avx(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
}

bool native_init(void)
{
	native_avx = native_has_avx();
	if (map_pages() && catch_signals())
		return true;
	perror("semantics");
	return false;
}

static void load_data(const uint8_t *data)
{
	static bool read_only_set;

	if (!read_only_set) {
		memcpy((void *)(SEM_DATA + SEM_RW_PAGES * SEM_PAGE), data + SEM_RW_PAGES * SEM_PAGE,
		       SEM_RO_PAGES * SEM_PAGE);
		mprotect((void *)(SEM_DATA + SEM_RW_PAGES * SEM_PAGE), SEM_RO_PAGES * SEM_PAGE, PROT_READ);
		read_only_set = true;
	}
	memcpy((void *)SEM_DATA, data, SEM_RW_PAGES * SEM_PAGE);
}

void native_run(const struct sem_program *p, const struct sem_state *in, struct sem_state *out, uint8_t *data)
{
	load_data(data);
	if (memcmp(code_view, p->code, sizeof(p->code))) /* a store into running code is what costs most here */
		memcpy(code_view, p->code, sizeof(p->code));
	native_input = in;
	result = out;
	if (p->bits == 64)
		native_enter();
	else
		native_enter32();
	if (out->vector == 3)
		out->rip--; /* a trap reports the next instruction */
	memcpy(data, (const void *)SEM_DATA, SEM_RW_PAGES * SEM_PAGE);
}
