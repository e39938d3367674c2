/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Breakpoints are handlers in decoded ops, never bytes in memory: an op that lies at a breakpoint's offset in its page
 * gets a handler that compares the linear address. Blocks keep their shape, and a breakpoint that is not reached costs
 * no cycle. Watchpoints keep fast tags away from their pages, which costs none either.
 */
#include <stdlib.h>
#include <string.h>

#include "machine/cpu/block.h"
#include "machine/debug/debug.h"
#include "machine/debug/hooks.h"
#include "machine/debug/state.h"
#include "machine/mmu/state.h"

u64 debug_insns(const struct cpu *c)
{
	const struct machine *m = c->m;
	u64 n = m->stat[STAT_INSNS] - c->unretired;

	for (unsigned i = 0; m->ncpus > 1 && i < m->ncpus; i++)
		if (m->cpu[i] != c)
			n -= m->cpu[i]->retired;
	return n;
}

/* The same inside a handler, before cpu_sync(): instructions before o. */
static u64 insns_before(const struct cpu *c, const struct op *o)
{
	u32 kept = c->unretired;

	return debug_insns(c) + kept - (c->block->insns - (u64)(o - c->block->ops));
}

bool debug_mode_matches(const struct debug *d, const struct cpu *c)
{
	return d->modes & (c->vmx.nonroot ? IN_NONROOT : IN_ROOT);
}

static u64 op_linear(const struct cpu *c, const struct op *o)
{
	u64 rip = c->gpr[REG_BLOCK] + o->off;

	return c->code_size == 64 ? rip : (u32)(c->code_base + (u32)rip);
}

/* --- the handlers that were replaced --- */

static size_t saved_slot(const struct debug *d, const struct op *o)
{
	size_t i = (size_t)(((uintptr_t)o >> 3) * 0x9e3779b97f4a7c15ull >> 20) & (d->saved_size - 1);

	while (d->saved[i].op && d->saved[i].op != o)
		i = (i + 1) & (d->saved_size - 1);
	return i;
}

static void saved_grow(struct debug *d)
{
	struct saved_op *old = d->saved;
	size_t n = d->saved_size;

	d->saved_size = n ? 2 * n : 1024;
	d->saved = calloc(d->saved_size, sizeof(*d->saved));
	if (!d->saved)
		abort();
	for (size_t i = 0; i < n; i++)
		if (old[i].op)
			d->saved[saved_slot(d, old[i].op)] = old[i];
	free(old);
}

static void save_handler(struct debug *d, const struct op *o)
{
	size_t i;

	if (2 * d->saved_n >= d->saved_size)
		saved_grow(d);
	i = saved_slot(d, o);
	d->saved_n += d->saved[i].op == NULL;
	d->saved[i] = (struct saved_op){ o, o->fn };
}

/* --- breakpoints --- */

static bool is_break(const struct debug *d, u64 lin)
{
	for (unsigned i = 0; i < d->nbrk; i++)
		if (d->brk[i] == lin)
			return true;
	return false;
}

bool debug_breaks_at(const struct machine *m, u64 offset)
{
	const struct debug *d = m->debug;

	for (unsigned i = 0; d && i < d->nbrk; i++)
		if (((d->brk[i] ^ offset) & PAGE_OFFSET_MASK) == 0)
			return true;
	return false;
}

static bool stops_here(const struct cpu *c, const struct op *o)
{
	const struct debug *d = c->m->debug;
	const struct debug_cpu *dc = &d->cpu[c->id];
	u64 lin = op_linear(c, o);

	if (!is_break(d, lin) || !debug_mode_matches(d, c))
		return false;
	return dc->pass_lin != lin || dc->pass_insns != insns_before(c, o);
}

static bool any_step(const struct debug *d)
{
	for (unsigned i = 0; i < d->m->ncpus; i++)
		if (d->cpu[i].step)
			return true;
	return false;
}

/* Serves the debugger inside the instruction's handler: if nothing was touched, the block just goes on. */
static void stop_inside(struct cpu *c, const struct op *o)
{
	struct debug *d = c->m->debug;

	cpu_sync(c, o);
	d->stop = STOP_BREAK;
	d->stop_cpu = c;
	gdb_serve(d);
	if (d->changed || any_step(d) || c->m->stop) {
		c->pending |= PEND_STOP;
		cpu_unwind(c, UNWIND_RESUME);
	}
	c->unspent = 0;
	c->unretired = 0;
}

static op_fn op_break;

static op_fn *handler_of(struct cpu *c, const struct op *o)
{
	if (stops_here(c, o))
		stop_inside(c, o);
	if (o->fn != op_break)
		return o->fn; /* the breakpoint has been removed meanwhile */
	return c->m->debug->saved[saved_slot(c->m->debug, o)].fn;
}

static const struct op *op_break(struct cpu *c, const struct op *o)
{
	return handler_of(c, o)(c, o);
}

void debug_decoded(struct cpu *c, struct block *b)
{
	for (unsigned i = 0; i < b->insns; i++) {
		struct op *o = &b->ops[i];

		if (!debug_breaks_at(c->m, b->hpa + o->off))
			continue;
		save_handler(c->m->debug, o);
		o->fn = op_break;
	}
}

bool debug_add_break(struct debug *d, u64 lin)
{
	if (is_break(d, lin))
		return true;
	if (d->nbrk == DEBUG_MAX_BREAKS)
		return false;
	d->brk[d->nbrk++] = lin;
	code_decode_again(d->m, (unsigned)(lin & PAGE_OFFSET_MASK));
	return true;
}

bool debug_remove_break(struct debug *d, u64 lin)
{
	for (unsigned i = 0; i < d->nbrk; i++)
		if (d->brk[i] == lin) {
			d->brk[i] = d->brk[--d->nbrk];
			code_decode_again(d->m, (unsigned)(lin & PAGE_OFFSET_MASK));
			return true;
		}
	return false;
}

/* --- watchpoints --- */

static bool overlaps(const struct watchpoint *w, u64 lin, u64 n)
{
	return w->lin - lin < n || lin - w->lin < w->n;
}

static const struct watchpoint *find_watch(const struct debug *d, u64 lin, unsigned n, enum mmu_access a)
{
	enum watch_kind other = a == ACCESS_WRITE ? WATCH_READ : WATCH_WRITE;

	for (unsigned i = 0; a != ACCESS_EXEC && i < d->nwatch; i++)
		if (d->watch[i].kind != other && overlaps(&d->watch[i], lin, n))
			return &d->watch[i];
	return NULL;
}

/* An instruction that touches what is watched runs alone, so that the machine can stop right after it. */
static void on_access(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a)
{
	struct debug *d = c->m->debug;
	const struct watchpoint *w = debug_mode_matches(d, c) ? find_watch(d, lin, n, a) : NULL;
	struct debug_cpu *dc = &d->cpu[c->id];

	if (!w)
		return;
	if (o && (unsigned)(o - c->block->ops) + 1 != c->block->insns) {
		cpu_sync(c, o);
		cpu_unwind(c, UNWIND_SINGLE);
	}
	c->pending |= PEND_STOP;
	dc->hit = true;
	dc->hit_by_op = o != NULL;
	dc->hit_watch = *w;
	dc->hit_lin = lin > w->lin ? lin : w->lin;
	dc->hit_insns = o ? insns_before(c, o) : 0;
	dc->hit_rip = o ? c->gpr[REG_BLOCK] + o->off : 0;
}

static bool on_page(const struct cpu *c, u64 lin)
{
	const struct debug *d = c->m->debug;

	for (unsigned i = 0; i < d->nwatch; i++)
		if (overlaps(&d->watch[i], lin & ~PAGE_OFFSET_MASK, PAGE_SIZE))
			return true;
	return false;
}

static const struct watch_hooks hooks = { on_access, on_page };

static void watches_changed(struct debug *d, u64 lin, u64 n)
{
	d->m->watch = d->nwatch ? &hooks : NULL;
	for (u64 page = lin & ~PAGE_OFFSET_MASK; page - (lin & ~PAGE_OFFSET_MASK) < (lin & PAGE_OFFSET_MASK) + n;
	     page += PAGE_SIZE)
		for (unsigned i = 0; i < d->m->ncpus; i++)
			tlb_fast_drop(d->m->cpu[i], page);
}

bool debug_add_watch(struct debug *d, enum watch_kind kind, u64 lin, u64 n)
{
	if (d->nwatch == DEBUG_MAX_WATCHES || n == 0 || n > TLB_SIZE * PAGE_SIZE)
		return false;
	d->watch[d->nwatch++] = (struct watchpoint){ lin, n, kind };
	watches_changed(d, lin, n);
	return true;
}

bool debug_remove_watch(struct debug *d, enum watch_kind kind, u64 lin, u64 n)
{
	for (unsigned i = 0; i < d->nwatch; i++) {
		const struct watchpoint *w = &d->watch[i];

		if (w->lin != lin || w->n != n || w->kind != kind)
			continue;
		d->watch[i] = d->watch[--d->nwatch];
		watches_changed(d, lin, n);
		return true;
	}
	return false;
}

void debug_clear(struct debug *d)
{
	while (d->nbrk)
		debug_remove_break(d, d->brk[0]);
	while (d->nwatch)
		debug_remove_watch(d, d->watch[0].kind, d->watch[0].lin, d->watch[0].n);
	for (unsigned i = 0; i < MACHINE_MAX_CPUS; i++)
		d->cpu[i].step = d->cpu[i].hit = false;
}
