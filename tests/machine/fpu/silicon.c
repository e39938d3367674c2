/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every row of the FPU room's tables against the host's CPU: random operands, registers, control words and pending
 * exceptions; each instruction runs natively and through its handler, and everything that either changed must
 * agree.
 *
 * silicon [--seed N] [--runs N] [--only MNEMONIC] [--verbose]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/x86.h"
#include "tests/machine/fpu/double.h"
#include "tests/machine/fpu/forms.h"
#include "tests/machine/fpu/native.h"
#include "tests/machine/fpu/random.h"

#define BUFFER 2048

/* One run: what went in, and what came out on both sides. */
struct trial {
	const struct form *form;
	struct made made;
	struct native_state in, native, ours;
	unsigned native_vector, our_vector;
	u8 mem_in[BUFFER], mem_native[BUFFER], mem_ours[BUFFER];
};

static u8 buffer[BUFFER] __attribute__((aligned(4096)));
static struct cpu *cpu;
static bool verbose, host_pointers;
static unsigned failures;

/* States. */
static u32 random_mxcsr(void)
{
	u32 v = (u32)rnd() & 0xffff;

	switch (rnd_below(4)) {
	case 0:  return v; /* some unmasked */
	case 1:  return (v & 0x3f) | 0x1f80;
	default: return v | 0x1f80;
	}
}

static void random_fx(struct fx_image *fx)
{
	memset(fx, 0, sizeof(*fx));
	fx->fcw = 0x40 | ((u16)rnd() & 0x0f3f) | (rnd_below(3) ? 0x3f : 0);
	if (rnd_below(4) == 0)
		fx->fcw = 0x37f;
	fx->fsw = (u16)rnd() & 0x7f7f;
	if (rnd_below(16))
		fx->fsw &= ~(~fx->fcw & 0x3f);
	fx->ftw = rnd_below(3) ? 0xff : (u8)rnd();
	fx->fop = (u16)rnd() & 0x7ff;
	fx->fip = rnd() & 0xffffffff;
	fx->fdp = rnd() & 0xffffffff;
	fx->mxcsr = random_mxcsr();
	for (unsigned i = 0; i < 8; i++) {
		rnd_x87(&fx->st[i].mant, &fx->st[i].se);
		if (rnd_below(4) == 0) {
			rnd_vector(&fx->st[i].mant, 8);
			fx->st[i].se = 0xffff;
		}
	}
	for (unsigned i = 0; i < 16; i++)
		rnd_vector(fx->xmm[i], 16);
	native_canonical(fx);
}

/* Aligned mostly: what is not, some must refuse. */
static unsigned random_offset(void)
{
	return 64 + (rnd_below(8) ? 16 * rnd_below(8) : rnd_below(256));
}

static void random_memory(struct trial *t, unsigned at)
{
	rnd_vector(t->mem_in, BUFFER);
	for (unsigned i = 0; i + 16 <= BUFFER - at && i < 512; i += 16)
		if (rnd() & 1)
			rnd_vector(t->mem_in + at + i, 16);
	if (t->form->msize == 10 && rnd_below(4))
		rnd_x87((u64 *)(t->mem_in + at), (u16 *)(t->mem_in + at + 8));
	if (t->made.insn.mnemonic == ZYDIS_MNEMONIC_FBLD && rnd_below(4))
		for (unsigned i = 0; i < 9; i++)
			t->mem_in[at + i] = (u8)(rnd_below(10) << 4 | rnd_below(10));
	/* Reserved bits of MXCSR are refused: rarely. */
	if (t->made.insn.mnemonic == ZYDIS_MNEMONIC_LDMXCSR && rnd_below(8))
		t->mem_in[at + 2] = t->mem_in[at + 3] = 0;
	if (t->form->msize == 512 && rnd_below(8))
		t->mem_in[at + 26] = t->mem_in[at + 27] = 0;
	/* The host may have 57-bit addresses. */
	if (t->form->msize == 512)
		memset(t->mem_in + at + 13, 0, 3);
}

static void randomize(struct trial *t)
{
	unsigned at = random_offset();
	struct op *o = &t->made.ops[0];

	random_fx(&t->in.fx);
	for (unsigned i = 0; i < 16; i++)
		t->in.gpr[i] = rnd_gpr();
	t->in.flags = EFLAGS_ONE | EFLAGS_IF | (rnd() & EFLAGS_ARITHMETIC);
	if (o->base < 16)
		t->in.gpr[o->base] = (u64)buffer + at - (u64)(s64)o->disp;
	random_memory(t, at);
}

static void to_cpu(const struct native_state *s)
{
	struct fpu_state *f = &cpu->fpu;
	unsigned top = s->fx.fsw >> 11 & 7;

	memset(f, 0, sizeof(*f));
	f->fcw = s->fx.fcw;
	f->fsw = s->fx.fsw;
	f->ftw = s->fx.ftw;
	f->fop = s->fx.fop;
	f->fip = s->fx.fip;
	f->fdp = s->fx.fdp;
	f->mxcsr = s->fx.mxcsr;
	for (unsigned i = 0; i < 8; i++) {
		f->st[(top + i) & 7].mant = s->fx.st[i].mant;
		f->st[(top + i) & 7].se = s->fx.st[i].se;
	}
	for (unsigned i = 0; i < 16; i++)
		memcpy(&f->ymm[i].lo, s->fx.xmm[i], 16);
	memcpy(cpu->gpr, s->gpr, sizeof(s->gpr));
	cpu->eflags = s->flags;
	cpu->gpr[REG_ZERO] = 0;
	cpu->gpr[REG_BLOCK] = (u64)native_page();
}

static void from_cpu(struct native_state *s)
{
	const struct fpu_state *f = &cpu->fpu;
	unsigned top = f->fsw >> 11 & 7;

	memset(s, 0, sizeof(*s));
	s->fx.fcw = f->fcw;
	s->fx.fsw = f->fsw;
	s->fx.ftw = f->ftw;
	s->fx.fop = f->fop;
	s->fx.fip = f->fip;
	s->fx.fdp = f->fdp;
	s->fx.mxcsr = f->mxcsr;
	for (unsigned i = 0; i < 8; i++) {
		s->fx.st[i].mant = f->st[(top + i) & 7].mant;
		s->fx.st[i].se = f->st[(top + i) & 7].se;
	}
	for (unsigned i = 0; i < 16; i++)
		memcpy(s->fx.xmm[i], &f->ymm[i].lo, 16);
	memcpy(s->gpr, cpu->gpr, sizeof(s->gpr));
	s->flags = cpu->eflags;
}

static void run_both(struct trial *t)
{
	memcpy(buffer, t->mem_in, BUFFER);
	t->native_vector = native_run(t->made.code, t->made.len, &t->in, &t->native);
	memcpy(t->mem_native, buffer, BUFFER);

	memcpy(buffer, t->mem_in, BUFFER);
	to_cpu(&t->in);
	double_tlb(cpu, buffer, rnd() & 1);
	t->our_vector = double_run(cpu, t->made.ops);
	from_cpu(&t->ours);
	memcpy(t->mem_ours, buffer, BUFFER);
}

/* Comparison. */
static unsigned report;

static bool differs(struct trial *t, const char *what, unsigned index, u64 in, u64 native, u64 ours)
{
	if (native == ours)
		return false;
	if (report)
		printf("    %s[%u]: in %016llx native %016llx ours %016llx\n", what, index, (unsigned long long)in,
		       (unsigned long long)native, (unsigned long long)ours);
	return true;
}

static bool compare_x87(struct trial *t)
{
	const struct fx_image *a = &t->in.fx, *n = &t->native.fx, *o = &t->ours.fx;
	bool bad = false;

	bad |= differs(t, "fcw", 0, a->fcw, n->fcw, o->fcw);
	bad |= differs(t, "fsw", 0, a->fsw, n->fsw, o->fsw);
	bad |= differs(t, "ftw", 0, a->ftw, n->ftw, o->ftw);
	for (unsigned i = 0; i < 8; i++) {
		bad |= differs(t, "st.mant", i, a->st[i].mant, n->st[i].mant, o->st[i].mant);
		bad |= differs(t, "st.se", i, a->st[i].se, n->st[i].se, o->st[i].se);
	}
	if (!host_pointers)
		return bad;
	bad |= differs(t, "fop", 0, a->fop, n->fop, o->fop);
	bad |= differs(t, "fip", 0, a->fip, n->fip, o->fip);
	bad |= differs(t, "fdp", 0, a->fdp, n->fdp, o->fdp);
	return bad;
}

static bool compare(struct trial *t)
{
	bool bad = differs(t, "vector", 0, NO_VECTOR, t->native_vector, t->our_vector);

	bad |= compare_x87(t);
	bad |= differs(t, "mxcsr", 0, t->in.fx.mxcsr, t->native.fx.mxcsr, t->ours.fx.mxcsr);
	bad |= differs(t, "flags", 0, t->in.flags, t->native.flags & EFLAGS_ARITHMETIC, t->ours.flags & EFLAGS_ARITHMETIC);
	for (unsigned i = 0; i < 16; i++) {
		bad |= differs(t, "xmm.low", i, t->in.fx.xmm[i][0], t->native.fx.xmm[i][0], t->ours.fx.xmm[i][0]);
		bad |= differs(t, "xmm.high", i, t->in.fx.xmm[i][1], t->native.fx.xmm[i][1], t->ours.fx.xmm[i][1]);
		bad |= differs(t, "gpr", i, t->in.gpr[i], t->native.gpr[i], t->ours.gpr[i]);
	}
	for (unsigned i = 0; i < BUFFER && memcmp(t->mem_native, t->mem_ours, BUFFER); i++)
		bad |= differs(t, "mem", i, t->mem_in[i], t->mem_native[i], t->mem_ours[i]);
	return bad;
}

static void print_trial(const struct trial *t)
{
	printf("  %s dst %u src %u imm %02x msize %u:", ZydisMnemonicGetString(t->made.insn.mnemonic), t->made.ops[0].dst, t->made.ops[0].src,
	       t->made.ops[0].aux, t->form->msize);
	for (unsigned i = 0; i < t->made.len; i++)
		printf(" %02x", t->made.code[i]);
	printf("  fcw %04x fsw %04x mxcsr %04x\n", t->in.fx.fcw, t->in.fx.fsw, t->in.fx.mxcsr);
}

static void test_form(struct trial *t, const struct form *f, unsigned runs)
{
	unsigned bad = 0;

	t->form = f;
	for (unsigned i = 0; i < runs; i++) {
		while (i % 4 == 0 && !form_make(cpu, f, &t->made))
			;
		randomize(t);
		run_both(t);
		report = 0;
		if (!compare(t))
			continue;
		if (bad++ >= (verbose ? 8 : 2))
			continue;
		print_trial(t);
		report = 1;
		compare(t);
	}
	if (bad) {
		printf("%s shape %02x msize %u gsize %u: %u of %u runs differ\n", ZydisMnemonicGetString(f->row->mnem),
		       f->row->shape, f->msize, f->gsize, bad, runs);
		failures++;
	}
}

/* FIP, FDP and FOP are model-specific: compared where the host behaves as the enumerated CPU does. */
static bool pointers_comparable(void)
{
	u32 a = 7, b, c = 0, d;

	if (!__builtin_cpu_is("intel"))
		return false;
	asm("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return b & 1u << 6 && b & 1u << 13;
}

int main(int argc, char **argv)
{
	static struct trial trial;
	struct form forms[FORMS_MAX];
	unsigned runs = 2000, total = 0, rows = 0;
	const char *only = NULL;
	u64 seed = 1;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--verbose"))
			verbose = true;
		else if (!strcmp(argv[i], "--seed") && i + 1 < argc)
			seed = strtoull(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--runs") && i + 1 < argc)
			runs = (unsigned)strtoul(argv[++i], NULL, 0);
		else if (!strcmp(argv[i], "--only") && i + 1 < argc)
			only = argv[++i];
		else
			return fprintf(stderr, "silicon: %s: unknown option\n", argv[i]), 2;
	}
	if (fpu_host_lacks())
		return fprintf(stderr, "silicon: the host's CPU lacks %s\n", fpu_host_lacks()), 77;
	printf("silicon: seed %llu, %u runs each\n", (unsigned long long)seed, runs);
	rnd_seed(seed);
	cpu = double_new();
	host_pointers = pointers_comparable();
	for (const struct fpu_row *r; (r = form_row(rows)) != NULL; rows++) {
		unsigned n;

		if (only && strcmp(only, ZydisMnemonicGetString(r->mnem)))
			continue;
		n = forms_of(cpu, r, forms);
		if (!n) {
			printf("%s shape %02x: no encoding reaches this row\n", ZydisMnemonicGetString(r->mnem), r->shape);
			failures++;
		}
		for (unsigned k = 0; k < n; k++)
			test_form(&trial, &forms[k], runs);
		total += n;
	}
	printf("silicon: %u rows, %u forms, %u failed%s\n", rows, total, failures,
	       host_pointers ? "" : " (FIP, FDP, FOP not compared on this host)");
	return failures || !total;
}
