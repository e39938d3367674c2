/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source: VIRTIO 1.2, 5.4 "Entropy Device". */
#include "machine/dev/vrng.h"

#include "machine/core/machine.h"

#define MOST 4096u /* bytes for one request: the device may give fewer than there is room for */

static void start(struct vrng *r)
{
	struct virtq_chain c;

	if (!r->done.armed && virtq_peek(&r->v, 0, &c))
		timer_set(r->v.m, &r->done, machine_now(r->v.m) + r->v.m->costs->cycles[COST_ENTROPY]);
}

static void fire(void *arg, u64 now)
{
	struct vrng *r = arg;
	struct virtq_chain c;
	u64 words[MOST / 8], n;

	(void)now;
	if (!virtq_peek(&r->v, 0, &c))
		return;
	n = virtq_in_bytes(&c) < MOST ? virtq_in_bytes(&c) : MOST;
	for (u64 i = 0; i < (n + 7) / 8; i++)
		words[i] = machine_random(r->v.m);
	if (virtq_write(&r->v, &c, 0, words, n))
		virtq_used(&r->v, 0, &c, (u32)n);
	start(r);
}

static void notify(struct virtio *v, unsigned queue)
{
	start((struct vrng *)v);
}

static void reset(struct virtio *v)
{
	timer_cancel(v->m, &((struct vrng *)v)->done);
}

static const struct virtio_class vrng_class = {
	.type = VIRTIO_ENTROPY, .pci_class = 0x00ff00, .queues = 1, .notify = notify, .reset = reset,
};
_Static_assert(offsetof(struct vrng, v) == 0, "the device is found by its transport");

void vrng_init(struct vrng *r, struct pci *p, unsigned slot)
{
	r->done = (struct timer){ .fire = fire, .arg = r, .name = "entropy" };
	virtio_init(&r->v, p, slot, &vrng_class, 0);
}

void vrng_snap(struct vrng *r, struct snap *s)
{
	virtio_snap(&r->v, s);
	timer_snap(r->v.m, s, "entropy.done", &r->done);
}
