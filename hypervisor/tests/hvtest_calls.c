// SPDX-License-Identifier: GPL-2.0-only
/* INFO, malformed calls, and memory that is not the guest's. */
#include "hypervisor/tests/hvtest.h"

#include <linux/ioport.h>
#include <linux/vmalloc.h>

void test_info(void)
{
	const struct ooh_hv_info *i = info();
	u32 *words = (u32 *)list;

	claim(i->size == sizeof(*i) && i->version == OOH_HC_VERSION && i->cpus == num_online_cpus() &&
	      (i->features & OOH_HV_PML) && i->memory >= 2 << 20, "INFO");
	memset(list, 0xee, PAGE_SIZE);
	claim_equal(ooh_hypercall(OOH_HC_INFO, virt_to_phys(list), 8, 0), 0, "INFO of 8 bytes");
	claim(words[1] == OOH_HC_VERSION && words[2] == 0xeeeeeeee, "fills 8 bytes");
}

/* ---- malformed calls ---- */

void test_arguments(void)
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

void test_ring_arguments(void)
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

void test_hidden_memory(void)
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
