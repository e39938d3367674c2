/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A Multiboot image that says on the first serial port what it was booted with, asks the control port for a snapshot,
 * counts a while, and ends by the exit port: code 5, or 6 when it finds itself resumed.
 */
#include <stdint.h>

#include "abi/machine.h"

#define SERIAL 0x3f8
#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511

struct info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr;
};

void guest_main(uint32_t magic, const struct info *info);

__asm__(".section .multiboot, \"a\"\n"
	".align 4\n"
	".long 0x1badb002, 3, -(0x1badb002 + 3)\n"
	".text\n"
	".global _start\n"
	"_start:\n"
	"	mov $stack_top, %esp\n"
	"	push %ebx\n"
	"	push %eax\n"
	"	call guest_main\n"
	"1:	hlt\n"
	"	jmp 1b\n"
	".bss\n"
	".align 16\n"
	".skip 4096\n"
	"stack_top:\n"
	".text\n");

static void outl(uint16_t port, uint32_t v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static uint32_t inl(uint16_t port)
{
	uint32_t v;

	__asm__ volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
	return v;
}

static void put(char ch)
{
	__asm__ volatile("outb %0, %1" : : "a"(ch), "Nd"((uint16_t)SERIAL));
}

static void print(const char *s)
{
	while (*s)
		put(*s++);
}

static void print_hex(const char *name, uint32_t v)
{
	print(name);
	put(' ');
	for (int i = 28; i >= 0; i -= 4)
		put("0123456789abcdef"[v >> i & 15]);
	put('\n');
}

static void print_registers(void)
{
	uint32_t cr0, eflags;
	uint16_t cs, ds;

	__asm__("mov %%cr0, %0" : "=r"(cr0));
	__asm__("pushf; pop %0" : "=r"(eflags));
	__asm__("mov %%cs, %0" : "=r"(cs));
	__asm__("mov %%ds, %0" : "=r"(ds));
	print_hex("paging-and-protection", cr0 & 0x80000001);
	print_hex("interrupt-flag", eflags & 0x200);
	print_hex("selectors-set", cs && ds && cs != ds);
}

static void print_module(const struct info *info)
{
	const uint32_t *mod = (const uint32_t *)info->mods_addr;

	print_hex("modules", info->mods_count);
	for (const char *p = (const char *)mod[0]; p != (const char *)mod[1]; p++)
		put(*p);
}

static void print_fw_cfg(void)
{
	uint32_t v = 0;

	__asm__ volatile("outw %0, %1" : : "a"((uint16_t)3), "Nd"((uint16_t)FW_CFG_SELECT));
	for (int i = 0; i < 4; i++)
		v |= (uint32_t)inb(FW_CFG_DATA) << 8 * i;
	print_hex("fw-cfg-ram", v);
}

static struct machine_command_block block __attribute__((aligned(64)));

static uint32_t command(uint32_t number)
{
	block.command = number;
	block.status = -1;
	block.out[0] = 77;
	outl(MACHINE_CTL_PORT, (uint32_t)&block);
	outl(MACHINE_CTL_PORT + 4, 0);
	outl(MACHINE_CTL_PORT + 8, MACHINE_CTL_GO);
	/* The very next instruction must see the answer. */
	return (uint32_t)*(volatile uint64_t *)&block.out[0];
}

void guest_main(uint32_t magic, const struct info *info)
{
	uint32_t resumed;

	print_hex("magic", magic);
	print_hex("flags", info->flags & 0x4d);
	print_hex("upper-memory", info->mem_upper);
	print_hex("map-entries", info->mmap_length / 24);
	print_registers();
	print_module(info);
	print((const char *)info->cmdline);
	put('\n');
	print_fw_cfg();
	print_hex("control", inl(MACHINE_CTL_PORT + 8));
	print_hex("version", command(MACHINE_VERSION));
	command(999);
	print_hex("unknown-command", (uint32_t)block.status);
	resumed = command(MACHINE_SNAPSHOT);
	print_hex("snapshot", (uint32_t)block.status);
	print(resumed ? "resumed\n" : "not resumed\n");
	for (volatile int i = 0; i < 100000; i++)
		;
	outl(MACHINE_EXIT_PORT, resumed ? 6 : 5);
}
