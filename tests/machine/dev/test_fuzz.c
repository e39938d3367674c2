/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random accesses to every device: ports, memory-mapped registers and PCI configuration, of all sizes and alignments,
 * and virtio queues with random descriptors. Nothing is judged but that it ends: best run under the sanitizers. Stops
 * that the guest may ask for (power-off, reset, the exit port) are lifted, and what is not implemented unwinds.
 */
#include <unistd.h>

#include "machine/dev/pci.h"
#include "tests/machine/dev/virtio_driver.h"

#define ACCESSES 1000000u
#define RAM (16u << 20)

static u64 state;
static char disk[] = "/tmp/ooh-fuzz-XXXXXX";

static u64 random64(void)
{
	u64 z = state += 0x9e3779b97f4a7c15ull;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

static u64 value(void)
{
	switch (random64() % 6) {
	case 0: return 0;
	case 1: return random64();
	case 2: return 1ull << random64() % 64;
	case 3: return random64() % RAM & ~15ull;
	case 4: return random64() & 0xff;
	default: return random64() & 0xffff;
	}
}

static void port(struct pc *pc)
{
	const struct bus *b = &pc->m.bus;
	const struct pio_region *r = &b->pio[random64() % b->npio];
	u16 at = (u16)(r->base + random64() % r->count);
	unsigned size = 1u << random64() % 3;

	if (random64() % 16 == 0)
		at = (u16)random64();
	if (random64() % 2)
		bus_pio_write(&pc->m, pc->c, at, size, (u32)value());
	else
		bus_pio_read(&pc->m, pc->c, at, size);
}

static void mmio(struct pc *pc)
{
	const struct bus *b = &pc->m.bus;
	const struct mmio_region *r = &b->mmio[random64() % b->nmmio];
	u64 offset = random64() % 4 ? random64() % 0x400 : random64();
	hpa_t at = { r->base + offset % r->size };
	unsigned size = 1u << random64() % 4;

	if (random64() % 2)
		bus_mmio_write(&pc->m, pc->c, at, size, value());
	else
		bus_mmio_read(&pc->m, pc->c, at, size);
}

static void pci(struct pc *pc)
{
	unsigned slot = random64() % 8, reg = random64() % 0x100 & ~3u;

	if (random64() % 2)
		config_write(pc, slot, reg, (u32)value());
	else
		config_read(pc, slot, reg);
}

/* A virtio device's registers, found by its BAR; and memory for its queues. */
static void virtio(struct pc *pc)
{
	unsigned slot = 1 + random64() % 7;
	u64 bar = config_read(pc, slot, 0x10) & ~0xfull, words[64];

	if (bar < PCI_HOLE_BASE || bar > 0xfff00000u) {
		config_write(pc, slot, 0x10, 0xd0000000u + slot * 0x100000u);
		config_write(pc, slot, 4, 6);
		return;
	}
	if (random64() % 4 == 0) {
		for (unsigned i = 0; i < 64; i++)
			words[i] = value();
		put(pc, random64() % (RAM - 4096) & ~15ull, words, sizeof(words));
	} else if (random64() % 2) {
		bus_mmio_write(&pc->m, pc->c, (hpa_t){ bar + random64() % 0x4000 }, 1u << random64() % 4, value());
	} else {
		bus_mmio_write(&pc->m, pc->c, (hpa_t){ bar + random64() % 0x40 }, 1u << random64() % 4, value());
	}
}

static void some_time(struct pc *pc)
{
	u64 end = cpu_now(pc->c) + random64() % 100000;

	for (unsigned i = 0; i < 100 && clock_next(&pc->m) <= end; i++)
		to_next_timer(pc);
}

static void one(struct pc *pc)
{
	static void (*const kinds[])(struct pc *) = { port, mmio, pci, virtio, virtio, virtio, some_time };

	kinds[random64() % 7](pc);
	if (random64() % 8 == 0)
		take(pc);
}

static void run(const struct machine_config *cfg, u64 seed)
{
	struct pc *pc = pc_new_with(cfg);
	volatile unsigned i = 0;

	state = seed;
	if (setjmp(pc->c->unwind) != 0)
		pc->m.stop = false;
	while (i++ < ACCESSES) {
		one(pc);
		pc->m.stop = false;
		pc->m.snapshot_wanted = NULL;
	}
	pc_free(pc);
}

static void all_devices(void **unused)
{
	unsigned seeds = getenv("OOH_TEST_LONG") && *getenv("OOH_TEST_LONG") ? 50 : 2;

	(void)unused;
	for (unsigned seed = 1; seed <= seeds; seed++)
		run(&(struct machine_config){ .disk = { disk }, .net = "peer", .rng = true, .test_device = true }, seed);
}

static void bare(void **unused)
{
	(void)unused;
	run(&(struct machine_config){ 0 }, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(all_devices), cmocka_unit_test(bare) };
	int fd = mkstemp(disk), failed;

	if (fd < 0 || ftruncate(fd, 1 << 20) != 0 || !freopen("/dev/null", "w", stderr))
		return 3;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(disk);
	return failed;
}
