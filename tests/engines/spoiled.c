// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A mutant: the 20th event to be delivered changes a bit of DR0, and each 50th store into code goes unnoticed. The
 * linker puts these functions in the place of the machine's.
 */
#include "spoiled.h"

void __wrap_cpu_deliver(struct cpu *c, const struct event *e)
{
	static unsigned deliveries;

	__real_cpu_deliver(c, e);
	if (++deliveries == 20)
		c->dr[0] ^= 1;
}

void __wrap_code_written(struct machine *m, u64 frame, unsigned off, unsigned n)
{
	static unsigned stores;

	if (++stores % 50)
		__real_code_written(m, frame, off, n);
}
