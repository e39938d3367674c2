// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What is known of a block before code is made of it: which ops have an emitter, which accesses go to the same page
 * for sure, and where flags are wanted.
 *
 * Accesses whose addresses differ by a constant form a group. Its first member looks the page up for all of them, and
 * keeps the way to the host's memory in cpu.jit_addend; the others cannot miss. If the look-up fails, or one in between
 * that does not belong to the group, handlers run the rest of the block.
 */
#include <string.h>

#include "machine/jit/state.h"

/* Further apart, accesses are too often on different pages. */
#define GROUP_SPAN 256

/* A register's value as one that is known by a number, and a constant. */
struct value {
	u16 number;
	s64 plus;
};

/* Where accesses of a group are: base + (index << scale), and a constant. */
struct where {
	u16 base, index;
	u8 scale, seg;
};

struct open_group {
	struct where where;
	s64 lo, hi;   /* of the constants */
	u8 first, members, number;
	bool write;
};

struct planner {
	struct tr *t;
	struct value reg[REG_COUNT];
	u16 values;
	struct open_group open[BLOCK_MAX_OPS];
	unsigned nopen, groups;
	s64 at[BLOCK_MAX_OPS];  /* the constant of op i's access */
	u8 open_of[BLOCK_MAX_OPS];
	bool sse, avx, mxcsr;   /* has been asked for in this block */
};

/* One access of an op. */
struct access {
	struct where where;
	s64 at;
	unsigned size;
	bool write;
};

static void forget_registers(struct planner *p)
{
	for (unsigned r = 0; r < REG_COUNT; r++)
		p->reg[r] = (struct value){ .number = p->values++ };
}

/* --- accesses --- */

static bool stack_access(struct planner *p, struct access *x)
{
	const struct tr *t = p->t;
	unsigned reg = t->insn->mnemonic == ZYDIS_MNEMONIC_LEAVE ? RBP : RSP;

	switch (t->insn->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_CALL:
		x->write = true;
		break;
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_RET:
	case ZYDIS_MNEMONIC_LEAVE:
		break;
	default:
		return false;
	}
	if (t->o->flags & OP_MEM)
		return false; /* two accesses */
	x->where = (struct where){ .base = p->reg[reg].number, .index = p->reg[REG_ZERO].number, .seg = DS };
	x->at = p->reg[reg].plus - (x->write ? 8 : 0);
	x->size = 8;
	return true;
}

static bool find_access(struct planner *p, struct access *x)
{
	const struct tr *t = p->t;
	const struct op *o = t->o;

	*x = (struct access){ 0 };
	if (stack_access(p, x))
		return true;
	if (!(o->flags & OP_MEM) || (t->effect[t->i] & EFFECT_NO_ACCESS) || (o->flags & OP_END) || o->asize != 8 ||
	    t->insn->mnemonic == ZYDIS_MNEMONIC_PUSH || t->insn->mnemonic == ZYDIS_MNEMONIC_POP)
		return false;
	for (unsigned i = 0; i < t->insn->operand_count_visible; i++) {
		const ZydisDecodedOperand *d = &t->ops[i];

		if (d->type != ZYDIS_OPERAND_TYPE_MEMORY)
			continue;
		x->size = d->size / 8;
		x->write = d->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	}
	x->where = (struct where){ .base = p->reg[o->base].number, .index = p->reg[o->index].number,
				   .scale = o->index == REG_ZERO ? 0 : o->scale, .seg = o->flags & OP_FLAT ? DS : o->seg };
	x->at = o->disp + p->reg[o->base].plus + (s64)((u64)p->reg[o->index].plus << x->where.scale);
	return x->size > 0;
}

static bool joins(const struct open_group *g, const struct access *x)
{
	s64 lo = x->at < g->lo ? x->at : g->lo, hi = x->at + x->size > g->hi ? x->at + (s64)x->size : g->hi;

	return g->where.base == x->where.base && g->where.index == x->where.index && g->where.scale == x->where.scale &&
	       g->where.seg == x->where.seg && hi - lo <= GROUP_SPAN;
}

static void enter_group(struct planner *p, unsigned i, const struct access *x)
{
	struct open_group *g = NULL;

	for (unsigned k = p->nopen; k-- && !g;)
		if (joins(&p->open[k], x))
			g = &p->open[k];
	if (!g) {
		g = &p->open[p->nopen++];
		*g = (struct open_group){ .where = x->where, .lo = x->at, .hi = x->at + x->size, .first = (u8)i };
	}
	g->lo = x->at < g->lo ? x->at : g->lo;
	g->hi = x->at + (s64)x->size > g->hi ? x->at + (s64)x->size : g->hi;
	g->write |= x->write;
	g->members++;
	p->at[i] = x->at;
	p->open_of[i] = (u8)(g - p->open);
}

/* Groups end here: their members may be told what they need. */
static void close_groups(struct planner *p, unsigned end)
{
	struct tr *t = p->t;

	for (unsigned i = p->nopen ? p->open[0].first : end; i < end; i++) {
		struct open_group *g = p->open_of[i] < p->nopen ? &p->open[p->open_of[i]] : NULL;
		struct plan *plan = &t->plan[i];

		if (!g || g->members < 2)
			continue;
		if (i == g->first) {
			if (p->groups == JIT_ADDENDS) {
				g->members = 0;
				continue;
			}
			g->number = (u8)p->groups++;
			plan->leads = true;
			plan->lo = (s16)(g->lo - p->at[i]);
			plan->hi = (s16)(g->hi - p->at[i]);
			plan->write = g->write;
		} else {
			plan->follows = true;
		}
		plan->group = g->number;
		for (unsigned k = g->first + 1u; k <= i; k++)
			t->plan[k - 1].rest = true;
	}
	p->nopen = 0;
}

/* --- registers --- */

static void set_register(struct planner *p, unsigned r, struct value v)
{
	p->reg[r] = v;
}

static int full_register(const ZydisDecodedOperand *d)
{
	if (d->type == ZYDIS_OPERAND_TYPE_REGISTER && d->reg.value >= ZYDIS_REGISTER_RAX && d->reg.value <= ZYDIS_REGISTER_R15)
		return (int)(d->reg.value - ZYDIS_REGISTER_RAX);
	return -1;
}

/* The value that the op gives its first operand, if that is a register's value and a constant. */
static bool moves(const struct planner *p, struct value *v)
{
	const struct tr *t = p->t;
	const struct op *o = t->o;
	int dst = full_register(&t->ops[0]), src = full_register(&t->ops[1]);
	bool imm = t->ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && (s64)o->imm == (s32)o->imm;

	if (dst < 0)
		return false;
	*v = p->reg[dst];
	switch (t->insn->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		if (src >= 0)
			*v = p->reg[src];
		return src >= 0;
	case ZYDIS_MNEMONIC_ADD:
		v->plus += (s32)o->imm;
		return imm;
	case ZYDIS_MNEMONIC_SUB:
		v->plus -= (s32)o->imm;
		return imm;
	case ZYDIS_MNEMONIC_INC:
		v->plus++;
		return true;
	case ZYDIS_MNEMONIC_DEC:
		v->plus--;
		return true;
	case ZYDIS_MNEMONIC_LEA:
		*v = p->reg[o->base];
		v->plus += o->disp;
		return o->index == REG_ZERO && o->asize == 8;
	default:
		return false;
	}
}

static void follow_registers(struct planner *p)
{
	const struct tr *t = p->t;
	ZydisMnemonic m = t->insn->mnemonic;
	struct value v, sp = p->reg[RSP];
	bool known = moves(p, &v);
	u32 set = flags_registers_written(t);

	for (unsigned r = 0; r < 16; r++)
		if (set >> r & 1)
			set_register(p, r, (struct value){ .number = p->values++ });
	if (known)
		set_register(p, (unsigned)full_register(&t->ops[0]), v);
	if (m == ZYDIS_MNEMONIC_PUSH || m == ZYDIS_MNEMONIC_PUSHFQ)
		set_register(p, RSP, (struct value){ sp.number, sp.plus - 8 });
	else if (m == ZYDIS_MNEMONIC_POP && full_register(&t->ops[0]) != RSP)
		set_register(p, RSP, (struct value){ sp.number, sp.plus + 8 });
}

/* --- vector instructions may fault because of control registers, but after one all in a block may not --- */

static void follow_vectors(struct planner *p)
{
	struct tr *t = p->t;
	bool *ready = t->insn->encoding == ZYDIS_INSTRUCTION_ENCODING_VEX ? &p->avx : &p->sse;
	bool calm = *ready && (p->mxcsr || !vector_float(t)) && !vector_may_refuse(t);

	if (calm && (!(t->o->flags & OP_MEM) || t->plan[t->i].follows))
		t->effect[t->i] &= (u8)~EFFECT_SEEN;
	*ready = true;
	p->mxcsr |= vector_float(t);
}

/* Is an access all that the op may fault for? */
static bool faults_by_access(const struct tr *t)
{
	switch (t->insn->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_POP:
	case ZYDIS_MNEMONIC_LEAVE:
		return true;
	default:
		return !(t->plan[t->i].emitter->effect & EFFECT_SEEN);
	}
}

/* What follows in a group cannot fault. */
static void effects(struct planner *p)
{
	struct tr *t = p->t;

	for (unsigned i = 0; i < t->b->insns; i++) {
		op_at(t, i);
		if (!t->plan[i].emitter) {
			p->sse = p->avx = p->mxcsr = false;
			continue;
		}
		if (t->plan[i].vector)
			follow_vectors(p);
		else if (t->plan[i].follows && faults_by_access(t) && !(t->o->flags & OP_END))
			t->effect[i] &= (u8)~EFFECT_SEEN;
	}
}

static void find_groups(struct planner *p)
{
	struct tr *t = p->t;
	struct access x;

	memset(p->open_of, 0xff, sizeof(p->open_of));
	forget_registers(p);
	for (unsigned i = 0; i < t->b->insns; i++) {
		op_at(t, i);
		if (!t->plan[i].emitter) {
			close_groups(p, i);
			memset(p->open_of, 0xff, sizeof(p->open_of));
			forget_registers(p);
			continue;
		}
		if (t->insn->mnemonic == ZYDIS_MNEMONIC_SWAPGS) { /* addresses by GS are others */
			close_groups(p, i);
			memset(p->open_of, 0xff, sizeof(p->open_of));
		}
		if (find_access(p, &x))
			enter_group(p, i, &x);
		follow_registers(p);
	}
	close_groups(p, t->b->insns);
}

static bool looks_up_once(const struct tr *t)
{
	switch (t->insn->mnemonic) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_POP:
		return !(t->o->flags & OP_MEM);
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_LEAVE:
		return true;
	default:
		return (t->o->flags & OP_MEM) && !(t->plan[t->i].emitter->effect & EFFECT_NO_ACCESS);
	}
}

/*
 * A block that branches to its own beginning: while nothing is called, what has been looked up stays true from one time
 * to the next, so each access remembers its page.
 */
void plan_sites(struct tr *t)
{
	unsigned n = 0;

	op_at(t, t->b->insns - 1u);
	if (!(t->o->flags & OP_END) || t->insn->meta.category != ZYDIS_CATEGORY_COND_BR || t->o->imm != 0)
		return;
	for (unsigned i = 0; i < t->b->insns; i++)
		if (!t->plan[i].emitter)
			return;
	for (unsigned i = 0; i < t->b->insns; i++)
		if (t->plan[i].leads && t->plan[i].group >= n)
			n = t->plan[i].group + 1u;
	for (unsigned i = 0; i < t->b->insns; i++) {
		struct plan *p = &t->plan[i];

		op_at(t, i);
		if (p->leads)
			p->site = (s8)p->group;
		else if (!p->follows && n < JIT_ADDENDS && looks_up_once(t))
			p->site = (s8)n++;
	}
	t->sites = n;
}

void plan_groups(struct tr *t)
{
	static struct planner p;

	p = (struct planner){ .t = t };
	find_groups(&p);
	p.sse = p.avx = p.mxcsr = false;
	effects(&p);
}
