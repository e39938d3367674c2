// SPDX-License-Identifier: GPL-2.0-only
/* What the guest's CPU is like: instructions that fault, single steps, NMIs, and no trace afterwards. */
#include "hypervisor/tests/hvtest.h"

#include <linux/cpu.h>
#include <linux/kdebug.h>
#include <asm/apic.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/nmi.h>

/* ---- instructions that may fault ---- */

int native_no_msr;

void test_instructions(void)
{
	u64 region = virt_to_phys(list), value;
	unsigned int a = OOH_CPUID_LEAF, b, c = 0, d;

	claim(FAULTS("vmcall", "a"(OOH_HC_INFO), "D"(0), "S"(0)), "VMCALL without the magic raises #UD");
	claim(FAULTS("vmxon %1", "m"(region)), "VMXON raises #UD");
	claim(FAULTS("vmxoff", "i"(0)), "VMXOFF raises #UD");
	claim(FAULTS("vmclear %1", "m"(region)), "VMCLEAR raises #UD");
	claim(FAULTS("vmptrld %1", "m"(region)), "VMPTRLD raises #UD");
	claim(FAULTS("vmlaunch", "i"(0)), "VMLAUNCH raises #UD");
	claim(FAULTS("vmread %1, %1", "r"(0x681eul)), "VMREAD raises #UD");
	claim(FAULTS("invept %1, %2", "m"(*list), "r"(2ul)), "INVEPT raises #UD");
	claim(rdmsrl_safe(0x480, &value) != 0, "IA32_VMX_BASIC raises #GP");
	claim(wrmsrl_safe(0x3a, 0) != 0, "writing IA32_FEATURE_CONTROL raises #GP");
	claim(rdmsrl_safe(NO_MSR, &value) == native_no_msr, "an MSR that does not exist behaves as natively");
	claim(FAULTS("mov %1, %%cr4", "r"(__read_cr4() & ~(unsigned long)X86_CR4_VMXE)),
	      "clearing CR4.VMXE raises #GP");
	claim(__read_cr4() & X86_CR4_VMXE, "CR4.VMXE shows that VMX is in use");
	native_cpuid(&a, &b, &c, &d);
	claim(a == OOH_HC_VERSION && b == OOH_CPUID_SIG_EBX && c == OOH_CPUID_SIG_ECX && d == OOH_CPUID_SIG_EDX,
	      "the CPUID leaf says who is there");
	claim(!(cpuid_ecx(1) & BIT(5)), "CPUID hides VMX");
	claim(!!(cpuid_ecx(1) & BIT(27)) == !!(__read_cr4() & X86_CR4_OSXSAVE), "CPUID shows the guest's OSXSAVE");
}

/* ---- single-step over an emulated instruction ---- */

static unsigned long step_ip[8];
static unsigned int steps;

static int on_debug(struct notifier_block *nb, unsigned long event, void *data)
{
	struct die_args *args = data;

	if (event != DIE_DEBUG || user_mode(args->regs))
		return NOTIFY_DONE;
	if (steps < ARRAY_SIZE(step_ip))
		step_ip[steps++] = args->regs->ip;
	*(unsigned long *)args->err &= ~DR_STEP;
	return NOTIFY_STOP;
}

static struct notifier_block debug_nb = { .notifier_call = on_debug, .priority = INT_MAX };

static noinline unsigned long step_over_cpuid(void)
{
	unsigned long after, a = 0, c = 0;

	asm volatile("lea 1f(%%rip), %[after]\n\tpushfq\n\tpushfq\n\torq $0x100, (%%rsp)\n\tpopfq\n\t"
		     "cpuid\n1:\tnop\n\tpopfq"
		     : [after] "=&r"(after), "+a"(a), "+c"(c) : : "rbx", "rdx", "memory", "cc");
	return after;
}

void test_single_step(void)
{
	unsigned long after;

	register_die_notifier(&debug_nb);
	after = step_over_cpuid();
	unregister_die_notifier(&debug_nb);
	claim(steps >= 2 && step_ip[0] == after, "single-step stops behind CPUID, once");
	claim(steps >= 2 && step_ip[1] != after, "and goes on to the next instruction");
}

/* ---- NMIs ---- */

static atomic_t nmis;

static int on_nmi(unsigned int type, struct pt_regs *regs)
{
	atomic_inc(&nmis);
	return NMI_HANDLED;
}

static void look_away(void *unused)
{
}

/* Exits all the time, so that NMIs from another CPU find it in root mode too. */
static void exit_until_told(void *told)
{
	while (!READ_ONCE(*(bool *)told))
		cpuid_eax(0);
}

static bool nmi_arrives(unsigned int cpu)
{
	int before = atomic_read(&nmis);
	unsigned int spin;

	apic->send_IPI(cpu, NMI_VECTOR);
	for (spin = 0; spin < 1000000 && atomic_read(&nmis) == before; spin++)
		if (cpu == smp_processor_id())
			cpuid_eax(0);
	return atomic_read(&nmis) != before;
}

static unsigned int lost_nmis(unsigned int cpu)
{
	unsigned int i, lost = 0;

	for (i = 0; i < 500; i++)
		lost += !nmi_arrives(cpu);
	return lost;
}

void test_nmi(void)
{
	static bool told;
	call_single_data_t work = { .func = exit_until_told, .info = &told };
	unsigned int me, other;

	register_nmi_handler(NMI_LOCAL, on_nmi, 0, "ooh_hvtest");
	me = get_cpu();
	other = cpumask_any_but(cpu_online_mask, me);
	claim_equal(lost_nmis(me), 0, "500 NMIs to itself arrive");
	if (other < nr_cpu_ids) {
		told = false;
		smp_call_function_single_async(other, &work);
		claim_equal(lost_nmis(other), 0, "500 NMIs to a CPU that exits all the time arrive");
		WRITE_ONCE(told, true);
		smp_call_function_single(other, look_away, NULL, 1);
	}
	put_cpu();
	unregister_nmi_handler(NMI_LOCAL, "ooh_hvtest");
}

/* ---- in and out ---- */

/* What a CPU is like, as far as VMX could have changed it. */
struct look {
	u64 cr0, cr4, efer, pat, debugctl, dr7, sysenter[3], star, lstar, fs, gs, kernel_gs;
	u16 cs, ss, ds, es, ldt, tr;
	u32 tr_limit;
	struct desc_ptr gdt, idt;
};

static const u32 sysenter_msrs[] = { MSR_IA32_SYSENTER_CS, MSR_IA32_SYSENTER_ESP, MSR_IA32_SYSENTER_EIP };

static void look_here(void *looks)
{
	struct look *l = (struct look *)looks + smp_processor_id();
	unsigned int i;

	l->cr0 = read_cr0();
	l->cr4 = __read_cr4();
	get_debugreg(l->dr7, 7);
	rdmsrl(MSR_EFER, l->efer);
	rdmsrl(MSR_IA32_CR_PAT, l->pat);
	rdmsrl(MSR_IA32_DEBUGCTLMSR, l->debugctl);
	for (i = 0; i < 3; i++)
		rdmsrl(sysenter_msrs[i], l->sysenter[i]);
	rdmsrl(MSR_STAR, l->star);
	rdmsrl(MSR_LSTAR, l->lstar);
	rdmsrl(MSR_GS_BASE, l->gs);
	asm volatile("mov %%cs, %0\n\tmov %%ds, %1\n\tmov %%es, %2\n\tsldt %3\n\tstr %4\n\t"
		     : "=rm"(l->cs), "=rm"(l->ds), "=rm"(l->es), "=rm"(l->ldt), "=rm"(l->tr));
	asm volatile("lsl %1, %0" : "=r"(l->tr_limit) : "r"((u32)l->tr) : "cc");
	native_store_gdt(&l->gdt);
	store_idt(&l->idt);
}

void test_no_trace(void)
{
	struct look *before = kcalloc(2 * nr_cpu_ids, sizeof(*before), GFP_KERNEL), *after = before + nr_cpu_ids;
	unsigned int a = OOH_CPUID_LEAF, b, c = 0, d;

	if (!before)
		return;
	on_each_cpu(look_here, before, 1);
	claim_equal(ooh_hv_enable(), 0, "enable");
	claim_equal(ooh_hv_enable(), -EALREADY, "enable again: EALREADY");
	claim_equal(ooh_hv_disable(), 0, "disable");
	claim_equal(ooh_hv_disable(), -EALREADY, "disable again: EALREADY");
	on_each_cpu(look_here, after, 1);
	claim(!memcmp(before, after, nr_cpu_ids * sizeof(*before)),
	      "control registers, MSRs, segments, tables are as before");
	claim(!(__read_cr4() & X86_CR4_VMXE) && (cpuid_ecx(1) & BIT(5)), "VMX is there, and off");
	native_cpuid(&a, &b, &c, &d);
	claim(b != OOH_CPUID_SIG_EBX, "the CPUID leaf is gone");
	claim_equal(ooh_hypercall(OOH_HC_RESET, 0, 0, 0), OOH_HC_ENOSYS, "a hypercall finds nobody: ENOSYS");
	kfree(before);
}

void test_cycles(void)
{
	unsigned int i;
	u64 epoch = ooh_hv_epoch();
	bool ok = true;

	for (i = 0; i < cycles && ok; i++) {
		ok = !ooh_hv_enable() && ooh_hv_active() && info()->cpus == num_online_cpus();
		ok = ok && set_ring(8192) == 0 && arm_many(512);
		store_many(512);
		ok = !ooh_hv_disable() && !ooh_hv_active() && ok;
		cond_resched();
	}
	claim(ok, "enable, arm, store, disable: again and again");
	claim_equal(ooh_hv_epoch() - epoch, 2 * i, "and the epoch counts it");
}
