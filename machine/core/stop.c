/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a run ends: by the guest's wish, or because the machine cannot go on. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "machine/core/machine.h"
#include "machine/cpu/cpu.h"
#include "machine/vmx/vmx.h"

void machine_stop(struct machine *m, int status, const char *reason)
{
	if (m->stop)
		return; /* the first reason is the true one */
	m->stop = true;
	m->exit_status = status;
	m->stop_reason = reason;
	m->stopped_by = m->running;
	for (unsigned i = 0; i < m->ncpus; i++)
		cpu_kick(m->cpu[i], PEND_STOP);
}

static void print_code_bytes(struct cpu *c)
{
	u64 lin = c->code_size == 64 ? c->rip : c->seg[CS].base + c->rip;
	u64 ept = c->vmx.nonroot && c->vmx.ept ? c->vmx.eptp : 0;

	for (unsigned i = 0; i < 15; i++) {
		hpa_t a = { lin + i };
		const u8 *p;

		if ((c->cr0 >> 31) & 1 || ept)
			if (!mmu_peek(c->m, c->cr3, mmu_levels(c), ept, lin + i, &a, NULL))
				break;
		p = bus_ram(&c->m->bus, a);
		if (!p)
			break;
		fprintf(stderr, " %02x", *p);
	}
}

void machine_print_cpu(struct cpu *c)
{
	fprintf(stderr, "  cpu %u, rip %04x:%016" PRIx64 ", cpl %u, %u-bit, %s%s, cycle %" PRIu64 "\n", c->id,
		c->seg[CS].sel, c->rip, c->cpl, c->code_size, c->vmx.on ? "vmx " : "", c->vmx.nonroot ? "non-root" : "root", cpu_now(c));
	fprintf(stderr, "  cr0 %" PRIx64 ", cr2 %" PRIx64 ", cr3 %" PRIx64 ", cr4 %" PRIx64 ", efer %" PRIx64 "\n",
		c->cr0, c->cr2, c->cr3, c->cr4, c->efer);
	for (unsigned i = 0; i < 16; i++)
		fprintf(stderr, "%sr%-2u %016" PRIx64 "%s", i % 4 ? " " : "  ", i, c->gpr[i], i % 4 == 3 ? "\n" : "");
	vmx_print(c);
	fprintf(stderr, "  bytes");
	print_code_bytes(c);
	fputc('\n', stderr);
}

_Noreturn void machine_unimplemented(struct cpu *c, const struct op *o, const char *fmt, ...)
{
	va_list ap;

	if (o)
		cpu_sync(c, o);
	fprintf(stderr, "ooh-machine: not implemented: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	machine_print_cpu(c);
	machine_stop(c->m, STATUS_UNIMPLEMENTED, "not implemented");
	cpu_unwind(c, UNWIND_RESUME);
}
