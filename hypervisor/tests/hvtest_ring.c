// SPDX-License-Identifier: GPL-2.0-only
/* The ring, the list of hypercalls, and the pages that are tracked. */
#include "hypervisor/tests/hvtest.h"

#include <linux/ioport.h>
#include <linux/vmalloc.h>

u8 *pages;
u64 *frames;
unsigned long *mine, *seen;
struct ooh_hv_ring *ring;
u64 *ring_list, *list;
u64 **ring_page;

u64 last_frame(void)
{
	struct resource *r;
	u64 end = 0;

	for (r = iomem_resource.child; r; r = r->sibling)
		if ((r->flags & IORESOURCE_SYSTEM_RAM) == IORESOURCE_SYSTEM_RAM)
			end = r->end >> PAGE_SHIFT;
	return end;
}

void make_ring_pages(unsigned int entries)
{
	unsigned int i;

	for (i = 0; i < entries / 512; i++)
		ring_list[i] = virt_to_phys(ring_page[i]);
	memset(ring, 0, sizeof(*ring));
	ring->version = OOH_HC_VERSION;
	ring->capacity = entries;
	ring->pages = virt_to_phys(ring_list);
}

long set_ring(unsigned int entries)
{
	make_ring_pages(entries);
	return ooh_hypercall(OOH_HC_SET_RING, virt_to_phys(ring), 0, 0);
}

static int alloc_ring(void)
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

static void free_ring(void)
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

void drain(u64 flags)
{
	on_each_cpu(drain_here, (void *)(uintptr_t)flags, 1);
}

bool take(u64 *frame)
{
	if (ring->tail == smp_load_acquire(&ring->head))
		return false;
	*frame = ring_page[ring->tail / 512 % (ring->capacity / 512)][ring->tail % 512];
	ring->tail++;
	return true;
}

long arm(const u64 *frames, unsigned int n)
{
	memcpy(list, frames, n * sizeof(u64));
	return ooh_hypercall(OOH_HC_ARM, virt_to_phys(list), n, 0);
}

struct ooh_hv_info *info(void)
{
	static struct ooh_hv_info *page;

	if (!page)
		page = (void *)get_zeroed_page(GFP_KERNEL); /* one page, kept */
	memset(page, 0, sizeof(*page));
	ooh_hypercall(OOH_HC_INFO, virt_to_phys(page), sizeof(*page), 0);
	return page;
}

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

int alloc_all(void)
{
	int ret = alloc_ring();

	return ret ? ret : alloc_pages_to_track();
}

void free_all(void)
{
	vfree(pages);
	vfree(frames);
	vfree(mine);
	vfree(seen);
	free_ring();
}

bool arm_many(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i += 512)
		if (arm(frames + i, min(n - i, 512u)) != min(n - i, 512u))
			return false;
	drain(OOH_DRAIN_FLUSH);
	return true;
}

void store_many(unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		WRITE_ONCE(pages[i * PAGE_SIZE + i % PAGE_SIZE], i);
}

void skip_ring(void)
{
	u64 frame;

	drain(0);
	while (take(&frame))
		;
}

unsigned int collect(unsigned int *unknown, unsigned int *twice)
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
