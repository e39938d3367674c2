/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef OOH_TESTS_GUEST_VMX_LENIENT_H
#define OOH_TESTS_GUEST_VMX_LENIENT_H

#include "machine/vmx/entry.h"

const char *__wrap_vmx_broken_rule(const struct cpu *c, const struct vmx_rule *rules, unsigned n);

#endif
