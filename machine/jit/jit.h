/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The translator: blocks that are entered often become host code. x86-64 hosts only; elsewhere jit_new() returns NULL
 * and everything is interpreted. See docs/engines.md.
 */
#ifndef OOH_MACHINE_JIT_JIT_H
#define OOH_MACHINE_JIT_JIT_H

#include "machine/cpu/block.h"

struct jit;
struct translation;

/*
 * NULL: not on this host, or no memory for it. eager: blocks are translated when they are first entered, for tests. size:
 * bytes for translations.
 */
struct jit *jit_new(bool eager, u64 size);
/* A block has been decoded: it counts how often it is entered from now on. */
void jit_watch(struct jit *j, struct block *b);
/* The block's links are no more. */
void jit_unlink(struct block *b);
/* All blocks are about to go. Not while translated code runs. */
void jit_clear(struct jit *j);
/* True if the code cache has no room: the run loop is to drop all blocks. */
bool jit_full(const struct jit *j);

#endif
