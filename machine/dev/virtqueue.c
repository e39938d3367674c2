/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Split virtqueues. Source: VIRTIO 1.2, 2.7 "Split Virtqueues". */
#include "machine/core/machine.h"
#include "machine/dev/virtio.h"

struct desc {
	u64 at;
	u32 n;
	u16 flags, next;
};
_Static_assert(sizeof(struct desc) == VIRTQ_DESC_BYTES, "as it lies in memory");

static bool get(struct virtio *v, u64 at, void *p, u64 n)
{
	return bus_dma_read(v->m, (hpa_t){ at }, p, n) || virtio_broken(v);
}

static bool put(struct virtio *v, u64 at, const void *p, u64 n)
{
	return bus_dma_write(v->m, (hpa_t){ at }, p, n) || virtio_broken(v);
}

/* Adds a buffer; false: not allowed. 2.7.4.2: all that are read come before all that are written. */
static bool add_part(struct virtq_chain *c, const struct desc *d)
{
	bool writes = d->flags & VIRTQ_WRITE;

	if (!d->n || (!writes && c->ins))
		return false;
	c->part[c->outs + c->ins] = (struct virtq_part){ d->at, d->n };
	if (writes)
		c->ins++;
	else
		c->outs++;
	return true;
}

/* 2.7.5.3.1: a table of its own, once, at the end of a chain. */
static bool indirect_ok(const struct virtio *v, const struct desc *d, bool inside)
{
	return (v->r.accepted & VIRTIO_F_INDIRECT) && !inside && !(d->flags & VIRTQ_NEXT) && d->n &&
	       d->n % VIRTQ_DESC_BYTES == 0;
}

/* The chain from descriptor `head` on. No chain is longer than the queue: so one that loops ends, too. */
static bool walk(struct virtio *v, const struct virtq *q, u16 head, struct virtq_chain *c)
{
	u64 table = q->desc, entries = q->size, i = head;
	bool inside = false;
	struct desc d;

	c->head = head;
	c->outs = c->ins = 0;
	for (;;) {
		if (i >= entries || c->outs + c->ins >= q->size)
			return virtio_broken(v);
		if (!get(v, table + i * sizeof(d), &d, sizeof(d)))
			return false;
		if (d.flags & VIRTQ_INDIRECT) {
			if (!indirect_ok(v, &d, inside))
				return virtio_broken(v);
			inside = true;
			table = d.at;
			entries = d.n / VIRTQ_DESC_BYTES;
			i = 0;
			continue;
		}
		if (!add_part(c, &d))
			return virtio_broken(v);
		if (!(d.flags & VIRTQ_NEXT))
			return true;
		i = d.next;
	}
}

bool virtq_peek(struct virtio *v, unsigned queue, struct virtq_chain *c)
{
	const struct virtq *q = &v->r.q[queue];
	u16 index, head;

	if (!virtio_live(v) || !q->enabled)
		return false;
	if (!get(v, q->driver + 2, &index, sizeof(index)) || index == q->taken)
		return false;
	if ((u16)(index - q->taken) > q->size)
		return virtio_broken(v);
	return get(v, q->driver + 4 + q->taken % q->size * 2u, &head, sizeof(head)) && walk(v, q, head, c);
}

/* 2.7.7 "Used Buffer Notification Suppression": before and now are the used index before and after. */
static bool wants_interrupt(struct virtio *v, const struct virtq *q, u16 before)
{
	u16 word;

	if (!(v->r.accepted & VIRTIO_F_EVENT_IDX))
		return get(v, q->driver, &word, sizeof(word)) && !(word & VIRTQ_NO_INTERRUPT);
	if (!get(v, q->driver + 4 + q->size * 2u, &word, sizeof(word)))
		return false;
	return (u16)(q->used - word - 1) < (u16)(q->used - before);
}

void virtq_used(struct virtio *v, unsigned queue, const struct virtq_chain *c, u32 n)
{
	struct virtq *q = &v->r.q[queue];
	struct { u32 head, n; } entry = { c->head, n };
	u16 before = q->used;

	if (!put(v, q->device + 4 + q->used % q->size * 8u, &entry, sizeof(entry)))
		return;
	q->taken++;
	q->used++;
	if (!put(v, q->device + 2, &q->used, sizeof(q->used)))
		return;
	if ((v->r.accepted & VIRTIO_F_EVENT_IDX) && !put(v, q->device + 4 + q->size * 8u, &q->taken, sizeof(q->taken)))
		return;
	if (wants_interrupt(v, q, before))
		virtio_interrupt(v, q->vector, VIRTIO_ISR_QUEUE);
}

static u64 total(const struct virtq_part *p, unsigned n)
{
	u64 sum = 0;

	while (n--)
		sum += p++->n;
	return sum;
}

u64 virtq_out_bytes(const struct virtq_chain *c)
{
	return total(c->part, c->outs);
}

u64 virtq_in_bytes(const struct virtq_chain *c)
{
	return total(c->part + c->outs, c->ins);
}

/* Skips `at` bytes of *n parts from p on; the bytes that remain in the first of the rest start at *at. */
static const struct virtq_part *skip(const struct virtq_part *p, unsigned *n, u64 *at)
{
	for (; *n && *at >= p->n; p++, --*n)
		*at -= p->n;
	return p;
}

bool virtq_read(struct virtio *v, const struct virtq_chain *c, u64 at, void *buf, u64 n)
{
	unsigned parts = c->outs;
	const struct virtq_part *p = skip(c->part, &parts, &at);

	for (u8 *to = buf; n; p++, parts--, at = 0) {
		u64 some;

		if (!parts)
			return virtio_broken(v);
		some = p->n - at < n ? p->n - at : n;
		if (!get(v, p->at + at, to, some))
			return false;
		to += some;
		n -= some;
	}
	return true;
}

bool virtq_write(struct virtio *v, const struct virtq_chain *c, u64 at, const void *buf, u64 n)
{
	unsigned parts = c->ins;
	const struct virtq_part *p = skip(c->part + c->outs, &parts, &at);

	for (const u8 *from = buf; n; p++, parts--, at = 0) {
		u64 some;

		if (!parts)
			return virtio_broken(v);
		some = p->n - at < n ? p->n - at : n;
		if (!put(v, p->at + at, from, some))
			return false;
		from += some;
		n -= some;
	}
	return true;
}
