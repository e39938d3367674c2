// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A block's translation: charge and check as block_enter() does, then op by op, then the way out; elsewhere the cold
 * parts. The order of effects is the handlers': whatever may fault does so before anything of its op is committed.
 */
#include <string.h>

#include "machine/jit/state.h"

struct cold *cold_add(struct tr *t, enum cold_kind kind, u8 *from, const u8 *resume, unsigned n)
{
	struct cold *x = &t->cold[t->ncold++];

	*x = (struct cold){ .from = from, .resume = resume, .op = (u16)t->i, .kind = (u8)kind, .n = (u8)n, .fl = t->fl, .vec = t->vec };
	return x;
}

void op_done(struct tr *t, bool flags)
{
	for (unsigned i = t->ncold; i-- && t->cold[i].op == t->i;) {
		struct cold *x = &t->cold[i];

		if (x->kind != COLD_CALL || x->resume)
			continue;
		x->resume = t->a.p;
		x->rest |= t->plan[t->i].rest;
		x->after = t->vec;
		t->fl.mem_host = t->fl.mem_host && x->fl.mem_host; /* the detour does not convert */
		if (flags)
			x->kind = COLD_CALL_FLAGS;
	}
}

static const struct emitter *find(struct tr *t)
{
	static const struct emitter *(*const rooms[])(const struct tr *) = {
		integer_find, shift_find, bits_find, system_find, branch_find,
	};
	const struct emitter *e = NULL;

	for (unsigned i = 0; i < sizeof(rooms) / sizeof(rooms[0]) && !e; i++)
		e = rooms[i](t);
	t->plan[t->i].vector = !e;
	return e ? e : vector_find(t);
}

void op_at(struct tr *t, unsigned i)
{
	const struct plan *p = &t->plan[i];

	t->i = i;
	t->o = &t->plain->ops[i];
	t->insn = &p->insn;
	t->ops = p->ops;
}

static bool decode_op(struct tr *t, const u8 *code, unsigned i)
{
	static ZydisDecoder decoder;
	static bool ready;
	struct plan *p = &t->plan[i];
	const struct op *o = &t->plain->ops[i];
	bool ok;

	if (!ready) {
		ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
		ready = true;
	}
	ok = ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code + o->off, t->b->len - o->off, &p->insn, p->ops)) &&
	     p->insn.length == o->len && p->insn.mnemonic == o->mnem;
	if (!ok)
		p->insn = (ZydisDecodedInstruction){ 0 };
	op_at(t, i);
	return ok;
}

static bool runs(const struct op *o)
{
	return o->fn != op_undefined && o->fn != op_gp0 && o->fn != op_unimplemented;
}

static void plan_op(struct tr *t, bool decoded)
{
	const struct emitter *e = decoded && runs(t->o) ? find(t) : NULL;
	struct plan *p = &t->plan[t->i];
	u8 *effect = &t->effect[t->i];

	p->leads = p->follows = p->rest = false;
	p->site = -1;
	p->emitter = e && e->can(t) ? e : NULL;
	*effect = EFFECT_SEEN;
	if (!p->emitter)
		return;
	*effect = shift_effect(t, e->effect);
	if ((t->o->flags & OP_MEM) && !(*effect & EFFECT_NO_ACCESS))
		*effect |= EFFECT_SEEN;
}

static void make_plan(struct tr *t, const u8 *code, bool groups)
{
	for (unsigned i = 0; i < t->b->insns; i++)
		plan_op(t, decode_op(t, code, i));
	if (groups)
		plan_groups(t);
	plan_sites(t);
}

static void find_needs(struct tr *t)
{
	bool read = false, seen = true;

	for (unsigned i = t->b->insns; i--;) {
		u8 effect = t->effect[i];

		t->need_read[i] = read;
		t->need_seen[i] = seen;
		if (effect & EFFECT_PART) {
			read = read || seen;
			seen = false;
		} else if (effect & EFFECT_KILLS) {
			read = seen = false;
		}
		read = read || (effect & EFFECT_READS);
		seen = seen || (effect & EFFECT_SEEN);
	}
}

static void handler_arguments(struct tr *t, unsigned op)
{
	x_mov_imm(&t->a, T1, (u64)(uintptr_t)&t->b->ops[op]);
	x_mov_imm(&t->a, T2, (u64)(uintptr_t)t->b);
	x_mov_imm(&t->a, HAX, (u64)(uintptr_t)t->plain->ops[op].fn);
}

static void run_handler(struct tr *t)
{
	vector_flush(t);
	flags_to_mem(t);
	handler_arguments(t, t->i);
	if (t->o->flags & OP_END) {
		x_jmp_to(&t->a, t->j->thunk[THUNK_TAIL]);
		return;
	}
	x_call_to(&t->a, t->j->thunk[THUNK_CALL]);
	flags_only_mem(t);
	t->sse_checked = t->avx_checked = false;
}

static void emit_op(struct tr *t, unsigned i)
{
	const struct emitter *e = t->plan[i].emitter;

	op_at(t, i);
	if (!e) {
		run_handler(t);
		return;
	}
	if (t->o->flags & OP_END)
		vector_flush(t);
	if (!(t->effect[i] & EFFECT_SEEN))
		flags_before_write(t);
	e->emit(t);
	op_done(t, t->fl.host);
}

static void emit_entry(struct tr *t)
{
	struct asm_buf *a = &t->a;

	x_alu_imm(a, X_SUB, 8, CPU(budget), (s32)t->b->cycles);
	cold_add(t, COLD_OUT, x_jcc(a, CC_X_L), NULL, 0);
	if (t->b->cycles != t->b->insns)
		x_alu_imm(a, X_ADD, 8, CPU(surplus), (s32)t->b->cycles - t->b->insns);
}

/* Handlers do what is left of the block from this op on: translated code relies on a look-up that is not true any more. */
static void leave_for_rest(struct tr *t, const struct cold *x)
{
	vector_out(&t->a, &x->vec);
	x_mov_imm(&t->a, T1, (u64)(uintptr_t)&t->b->ops[x->op]);
	x_mov_imm(&t->a, T2, (u64)(uintptr_t)t->b);
	x_jmp_to(&t->a, t->j->thunk[THUNK_REST]);
}

/* With five levels of paging more than 48 bits may be canonical: the handler knows. */
static void cold_jump(struct tr *t, const struct cold *x)
{
	unsigned sp = (unsigned)jit_home[RSP];
	struct asm_buf *a = &t->a;
	u8 *other;

	x_load(a, 8, T2, rm_reg(T0));
	x_shift_imm(a, 7, 8, rm_reg(T2), 47);
	x_alu_imm(a, X_ADD, 4, rm_reg(T2), 1);
	x_alu_imm(a, X_CMP, 4, rm_reg(T2), 1);
	other = x_jcc(a, CC_X_A);
	if (x->far)
		x_lea(a, 8, sp, (int)sp, -1, 0, (s32)x->far);
	x_jmp_to(a, t->j->thunk[THUNK_JUMP]);
	x_patch(other, a->p);
	handler_arguments(t, x->op);
	x_jmp_to(a, t->j->thunk[THUNK_TAIL]);
}

static void emit_cold(struct tr *t, struct cold *x)
{
	struct asm_buf *a = &t->a;
	const struct jit *j = t->j;

	x_patch(x->from, a->p);
	if (x->also)
		x_patch(x->also, a->p);
	t->i = x->op;
	switch ((enum cold_kind)x->kind) {
	case COLD_CALL:
	case COLD_CALL_FLAGS:
		if (!x->fl.mem && x->fl.lazy.kind != LAZY_NONE)
			flags_lazy_out(a, &x->fl.lazy);
		if (x->rest) {
			leave_for_rest(t, x);
			break;
		}
		vector_out(a, &x->vec);
		handler_arguments(t, x->op);
		x_call_to(a, j->thunk[x->kind == COLD_CALL ? THUNK_CALL : THUNK_CALL_FLAGS]);
		vector_in(a, &x->after);
		mem_forget(t);
		x_jmp_to(a, x->resume);
		break;
	case COLD_TAIL:
		handler_arguments(t, x->op);
		x_jmp_to(a, j->thunk[THUNK_TAIL]);
		break;
	case COLD_LINK:
		t->t->stub[x->n] = a->p;
		/* fallthrough */
	case COLD_EXIT:
		x_mov_imm(a, T2, (u64)(uintptr_t)t->b);
		x_mov_imm(a, HAX, x->n);
		x_jmp_to(a, j->thunk[THUNK_EXIT]);
		break;
	case COLD_FAR:
		exit_far(t, x->n, x->far);
		break;
	case COLD_JUMP:
		cold_jump(t, x);
		break;
	case COLD_PAGE:
		mem_page(t, x);
		break;
	case COLD_OUT:
		x_alu_imm(a, X_ADD, 8, CPU(budget), (s32)t->b->cycles);
		x_mov_imm(a, T0, block_offset(t));
		x_jmp_to(a, j->thunk[THUNK_OUT]);
		break;
	case COLD_FLAGS:
		vector_out(a, &x->vec);
		x_call_to(a, j->thunk[THUNK_FLAGS]);
		vector_in(a, &x->vec);
		x_jmp_to(a, x->resume);
		break;
	}
}

/* The block must still be what was decoded: the debugger changes handlers. */
static bool as_decoded(const struct tr *t, op_fn *first)
{
	const struct block *b = t->b, *p = t->plain;

	if (b->insns != p->insns || b->len != p->len || b->cycles != p->cycles)
		return false;
	for (unsigned i = 0; i + 2 < b->insns; i++)
		if ((i ? b->ops[i].fn : first) != p->ops[i].fn)
			return false;
	return true;
}

static struct block *decode_plainly(struct cpu *c, const struct block *b, const u8 *code)
{
	static union {
		struct block b;
		u8 room[sizeof(struct block) + (BLOCK_MAX_OPS + 1) * sizeof(struct op)];
	} plain;

	memset(&plain.b, 0, sizeof(plain.b));
	plain.b.hpa = b->hpa;
	plain.b.key = b->key;
	decode_plain(c, &plain.b, code, PAGE_SIZE - (b->hpa & PAGE_OFFSET_MASK));
	return &plain.b;
}

/* From elsewhere no page is remembered; from the block's end those of the last time are. */
static void emit_loop_entry(struct tr *t, struct translation *made)
{
	u8 *body;

	mem_forget(t);
	body = x_jmp(&t->a);
	made->loop = t->a.p;
	emit_entry(t);
	x_patch(body, t->a.p);
}

static void emit_block(struct tr *t, struct translation *made)
{
	struct block *b = t->b;

	emit_entry(t);
	made->body = jit_exec(t->j, t->a.p);
	if (t->sites)
		emit_loop_entry(t, made);
	t->fl = (struct flags_at){ .mem = true };
	for (unsigned i = 0; i < b->insns; i++)
		emit_op(t, i);
	if (!(t->o->flags & OP_END)) {
		vector_flush(t);
		flags_to_mem(t);
		exit_direct(t, 0, (s64)block_offset(t) + b->len, NULL);
	}
	t->j->used = ((size_t)(t->a.p - t->j->rw) + 15) & ~(size_t)15;
	t->a.p = t->j->rw + t->j->cold;
	for (unsigned i = 0; i < t->ncold; i++)
		emit_cold(t, &t->cold[i]);
	t->j->cold = (size_t)(t->a.p - t->j->rw);
}

bool translate(struct cpu *c, struct jit *j, struct block *b, struct translation *made, bool again)
{
	static struct tr tr;
	const u8 *code = bus_ram(&c->m->bus, (hpa_t){ b->hpa });
	struct tr *t = &tr;

	memset(t, 0, offsetof(struct tr, plan));
	t->c = c;
	t->j = j;
	t->b = b;
	t->t = made;
	t->a.p = made->entry = j->rw + j->used;
	t->plain = decode_plainly(c, b, code);
	if (!again && !as_decoded(t, b->first))
		return false;
	for (unsigned i = 0; i <= b->insns; i++)
		made->handler[i] = t->plain->ops[i].fn;
	make_plan(t, code, !again);
	find_needs(t);
	for (unsigned i = 0; i < b->insns; i++)
		made->grouped |= t->plan[i].leads;
	b->entry = jit_exec(j, t->a.p);
	emit_block(t, made);
	return true;
}
