/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The symbol that the linker's --wrap=cpu_deliver asks for. */
#ifndef OOH_TESTS_SEMANTICS_GUEST_H
#define OOH_TESTS_SEMANTICS_GUEST_H

struct cpu;
struct event;

void __wrap_cpu_deliver(struct cpu *c, const struct event *e);

#endif
