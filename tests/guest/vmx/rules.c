/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "rules.h"

void (*start_guest)(void);

void expect_success(const char *name)
{
	int r;

	guest_at(guest_vmcall);
	if (start_guest)
		start_guest();
	r = enter_guest();
	check(r == 0 && vmread(VMCS_EXIT_REASON) == EXIT_VMCALL, name, "after putting it back: result %d, error %lu, reason %lx, qual %lx", r,
	      vmread(VMCS_INSTRUCTION_ERROR), vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION));
}

static void expect_exit(int r, unsigned reason, uint64_t qual, const char *name)
{
	check(r == 0 && vmread(VMCS_EXIT_REASON) == (reason | EXIT_REASON_ENTRY_FAILURE) && vmread(VMCS_EXIT_QUALIFICATION) == qual,
	      name, "result %d, error %lu, reason %lx, qualification %lx, expected %u/%lu", r, vmread(VMCS_INSTRUCTION_ERROR),
	      vmread(VMCS_EXIT_REASON), vmread(VMCS_EXIT_QUALIFICATION), reason, qual);
}

void expect_failure(enum outcome o, const char *name)
{
	int r = enter_guest();

	switch (o) {
	case BAD_CONTROL:
	case BAD_HOST:
		check(r == 1 && vmread(VMCS_INSTRUCTION_ERROR) == o, name, "result %d, error %lu, reason %lx, expected error %u", r,
		      vmread(VMCS_INSTRUCTION_ERROR), vmread(VMCS_EXIT_REASON), o);
		break;
	case BAD_GUEST: expect_exit(r, EXIT_ENTRY_GUEST_STATE, QUAL_ENTRY_OTHER, name); break;
	case BAD_PDPTE: expect_exit(r, EXIT_ENTRY_GUEST_STATE, QUAL_ENTRY_PDPTE, name); break;
	case BAD_LINK: expect_exit(r, EXIT_ENTRY_GUEST_STATE, QUAL_ENTRY_LINK_POINTER, name); break;
	case BAD_MSR: expect_exit(r, EXIT_ENTRY_MSR_LOADING, 1, name); break;
	}
}

void try(const struct rule *r)
{
	uint64_t old = vmread(r->field);

	vmwrite(r->field, (old & ~r->clear) ^ r->flip);
	expect_failure(r->outcome, r->name);
	vmwrite(r->field, old);
	expect_success(r->name);
}

void try_all(const struct rule *rules, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		try(&rules[i]);
}

void reserved_bits(uint32_t field, uint32_t msr, const char *name)
{
	uint64_t cap = rdmsr(msr);
	struct rule r = { .field = field, .outcome = BAD_CONTROL, .name = name };

	for (unsigned bit = 0; bit < 32; bit++) {
		bool must = cap >> bit & 1, may = cap >> 32 >> bit & 1;

		if (must == may) {
			r.flip = BIT(bit);
			try(&r);
		}
	}
}

void two_fields(uint32_t f1, uint64_t v1, uint32_t f2, uint64_t v2, enum outcome o, const char *name)
{
	uint64_t old = vmread(f1);
	struct rule r = { f2, ~0ull, v2, o, name };

	vmwrite(f1, v1);
	try(&r);
	vmwrite(f1, old);
	expect_success(name);
}

void with_control(uint32_t field, uint32_t bits, uint32_t f2, uint64_t v2, enum outcome o, const char *name)
{
	if (control_allowed((enum vmcs_field)field, bits))
		two_fields(field, vmread(field) | bits, f2, v2, o, name);
}
