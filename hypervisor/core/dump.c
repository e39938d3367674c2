// SPDX-License-Identifier: GPL-2.0-only
/*
 * The report before a CPU stops: to pages of the guest that the loader shows, and to the first serial port directly.
 */
#include "core/root.h"

#include "arch/vmx.h"
#include "arch/x86.h"

#define UART_PORT    0x3f8
#define UART_STATUS  (UART_PORT + 5)
#define UART_TX_FREE 0x20

static void uart_put(char c)
{
	uint8_t status = 0;

	for (int tries = 0; tries < 100000 && !(status & UART_TX_FREE); tries++)
		asm volatile("inb %w1, %0" : "=a"(status) : "Nd"(UART_STATUS));
	asm volatile("outb %0, %w1" : : "a"(c), "Nd"(UART_PORT));
}

static void put(char c)
{
	char *buffer = hv_virt(&hv, hv.dump);

	if (hv.dump_used + 1 < hv.dump_size)
		buffer[hv.dump_used++] = c;
	if (c == '\n')
		uart_put('\r');
	uart_put(c);
}

static void put_text(const char *s)
{
	while (*s)
		put(*s++);
}

static void put_hex(uint64_t value)
{
	int shift = 60;

	put_text("0x");
	while (shift && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		put("0123456789abcdef"[(value >> shift) & 15]);
}

static void put_row(const char *name, uint64_t value)
{
	put_text("ooh_hv:   ");
	put_text(name);
	put_text(" = ");
	put_hex(value);
	put('\n');
}

static void put_regs(const struct hv_regs *regs)
{
	static const char names[16][4] = { "rax", "rcx", "rdx", "rbx", "-", "rbp", "rsi", "rdi",
					   "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

	for (int i = 0; i < 16; i++)
		if (i != REG_RSP)
			put_row(names[i], regs->r[i]);
}

/* Every field this CPU has; those it does not have fail and are left out. */
static void put_vmcs(void)
{
	static const uint16_t fields[] = {
#define VMCS_FIELD(name, encoding, width, class, cap, text) encoding,
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD
	};
	uint64_t value;

	for (unsigned int i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (vmx_read(fields[i], &value))
			put_row(vmcs_field_name(fields[i]), value);
}

static void put_head(const char *why, const char *what)
{
	put_text("ooh_hv: CPU ");
	put_hex(hv_this_cpu()->index);
	put_text(" stopped: ");
	put_text(why);
	put_text(": ");
	put_text(what);
	put('\n');
}

static __attribute__((noreturn)) void halt(void)
{
	hv_unlock(&hv.dump_lock);
	for (;;)
		asm volatile("cli; hlt");
}

void hv_stop(const char *why, const char *what, const struct hv_regs *regs)
{
	hv_lock(&hv.dump_lock);
	put_head(why, what);
	if (regs)
		put_regs(regs);
	put_vmcs();
	halt();
}

void hv_stop_at(const struct hv_frame *frame)
{
	uint64_t cr2;

	asm volatile("mov %%cr2, %0" : "=r"(cr2));
	hv_lock(&hv.dump_lock);
	put_head("exception in root mode", "see vector");
	put_row("vector", frame->vector);
	put_row("error", frame->error);
	put_row("rip", frame->rip);
	put_row("rsp", frame->rsp);
	put_row("cr2", cr2);
	put_regs(&frame->regs);
	put_vmcs();
	halt();
}
