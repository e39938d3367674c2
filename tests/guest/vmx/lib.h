/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the VT-x test images share: output, checks, VMX instructions, a VMCS with a guest that works. An image runs
 * on the machine and on any other implementation that boots Multiboot; it ends through the exit port (status 1: all
 * passed) or by HLT.
 */
#ifndef OOH_TESTS_GUEST_VMX_LIB_H
#define OOH_TESTS_GUEST_VMX_LIB_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/msrs.h"
#include "arch/paging.h"
#include "arch/vmcs.h"
#include "arch/vmx.h"
#include "arch/x86.h"

#define SEL_CODE   0x08
#define SEL_DATA   0x10
#define SEL_CODE32 0x18
#define SEL_TSS    0x20
#define SEL_UCODE  0x30
#define SEL_UDATA  0x38

/* --- start.S --- */
extern uint64_t gdt[], boot_pml4[512];
extern uint64_t regs[16]; /* guest registers; RSP's slot unused */
extern uint64_t host_rip_flip; /* bits that guest_run() inverts in the host RIP it writes */
extern uint64_t last_rip, last_rflags;
extern uint32_t last_vector, last_error, events, handler_returns;
int guest_run(bool launch);
int launch_in_shadow(void);
unsigned survive(void (*fn)(void));
void load_gdt(void);
extern char handlers[]; /* 16 bytes for each of 64 vectors */

/* --- lib.c --- */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void finish(unsigned failed);
/* Counts a test; prints name and what was wrong only if it failed. */
bool check(bool ok, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
unsigned failures(void);
void heading(const char *what);
int main(void);

void *memset(void *p, int v, unsigned long n);
void *memcpy(void *to, const void *from, unsigned long n);

static inline uint64_t rdmsr(uint32_t index)
{
	uint32_t lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(index));
	return lo | (uint64_t)hi << 32;
}

static inline void wrmsr(uint32_t index, uint64_t v)
{
	asm volatile("wrmsr" : : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

static inline void outb(uint16_t port, uint8_t v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

#define READ_CR(n)                                                     \
	static inline uint64_t read_cr##n(void)                        \
	{                                                              \
		uint64_t v;                                            \
		asm volatile("mov %%cr" #n ", %0" : "=r"(v));          \
		return v;                                              \
	}                                                              \
	static inline void write_cr##n(uint64_t v)                     \
	{                                                              \
		asm volatile("mov %0, %%cr" #n : : "r"(v) : "memory"); \
	}
READ_CR(0)
READ_CR(2)
READ_CR(3)
READ_CR(4)

/* Results of VMX instructions: 0 VMsucceed, 1 VMfailValid, 2 VMfailInvalid. */
#define VMX_RESULT "setc %b0\n\tsetz %b1"
static inline int vmx_result(bool cf, bool zf)
{
	return cf ? 2 : zf ? 1 : 0;
}

#define VMX_POINTER_INSN(name, insn)                                                                        \
	static inline int name(uint64_t ptr)                                                                \
	{                                                                                                   \
		bool cf, zf;                                                                                \
		asm volatile(insn " %2" : "=@ccc"(cf), "=@ccz"(zf) : "m"(ptr) : "memory");                  \
		return vmx_result(cf, zf);                                                                  \
	}
VMX_POINTER_INSN(vmxon, "vmxon")
VMX_POINTER_INSN(vmclear, "vmclear")
VMX_POINTER_INSN(vmptrld, "vmptrld")

static inline uint64_t vmptrst(void)
{
	uint64_t v = 0;

	asm volatile("vmptrst %0" : "+m"(v) : : "cc", "memory");
	return v;
}

static inline int vmxoff(void)
{
	bool cf, zf;

	asm volatile("vmxoff" : "=@ccc"(cf), "=@ccz"(zf));
	return vmx_result(cf, zf);
}

static inline int vmread_status(uint64_t field, uint64_t *v)
{
	bool cf, zf;
	uint64_t out = *v;

	asm volatile("vmread %3, %2" : "=@ccc"(cf), "=@ccz"(zf), "+r"(out) : "r"(field));
	*v = out;
	return vmx_result(cf, zf);
}

static inline int vmwrite(uint64_t field, uint64_t v)
{
	bool cf, zf;

	asm volatile("vmwrite %3, %2" : "=@ccc"(cf), "=@ccz"(zf) : "r"(field), "r"(v));
	return vmx_result(cf, zf);
}

static inline uint64_t vmread(uint64_t field)
{
	uint64_t v = 0;

	vmread_status(field, &v);
	return v;
}

static inline int invept(uint64_t type, uint64_t eptp, uint64_t reserved)
{
	uint64_t d[2] = { eptp, reserved };
	bool cf, zf;

	asm volatile("invept %2, %3" : "=@ccc"(cf), "=@ccz"(zf) : "m"(d), "r"(type) : "memory");
	return vmx_result(cf, zf);
}

static inline int invvpid(uint64_t type, uint64_t vpid, uint64_t lin)
{
	uint64_t d[2] = { vpid, lin };
	bool cf, zf;

	asm volatile("invvpid %2, %3" : "=@ccc"(cf), "=@ccz"(zf) : "m"(d), "r"(type) : "memory");
	return vmx_result(cf, zf);
}

/* Sets CR4.VMXE and IA32_FEATURE_CONTROL; fills the VMXON region and executes VMXON. */
bool vmx_start(void);
extern uint8_t vmxon_region[4096], vmcs_region[4096], other_region[4096];
/* Fresh VMCS with a 64-bit guest that starts at fn on its own stack; current and clear afterwards. */
void vmcs_fresh(void (*fn)(void));
/* VMLAUNCH or VMRESUME by what the VMCS needs. 0: an exit (or failed entry); else 1 or 2 as VMX instructions. */
int enter_guest(void);
/* Makes the guest start at fn, active, without pending events. */
void guest_at(void (*fn)(void));
/* Sets bits in a control field if the capability MSR allows; false if not. */
bool control_set(enum vmcs_field field, uint32_t bits);
void control_clear(enum vmcs_field field, uint32_t bits);
bool control_allowed(enum vmcs_field field, uint32_t bits);
/* RIP += instruction length. */
void guest_skip(void);
void guest_vmcall(void);

/* EPT that maps the first 4 GiB one to one in 2 MiB pages; the first 2 MiB in 4 KiB pages. Returns EPTP without A/D. */
uint64_t ept_identity(void);
/* The 4 KiB entry of an address below 2 MiB, or the 2 MiB entry above. */
uint64_t *ept_entry(uint64_t gpa);

#endif
