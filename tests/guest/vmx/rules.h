/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rules of VM entry, one by one: from a VMCS that works change one field, expect exactly the failure that the manual
 * names, put the field back, expect success.
 */
#ifndef OOH_TESTS_GUEST_VMX_RULES_H
#define OOH_TESTS_GUEST_VMX_RULES_H

#include "lib.h"

/* How the entry is to fail. */
enum outcome {
	BAD_CONTROL = VMXERR_ENTRY_BAD_CONTROLS,
	BAD_HOST = VMXERR_ENTRY_BAD_HOST_STATE,
	BAD_GUEST = 100,      /* exit reason 33, qualification 0 */
	BAD_PDPTE,            /* the same with qualification 2 */
	BAD_LINK,             /* the same with qualification 4 */
	BAD_MSR,              /* exit reason 34, qualification 1 */
};

#define BIT(n) (1ull << (n))
#define NONCANONICAL BIT(47)
#define BEYOND BIT(51) /* no CPU that runs this has 52 physical-address bits */
#define INFO(type, vector, more) (INTR_INFO_VALID | (uint32_t)(type) << INTR_INFO_TYPE_SHIFT | (vector) | (more))

/* A rule: the field gets (old & ~clear) ^ flip. */
struct rule {
	uint32_t field;
	uint64_t clear, flip;
	enum outcome outcome;
	const char *name;
};

/* Puts RIP, RFLAGS and the guest's events in order after guest_at(): virtual-8086 guests have their own way. */
extern void (*start_guest)(void);

void expect_success(const char *name);
void expect_failure(enum outcome o, const char *name);
void try(const struct rule *r);
void try_all(const struct rule *rules, unsigned n);
#define TRY(rules) try_all(rules, sizeof(rules) / sizeof(rules[0]))
/* f1 gets v1, which is right as long as f2 is not v2. */
void two_fields(uint32_t f1, uint64_t v1, uint32_t f2, uint64_t v2, enum outcome o, const char *name);
/* Sets control bits of field, tries `f2 = v2`, and takes the bits back: only the second change may fail. */
void with_control(uint32_t field, uint32_t bits, uint32_t f2, uint64_t v2, enum outcome o, const char *name);
/* Each reserved bit of a control word, both kinds: must be 1, must be 0. msr: its capability MSR. */
void reserved_bits(uint32_t field, uint32_t msr, const char *name);

#endif
