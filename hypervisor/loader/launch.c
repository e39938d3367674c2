// SPDX-License-Identifier: GPL-2.0-only
/*
 * One CPU's way into the hypervisor and out of it again. Runs in Linux with interrupts off, in a kernel thread.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/msr.h>
#include <asm/special_insns.h>
#include <asm/tlbflush.h>

#include "arch/msrs.h"
#include "arch/paging.h"
#include "arch/vmcs.h"
#include "arch/vmx.h"
#include "arch/x86.h"
#include "core/vmx_insn.h"
#include "loader/loader.h"

#define OUR_VPID 1 /* any but 0, which is root mode's; TLBs are per CPU, so all may have the same */

/* ---- writing the VMCS: the first field that fails is remembered ---- */

static void put(struct ooh_cpu *cpu, enum vmcs_field field, u64 value)
{
	u64 number = 0;

	if (cpu->error || vmx_write(field, value))
		return;
	vmx_read(VMCS_INSTRUCTION_ERROR, &number);
	cpu->error = -EIO;
	cpu->field = field;
	cpu->vmx_error = number;
}

/* ---- guest state: this CPU's, as it is ---- */

static u64 descriptor_base(const struct desc_struct *d)
{
	return d->base0 | (u64)d->base1 << 16 | (u64)d->base2 << 24;
}

/* A system descriptor in 64-bit mode has 16 bytes, the upper half of the base in the third word. */
static u64 system_base(const struct desc_ptr *gdt, u16 selector)
{
	const struct desc_struct *d = (void *)(gdt->address + (selector & ~7));

	return descriptor_base(d) | (u64) * (const u32 *)(d + 1) << 32;
}

static u32 access_rights(u16 selector)
{
	u32 rights = 0;

	if (!(selector & ~SELECTOR_RPL))
		return VMX_AR_UNUSABLE;
	asm volatile("lar %1, %0" : "+r"(rights) : "r"((u32)selector) : "cc");
	return rights >> 8 & ~VMX_AR_RESERVED;
}

static u32 segment_limit(u16 selector)
{
	u32 limit = 0;

	asm volatile("lsl %1, %0" : "+r"(limit) : "r"((u32)selector) : "cc");
	return limit;
}

/* The fields of a segment register lie a fixed distance from those of ES, in the order ES CS SS DS FS GS LDTR TR. */
static void put_segment(struct ooh_cpu *cpu, int number, u16 selector, u64 base)
{
	put(cpu, VMCS_GUEST_ES_SELECTOR + 2 * number, selector);
	put(cpu, VMCS_GUEST_ES_BASE + 2 * number, base);
	put(cpu, VMCS_GUEST_ES_LIMIT + 2 * number, segment_limit(selector));
	put(cpu, VMCS_GUEST_ES_AR + 2 * number, access_rights(selector));
}

static_assert(VMCS_GUEST_TR_SELECTOR == VMCS_GUEST_ES_SELECTOR + 14 && VMCS_GUEST_TR_BASE == VMCS_GUEST_ES_BASE + 14 &&
	      VMCS_GUEST_TR_LIMIT == VMCS_GUEST_ES_LIMIT + 14 && VMCS_GUEST_TR_AR == VMCS_GUEST_ES_AR + 14);

#define READ_SELECTOR(insn) ({ u16 s_; asm volatile(insn : "=rm"(s_)); s_; })

static void put_segments(struct ooh_cpu *cpu)
{
	u16 ldt = READ_SELECTOR("sldt %0"), task = READ_SELECTOR("str %0");
	struct desc_ptr gdt, idt;

	native_store_gdt(&gdt);
	store_idt(&idt);
	put_segment(cpu, 0, READ_SELECTOR("mov %%es, %0"), 0);
	put_segment(cpu, 1, READ_SELECTOR("mov %%cs, %0"), 0);
	put_segment(cpu, 2, READ_SELECTOR("mov %%ss, %0"), 0);
	put_segment(cpu, 3, READ_SELECTOR("mov %%ds, %0"), 0);
	put_segment(cpu, 4, READ_SELECTOR("mov %%fs, %0"), ooh_rdmsr(IA32_FS_BASE));
	put_segment(cpu, 5, READ_SELECTOR("mov %%gs, %0"), ooh_rdmsr(IA32_GS_BASE));
	put_segment(cpu, 6, ldt, ldt & ~SELECTOR_RPL ? system_base(&gdt, ldt) : 0);
	put_segment(cpu, 7, task, system_base(&gdt, task));
	put(cpu, VMCS_GUEST_GDTR_BASE, gdt.address);
	put(cpu, VMCS_GUEST_GDTR_LIMIT, gdt.size);
	put(cpu, VMCS_GUEST_IDTR_BASE, idt.address);
	put(cpu, VMCS_GUEST_IDTR_LIMIT, idt.size);
}

static unsigned long read_dr7(void)
{
	unsigned long value;

	get_debugreg(value, 7);
	return value;
}

static void put_guest(struct ooh_cpu *cpu)
{
	put(cpu, VMCS_GUEST_CR0, read_cr0());
	put(cpu, VMCS_GUEST_CR3, __read_cr3());
	put(cpu, VMCS_GUEST_CR4, __read_cr4());
	put(cpu, VMCS_GUEST_DR7, read_dr7());
	put(cpu, VMCS_GUEST_RFLAGS, EFLAGS_ONE);
	put(cpu, VMCS_GUEST_IA32_DEBUGCTL, ooh_rdmsr(IA32_DEBUGCTL));
	put(cpu, VMCS_GUEST_IA32_SYSENTER_CS, ooh_rdmsr(IA32_SYSENTER_CS));
	put(cpu, VMCS_GUEST_IA32_SYSENTER_ESP, ooh_rdmsr(IA32_SYSENTER_ESP));
	put(cpu, VMCS_GUEST_IA32_SYSENTER_EIP, ooh_rdmsr(IA32_SYSENTER_EIP));
	put(cpu, VMCS_GUEST_ACTIVITY, ACTIVITY_ACTIVE);
	put(cpu, VMCS_GUEST_INTERRUPTIBILITY, 0);
	put(cpu, VMCS_GUEST_PENDING_DEBUG, 0);
	put(cpu, VMCS_LINK_POINTER, VMX_NO_POINTER);
	put_segments(cpu);
}

/* ---- host state ---- */

/* Root mode never faults on purpose; machine checks must reach it, XSETBV must work if the guest can have it. */
static u64 host_cr4(void)
{
	u64 cr4 = CR4_PAE | CR4_VMXE | CR4_MCE | (__read_cr4() & CR4_OSXSAVE);

	return (cr4 | ooh_rdmsr(IA32_VMX_CR4_FIXED0)) & ooh_rdmsr(IA32_VMX_CR4_FIXED1);
}

static void put_host(const struct ooh_setup *s, struct ooh_cpu *cpu)
{
	u64 area = (uintptr_t)hv_cpu_at(cpu->index);

	put(cpu, VMCS_HOST_CR0, (read_cr0() | CR0_WP) & ~CR0_TS);
	put(cpu, VMCS_HOST_CR3, s->hv->cr3);
	put(cpu, VMCS_HOST_CR4, host_cr4());
	put(cpu, VMCS_HOST_CS_SELECTOR, HV_SEL_CODE);
	put(cpu, VMCS_HOST_SS_SELECTOR, HV_SEL_DATA);
	put(cpu, VMCS_HOST_DS_SELECTOR, 0);
	put(cpu, VMCS_HOST_ES_SELECTOR, 0);
	put(cpu, VMCS_HOST_FS_SELECTOR, 0);
	put(cpu, VMCS_HOST_GS_SELECTOR, 0);
	put(cpu, VMCS_HOST_TR_SELECTOR, HV_SEL_TSS);
	put(cpu, VMCS_HOST_FS_BASE, 0);
	put(cpu, VMCS_HOST_GS_BASE, 0);
	put(cpu, VMCS_HOST_TR_BASE, area + offsetof(struct hv_cpu, tss));
	put(cpu, VMCS_HOST_GDTR_BASE, area + offsetof(struct hv_cpu, gdt));
	put(cpu, VMCS_HOST_IDTR_BASE, s->image.state + offsetof(struct hv, idt));
	put(cpu, VMCS_HOST_IA32_SYSENTER_CS, 0);
	put(cpu, VMCS_HOST_IA32_SYSENTER_ESP, 0);
	put(cpu, VMCS_HOST_IA32_SYSENTER_EIP, 0);
	put(cpu, VMCS_HOST_RSP, area + HV_CPU_STACK_TOP);
	put(cpu, VMCS_HOST_RIP, s->image.exit_entry);
}

/* ---- controls ---- */

static void put_controls(const struct ooh_setup *s, struct ooh_cpu *cpu, const struct ooh_controls *c)
{
	put(cpu, VMCS_PIN_CONTROLS, c->pin);
	put(cpu, VMCS_PROC_CONTROLS, c->proc);
	put(cpu, VMCS_PROC2_CONTROLS, c->proc2);
	put(cpu, VMCS_EXIT_CONTROLS, c->exit);
	put(cpu, VMCS_ENTRY_CONTROLS, c->entry);
	put(cpu, VMCS_EXCEPTION_BITMAP, 0);
	put(cpu, VMCS_PF_ERROR_MASK, 0);
	put(cpu, VMCS_PF_ERROR_MATCH, 0);
	put(cpu, VMCS_CR3_TARGET_COUNT, 0);
	put(cpu, VMCS_EXIT_MSR_STORE_COUNT, 0);
	put(cpu, VMCS_EXIT_MSR_LOAD_COUNT, 0);
	put(cpu, VMCS_ENTRY_MSR_LOAD_COUNT, 0);
	put(cpu, VMCS_ENTRY_INTR_INFO, 0);
	put(cpu, VMCS_MSR_BITMAP, s->msr_bitmap);
	if (c->proc2 & PROC2_ENABLE_XSAVES)
		put(cpu, VMCS_XSS_EXIT_BITMAP, 0);
	put(cpu, VMCS_CR0_MASK, 0);
	put(cpu, VMCS_CR0_READ_SHADOW, read_cr0());
	put(cpu, VMCS_CR4_MASK, CR4_VMXE); /* reads 1: VMX is in use, which is why KVM must keep off */
	put(cpu, VMCS_CR4_READ_SHADOW, CR4_VMXE);
	put(cpu, VMCS_VPID, OUR_VPID);
	put(cpu, VMCS_EPT_POINTER, s->hv->eptp);
	put(cpu, VMCS_PML_ADDRESS, cpu->pml);
	put(cpu, VMCS_PML_INDEX, PML_INDEX_START);
}

/* ---- in ---- */

static bool fixed_bits_ok(u64 value, u32 fixed0, u32 fixed1)
{
	return !(~value & ooh_rdmsr(fixed0)) && !(value & ~ooh_rdmsr(fixed1));
}

/* SDM 3C "Enabling and Entering VMX Operation". */
static int check_this_cpu(struct ooh_controls *c)
{
	u64 control = ooh_rdmsr(IA32_FEATURE_CONTROL);

	if (__read_cr4() & X86_CR4_VMXE)
		return -EBUSY;
	if (!(control & FEATURE_CONTROL_LOCK))
		wrmsrl_safe(IA32_FEATURE_CONTROL, control | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
	if (!(ooh_rdmsr(IA32_FEATURE_CONTROL) & FEATURE_CONTROL_VMX))
		return -EPERM;
	if (!fixed_bits_ok(read_cr0(), IA32_VMX_CR0_FIXED0, IA32_VMX_CR0_FIXED1) ||
	    !fixed_bits_ok(__read_cr4() | X86_CR4_VMXE, IA32_VMX_CR4_FIXED0, IA32_VMX_CR4_FIXED1))
		return -EOPNOTSUPP;
	return ooh_controls(c);
}

/*
 * Translations of an earlier guest of ours carry the same tags. SDM 3C "Guidelines for Use of the INVVPID Instruction",
 * "Guidelines for Use of the INVEPT Instruction".
 */
static bool enter_vmx(struct ooh_cpu *cpu)
{
	u32 revision = ooh_rdmsr(IA32_VMX_BASIC) & VMX_BASIC_REVISION;

	*(u32 *)__va(cpu->vmxon) = revision;
	*(u32 *)__va(cpu->vmcs) = revision;
	if (!vmx_on(cpu->vmxon))
		return false;
	if (vmx_invept(INVEPT_ALL, 0) && vmx_invvpid(INVVPID_ALL, 0) && vmx_clear(cpu->vmcs) && vmx_load(cpu->vmcs))
		return true;
	vmx_off();
	return false;
}

/*
 * Returns false as the guest, or true if VM entry was refused. VM entry loads RSP, RIP and RFLAGS (arithmetic flags
 * clear); the rest stays as it is. A failure sets CF or ZF and continues at the same place.
 */
static noinline bool launch_fails(void)
{
	bool failed;

	asm volatile("vmwrite %%rsp, %[rsp_field]\n\t"
		     "lea 1f(%%rip), %%rax\n\t"
		     "vmwrite %%rax, %[rip_field]\n\t"
		     "vmlaunch\n"
		     "1:"
		     : "=@ccbe"(failed)
		     : [rsp_field] "r"((u64)VMCS_GUEST_RSP), [rip_field] "r"((u64)VMCS_GUEST_RIP)
		     : "rax", "memory");
	return failed;
}

/*
 * The guest's TLB flushes did not reach VPID 0: what it holds is from before the launch. SDM 3A "Invalidation of
 * TLBs".
 */
static void flush_native_tlb(void)
{
	unsigned long cr4 = __read_cr4();

	asm volatile("mov %0, %%cr4" : : "r"(cr4 ^ X86_CR4_PGE) : "memory");
	asm volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
}

/* The CPU may keep the VMCS in itself and write it back at any time until VMCLEAR; its memory will be Linux' again. */
static void leave_vmx(const struct ooh_cpu *cpu)
{
	vmx_clear(cpu->vmcs);
	vmx_off();
	flush_native_tlb();
	cr4_clear_bits(X86_CR4_VMXE);
}

static int fail_launch(struct ooh_cpu *cpu)
{
	u64 number = 0;

	if (!cpu->error) {
		vmx_read(VMCS_INSTRUCTION_ERROR, &number);
		cpu->vmx_error = number;
		cpu->error = -EIO;
	}
	cpu->state->in_guest = 0;
	leave_vmx(cpu);
	return cpu->error;
}

int ooh_launch_this_cpu(const struct ooh_setup *s, struct ooh_cpu *cpu)
{
	struct ooh_controls c;

	if (!cpu->state)
		return -EAGAIN;
	cpu->error = check_this_cpu(&c);
	if (cpu->error)
		return cpu->error;
	cr4_set_bits(X86_CR4_VMXE);
	if (!enter_vmx(cpu)) {
		cr4_clear_bits(X86_CR4_VMXE);
		return cpu->error = -EIO;
	}
	put_controls(s, cpu, &c);
	put_host(s, cpu);
	put_guest(cpu);
	cpu->state->proc_controls = c.proc;
	cpu->state->in_guest = 1; /* the last that is written here: once launched, this page reads as 0xff */
	if (cpu->error || launch_fails())
		return fail_launch(cpu);
	return 0;
}

/* ---- out ---- */

/* What a VM exit does not restore, or restores in part. SDM 3C "Loading Host State". */
struct lost_state {
	struct desc_ptr gdt, idt;
	u16 ds, es, fs, gs, ldt;
	u64 fs_base, gs_base, kernel_gs_base, debugctl;
	unsigned long dr7;
};

static void save_lost_state(struct lost_state *l)
{
	native_store_gdt(&l->gdt);
	store_idt(&l->idt);
	l->ds = READ_SELECTOR("mov %%ds, %0");
	l->es = READ_SELECTOR("mov %%es, %0");
	l->fs = READ_SELECTOR("mov %%fs, %0");
	l->gs = READ_SELECTOR("mov %%gs, %0");
	l->ldt = READ_SELECTOR("sldt %0");
	l->fs_base = ooh_rdmsr(IA32_FS_BASE);
	l->gs_base = ooh_rdmsr(IA32_GS_BASE);
	l->kernel_gs_base = ooh_rdmsr(IA32_KERNEL_GS_BASE);
	l->debugctl = ooh_rdmsr(IA32_DEBUGCTL);
	l->dr7 = read_dr7();
}

/* Loading FS or GS replaces their bases. GS is last, and without an instruction between that uses it. */
static void restore_segments(const struct lost_state *l)
{
	asm volatile("mov %0, %%ds" : : "r"((u32)l->ds));
	asm volatile("mov %0, %%es" : : "r"((u32)l->es));
	asm volatile("mov %0, %%fs" : : "r"((u32)l->fs));
	wrmsrl(IA32_FS_BASE, l->fs_base);
	if (l->gs) {
		native_load_gs_index(l->gs);
		wrmsrl(IA32_KERNEL_GS_BASE, l->kernel_gs_base);
	}
	wrmsrl(IA32_GS_BASE, l->gs_base);
	asm volatile("lldt %w0" : : "r"((u32)l->ldt));
}

static void restore_lost_state(const struct lost_state *l)
{
	load_gdt(&l->gdt);
	load_idt(&l->idt);
	restore_segments(l);
	force_reload_TR(); /* the exit set its limit to 103, which cuts the I/O bitmap off */
	wrmsrl(IA32_DEBUGCTL, l->debugctl);
	set_debugreg(l->dr7, 7);
}

/*
 * The hypervisor resumes us at the same VMCALL with Linux as the host state, so the exit that follows continues
 * behind it in root mode, with flags clear and the general registers as they were. Refused: still the guest.
 */
static noinline long leave_call(void)
{
	long ret;

	asm volatile(".globl ooh_hv_leave_vmcall\n"
		     "ooh_hv_leave_vmcall:\n\t"
		     "vmcall"
		     : "=a"(ret) : "a"(OOH_HC_MAGIC | OOH_HC_LEAVE) : "cc", "memory");
	return ret;
}

int ooh_leave_this_cpu(const struct ooh_cpu *cpu)
{
	struct lost_state lost;
	u64 reason = EXIT_VMCALL;
	long ret;

	save_lost_state(&lost);
	ret = leave_call();
	if (ret)
		return ret;
	vmx_read(VMCS_EXIT_REASON, &reason);
	leave_vmx(cpu);
	restore_lost_state(&lost);
	reason &= EXIT_REASON_BASIC;
	if (reason == EXIT_EXCEPTION_NMI || reason == EXIT_NMI_WINDOW)
		asm volatile("int $2"); /* an NMI came first: its exit swallowed it. The handler's IRET unblocks NMIs */
	return 0;
}
