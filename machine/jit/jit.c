// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
/*
 * The code cache, and what connects translations to blocks. The cache is mapped twice, for writing and for running:
 * no page is ever both.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch/x86.h"
#include "machine/cpu/branch.h"
#include "machine/cpu/flags.h"
#include "machine/jit/state.h"

#define DATA_SIZE (48ull << 20)
#define HOT_ROOM (24ull << 10) /* what one translation needs at most, of either part */
#define COLD_ROOM (64ull << 10)
/*
 * Mapped behind the cache's end: MAX_COLD stubs of some 500 bytes (16 vector registers out and in, 8 pages forgotten, flags, a call)
 * are more than COLD_ROOM, which no block met so far needs. Costs address space only.
 */
#define SLACK (256ull << 10)
#define MAX_RESTS 256
#define HOT 40 /* a translation costs as much as some hundred entries interpreted */

static void *map(int fd, size_t size, int prot)
{
	void *p = mmap(NULL, size, prot, MAP_SHARED | MAP_NORESERVE, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static bool map_code(struct jit *j)
{
	int fd = memfd_create("translations", MFD_CLOEXEC);

	if (fd < 0)
		return false;
	if (ftruncate(fd, (off_t)(j->size + SLACK)) == 0) {
		j->rw = map(fd, j->size + SLACK, PROT_READ | PROT_WRITE);
		j->rx = map(fd, j->size + SLACK, PROT_READ | PROT_EXEC);
	}
	close(fd);
	return j->rw && j->rx;
}

struct jit *jit_new(bool eager, u64 size)
{
	struct jit *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->size = size;
	j->cold_from = size * 3 / 8;
	j->data = mmap(NULL, DATA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (j->data == MAP_FAILED || !map_code(j)) {
		free(j);
		return NULL;
	}
	thunks_make(j);
	j->hot = eager ? 1 : HOT;
	return j;
}

bool jit_full(const struct jit *j)
{
	return j && j->full;
}

void jit_clear(struct jit *j)
{
	j->used = j->thunks;
	j->cold = j->cold_from;
	j->data_used = 0;
	j->full = false;
}

static struct translation *new_translation(struct jit *j, unsigned insns)
{
	size_t size = sizeof(struct translation) + (insns + 1) * sizeof(op_fn *);
	struct translation *t = (struct translation *)(j->data + j->data_used);

	if (j->used + HOT_ROOM > j->cold_from || j->cold + COLD_ROOM > j->size || j->data_used + size > DATA_SIZE) {
		j->full = true;
		return NULL;
	}
	memset(t, 0, size);
	j->data_used += (size + 15) & ~(size_t)15;
	return t;
}

/* What stands in for the op after one that translated code has run by its handler: back to the translation. */
static const struct op *op_translated(struct cpu *c, const struct op *o)
{
	(void)c;
	return o;
}

static bool make_translation(struct cpu *c, struct block *b)
{
	struct jit *j = c->jit;
	struct translation *t = j->full ? NULL : new_translation(j, b->insns);

	if (!t || !translate(c, j, b, t, false))
		return false;
	b->translation = t;
	b->ops[0].fn = (op_fn *)(uintptr_t)jit_exec(j, j->thunk[THUNK_ENTER]);
	for (unsigned i = 1; i <= b->insns; i++)
		if (i < b->insns || !(b->ops[i - 1].flags & OP_END))
			b->ops[i].fn = op_translated;
	return true;
}

static const struct op *op_count(struct cpu *c, const struct op *o)
{
	struct block *b = c->block;

	if (unlikely(++b->heat == c->jit->hot) && make_translation(c, b))
		return b->ops[0].fn(c, o);
	return b->first(c, o);
}

void jit_watch(struct jit *j, struct block *b)
{
	b->entry = jit_exec(j, j->thunk[THUNK_INTERP]);
	b->translation = NULL;
	b->heat = 0;
	if (b->temporary || (b->key & 3) != KEY_SIZE64 || (b->key & KEY_SINGLE))
		return;
	b->first = b->ops[0].fn;
	b->ops[0].fn = op_count;
}

void jit_unlink(struct block *b)
{
	struct translation *t = b->translation;

	if (!t)
		return;
	for (unsigned n = 0; n < 2; n++)
		if (t->site[n])
			x_patch(t->site[n], t->stub[n]);
}

static void link_code(struct jit *j, struct block *from, unsigned n, struct block *to)
{
	struct translation *t = from->translation;

	if (t->site[n] && to == from && t->loop)
		x_patch(t->site[n], t->loop);
	else if (t->site[n] && to->translation)
		x_patch(t->site[n], to->entry - j->rx + j->rw);
}

/* As block_follow() and branch_taken(). */
struct block *jit_follow(struct cpu *c, unsigned n)
{
	struct block *b = c->block, *to = b->link[n];
	const struct op *last = &b->ops[b->insns - 1];
	u64 rip = c->gpr[REG_BLOCK] + (n ? last->imm : b->len);

	if (!to) {
		if (n && !branch_canonical(c, rip))
			cpu_raise_err(c, last, VEC_GP, 0);
		to = block_cached(c, rip);
		if (to && block_may_link(c, b, rip, to))
			b->link[n] = to;
	}
	if (to && b->link[n] == to)
		link_code(c->jit, b, n, to);
	if (!to) {
		c->patch = &b->link[n];
		to = block_next(c, rip); /* which may drop all blocks */
	}
	c->page_rip = rip & ~PAGE_OFFSET_MASK;
	return to;
}

/* Accesses of the block lie on different pages again and again: every one by itself from now on. */
static void translate_again(struct cpu *c, struct block *b)
{
	struct jit *j = c->jit;
	struct translation *old = b->translation, *t = j->full || b->dead ? NULL : new_translation(j, b->insns);
	struct asm_buf a = { .p = old->entry };

	if (!t || !translate(c, j, b, t, true))
		return;
	b->translation = t;
	x_jmp_to(&a, t->entry);
}

/* The ops of a translated block come back after each handler: op_translated(). */
const struct op *jit_rest(struct cpu *c, const struct op *o)
{
	struct block *b = c->block;
	op_fn *const *handler = b->translation->handler;
	unsigned i, last = b->insns - (b->ops[b->insns - 1].flags & OP_END ? 1 : 0);

	if (b->translation->grouped && ++b->translation->rests == MAX_RESTS)
		translate_again(c, b);
	for (i = (unsigned)(o - b->ops); o && i < last; i++)
		o = handler[i](c, o);
	return o ? handler[i](c, o) : NULL;
}

struct block *jit_jump(struct cpu *c, u64 rip)
{
	c->page_rip = rip & ~PAGE_OFFSET_MASK;
	return block_next(c, rip);
}

/* The jump cache may have learnt of the block before it was translated. */
const struct op *jit_interpret(struct cpu *c, struct block *b, u64 rip)
{
	struct jump_entry *j = jump_slot(c, rip);

	if (j->block == b)
		j->entry = b->entry;
	return block_enter(c, b, rip);
}

u32 jit_host_flags(struct cpu *c)
{
	u32 f = cc_all(c);

	return (f & 0xff) << 8 | f >> 11;
}

void jit_cc_to_host(struct cpu *c)
{
	c->cc_src = jit_host_flags(c);
	c->cc_op = CC_HOST;
}
