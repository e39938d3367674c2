/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checks of what a TRY ended with. */
#ifndef OOH_TESTS_GUEST_SYS_EXPECT_H
#define OOH_TESTS_GUEST_SYS_EXPECT_H

#include "tests/guest/lib/guest.h"

/* error: of the vector, 0 where there is none. */
static inline void expect(u64 vector, u64 want, u64 error, const char *name)
{
	if (vector != want)
		check(false, "%s: vector %lx, want %lx (error %lx, rip %lx)", name, vector, want, trap.f.error,
		      trap.f.rip);
	else if (vector != NO_TRAP && trap.f.error != error)
		check(false, "%s: error code %lx, want %lx", name, trap.f.error, error);
	else
		check(true, "%s", name);
}

#endif
