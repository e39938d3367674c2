// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the CPU's log to the guest's ring. SDM 3C "Page-Modification Logging".
 */
#include "core/root.h"

#include "arch/paging.h"
#include "arch/vmx.h"
#include "core/ept.h"

/* ---- the ring; the caller holds hv.lock ---- */

static struct ooh_hv_ring *ring_header(void)
{
	return hv_virt(&hv, hv.ring.header);
}

/* Free entries. The header is the guest's: a wrong tail spoils the guest's own ring, no more. */
static uint64_t ring_room(void)
{
	uint64_t used;

	if (!hv.ring.header)
		return 0;
	used = hv.ring.head - __atomic_load_n(&ring_header()->tail, __ATOMIC_ACQUIRE);
	return used < hv.ring.capacity ? hv.ring.capacity - used : 0;
}

/* Appends the count oldest entries of a log; there is room for them. The log was filled from its end. */
static void ring_append(const uint64_t *log, unsigned int count)
{
	uint64_t head = hv.ring.head, mask = hv.ring.capacity - 1;

	for (unsigned int i = 0; i < count; i++, head++) {
		uint64_t slot = head & mask;
		uint64_t *page = hv_virt(&hv, hv.ring.pages[slot / PAGE_TABLE_ENTRIES]);

		page[slot % PAGE_TABLE_ENTRIES] = log[PML_INDEX_START - i] >> PAGE_SHIFT_4K;
	}
	hv.ring.head = head;
}

/* The flag is set before the head is published: who sees the entries sees that some are missing. */
static void ring_publish(unsigned int dropped)
{
	hv.dropped += dropped;
	if (!hv.ring.header)
		return;
	if (dropped)
		__atomic_fetch_or(&ring_header()->flags, OOH_RING_OVERFLOW, __ATOMIC_SEQ_CST);
	__atomic_store_n(&ring_header()->head, hv.ring.head, __ATOMIC_RELEASE);
}

/*
 * Reads one page address of the guest's list, once: it may change under us. Returns 0 if it cannot be a page of the
 * ring.
 */
static uint64_t ring_page(uint64_t list, uint64_t index)
{
	hv_gpa slot = { list + index * sizeof(uint64_t) }, page;

	if (!hv_guest_owns(&hv, slot, sizeof(uint64_t)))
		return 0;
	page.value = __atomic_load_n((uint64_t *)hv_virt(&hv, slot.value), __ATOMIC_RELAXED);
	if (page.value % HV_PAGE_SIZE || !hv_guest_owns(&hv, page, HV_PAGE_SIZE))
		return 0;
	return page.value;
}

static int64_t ring_install(hv_gpa gpa, const struct ooh_hv_ring *header)
{
	uint64_t count = header->capacity / PAGE_TABLE_ENTRIES;

	if (header->version != OOH_HC_VERSION || !count || count > OOH_RING_MAX_PAGES ||
	    (header->capacity & (header->capacity - 1)) || header->pages % sizeof(uint64_t))
		return OOH_HC_EINVAL;
	hv.ring.header = 0;
	for (uint64_t i = 0; i < count; i++) {
		hv.ring.pages[i] = ring_page(header->pages, i);
		if (!hv.ring.pages[i])
			return OOH_HC_EFAULT;
	}
	hv.ring.capacity = header->capacity;
	hv.ring.head = header->head;
	hv.ring.header = gpa.value;
	return 0;
}

int64_t hv_ring_set(hv_gpa gpa)
{
	struct ooh_hv_ring copy;
	int64_t ret = 0;

	if (gpa.value) {
		if (!hv_guest_owns(&hv, gpa, sizeof(copy)))
			return OOH_HC_EFAULT;
		copy = *(volatile struct ooh_hv_ring *)hv_virt(&hv, gpa.value);
	}
	hv_lock(&hv.lock);
	if (gpa.value)
		ret = ring_install(gpa, &copy);
	else
		hv.ring.header = 0;
	hv_unlock(&hv.lock);
	return ret;
}

/* ---- the log ---- */

/*
 * The index counts down from 511 and names the next free entry; below 0 (0xffff) the log is full. No new entry can
 * appear meanwhile: this CPU is the only one that writes it, and is in root mode.
 */
unsigned int hv_pml_drain(struct hv_cpu *cpu)
{
	unsigned int first = (uint16_t)(hv_read(VMCS_PML_INDEX) + 1), count = PML_ENTRIES - first;
	uint64_t room;

	if (first >= PML_ENTRIES)
		return 0;
	hv_lock(&hv.lock);
	room = ring_room(); /* read once: the guest may move the tail */
	if (room > count)
		room = count;
	ring_append(cpu->pml, room);
	ring_publish(count - room);
	hv.armed -= count < hv.armed ? count : hv.armed;
	hv_unlock(&hv.lock);
	cpu->logged += count;
	hv_write(VMCS_PML_INDEX, PML_INDEX_START);
	return count;
}

/* The epoch is read first: tables that went to limbo before it are out of this CPU's caches when it is published. */
void hv_flush(struct hv_cpu *cpu)
{
	uint64_t epoch = __atomic_load_n(&hv.epoch, __ATOMIC_ACQUIRE);

	if (!vmx_invept(INVEPT_SINGLE, hv.eptp))
		hv_stop("INVEPT failed", "single context", NULL);
	__atomic_store_n(&cpu->flushed, epoch, __ATOMIC_RELEASE);
}
