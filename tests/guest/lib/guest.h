/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tiny framework for freestanding test images: 64-bit, one CPU, serial output at 3F8H, exit by port F4H (QEMU's
 * isa-debug-exit and ooh-machine's exit port: status = code * 2 + 1; 0 passes). They run on any Multiboot-1 loader, as
 * a second opinion. An image defines guest_main(), which makes checks; guest_main's return ends the image.
 */
#ifndef OOH_TESTS_GUEST_LIB_GUEST_H
#define OOH_TESTS_GUEST_LIB_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

/* Selectors of the GDT in start.S. SEL_FREE and the next 50 slots of 8 bytes are for the tests. */
#define SEL_CODE64  0x08
#define SEL_DATA    0x10
#define SEL_CODE32  0x18
#define SEL_DATA2   0x20
#define SEL_UCODE32 0x2b
#define SEL_UDATA   0x33
#define SEL_UCODE64 0x3b
#define SEL_TSS     0x40
#define SEL_FREE    0x50
extern u64 gdt[64];

/* The user-mode alias of anything below 1 GiB, itself below 4 GiB. */
#define USER(p) ((u64)(uintptr_t)(p) + 0x80000000ull)
extern u64 boot_pml4[512], boot_pdpt[512], boot_pd[4 * 512];

struct gate {
	u16 offset_low, selector;
	u8 ist, type; /* type: P, DPL, type */
	u16 offset_mid;
	u32 offset_high, zero;
};
extern struct gate idt[256];

struct tss {
	u32 zero;
	u64 rsp[3];
	u64 zero2;
	u64 ist[7];
	u64 zero3;
	u16 zero4, iopb;
	u8 bitmap[8192 + 1];
} __attribute__((packed));
extern struct tss tss;

/* What the stubs push. */
struct frame {
	u64 rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};

/* The last event, and CR2 and DR6 as its handler found them. */
#define NO_TRAP 0x100
struct trap {
	struct frame f;
	u64 cr2, dr6;
	u64 handler_rsp; /* address of the frame */
};
extern struct trap trap;
extern u64 trap_resume, trap_rsp;
/* If set, called for each event that no TRY expects; returns true if the interrupted code is to go on. */
extern bool (*trap_hook)(struct frame *f);

/*
 * Runs instructions; returns the vector of the event that ended them early, or NO_TRAP. Whatever ring, mode and stack
 * they are in when it happens, execution goes on after them in ring 0. They may change all registers; RAX, RCX and RDX
 * come from and go to try_rax, try_rcx, try_rdx. Operands must be registers or constants (the stack pointer has moved).
 */
#define TRY(insns, ...) \
	({ \
		trap.f.vector = NO_TRAP; \
		trap.f.error = ~0ull; \
		__asm__ volatile("push %%rbp; push %%rbx; push %%r12; push %%r13; push %%r14; push %%r15\n" \
				 "lea 777f(%%rip), %%r11; mov %%r11, trap_resume(%%rip); mov %%rsp, trap_rsp(%%rip)\n" \
				 insns "\n777: movq $0, trap_resume(%%rip); mov trap_rsp(%%rip), %%rsp\n" \
				 "pop %%r15; pop %%r14; pop %%r13; pop %%r12; pop %%rbx; pop %%rbp" \
				 : "+a"(try_rax), "+c"(try_rcx), "+d"(try_rdx) \
				 : __VA_ARGS__ \
				 : "memory", "cc", "rsi", "rdi", "r8", "r9", "r10", "r11"); \
		trap.f.vector; \
	})
/* Registers that go into and come out of a TRY. */
extern u64 try_rax, try_rcx, try_rdx;

void gate_set(unsigned vector, u64 handler, unsigned type, unsigned dpl, unsigned ist);
void trap_gate_default(unsigned vector); /* back to the framework's handler: interrupt gate, DPL 0, no IST */
/* Writes a descriptor: access byte and flags nibble as in its upper word. */
void gdt_set(u16 sel, u32 base, u32 limit, u8 access, u8 flags);

/* Output and results. */
void put(const char *fmt, ...); /* %s %d %u %x %lx %p %c */
void check(bool ok, const char *fmt, ...);
#define check_eq(got, want, name) check_equal((u64)(got), (u64)(want), name)
void check_equal(u64 got, u64 want, const char *name);
/*
 * Says that QEMU's TCG is known to differ from the manual in what the next check checks: there it is reported as
 * "known" and counts neither way. The images are judged by the manual; QEMU is only a second opinion on the tests
 * themselves.
 */
void tcg_differs(void);
extern bool on_tcg; /* for what TCG would not survive */
/* True if CPUID has the flag; else says that what needs it is skipped. */
bool need_feature(u32 leaf, u32 subleaf, unsigned reg, unsigned bit, const char *name);
_Noreturn void guest_exit(unsigned code);
void guest_main(void);

static inline void outb(u16 port, u8 v) { __asm__ volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outw(u16 port, u16 v) { __asm__ volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
static inline void outl(u16 port, u32 v) { __asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
static inline u8 inb(u16 port) { u8 v; __asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u32 inl(u16 port) { u32 v; __asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port)); return v; }
static inline u64 rdmsr(u32 i)
{
	u32 a, d;

	__asm__ volatile("rdmsr" : "=a"(a), "=d"(d) : "c"(i));
	return a | (u64)d << 32;
}
static inline void wrmsr(u32 i, u64 v)
{
	__asm__ volatile("wrmsr" : : "a"((u32)v), "d"((u32)(v >> 32)), "c"(i) : "memory");
}
static inline u64 rdtsc(void) { u32 a, d; __asm__ volatile("rdtsc" : "=a"(a), "=d"(d)); return a | (u64)d << 32; }
static inline u64 read_cr0(void) { u64 v; __asm__ volatile("mov %%cr0, %0" : "=r"(v)); return v; }
static inline u64 read_cr3(void) { u64 v; __asm__ volatile("mov %%cr3, %0" : "=r"(v)); return v; }
static inline u64 read_cr4(void) { u64 v; __asm__ volatile("mov %%cr4, %0" : "=r"(v)); return v; }
static inline void write_cr0(u64 v) { __asm__ volatile("mov %0, %%cr0" : : "r"(v) : "memory"); }
static inline void write_cr3(u64 v) { __asm__ volatile("mov %0, %%cr3" : : "r"(v) : "memory"); }
static inline void write_cr4(u64 v) { __asm__ volatile("mov %0, %%cr4" : : "r"(v) : "memory"); }
static inline void invlpg(u64 a) { __asm__ volatile("invlpg (%0)" : : "r"(a) : "memory"); }
static inline u64 rflags(void) { u64 v; __asm__ volatile("pushfq; pop %0" : "=r"(v)); return v; }
static inline void cpuid(u32 leaf, u32 sub, u32 r[4])
{
	__asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(sub));
}

/* The compiler wants them. */
void *memset(void *p, int v, size_t n);
void *memcpy(void *d, const void *s, size_t n);

#endif
