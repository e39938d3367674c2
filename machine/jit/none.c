// SPDX-License-Identifier: GPL-2.0-or-later
/* Hosts that the translator does not know: everything is interpreted. */
#include "machine/jit/jit.h"

struct jit *jit_new(bool eager, u64 size)
{
	(void)eager;
	(void)size;
	return NULL;
}

bool jit_full(const struct jit *j)
{
	(void)j;
	return false;
}

void jit_watch(struct jit *j, struct block *b)
{
	(void)j;
	(void)b;
}

void jit_unlink(struct block *b)
{
	(void)b;
}

void jit_clear(struct jit *j)
{
	(void)j;
}
