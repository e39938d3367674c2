/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory as the debugger sees it: RAM only (looking at a device may change it), no effect on the guest's caches. */
#include <string.h>

#include "machine/debug/state.h"

static bool to_host(struct cpu *c, enum address_space s, u64 addr, hpa_t *out)
{
	struct view v = s == SPACE_LINEAR ? view_now(c) : view_guest(c);
	gpa_t gpa = { addr };

	if (s == SPACE_HOST_PHYSICAL) {
		out->v = addr;
		return true;
	}
	if (s != SPACE_GUEST_PHYSICAL && !debug_walk_linear(c, &v, addr, &gpa, NULL))
		return false;
	return debug_walk_ept(c, &v, gpa, out, NULL);
}

static size_t part_of(u64 addr, size_t n)
{
	size_t left = PAGE_SIZE - (addr & PAGE_OFFSET_MASK);

	return n < left ? n : left;
}

size_t debug_read(struct cpu *c, enum address_space s, u64 addr, void *buf, size_t n)
{
	size_t done = 0;

	while (done < n) {
		size_t part = part_of(addr + done, n - done);
		const u8 *p;
		hpa_t at;

		if (!to_host(c, s, addr + done, &at))
			break;
		p = bus_ram(&c->m->bus, at);
		if (!p)
			break;
		memcpy((u8 *)buf + done, p, part);
		done += part;
	}
	return done;
}

/* As a device writes: decoded code and the oracle notice. The machine's counters do not. */
size_t debug_write(struct cpu *c, enum address_space s, u64 addr, const void *buf, size_t n)
{
	u64 pages = c->m->stat[STAT_DMA_PAGES];
	size_t done = 0;

	while (done < n) {
		size_t part = part_of(addr + done, n - done);
		hpa_t at;

		if (!to_host(c, s, addr + done, &at) || !bus_dma_write(c->m, at, (const u8 *)buf + done, part))
			break;
		done += part;
	}
	c->m->stat[STAT_DMA_PAGES] = pages;
	return done;
}
