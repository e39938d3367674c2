// SPDX-License-Identifier: GPL-2.0-or-later
/* A mutant: the 20th event to be delivered changes a bit of DR0. The linker puts this in the place of cpu_deliver. */
#include "spoiled.h"

void __wrap_cpu_deliver(struct cpu *c, const struct event *e)
{
	static unsigned deliveries;

	__real_cpu_deliver(c, e);
	if (++deliveries == 20)
		c->dr[0] ^= 1;
}
