/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Decoded code. A block is a run of instructions from one physical page, found by its physical address and by what
 * decoding depends on besides the bytes. Its shape depends on the code bytes and on the entry point only, so that
 * events, which are recognised at block boundaries, fall on the same instruction in every run and in both engines.
 */
#ifndef OOH_MACHINE_CPU_BLOCK_H
#define OOH_MACHINE_CPU_BLOCK_H

#include "machine/cpu/dispatch.h"

#define BLOCK_MAX_OPS 64

/* Block keys. */
#define KEY_SIZE16 0x00
#define KEY_SIZE32 0x01
#define KEY_SIZE64 0x02
#define KEY_REAL   0x04 /* real or virtual-8086 mode: no VEX */
#define KEY_LIMIT  0x08 /* CS has a limit to be checked */
#define KEY_SINGLE 0x10 /* one instruction only */
#define KEY_USER   0x20 /* of jump entries only: CPL 3 */

struct block {
	u64 hpa;
	struct block *link[2]; /* following blocks in the same page: [0] fall through, [1] branch target */
	struct block *hash_next, *frame_next;
	u32 cycles;            /* cost of all instructions */
	u16 insns;
	u16 len;               /* bytes */
	u8 key;
	bool temporary;        /* not in any table: crosses a page or is not in RAM */
	bool dead;             /* its bytes have been written: out of all tables */
	/* Of machines with a translator: machine/jit. */
	u32 heat;              /* how often it was interpreted */
	op_fn *first;          /* the handler of ops[0] */
	const u8 *entry;       /* host code that goes on with this block, charged for by itself */
	struct translation *translation;
	struct op ops[];
};

/* RIP to block for jumps that are not linked; valid for one generation (code_tlb_changed) and context. */
#define JUMP_BITS 12
struct jump_entry {
	u64 lin, tag;
	struct block *block;
	const u8 *entry; /* the block's, as it was once; of machines with a translator */
};

/* In every handler that ends a block, or there is a call and a frame for each. */
#define BLOCK_INLINE static inline __attribute__((always_inline))

/* cpu.jump_tag: KEY_*, the context, the generation. */
#define JUMP_CONTEXT_SHIFT 8
#define JUMP_GENERATION (1ull << 24)

static inline struct jump_entry *jump_slot(const struct cpu *c, u64 lin)
{
	return &c->jumps[(lin ^ lin >> JUMP_BITS) & ((1u << JUMP_BITS) - 1)];
}

/* Goes on with b at rip, or leaves if an event is due. */
BLOCK_INLINE const struct op *block_enter(struct cpu *c, struct block *b, u64 rip)
{
	if (unlikely(c->budget < (s64)b->cycles) || unlikely(c->pending)) {
		c->rip = rip;
		return NULL;
	}
	c->budget -= b->cycles;
	*c->insns += b->insns;
	c->block = b;
	c->gpr[REG_BLOCK] = rip;
	OP_GOTO(c, b->ops);
}

/* The block that the jump cache has for rip, or NULL. */
BLOCK_INLINE struct block *block_cached(const struct cpu *c, u64 rip)
{
	const struct jump_entry *j = jump_slot(c, rip + c->code_base);

	return likely(j->lin == rip + c->code_base && j->tag == c->jump_tag) ? j->block : NULL;
}

/*
 * The block at rip, where the running block goes on and the jump cache knows nothing: what the run loop would enter next.
 * NULL: it has something else to do first. Raises what fetching raises.
 */
struct block *block_next(struct cpu *c, u64 rip);
/* Goes on there. */
const struct op *block_missed(struct cpu *c, u64 rip);

/* Goes on at rip, through the jump cache. */
BLOCK_INLINE const struct op *block_jump(struct cpu *c, u64 rip)
{
	struct block *b = block_cached(c, rip);

	return likely(b != NULL) ? block_enter(c, b, rip) : block_missed(c, rip);
}

/*
 * Goes on at c->rip after an instruction that ends its block and may have changed the mode: what the run loop does where
 * nothing else is to be done.
 */
const struct op *block_go(struct cpu *c);

/* Only within a page is a link good whenever its own block is. */
static inline bool block_may_link(const struct cpu *c, const struct block *from, u64 lin, const struct block *to)
{
	u64 from_lin = c->gpr[REG_BLOCK] + c->code_base;

	return !((from_lin ^ lin) >> PAGE_SHIFT) && !((from->hpa ^ to->hpa) >> PAGE_SHIFT) && !from->temporary;
}

/* The same where the running block's link number n leads to rip but is not set. */
const struct op *block_link(struct cpu *c, unsigned n, u64 rip);

/* Goes on at rip, which the running block reaches through its link number n. */
BLOCK_INLINE const struct op *block_follow(struct cpu *c, unsigned n, u64 rip)
{
	struct block *b = c->block->link[n];

	return likely(b != NULL) ? block_enter(c, b, rip) : block_link(c, n, rip);
}

/* Instructions have to run alone, because something is to be done between them. */
bool block_must_run_single(const struct cpu *c);

/* The block at c->rip; raises what fetching raises. single: of one instruction. */
struct block *block_find(struct cpu *c, bool single);

/* Takes the key and the code base from the CPU's mode; the run loop does so whenever it has the CPU. */
void block_mode(struct cpu *c);

/*
 * decode.c: fills b (room for BLOCK_MAX_OPS + 1 ops) from host bytes; avail: bytes that may be read. False: the first
 * instruction needs more bytes than there are.
 */
bool decode_block(struct cpu *c, struct block *b, const u8 *bytes, unsigned avail);
/* The same with one handler an instruction, whatever the debugger wants. */
bool decode_plain(struct cpu *c, struct block *b, const u8 *bytes, unsigned avail);
/* Formats the instruction for traces. */
void decode_format(const struct cpu *c, const u8 *bytes, unsigned n, u64 rip, char *out, size_t size);

struct code_cache *code_cache_new(struct machine *m);
/*
 * Decodes all blocks with code at this offset of any page once more, in place: the debugger's breakpoints changed.
 * To be called between blocks, or in a handler that uses nothing of its op afterwards but fn.
 */
void code_decode_again(struct machine *m, unsigned off);
/* Drops all translations, and nothing that virtual time depends on. Between blocks only. */
void code_translate_anew(struct cpu *c);

#endif
