// SPDX-License-Identifier: GPL-2.0-only
/*
 * The calls of abi/hypercall.h. Arguments are the guest's word: each is checked before anything is done, and what
 * lies in the guest's memory is read once.
 */
#include "core/root.h"

#include "arch/paging.h"
#include "arch/vmx.h"
#include "arch/x86.h"
#include "core/ept.h"

#define MAX_LIST 512

/* An argument in memory: aligned, and within one page, or it is malformed (EINVAL); in RAM of the guest, or EFAULT. */
static int64_t check_argument(hv_gpa gpa, uint64_t size)
{
	if (!size || gpa.value % sizeof(uint64_t) || gpa.value % HV_PAGE_SIZE + size > HV_PAGE_SIZE)
		return OOH_HC_EINVAL;
	return hv_guest_owns(&hv, gpa, size) ? 0 : OOH_HC_EFAULT;
}

/* ---- INFO ---- */

static void sum_cpu(struct ooh_hv_info *info, const struct hv_cpu *cpu)
{
	info->cpus += __atomic_load_n(&cpu->in_guest, __ATOMIC_RELAXED);
	info->hypercalls += cpu->hypercalls;
	info->logged += cpu->logged;
	for (int i = 0; i < EXIT_REASON_COUNT; i++) {
		info->exits_by_reason[i] += cpu->exits[i];
		info->exits += cpu->exits[i];
	}
}

static void fill_info(struct ooh_hv_info *info)
{
	*info = (struct ooh_hv_info){ .size = sizeof(*info), .version = OOH_HC_VERSION, .features = OOH_HV_PML };
	info->memory = hv.memory;
	info->armed = hv.armed;
	info->split = hv.split;
	info->dropped = hv.dropped;
	for (uint32_t i = 0; i < hv.nr_cpus; i++)
		sum_cpu(info, hv_cpu_at(i));
}

static int64_t call_info(hv_gpa gpa, uint64_t size)
{
	struct ooh_hv_info info;
	uint8_t *to = hv_virt(&hv, gpa.value);
	int64_t ret;

	if (size > sizeof(info))
		size = sizeof(info);
	ret = check_argument(gpa, size);
	if (ret)
		return ret;
	fill_info(&info);
	for (uint64_t i = 0; i < size; i++)
		to[i] = ((const uint8_t *)&info)[i];
	return 0;
}

static int64_t call_set_ring(hv_gpa gpa)
{
	int64_t ret = gpa.value ? check_argument(gpa, sizeof(struct ooh_hv_ring)) : 0;

	return ret ? ret : hv_ring_set(gpa);
}

/* ---- ARM, DISARM ---- */

typedef int (*hv_ept_change)(struct hv *hv, struct hv_ept_cursor *cursor, uint64_t frame);

static int64_t for_each_frame(hv_gpa list, uint64_t count, hv_ept_change change)
{
	const uint64_t *frames = hv_virt(&hv, list.value);
	struct hv_ept_cursor cursor = { 0 };
	int64_t ret;

	if (count > MAX_LIST)
		return OOH_HC_EINVAL;
	ret = check_argument(list, count * sizeof(uint64_t));
	if (ret)
		return ret;
	hv_lock(&hv.lock);
	if (change == hv_ept_arm && !hv.ring.header)
		ret = OOH_HC_ENORING;
	for (uint64_t i = 0; i < count && !ret; i++)
		ret = change(&hv, &cursor, __atomic_load_n(&frames[i], __ATOMIC_RELAXED));
	hv_unlock(&hv.lock);
	return ret ? ret : (int64_t)count;
}

static int64_t call_drain(struct hv_cpu *cpu, uint64_t flags)
{
	unsigned int count;

	if (flags & ~OOH_DRAIN_FLUSH)
		return OOH_HC_EINVAL;
	count = hv_pml_drain(cpu);
	if (flags & OOH_DRAIN_FLUSH)
		hv_flush(cpu);
	return count;
}

static int64_t call_reset(void)
{
	hv_lock(&hv.lock);
	hv_ept_reset(&hv);
	hv_unlock(&hv.lock);
	return 0;
}

static int64_t call(struct hv_cpu *cpu, uint32_t number, const struct hv_regs *regs)
{
	hv_gpa gpa = { regs->r[REG_RDI] };

	cpu->hypercalls++;
	switch (number) {
	case OOH_HC_INFO:
		return call_info(gpa, regs->r[REG_RSI]);
	case OOH_HC_SET_RING:
		return call_set_ring(gpa);
	case OOH_HC_ARM:
		return for_each_frame(gpa, regs->r[REG_RSI], hv_ept_arm);
	case OOH_HC_DISARM:
		return for_each_frame(gpa, regs->r[REG_RSI], hv_ept_disarm);
	case OOH_HC_DRAIN:
		return call_drain(cpu, regs->r[REG_RDI]);
	case OOH_HC_RESET:
		return call_reset();
	}
	return OOH_HC_ENOSYS;
}

/* ---- LEAVE ---- */

/*
 * Translations of before the launch, or of root mode, must not be found again under VPID 0. SDM 3A "Invalidation of
 * TLBs".
 */
static void flush_root_tlb(void)
{
	uint64_t cr4;

	asm volatile("mov %%cr4, %0" : "=r"(cr4));
	asm volatile("mov %0, %%cr4" : : "r"(cr4 ^ CR4_PGE) : "memory");
	asm volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
}

static void copy_field(enum vmcs_field from, enum vmcs_field to)
{
	hv_write(to, hv_read(from));
}

/*
 * The next VM exit shall land in Linux: its state becomes the host state. The guest is resumed at the same VMCALL,
 * whose exit (or an NMI's before it) then continues behind it in root mode, where the loader executes VMXOFF.
 */
static void host_becomes_guest(void)
{
	static const struct {
		enum vmcs_field from, to;
	} rows[] = {
		{ VMCS_GUEST_CR0, VMCS_HOST_CR0 },
		{ VMCS_GUEST_CR3, VMCS_HOST_CR3 },
		{ VMCS_GUEST_CR4, VMCS_HOST_CR4 },
		{ VMCS_GUEST_RSP, VMCS_HOST_RSP },
		{ VMCS_GUEST_CS_SELECTOR, VMCS_HOST_CS_SELECTOR },
		{ VMCS_GUEST_SS_SELECTOR, VMCS_HOST_SS_SELECTOR },
		{ VMCS_GUEST_TR_SELECTOR, VMCS_HOST_TR_SELECTOR },
		{ VMCS_GUEST_FS_BASE, VMCS_HOST_FS_BASE },
		{ VMCS_GUEST_GS_BASE, VMCS_HOST_GS_BASE },
		{ VMCS_GUEST_TR_BASE, VMCS_HOST_TR_BASE },
		{ VMCS_GUEST_GDTR_BASE, VMCS_HOST_GDTR_BASE },
		{ VMCS_GUEST_IDTR_BASE, VMCS_HOST_IDTR_BASE },
		{ VMCS_GUEST_IA32_SYSENTER_CS, VMCS_HOST_IA32_SYSENTER_CS },
		{ VMCS_GUEST_IA32_SYSENTER_ESP, VMCS_HOST_IA32_SYSENTER_ESP },
		{ VMCS_GUEST_IA32_SYSENTER_EIP, VMCS_HOST_IA32_SYSENTER_EIP },
	};

	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		copy_field(rows[i].from, rows[i].to);
	hv_write(VMCS_HOST_RIP, hv_read(VMCS_GUEST_RIP) + hv_read(VMCS_EXIT_INSTRUCTION_LENGTH));
}

static enum hv_action leave(struct hv_cpu *cpu, struct hv_regs *regs)
{
	if (hv_read(VMCS_GUEST_RIP) != hv.leave_rip) {
		regs->r[REG_RAX] = (uint64_t)OOH_HC_EPERM;
		return HV_ADVANCE;
	}
	if (hv_read(VMCS_PROC_CONTROLS) & PROC_NMI_WINDOW_EXITING)
		return HV_RESUME; /* the guest takes its NMI first, and calls again */
	hv_pml_drain(cpu);
	host_becomes_guest();
	flush_root_tlb();
	__atomic_store_n(&cpu->in_guest, 0, __ATOMIC_RELEASE);
	regs->r[REG_RAX] = 0;
	return HV_RESUME;
}

/* Anything but a call of ours from the kernel is the instruction that does not exist. */
enum hv_action hv_do_vmcall(struct hv_cpu *cpu, struct hv_regs *regs)
{
	uint64_t rax = regs->r[REG_RAX];
	bool kernel = !(hv_read(VMCS_GUEST_SS_AR) & VMX_AR_DPL) && (hv_read(VMCS_GUEST_CS_AR) & VMX_AR_L);

	if (!kernel || rax >> 32 != OOH_HC_MAGIC >> 32)
		return HV_UD;
	if ((uint32_t)rax == OOH_HC_LEAVE)
		return leave(cpu, regs);
	regs->r[REG_RAX] = (uint64_t)call(cpu, (uint32_t)rax, regs);
	return HV_ADVANCE;
}
