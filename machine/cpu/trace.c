// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/cpu/trace.h"

#include <stdio.h>

#include "arch/x86.h"
#include "machine/cpu/block.h"

/* The code bytes at c->rip, without side effects. */
static unsigned peek_code(struct cpu *c, u8 *buf, unsigned n)
{
	u64 ept = c->vmx.nonroot && c->vmx.ept ? c->vmx.eptp : 0;
	unsigned i;

	for (i = 0; i < n; i++) {
		hpa_t a = { c->code_base + c->rip + i };
		const u8 *p;

		if ((c->cr0 & CR0_PG) || ept)
			if (!mmu_peek(c->m, c->cr3, mmu_levels(c), ept, c->code_base + c->rip + i, &a, NULL))
				break;
		p = bus_ram(&c->m->bus, a);
		if (!p)
			break;
		buf[i] = *p;
	}
	return i;
}

static void print_registers(const struct cpu *c)
{
	static const char *const name[] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					    "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

	for (unsigned i = 0; i < 16; i++)
		fprintf(stderr, " %s=%llx", name[i], (unsigned long long)c->gpr[i]);
	fprintf(stderr, " fl=%llx\n", (unsigned long long)cpu_rflags(c));
}

void trace_insn(struct cpu *c)
{
	u8 bytes[15];
	unsigned n = peek_code(c, bytes, sizeof(bytes));
	char text[128];

	decode_format(c, bytes, n, c->rip, text, sizeof(text));
	fprintf(stderr, "%12llu %u%s %04x:%016llx  %-48s", (unsigned long long)cpu_now(c), c->cpl,
		c->vmx.nonroot ? "g" : "",
		c->seg[CS].sel, (unsigned long long)c->rip, text);
	print_registers(c);
}
