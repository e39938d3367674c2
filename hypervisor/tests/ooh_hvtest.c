// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tests of the hypervisor from inside its guest: loaded above ooh_hv.ko, it enables, tries everything the ABI defines
 * and the outcomes docs/hypervisor.md promises, disables, and prints one TAP line a claim. Loading fails if a claim
 * does. Parameters: cycles: how often to enable and disable (default 100); crash: see below.
 */
#define pr_fmt(fmt) fmt

#include <linux/bitmap.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/io.h>
#include <linux/ioport.h>
#include <linux/kdebug.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/apic.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/nmi.h>

#include "abi/hv_loader.h"
#include "abi/hypercall.h"
#include "arch/exit_reasons.h"

static unsigned int cycles = 100;
module_param(cycles, uint, 0444);

static bool crash;
module_param(crash, bool, 0444);
MODULE_PARM_DESC(crash, "end with a triple fault, to see the hypervisor's report");

static unsigned int count, failed;

static void claim(bool ok, const char *what)
{
	count++;
	failed += !ok;
	pr_info("%s %u - %s\n", ok ? "ok" : "not ok", count, what);
}

static void claim_equal(long got, long want, const char *what)
{
	if (got != want)
		pr_info("# got %ld, want %ld\n", got, want);
	claim(got == want, what);
}

/* Of RAM. */
static u64 last_frame(void)
{
	struct resource *r;
	u64 end = 0;

	for (r = iomem_resource.child; r; r = r->sibling)
		if ((r->flags & IORESOURCE_SYSTEM_RAM) == IORESOURCE_SYSTEM_RAM)
			end = r->end >> PAGE_SHIFT;
	return end;
}

/* ---- one ring and one list, in pages of their own ---- */

static struct ooh_hv_ring *ring;
static u64 *ring_list, *list;
static u64 **ring_page;

static void make_ring_pages(unsigned int entries)
{
	unsigned int i;

	for (i = 0; i < entries / 512; i++)
		ring_list[i] = virt_to_phys(ring_page[i]);
	memset(ring, 0, sizeof(*ring));
	ring->version = OOH_HC_VERSION;
	ring->capacity = entries;
	ring->pages = virt_to_phys(ring_list);
}

static long set_ring(unsigned int entries)
{
	make_ring_pages(entries);
	return ooh_hypercall(OOH_HC_SET_RING, virt_to_phys(ring), 0, 0);
}

#define RING_PAGES 256 /* 512 MiB of frames */

static int alloc_all(void)
{
	unsigned int i;

	ring = (void *)get_zeroed_page(GFP_KERNEL);
	ring_list = (void *)get_zeroed_page(GFP_KERNEL);
	list = (void *)get_zeroed_page(GFP_KERNEL);
	ring_page = kcalloc(RING_PAGES, sizeof(*ring_page), GFP_KERNEL);
	for (i = 0; ring_page && i < RING_PAGES; i++)
		ring_page[i] = (void *)get_zeroed_page(GFP_KERNEL);
	return ring && ring_list && list && ring_page && ring_page[RING_PAGES - 1] ? 0 : -ENOMEM;
}

static void free_all(void)
{
	unsigned int i;

	for (i = 0; ring_page && i < RING_PAGES; i++)
		free_page((unsigned long)ring_page[i]);
	kfree(ring_page);
	free_page((unsigned long)list);
	free_page((unsigned long)ring_list);
	free_page((unsigned long)ring);
}

static void drain_here(void *flags)
{
	ooh_hypercall(OOH_HC_DRAIN, (uintptr_t)flags, 0, 0);
}

static void drain(u64 flags)
{
	on_each_cpu(drain_here, (void *)(uintptr_t)flags, 1);
}

/* Takes the next entry; false if there is none. */
static bool take(u64 *frame)
{
	if (ring->tail == smp_load_acquire(&ring->head))
		return false;
	*frame = ring_page[ring->tail / 512 % (ring->capacity / 512)][ring->tail % 512];
	ring->tail++;
	return true;
}

static long arm(const u64 *frames, unsigned int n)
{
	memcpy(list, frames, n * sizeof(u64));
	return ooh_hypercall(OOH_HC_ARM, virt_to_phys(list), n, 0);
}

static struct ooh_hv_info *info(void)
{
	static struct ooh_hv_info *page;

	if (!page)
		page = (void *)get_zeroed_page(GFP_KERNEL); /* one page, kept */
	memset(page, 0, sizeof(*page));
	ooh_hypercall(OOH_HC_INFO, virt_to_phys(page), sizeof(*page), 0);
	return page;
}

/* ---- instructions that may fault ---- */

#define FAULTS(insn, ...) \
	({ int f_ = 0; \
	   asm volatile("1: " insn "\n\tjmp 3f\n2: mov $1, %0\n3:\n" _ASM_EXTABLE(1b, 2b) \
			: "+r"(f_) : __VA_ARGS__ : "memory", "cc"); \
	   f_; })

#define NO_MSR 0x12345678 /* in neither range of the MSR bitmap */
static int native_no_msr;

static void test_instructions(void)
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

static void test_single_step(void)
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

static void test_nmi(void)
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

/* ---- malformed calls ---- */

static void test_arguments(void)
{
	u64 frame = page_to_pfn(virt_to_page(ring)), bad;
	u64 here = virt_to_phys(list), beyond = 1ull << 45;

	claim_equal(ooh_hypercall(OOH_HC_COUNT, 0, 0, 0), OOH_HC_ENOSYS, "unknown call: ENOSYS");
	claim_equal(ooh_hypercall(0x80000000, 0, 0, 0), OOH_HC_ENOSYS, "unknown call with bit 31: ENOSYS");
	claim_equal(ooh_hypercall(OOH_HC_LEAVE, 0, 0, 0), OOH_HC_EPERM, "LEAVE from elsewhere: EPERM");
	claim_equal(ooh_hypercall(OOH_HC_INFO, here + 4, 64, 0), OOH_HC_EINVAL, "INFO, unaligned: EINVAL");
	claim_equal(ooh_hypercall(OOH_HC_INFO, here + 4088, 64, 0), OOH_HC_EINVAL, "INFO, across a page: EINVAL");
	claim_equal(ooh_hypercall(OOH_HC_INFO, here, 0, 0), OOH_HC_EINVAL, "INFO of 0 bytes: EINVAL");
	claim_equal(ooh_hypercall(OOH_HC_INFO, beyond, 64, 0), OOH_HC_EFAULT, "INFO beyond RAM: EFAULT");
	claim_equal(ooh_hypercall(OOH_HC_INFO, 0xfee00000, 64, 0), OOH_HC_EFAULT, "INFO in a device: EFAULT");
	claim_equal(ooh_hypercall(OOH_HC_INFO, ~7ull, 8, 0), OOH_HC_EFAULT, "INFO at the last address: EFAULT");
	claim_equal(ooh_hypercall(OOH_HC_DRAIN, 2, 0, 0), OOH_HC_EINVAL, "DRAIN with an unknown flag: EINVAL");
	claim_equal(arm(&frame, 1), OOH_HC_ENORING, "ARM without a ring: ENORING");
	claim_equal(ooh_hypercall(OOH_HC_ARM, here, 0, 0), OOH_HC_EINVAL, "ARM of none: EINVAL");
	claim_equal(ooh_hypercall(OOH_HC_ARM, here, 513, 0), OOH_HC_EINVAL, "ARM of 513: EINVAL");
	claim_equal(ooh_hypercall(OOH_HC_ARM, here, ~0ull, 0), OOH_HC_EINVAL, "ARM of 2^64-1: EINVAL");
	claim_equal(ooh_hypercall(OOH_HC_ARM, here + 8, 512, 0), OOH_HC_EINVAL, "ARM, list across a page: EINVAL");
	claim_equal(ooh_hypercall(OOH_HC_ARM, beyond, 1, 0), OOH_HC_EFAULT, "ARM, list beyond RAM: EFAULT");
	claim_equal(set_ring(512), 0, "SET_RING");
	bad = beyond >> 12;
	claim_equal(arm(&bad, 1), OOH_HC_EFAULT, "ARM of a frame beyond RAM: EFAULT");
	bad = 0xfee00;
	claim_equal(arm(&bad, 1), OOH_HC_EFAULT, "ARM of a device: EFAULT");
	bad = ~0ull;
	claim_equal(arm(&bad, 1), OOH_HC_EFAULT, "ARM of frame 2^64-1: EFAULT");
	bad = (1ull << 52) | frame;
	claim_equal(arm(&bad, 1), OOH_HC_EFAULT, "ARM of a frame that wraps around: EFAULT");
	ooh_hypercall(OOH_HC_SET_RING, 0, 0, 0);
}

static long try_ring(u32 version, u64 capacity, u64 pages, u64 first_page)
{
	make_ring_pages(512);
	ring->version = version;
	ring->capacity = capacity;
	ring->pages = pages;
	ring_list[0] = first_page;
	return ooh_hypercall(OOH_HC_SET_RING, virt_to_phys(ring), 0, 0);
}

static void test_ring_arguments(void)
{
	u64 pages = virt_to_phys(ring_list), page = virt_to_phys(ring_page[0]);

	claim_equal(ooh_hypercall(OOH_HC_SET_RING, 1ull << 45, 0, 0), OOH_HC_EFAULT, "ring beyond RAM: EFAULT");
	claim_equal(ooh_hypercall(OOH_HC_SET_RING, virt_to_phys(ring) + 4, 0, 0), OOH_HC_EINVAL,
		    "ring, unaligned: EINVAL");
	claim_equal(try_ring(2, 512, pages, page), OOH_HC_EINVAL, "ring of another version: EINVAL");
	claim_equal(try_ring(1, 0, pages, page), OOH_HC_EINVAL, "ring without entries: EINVAL");
	claim_equal(try_ring(1, 1536, pages, page), OOH_HC_EINVAL, "ring not a power of two: EINVAL");
	claim_equal(try_ring(1, 1ull << 40, pages, page), OOH_HC_EINVAL, "ring too large: EINVAL");
	claim_equal(try_ring(1, 512, 1ull << 45, page), OOH_HC_EFAULT, "ring with its list beyond RAM: EFAULT");
	claim_equal(try_ring(1, 512, pages, 1ull << 45), OOH_HC_EFAULT, "ring with a page beyond RAM: EFAULT");
	claim_equal(try_ring(1, 512, pages, page + 8), OOH_HC_EFAULT, "ring with an unaligned page: EFAULT");
	claim_equal(try_ring(1, 512, pages, page), 0, "the same ring, well formed");
	ooh_hypercall(OOH_HC_SET_RING, 0, 0, 0);
}

/* ---- the hypervisor's memory ---- */

/* DISARM changes nothing that is not armed, and refuses frames that are not ours: it finds hidden RAM. */
static u64 find_hidden_frame(void)
{
	u64 frame, end = last_frame();

	for (frame = 512; frame < end; frame += 512) {
		list[0] = frame;
		if (pfn_valid(frame) && page_is_ram(frame) && !PageReserved(pfn_to_page(frame)) &&
		    ooh_hypercall(OOH_HC_DISARM, virt_to_phys(list), 1, 0) == OOH_HC_EFAULT)
			return frame;
	}
	return 0;
}

static void test_hidden_memory(void)
{
	u64 frame = find_hidden_frame(), pa = frame << PAGE_SHIFT;
	u64 *direct = __va(pa), *mapped;
	struct page *page = pfn_to_page(frame);

	claim(frame != 0, "there is RAM that the hypervisor keeps");
	if (!frame)
		return;
	claim(READ_ONCE(direct[0]) == ~0ull && READ_ONCE(direct[100000]) == ~0ull, "it reads as 0xff");
	claim(FAULTS("movq $1, %1", "m"(direct[0])), "a store to it raises #GP");
	claim(FAULTS("lock; addq $1, %1", "m"(direct[511])), "a locked addition to it raises #GP");
	claim(READ_ONCE(direct[0]) == ~0ull, "and changes nothing");
	mapped = vmap(&page, 1, VM_MAP, PAGE_KERNEL);
	claim(mapped && READ_ONCE(mapped[7]) == ~0ull && FAULTS("movq $1, %1", "m"(mapped[7])),
	      "the same through a new mapping");
	vunmap(mapped);
	claim_equal(ooh_hypercall(OOH_HC_INFO, pa, 64, 0), OOH_HC_EFAULT, "INFO into it: EFAULT");
	claim_equal(ooh_hypercall(OOH_HC_SET_RING, pa, 0, 0), OOH_HC_EFAULT, "SET_RING in it: EFAULT");
	claim_equal(ooh_hypercall(OOH_HC_ARM, pa, 1, 0), OOH_HC_EFAULT, "ARM with its list in it: EFAULT");
	claim_equal(try_ring(1, 512, virt_to_phys(ring_list), pa), OOH_HC_EFAULT, "ring with a page in it: EFAULT");
	claim_equal(try_ring(1, 512, pa, pa), OOH_HC_EFAULT, "ring with its list in it: EFAULT");
	set_ring(512);
	claim_equal(arm(&frame, 1), OOH_HC_EFAULT, "ARM of it: EFAULT");
	ooh_hypercall(OOH_HC_SET_RING, 0, 0, 0);
}

/* ---- arming and logging ---- */

#define MANY 4096

static u8 *pages;      /* MANY pages of vmalloc */
static u64 *frames;    /* their frames */
static unsigned long *mine, *seen; /* sets of frames: these, and those found in the ring */

static int alloc_pages_to_track(void)
{
	unsigned int i;

	pages = vzalloc(MANY * PAGE_SIZE);
	frames = vzalloc(MANY * sizeof(*frames));
	mine = vzalloc(BITS_TO_LONGS(last_frame() + 1) * sizeof(*mine));
	seen = vzalloc(BITS_TO_LONGS(last_frame() + 1) * sizeof(*seen));
	if (!pages || !frames || !mine || !seen)
		return -ENOMEM;
	for (i = 0; i < MANY; i++) {
		frames[i] = vmalloc_to_pfn(pages + i * PAGE_SIZE);
		__set_bit(frames[i], mine);
	}
	return 0;
}

static bool arm_many(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i += 512)
		if (arm(frames + i, min(n - i, 512u)) != min(n - i, 512u))
			return false;
	drain(OOH_DRAIN_FLUSH);
	return true;
}

static void store_many(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		WRITE_ONCE(pages[i * PAGE_SIZE + i % PAGE_SIZE], i);
}

static void skip_ring(void)
{
	u64 frame;

	drain(0);
	while (take(&frame))
		;
}

static void test_one_page(void)
{
	u64 got = 0, more;

	set_ring(8192);
	claim_equal(arm(frames, 1), 1, "ARM of one frame");
	drain(OOH_DRAIN_FLUSH);
	WRITE_ONCE(pages[PAGE_SIZE], 1); /* its neighbour */
	drain(0);
	claim(!take(&got), "a store to a frame that is not armed is not logged");
	claim(READ_ONCE(pages[0]) == 0, "the page reads");
	drain(0);
	claim(!take(&got), "a load is not logged");
	WRITE_ONCE(pages[123], 1);
	WRITE_ONCE(pages[124], 1);
	drain(0);
	claim(take(&got) && got == frames[0] && !take(&more), "stores are logged: exactly that frame, once");
	WRITE_ONCE(pages[125], 1);
	drain(0);
	claim(!take(&got), "once logged, it is not logged again");
	arm(frames, 1);
	drain(OOH_DRAIN_FLUSH);
	WRITE_ONCE(pages[126], 1);
	drain(0);
	claim(take(&got) && got == frames[0], "armed again, it is logged again");
	arm(frames, 1);
	memcpy(list, frames, 8);
	claim_equal(ooh_hypercall(OOH_HC_DISARM, virt_to_phys(list), 1, 0), 1, "DISARM");
	drain(OOH_DRAIN_FLUSH);
	WRITE_ONCE(pages[127], 1);
	drain(0);
	claim(!take(&got), "disarmed, it is not logged");
}

/*
 * Empties the ring into the set of frames seen. Returns how many entries were ours; *unknown and *twice count the
 * others.
 */
static unsigned int collect(unsigned int *unknown, unsigned int *twice)
{
	unsigned int ours = 0;
	u64 frame;

	*unknown = *twice = 0;
	bitmap_zero(seen, last_frame() + 1);
	drain(0);
	while (take(&frame)) {
		if (frame > last_frame() || !test_bit(frame, mine))
			++*unknown;
		else if (__test_and_set_bit(frame, seen))
			++*twice;
		else
			ours++;
	}
	return ours;
}

static void test_many_pages(void)
{
	u64 full = info()->exits_by_reason[EXIT_PML_FULL];
	unsigned int unknown, twice;

	claim(arm_many(MANY), "ARM of 4096 frames");
	claim(info()->split > 0, "large pages were split");
	store_many(MANY);
	claim_equal(collect(&unknown, &twice), MANY, "every one is logged");
	claim_equal(unknown + twice, 0, "no other, none twice");
	full = info()->exits_by_reason[EXIT_PML_FULL] - full;
	claim(full >= MANY / 512 - num_online_cpus(), "the log filled up on the way");
	claim(!(ring->flags & OOH_RING_OVERFLOW), "the ring did not overflow");
}

/* All that the guest has, in blocks of 2 MiB; one that is not all RAM is armed in part or not at all. */
static void arm_everything(void)
{
	u64 frame, end = last_frame();
	unsigned int i;

	for (frame = 0; frame <= end; frame += 512) {
		for (i = 0; i < 512; i++)
			list[i] = frame + i;
		ooh_hypercall(OOH_HC_ARM, virt_to_phys(list), 512, 0);
	}
	drain(OOH_DRAIN_FLUSH);
}

/*
 * Stacks, descriptor and page tables are armed too: interrupts and exceptions are being delivered when the log fills,
 * IRET runs with its stack armed. What the test stores itself must all be found.
 */
static void test_storm(void)
{
	unsigned int i, unknown, twice, missed = 0, others = 0;
	u64 full = info()->exits_by_reason[EXIT_PML_FULL];

	set_ring(RING_PAGES * 512);
	for (i = 0; i < 20; i++) {
		arm_everything();
		store_many(MANY);
		msleep(2);
		missed += MANY - collect(&unknown, &twice);
		others += unknown;
	}
	ooh_hypercall(OOH_HC_RESET, 0, 0, 0);
	drain(OOH_DRAIN_FLUSH);
	ooh_hypercall(OOH_HC_SET_RING, 0, 0, 0);
	pr_info("# %u other frames, %llu full logs\n", others, info()->exits_by_reason[EXIT_PML_FULL] - full);
	claim_equal(missed, 0, "with all of RAM armed, 20 rounds: no store is missed");
}

/* ---- rounds against a writer on another CPU ---- */

#define RACE_PAGES 256

static struct {
	bool stop, pause, paused;
	u64 stores;
} writer;

static int write_all_the_time(void *unused)
{
	u64 x = 1;

	while (!READ_ONCE(writer.stop)) {
		WRITE_ONCE(writer.paused, READ_ONCE(writer.pause));
		if (writer.paused) {
			cpu_relax();
			continue;
		}
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		(*(volatile u64 *)(pages + (x >> 40) % RACE_PAGES * PAGE_SIZE))++;
		writer.stores++;
		cond_resched();
	}
	while (!kthread_should_stop())
		schedule_timeout_interruptible(1);
	return 0;
}

static u64 value_of(unsigned int page)
{
	return READ_ONCE(*(u64 *)(pages + page * PAGE_SIZE));
}

static void pause_writer(bool pause)
{
	WRITE_ONCE(writer.pause, pause);
	while (READ_ONCE(writer.paused) != pause)
		cond_resched();
}

/*
 * One round as the module runs it: collect, arm again what was logged while the writer goes on, flush, and only then
 * look at the pages. A page that was not logged must still hold what was seen after the last flush. Returns how many do
 * not.
 */
static unsigned int race_round(u64 *known)
{
	unsigned int i, unknown, twice, missed = 0, logged = 0;

	msleep(1);
	pause_writer(true);
	collect(&unknown, &twice);
	for (i = 0; i < RACE_PAGES; i++)
		missed += !test_bit(frames[i], seen) && value_of(i) != known[i];
	pause_writer(false);
	for (i = 0; i < RACE_PAGES; i++)
		if (test_bit(frames[i], seen))
			list[logged++] = frames[i];
	if (logged)
		ooh_hypercall(OOH_HC_ARM, virt_to_phys(list), logged, 0);
	drain(OOH_DRAIN_FLUSH);
	for (i = 0; i < RACE_PAGES; i++)
		if (test_bit(frames[i], seen))
			known[i] = value_of(i);
	return missed;
}

static void test_race(void)
{
	unsigned int other = cpumask_any_but(cpu_online_mask, raw_smp_processor_id()), i, missed = 0;
	u64 *known = kcalloc(RACE_PAGES, sizeof(*known), GFP_KERNEL);
	struct task_struct *task;

	if (!known || other >= nr_cpu_ids) {
		kfree(known);
		return;
	}
	set_ring(8192);
	memset(&writer, 0, sizeof(writer));
	for (i = 0; i < RACE_PAGES; i++)
		known[i] = value_of(i);
	arm_many(512);
	task = kthread_create(write_all_the_time, NULL, "ooh_hvtest_writer");
	kthread_bind(task, other);
	wake_up_process(task);
	for (i = 0; i < 200; i++)
		missed += race_round(known);
	writer.stop = true;
	kthread_stop(task);
	pr_info("# %llu stores in 200 rounds\n", writer.stores);
	claim_equal(missed, 0, "a writer on another CPU is never missed while frames are armed and flushed");
	ooh_hypercall(OOH_HC_RESET, 0, 0, 0);
	drain(OOH_DRAIN_FLUSH);
	kfree(known);
}

static void test_overflow(void)
{
	u64 frame, dropped = info()->dropped;
	unsigned int got = 0;

	set_ring(512);
	arm_many(2048);
	store_many(2048);
	drain(0);
	while (take(&frame))
		got++;
	claim_equal(got, 512, "a full ring keeps what fits");
	claim(ring->flags & OOH_RING_OVERFLOW, "and says that it overflowed");
	claim_equal(info()->dropped - dropped, 2048 - 512, "and how much was dropped");
}

static void test_reset(void)
{
	unsigned int i;
	bool ok = true;
	u64 frame;

	set_ring(8192);
	arm_many(MANY);
	claim_equal(ooh_hypercall(OOH_HC_RESET, 0, 0, 0), 0, "RESET");
	drain(OOH_DRAIN_FLUSH);
	claim_equal(info()->split, 0, "gives every large page back");
	claim_equal(info()->armed, 0, "disarms every frame");
	store_many(MANY);
	drain(0);
	claim(!take(&frame), "stores are not logged after it");
	for (i = 0; i < 100 && ok; i++) {
		ok = arm_many(MANY);
		store_many(i * 7 % MANY);
		ooh_hypercall(OOH_HC_RESET, 0, 0, 0);
		drain(OOH_DRAIN_FLUSH);
		skip_ring();
	}
	claim(ok, "100 rounds of ARM and RESET do not use its pages up");
	ooh_hypercall(OOH_HC_SET_RING, 0, 0, 0);
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

static void test_no_trace(void)
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

static void test_cycles(void)
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

static void test_info(void)
{
	const struct ooh_hv_info *i = info();
	u32 *words = (u32 *)list;

	claim(i->size == sizeof(*i) && i->version == OOH_HC_VERSION && i->cpus == num_online_cpus() &&
	      (i->features & OOH_HV_PML) && i->memory >= 2 << 20, "INFO");
	memset(list, 0xee, PAGE_SIZE);
	claim_equal(ooh_hypercall(OOH_HC_INFO, virt_to_phys(list), 8, 0), 0, "INFO of 8 bytes");
	claim(words[1] == OOH_HC_VERSION && words[2] == 0xeeeeeeee, "fills 8 bytes");
}

/* ---- figures, not claims ---- */

static u64 cycles_of_cpuid(void)
{
	u64 start = rdtsc_ordered();

	cpuid_eax(0);
	return rdtsc_ordered() - start;
}

static u64 cycles_of_call(unsigned int nr, u64 a, u64 b)
{
	u64 start = rdtsc_ordered();

	ooh_hypercall(nr, a, b, 0);
	return rdtsc_ordered() - start;
}

/* 512 stores, one a page: with none armed, then armed, where the last ones may be flushed out by a full log. */
static u64 cycles_of_stores(void)
{
	u64 start = rdtsc_ordered();

	store_many(512);
	return rdtsc_ordered() - start;
}

static void show_costs(void)
{
	u64 plain, armed;

	set_ring(8192);
	memcpy(list, frames, PAGE_SIZE);
	store_many(512);
	plain = cycles_of_stores();
	pr_info("# cycles: CPUID %llu, empty DRAIN %llu\n", cycles_of_cpuid(), cycles_of_call(OOH_HC_DRAIN, 0, 0));
	pr_info("# cycles: ARM of 512, splitting %llu\n", cycles_of_call(OOH_HC_ARM, virt_to_phys(list), 512));
	drain(OOH_DRAIN_FLUSH);
	armed = cycles_of_stores();
	pr_info("# cycles: 512 stores %llu, armed %llu; DRAIN %llu\n", plain, armed,
		cycles_of_call(OOH_HC_DRAIN, 0, 0));
	pr_info("# cycles: ARM of 512 again %llu, DRAIN with FLUSH %llu\n",
		cycles_of_call(OOH_HC_ARM, virt_to_phys(list), 512),
		cycles_of_call(OOH_HC_DRAIN, OOH_DRAIN_FLUSH, 0));
	pr_info("# cycles: RESET %llu\n", cycles_of_call(OOH_HC_RESET, 0, 0));
	drain(OOH_DRAIN_FLUSH);
	ooh_hypercall(OOH_HC_SET_RING, 0, 0, 0);
}

static void show_exits(void)
{
	const struct ooh_hv_info *i = info();
	unsigned int r;

	for (r = 0; r < EXIT_REASON_COUNT; r++)
		if (i->exits_by_reason[r])
			pr_info("# exits: %s %llu\n", exit_reason_name(r), i->exits_by_reason[r]);
}

static void test_active(void)
{
	test_info();
	test_arguments();
	test_ring_arguments();
	test_instructions();
	test_single_step();
	test_nmi();
	test_hidden_memory();
	test_one_page();
	test_many_pages();
	test_race();
	test_overflow();
	test_reset();
	test_storm();
	show_costs();
	show_exits();
}

/* An exception without an IDT: the hypervisor reports and stops this CPU. */
static void triple_fault(void)
{
	struct desc_ptr none = { 0 };

	local_irq_disable();
	load_idt(&none);
	asm volatile("int3");
}

static int __init ooh_hvtest_init(void)
{
	int ret = alloc_all() ? -ENOMEM : alloc_pages_to_track();
	u64 no_value;

	if (ret)
		goto free;
	native_no_msr = rdmsrl_safe(NO_MSR, &no_value);
	test_no_trace();
	claim_equal(ooh_hv_enable(), 0, "enable");
	if (ooh_hv_active()) {
		test_active();
		if (crash)
			triple_fault();
		claim_equal(ooh_hv_disable(), 0, "disable");
		test_cycles();
	}
	pr_info("1..%u\n", count);
	pr_info("# %u of %u failed\n", failed, count);
	ret = failed ? -EIO : 0;
free:
	vfree(pages);
	vfree(frames);
	vfree(mine);
	vfree(seen);
	free_all();
	return ret;
}

static void __exit ooh_hvtest_exit(void)
{
}

module_init(ooh_hvtest_init);
module_exit(ooh_hvtest_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Tests of the ooh hypervisor from inside");
