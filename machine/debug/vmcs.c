/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The current VMCS by name: arch/vmcs_fields.def and arch/vmx_controls.def are the tables. */
#include "machine/vmx/vmcs.h"

#include <inttypes.h>

#include "arch/exit_reasons.h"
#include "machine/debug/state.h"
#include "machine/vmx/caps.h"

static const struct { const char *name, *text; u16 encoding; } rows[VMCS_ROWS] = {
#define VMCS_FIELD(name, encoding, width, class, cap, text) { #name, text, encoding },
#include "arch/vmcs_fields.def"
#undef VMCS_FIELD
};

static const struct { int row; unsigned kind; } words[] = {
	{ VF_PIN_CONTROLS, VMX_KIND_PIN }, { VF_PROC_CONTROLS, VMX_KIND_PROC }, { VF_PROC2_CONTROLS, VMX_KIND_PROC2 },
	{ VF_EXIT_CONTROLS, VMX_KIND_VMEXIT }, { VF_ENTRY_CONTROLS, VMX_KIND_VMENTRY },
};

static void print_bits(FILE *f, unsigned kind, u64 v)
{
	for (unsigned bit = 0; bit < 32; bit++)
		if ((v >> bit & 1) && vmx_control_name(kind, bit)[0] != '?')
			fprintf(f, " %s", vmx_control_name(kind, bit));
}

static void print_meaning(FILE *f, int row, u64 v)
{
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (words[i].row == row)
			print_bits(f, words[i].kind, v);
	if (row == VF_EXIT_REASON)
		fprintf(f, " %s%s", exit_reason_name((unsigned)(v & EXIT_REASON_BASIC)),
			v & EXIT_REASON_ENTRY_FAILURE ? " (failed VM entry)" : "");
}

static void print_class(struct cpu *c, FILE *f, enum vmcs_class class, const char *title)
{
	fprintf(f, "%s\n", title);
	for (int row = 0; row < VMCS_ROWS; row++) {
		u64 v = c->vmx.vmcs->f[row];

		if (vmcs_class_of(row) != class || vmcs_row_of(rows[row].encoding) != row)
			continue;
		fprintf(f, "  %04x %-26s %16" PRIx64, rows[row].encoding, rows[row].name, v);
		print_meaning(f, row, v);
		fputc('\n', f);
	}
}

void print_vmcs(struct cpu *c, FILE *f)
{
	if (!c->vmx.on || c->vmx.vmcs_ptr == VMX_NO_POINTER) {
		fprintf(f, "cpu %u: %s\n", c->id, c->vmx.on ? "no current VMCS" : "not in VMX operation");
		return;
	}
	fprintf(f, "cpu %u: VMCS at %" PRIx64 ", %s, %s operation\n", c->id, c->vmx.vmcs_ptr,
		c->vmx.vmcs->launched ? "launched" : "clear", c->vmx.nonroot ? "non-root" : "root");
	if (c->vmx.nonroot)
		fprintf(f, "(guest state is of the last exit or entry: the registers themselves are newer)\n");
	if (c->vmx.failed_rule)
		fprintf(f, "last failed entry: %s\n", c->vmx.failed_rule);
	print_class(c, f, VMCS_CLASS_CONTROL, "Controls");
	print_class(c, f, VMCS_CLASS_RO, "Exit information");
	print_class(c, f, VMCS_CLASS_GUEST, "Guest state");
	print_class(c, f, VMCS_CLASS_HOST, "Host state");
}
