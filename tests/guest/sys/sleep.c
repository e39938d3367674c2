// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * S3, as a PC's BIOS and its real-time clock make it: the machine sleeps, the alarm wakes it, the BIOS goes to the waking vector
 * in real mode; RAM is as it was. The code there ends the image. ACPI 6.5, 5.2.10, 7.4.2, 16.1.3; Motorola MC146818A.
 */
#include "tests/guest/sys/expect.h"

#define VECTOR 0x7010u /* low memory that nobody uses */
#define MARK_AT 0x6000u
#define MARK 0x5afe5afeu
#define RTC_ENABLE 0x400
#define SLP_EN 0x2000

static u32 load32(u64 at) { return *(volatile u32 *)at; }
static bool is(u64 at, const char *name) { return load32(at) == *(const u32 *)(const void *)name; }

static u64 find_rsdp(void)
{
	for (u64 at = 0xe0000; at < 0x100000; at += 16)
		if (is(at, "RSD ") && is(at + 4, "PTR "))
			return at;
	return 0;
}

/* By the RSDT or, where there is none, the XSDT. */
static u64 find_table(const char *name)
{
	u64 rsdp = find_rsdp(), root;
	unsigned size = 4;

	if (!rsdp)
		return 0;
	root = load32(rsdp + 16);
	if (!root)
		root = load32(rsdp + 24), size = 8;
	for (u64 at = root + 36; at < root + load32(root + 4); at += size)
		if (is(load32(at), name))
			return load32(at);
	return 0;
}

/* The first number in the package \_S3: SLP_TYP. */
static int sleep_type(u64 dsdt)
{
	for (u64 at = dsdt + 36; at < dsdt + load32(dsdt + 4); at++) {
		const volatile u8 *p = (const volatile u8 *)at;

		if (!is(at, "_S3_") || p[4] != 0x12)
			continue;
		p += 5 + 1 + (p[5] >> 6) + 1; /* behind the package's length, of one to four bytes, and its number of elements */
		return p[0] == 0x0a ? p[1] : p[0];
	}
	return -1;
}

static void rtc(u8 reg, u8 v)
{
	outb(0x70, reg);
	outb(0x71, v);
}

/* In real mode: exit code 0 if the mark is there. */
__asm__(".code16\n"
	"waking: xor %ax, %ax; mov %ax, %ds; mov %cs, %bx; sub $0x701, %bx\n"
	"mov 0x6000, %eax; sub $0x5afe5afe, %eax; movzx %bx, %ebx; or %ebx, %eax; setnz %al; movzx %al, %eax\n"
	"out %eax, $0xf4\n1: hlt; jmp 1b\nwaking_end:\n.code64");
extern const u8 waking[], waking_end[];

void guest_main(void)
{
	u64 fadt = find_table("FACP"), facs = fadt ? load32(fadt + 36) : 0;
	u16 event = fadt ? (u16)load32(fadt + 56) : 0, control = fadt ? (u16)load32(fadt + 64) : 0;
	int type = fadt ? sleep_type(load32(fadt + 40)) : -1;

	check(fadt && facs && is(facs, "FACS"), "FADT and FACS");
	check(type >= 0, "\\_S3 is type %d", type);
	if (!facs || type < 0)
		return;
	memcpy((void *)(u64)VECTOR, waking, (size_t)(waking_end - waking));
	*(volatile u32 *)(u64)MARK_AT = MARK;
	*(volatile u32 *)(facs + 12) = VECTOR;
	rtc(1, 0xff), rtc(3, 0xff), rtc(5, 0xff); /* an alarm every second */
	outb(0x70, 11);
	rtc(11, inb(0x71) | 0x20);
	outb(0x70, 12), inb(0x71);
	outw(event, 0xffff);
	outw((u16)(event + 2), RTC_ENABLE);
	put("sleeping\n");
	outw(control, (u16)(SLP_EN | type << 10));
	for (u64 end = rdtsc() + 1000000; rdtsc() < end;)
		;
	check(false, "S3 does not begin");
}
