// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Compares the interpreter with the host CPU.
 *   semantics [--insns N] [--seed N] [--class integer|integer32|sse|avx|x87|all] [--spoil]
 * Exit status: 0 all the same, 1 a mismatch (printed), 2 usage, 3 the host cannot run it, 77 it has no
 * 32-bit mode or no AVX2 (skipped). --spoil changes one bit of each host result, to show that a difference is seen.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sem.h"

#define COMPARED_FLAGS 0xcd5u /* status flags and DF */

#define STATES_PER_SEQUENCE 8 /* making a sequence costs more than running it */

struct options {
	uint64_t insns, seed;
	unsigned classes;
	bool spoil;
};

static const char *const gpr_name[16] = { "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
					  "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15" };

/* Flags to be compared: all but those undefined at the instruction where the sequence ended. */
static uint32_t flags_mask(const struct sem_program *p, uint64_t rip)
{
	for (unsigned i = 0; i <= p->n; i++)
		if (SEM_CODE + p->start[i] == rip)
			return COMPARED_FLAGS & ~p->undefined[i];
	return COMPARED_FLAGS & ~0x8d5u;
}

static bool same_fpu(const struct sem_state *a, const struct sem_state *b, unsigned classes)
{
	if (classes & SEM_SSE)
		if (memcmp(a->fx + 160, b->fx + 160, 256) || memcmp(a->fx + 24, b->fx + 24, 4))
			return false;
	if ((classes & SEM_AVX) &&
	    memcmp(a->fx + SEM_XSAVE_HIGH, b->fx + SEM_XSAVE_HIGH, SEM_XSAVE_SIZE - SEM_XSAVE_HIGH))
		return false;
	if (!(classes & (SEM_SSE | SEM_X87)))
		return true;
	for (unsigned i = 0; i < 8; i++)
		if (memcmp(a->fx + 32 + 16 * i, b->fx + 32 + 16 * i, 10))
			return false;
	return !memcmp(a->fx, b->fx, 5);
}

#define TASK_SIZE_MAX 0x7ffffffff000ull /* Linux's, with four levels of tables */

/* Linux reports "present" for every address that is not a program's, so as not to leak what is mapped there. */
static uint32_t reported_error(const struct sem_state *s)
{
	return s->vector == 14 && s->cr2 >= TASK_SIZE_MAX ? s->error | 1 : s->error;
}

/* Compatibility mode has eight registers, and leaves the upper halves undefined. */
static bool same_registers(const struct sem_program *p, const struct sem_state *a, const struct sem_state *b)
{
	if (p->bits == 64)
		return !memcmp(a->gpr, b->gpr, sizeof(a->gpr));
	for (unsigned i = 0; i < 8; i++)
		if ((uint32_t)a->gpr[i] != (uint32_t)b->gpr[i])
			return false;
	return true;
}

static bool same_state(const struct sem_program *p, const struct sem_state *a, const struct sem_state *b,
		       unsigned classes)
{
	if (!same_registers(p, a, b) || a->rip != b->rip || a->vector != b->vector)
		return false;
	if (reported_error(a) != reported_error(b) || (a->vector == 14 && a->cr2 != b->cr2))
		return false;
	return !((a->rflags ^ b->rflags) & flags_mask(p, a->rip)) && same_fpu(a, b, classes);
}

static void print_fpu(const struct sem_state *in, const struct sem_state *h, const struct sem_state *g)
{
	for (unsigned at = 0; at < SEM_XSAVE_SIZE; at += 8) {
		uint64_t v[3];

		memcpy(&v[0], in->fx + at, 8);
		memcpy(&v[1], h->fx + at, 8);
		memcpy(&v[2], g->fx + at, 8);
		if (v[1] != v[2] && at != 8 && at != 16 && (at < 416 || at >= SEM_XSAVE_HIGH))
			printf("  fx+%-3u %016llx -> host %016llx, here %016llx\n", at, (unsigned long long)v[0],
			       (unsigned long long)v[1], (unsigned long long)v[2]);
	}
}

static void print_states(const struct sem_program *p, const struct sem_state *in, const struct sem_state *h,
			 const struct sem_state *g)
{
	for (unsigned i = 0; i < 16; i++)
		printf("  %-3s %016llx -> host %016llx, here %016llx%s\n", gpr_name[i], (unsigned long long)in->gpr[i],
		       (unsigned long long)h->gpr[i], (unsigned long long)g->gpr[i],
			       h->gpr[i] == g->gpr[i] ? "" : "  <--");
	printf("  rip host %llx, here %llx; flags %llx -> host %llx, here %llx, compared %x\n",
	       (unsigned long long)h->rip,
	       (unsigned long long)g->rip, (unsigned long long)in->rflags, (unsigned long long)h->rflags,
	       (unsigned long long)g->rflags, flags_mask(p, h->rip));
	printf("  vector host %u (%x, cr2 %llx), here %u (%x, cr2 %llx)\n", h->vector, h->error,
	       (unsigned long long)h->cr2,
	       g->vector, g->error, (unsigned long long)g->cr2);
	print_fpu(in, h, g);
}

static void print_memory(const uint8_t *a, const uint8_t *b)
{
	unsigned shown = 0;

	for (unsigned i = 0; i < SEM_RW_PAGES * SEM_PAGE && shown < 16; i++)
		if (a[i] != b[i]) {
			printf("  [%llx] host %02x, here %02x\n", (unsigned long long)SEM_DATA + i, a[i], b[i]);
			shown++;
		}
}

struct outcome {
	struct sem_state host, guest;
	uint8_t host_data[SEM_DATA_SIZE], guest_data[SEM_DATA_SIZE];
	bool ended, same;
};

static void compare(const struct sem_program *p, const struct sem_state *in, const uint8_t *data,
		    const struct options *opt,
		    struct outcome *o)
{
	memcpy(o->host_data, data, SEM_DATA_SIZE);
	memcpy(o->guest_data, data, SEM_DATA_SIZE);
	memset(&o->host, 0, sizeof(o->host));
	memset(&o->guest, 0, sizeof(o->guest));
	native_run(p, in, &o->host, o->host_data);
	if (opt->spoil)
		o->host.gpr[0] ^= 1ull << (opt->seed & 63);
	o->ended = guest_run(p, in, &o->guest, o->guest_data);
	o->same = o->ended && same_state(p, &o->host, &o->guest, opt->classes) &&
		  !memcmp(o->host_data, o->guest_data, SEM_RW_PAGES * SEM_PAGE);
}

/* The shortest beginning of the sequence that differs. */
static void shorten(struct sem_program *p, const struct sem_state *in, const uint8_t *data, const struct options *opt,
		    struct outcome *o)
{
	for (unsigned n = 1; n < p->n; n++) {
		struct sem_program part = *p;

		part.n = n;
		memset(part.code + part.start[n], 0xcc, sizeof(part.code) - part.start[n]);
		compare(&part, in, data, opt, o);
		if (!o->same) {
			*p = part;
			return;
		}
	}
	compare(p, in, data, opt, o);
}

static int report(struct sem_program *p, const struct sem_state *in, const uint8_t *data, const struct options *opt,
		  struct outcome *o,
		  uint64_t sequence)
{
	shorten(p, in, data, opt, o);
	printf("semantics: mismatch in sequence %llu of seed %llu%s\n", (unsigned long long)sequence,
	       (unsigned long long)opt->seed,
	       o->ended ? "" : ": the interpreter did not come to an end");
	sem_print_program(p);
	print_states(p, in, &o->host, &o->guest);
	print_memory(o->host_data, o->guest_data);
	return 1;
}

/* Instructions that ran, by where the sequence ended; jumps over some make it an upper bound of at most a few. */
static unsigned executed(const struct sem_program *p, uint64_t rip)
{
	for (unsigned i = 0; i <= p->n; i++)
		if (SEM_CODE + p->start[i] == rip)
			return i;
	return 0;
}

struct totals {
	uint64_t insns, sequences, runs, faults;
};

static void print_totals(const struct options *opt, const struct totals *t)
{
	printf("semantics: seed %llu: %llu %s instructions in %llu runs of %llu sequences, %llu ended by a fault: "
	       "no mismatch\n",
	       (unsigned long long)opt->seed, (unsigned long long)t->insns,
	       opt->classes & SEM_32BIT ? "32-bit" : "64-bit", (unsigned long long)t->runs,
	       (unsigned long long)t->sequences, (unsigned long long)t->faults);
}

/* One sequence from several states. Returns an exit status, or -1 to go on. */
static int run_sequence(struct sem_rng *r, const uint8_t *data, const struct options *opt, struct totals *t)
{
	static struct outcome o;
	struct sem_program p;
	struct sem_state in;

	sem_generate(r, opt->classes, &p);
	for (unsigned i = 0; i < STATES_PER_SEQUENCE; i++) {
		sem_initial_state(r, opt->classes, &in);
		compare(&p, &in, data, opt, &o);
		if (t->runs == 0 && o.host.vector == 13 && o.host.rip - SEM_CODE >= SEM_PAGE) {
			printf("semantics: the host's kernel has no 32-bit code segment\n");
			return 77;
		}
		if (!o.same)
			return report(&p, &in, data, opt, &o, t->sequences);
		t->insns += executed(&p, o.host.rip);
		t->faults += o.host.vector != 3;
		t->runs++;
	}
	t->sequences++;
	return -1;
}

static int run(const struct options *opt)
{
	static uint8_t data[SEM_DATA_SIZE];
	struct sem_rng r = { opt->seed };
	struct totals t = { 0 };

	for (unsigned i = 0; i < SEM_DATA_SIZE; i++)
		data[i] = (uint8_t)(sem_random(&r) & (i % 64 < 24 ? 0x0f : 0xff));
	while (t.insns < opt->insns) {
		int status = run_sequence(&r, data, opt, &t);

		if (status >= 0)
			return status;
	}
	print_totals(opt, &t);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: semantics [--insns N] [--seed N] [--class integer|integer32|sse|avx|x87|all] [--spoil]\n");
	return 2;
}

static unsigned class_by_name(const char *s)
{
	if (!strcmp(s, "integer"))
		return SEM_INTEGER;
	if (!strcmp(s, "integer32"))
		return SEM_INTEGER | SEM_32BIT;
	if (!strcmp(s, "sse"))
		return SEM_INTEGER | SEM_SSE;
	if (!strcmp(s, "x87"))
		return SEM_INTEGER | SEM_X87;
	if (!strcmp(s, "avx"))
		return SEM_INTEGER | SEM_SSE | SEM_AVX;
	return strcmp(s, "all") ? 0 : SEM_INTEGER | SEM_SSE | SEM_X87;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "insns", required_argument, NULL, 'n' }, { "seed", required_argument, NULL, 's' },
		{ "class", required_argument, NULL, 'c' }, { "spoil", no_argument, NULL, 'x' },
		{ NULL, 0, NULL, 0 },
	};
	struct options opt = { .insns = 200000, .seed = 1, .classes = SEM_INTEGER };
	int id;

	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (id) {
		case 'n': opt.insns = strtoull(optarg, NULL, 0); break;
		case 's': opt.seed = strtoull(optarg, NULL, 0); break;
		case 'c': opt.classes = class_by_name(optarg); break;
		case 'x': opt.spoil = true; break;
		default:  return usage();
		}
	}
	if (!opt.classes || optind != argc)
		return usage();
	if (!native_init() || !guest_init())
		return 3;
	if ((opt.classes & SEM_AVX) && !native_has_avx()) {
		printf("semantics: the host's CPU or kernel has no AVX2, FMA or F16C\n");
		return 77;
	}
	return run(&opt);
}
