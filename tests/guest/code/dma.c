// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Hot code under DMA: a virtio disk reads other code over it, also over a loop that nothing else ends. Needs a disk of
 * version 1 on PCI that may be written. Source of its numbers: VIRTIO 1.2.
 */
#include "arch/pci.h"
#include "machine/dev/virtio_abi.h"
#include "tests/guest/code/hot.h"

#define SECTOR 512
#define SECTORS 16
#define QUEUE 8

static struct { u64 addr; u32 len; u16 flags, next; } desc[QUEUE] __attribute__((aligned(16)));
static struct { u16 flags, idx, ring[QUEUE]; } avail __attribute__((aligned(16)));
static volatile struct { u16 flags, idx; struct { u32 id, len; } ring[QUEUE]; } used __attribute__((aligned(16)));
static struct { u32 type, reserved; u64 sector; } header;
static u8 status;
static volatile u8 *common, *notify;

static u32 config(unsigned slot, unsigned reg)
{
	outl(0xcf8, 0x80000000u | slot << 11 | (reg & ~3u));
	return inl(0xcfc) >> (reg & 3) * 8;
}

static void config_set(unsigned slot, unsigned reg, u32 v)
{
	outl(0xcf8, 0x80000000u | slot << 11 | reg);
	outl(0xcfc, v);
}

#define REG(type, at) (*(volatile type *)(common + (at)))

/* The structures of the capabilities, all in one BAR; it gets a place in the hole below 4 GiB. */
static void find_structures(unsigned slot)
{
	u32 base = 0xc1000000u, notify_at = 0, stride = 0, common_at = 0, bar = 0;

	for (unsigned cap = config(slot, PCI_CAPABILITIES) & 0xff; cap; cap = config(slot, cap + 1) & 0xff) {
		if ((config(slot, cap) & 0xff) != PCI_CAP_VENDOR)
			continue;
		switch (config(slot, cap + 3) & 0xff) {
		case VIRTIO_CAP_COMMON:
			common_at = config(slot, cap + 8);
			bar = config(slot, cap + 4) & 0xff;
			break;
		case VIRTIO_CAP_NOTIFY:
			notify_at = config(slot, cap + 8);
			stride = config(slot, cap + 16);
			break;
		}
	}
	if (config(slot, PCI_BAR0 + 4 * bar) & 4)
		config_set(slot, PCI_BAR0 + 4 * bar + 4, 0);
	config_set(slot, PCI_BAR0 + 4 * bar, base);
	config_set(slot, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_NO_INTX);
	common = (u8 *)(u64)(base + common_at);
	REG(u16, VIRTIO_QUEUE_SELECT) = 0;
	notify = (u8 *)(u64)(base + notify_at + stride * REG(u16, VIRTIO_QUEUE_NOTIFY));
}

static bool start_disk(void)
{
	unsigned slot = 0;

	while (slot < 32 && config(slot, 0) != (VIRTIO_VENDOR | (u32)VIRTIO_DEVICE(VIRTIO_BLOCK) << 16))
		slot++;
	if (slot == 32)
		return false;
	find_structures(slot);
	REG(u8, VIRTIO_STATUS) = 0;
	REG(u8, VIRTIO_STATUS) = 3;
	REG(u32, VIRTIO_DRIVER_FEATURE_SELECT) = 1;
	REG(u32, VIRTIO_DRIVER_FEATURE) = VIRTIO_F_VERSION_1 >> 32;
	REG(u8, VIRTIO_STATUS) = 3 | VIRTIO_FEATURES_OK;
	REG(u16, VIRTIO_QUEUE_SIZE) = QUEUE;
	REG(u64, VIRTIO_QUEUE_DESC) = (u64)desc;
	REG(u64, VIRTIO_QUEUE_DRIVER) = (u64)&avail;
	REG(u64, VIRTIO_QUEUE_DEVICE) = (u64)&used;
	REG(u16, VIRTIO_QUEUE_ENABLE) = 1;
	REG(u8, VIRTIO_STATUS) = 7 | VIRTIO_FEATURES_OK;
	avail.flags = VIRTQ_NO_INTERRUPT;
	return true;
}

/* Begins a request. at: where its status goes. */
static void submit(u32 type, u64 sector, void *p, u32 n, u8 *at)
{
	header.type = type;
	header.sector = sector;
	*at = 0xff;
	desc[0].addr = (u64)&header, desc[0].len = sizeof(header), desc[0].flags = VIRTQ_NEXT, desc[0].next = 1;
	desc[1].addr = (u64)p, desc[1].len = n, desc[1].next = 2;
	desc[1].flags = VIRTQ_NEXT | (type == VIRTIO_BLK_IN ? VIRTQ_WRITE : 0);
	desc[2].addr = (u64)at, desc[2].len = 1, desc[2].flags = VIRTQ_WRITE;
	avail.ring[avail.idx % QUEUE] = 0;
	__asm__ volatile("mfence" : : : "memory");
	avail.idx++;
	__asm__ volatile("mfence" : : : "memory");
	*(volatile u16 *)notify = 0;
}

static void wait(void)
{
	while (used.idx != avail.idx)
		__asm__ volatile("pause" : : : "memory");
}

static bool transfer(u32 type, u64 sector, void *p, u32 n)
{
	submit(type, sector, p, n, &status);
	wait();
	return status == VIRTIO_BLK_OK;
}

/*
 * xor %ecx, %ecx; 1: inc %ecx; cmp $2^26, %ecx; je 2f; mov $v, %eax; test %eax, %eax; jz 1b; 2: ret. Nothing but another
 * immediate of MOV ends it soon.
 */
static const u8 endless[] = { 0x31, 0xc9, 0xff, 0xc1, 0x81, 0xf9, 0, 0, 0, 4, 0x74, 0x09, 0xb8, 0, 0, 0, 0, 0x85, 0xc0, 0x74, 0xed, 0xc3 };
static u8 sector[SECTOR] __attribute__((aligned(SECTOR)));

static void put_endless(u8 *p, u32 v)
{
	memcpy(p, endless, sizeof(endless));
	memcpy(p + 13, &v, 4);
}

/* Sector k returns k + 1 from its first byte on and from its last six; in its middle is a loop that k + 1 ends. */
static bool prepare(void)
{
	bool good = true;

	for (unsigned k = 0; k < SECTORS; k++) {
		memset(sector, 0x90, SECTOR);
		put_return(sector, k + 1);
		put_return(sector + SECTOR - 6, k + 1);
		put_endless(sector + 128, k + 1);
		good = transfer(VIRTIO_BLK_OUT, k, sector, SECTOR) && good;
	}
	return good;
}

static void over_code(void)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < 60; i++) {
		unsigned k = i % SECTORS;

		bad += !transfer(VIRTIO_BLK_IN, k, code[0] + 1024, SECTOR);
		bad += heat(at(0) + 1024, 0, k + 1) + heat(at(0) + 1024 + SECTOR - 6, 0, k + 1);
	}
	check_eq(bad, 0, "a sector over hot code");
}

/*
 * The code runs while the disk works; the call after the status has arrived is the new code's. SDM 3A "Handling Self- and
 * Cross-Modifying Code": by the manual only what comes after a serializing instruction is sure to be new.
 */
static void meanwhile(void)
{
	unsigned bad = 0, before = 0;
	u32 r[4];

	for (unsigned i = 0; i < 20; i++) {
		unsigned k = i % SECTORS;
		u64 old = call(at(0) + 1024, 0);

		submit(VIRTIO_BLK_IN, k, code[0] + 1024, SECTOR, &status);
		while (*(volatile u8 *)&status == 0xff) {
			u64 v;

			cpuid(0, 0, r);
			v = call(at(0) + 1024, 0);
			bad += v != old && v != k + 1;
			before++;
		}
		cpuid(0, 0, r);
		bad += call(at(0) + 1024, 0) != k + 1;
		wait();
	}
	check_eq(bad, 0, "code that runs while it is read from the disk");
	tcg_differs(); /* it may be done at once */
	check(before > 1000, "… it did: %u calls", before);
}

static void two_pages(void)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < 20; i++) {
		unsigned k = i % (SECTORS - 1);

		bad += !transfer(VIRTIO_BLK_IN, k, code[0] + 4096 - SECTOR, 2 * SECTOR);
		bad += heat(at(0) + 4096 - SECTOR, 0, k + 1) + heat(at(0) + 4090, 0, k + 1) + heat(at(1), 0, k + 2);
	}
	check_eq(bad, 0, "two sectors over code in two pages");
	for (unsigned i = 0; i < 20; i++) { /* the boundary within a sector, and within an instruction */
		unsigned k = i % SECTORS;

		bad += !transfer(VIRTIO_BLK_IN, k, code[0] + 4096 - 3, SECTOR);
		bad += heat(at(0) + 4093, 0, k + 1);
	}
	check_eq(bad, 0, "an instruction on two pages");
}

static void ends_a_loop(void)
{
	unsigned bad = 0;

	for (unsigned i = 0; i < 20; i++) {
		unsigned k = i % SECTORS;

		put_endless(code[0] + 1024 + 128, 0);
		submit(VIRTIO_BLK_IN, k, code[0] + 1024, SECTOR, &status);
		bad += call(at(0) + 1024 + 128, 0) != k + 1;
		wait();
	}
	check_eq(bad, 0, "a loop that only the disk ends");
}

/* The status byte, too, is one that the device writes: here an immediate. */
static void status_in_code(void)
{
	unsigned bad = 0;
	u8 *p = code[1] + 1024;

	for (unsigned i = 0; i < 20; i++) {
		put_return(p, 0);
		submit(VIRTIO_BLK_IN, 0, code[0], SECTOR, p + 1);
		while (used.idx != avail.idx)
			bad += call(at(1) + 1024, 0) != 0xff && used.idx != avail.idx;
		bad += heat(at(1) + 1024, 0, VIRTIO_BLK_OK);
	}
	check_eq(bad, 0, "the status of a request in code");
}

void guest_main(void)
{
	build_window();
	map(0, code[0], 7);
	map(1, code[1], 7);
	if (!start_disk()) {
		check(false, "no disk");
		return;
	}
	check(prepare(), "sectors written");
	over_code();
	meanwhile();
	two_pages();
	ends_a_loop();
	status_in_code();
}
