/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the translator's files share: registers, thunks, the state of a translation in the making. */
#ifndef OOH_MACHINE_JIT_STATE_H
#define OOH_MACHINE_JIT_STATE_H

#include "machine/cpu/block.h"
#include "machine/cpu/flags.h"
#include "machine/cpu/lower.h"
#include "machine/jit/asm.h"
#include "machine/jit/jit.h"

/*
 * Host registers. Eleven guest registers live in host registers as long as translated code runs, the others in
 * cpu.gpr. RBP points into struct cpu, so that one byte of displacement reaches its first 256 bytes; RAX, R14 and R15
 * are scratch (RAX: LAHF and SETO want it).
 */
#define CPU_BIAS 128
#define HCPU HBP
#define T0 HAX
#define T1 H14
#define T2 H15

#define CPU(member) rm_mem(HCPU, (s32)offsetof(struct cpu, member) - CPU_BIAS)

extern const s8 jit_home[16]; /* host register of a guest register, -1: memory */

static inline struct rm guest_mem(unsigned g)
{
	return rm_mem(HCPU, (s32)(offsetof(struct cpu, gpr) + 8 * g) - CPU_BIAS);
}

static inline struct rm guest(unsigned g)
{
	return g < 16 && jit_home[g] >= 0 ? rm_reg((unsigned)jit_home[g]) : guest_mem(g);
}

/* Entry points that all translations share. Addresses in the executable alias. */
enum thunk {
	THUNK_ENTER,   /* an op_fn: from the interpreter into the block's translation */
	THUNK_INTERP,  /* go on in the interpreter with block R15 at its place in cpu.page_rip */
	THUNK_OUT,     /* an event is due before the block at page offset EAX */
	THUNK_CALL,    /* run op R14 of block R15 by its handler RAX, and return */
	THUNK_CALL_FLAGS, /* the same; the flags afterwards are in the host's flags */
	THUNK_TAIL,    /* leave for the handler, which ends the block */
	THUNK_REST,    /* run block R15 from op R14 on by handlers */
	THUNK_EXIT,    /* leave block R15 by its link EAX */
	THUNK_JUMP,    /* go on at RIP RAX, canonical, which the jump cache does not know */
	THUNK_FLAGS,   /* cc_* become CC_HOST */
	THUNK_COUNT
};

struct translation {
	const u8 *body;      /* executable address: after the charge */
	u8 *site[2];         /* displacement of the jump for link n (writable alias), or NULL */
	const u8 *stub[2];   /* where it goes while there is no link (writable alias) */
	u8 *entry, *loop;    /* writable alias. loop: NULL, or where a branch to itself goes */
	u32 rests;           /* how often handlers did the rest of the block */
	bool grouped;        /* some accesses rely on the look-up of others */
	op_fn *handler[];    /* of each op, and of the block's end */
};

struct jit {
	u8 *rw, *rx;         /* two aliases of the same memory */
	u64 size;            /* … its bytes */
	size_t used, thunks; /* bytes */
	size_t cold, cold_from; /* where what seldom runs ends and begins: apart, so that the rest fills fewer lines */
	const u8 *thunk[THUNK_COUNT]; /* writable alias */
	u8 *data;            /* translations */
	size_t data_used;
	bool full;
	unsigned hot;        /* entries that make a block worth translating */
};

static inline const u8 *jit_exec(const struct jit *j, const u8 *rw)
{
	return rw - j->rw + j->rx;
}

void thunks_make(struct jit *j);

/* How flags can be had again from registers that still hold what they were computed from. */
struct lazy {
	enum { LAZY_NONE, LAZY_CMP, LAZY_TEST, LAZY_ADD, LAZY_SUB } kind;
	u8 size, a;
	s8 b;   /* guest register; -1: imm */
	s32 imm;
};

/* Where the guest's flags are at a point of the translation; several may hold. None: nobody wants them. */
struct flags_at {
	bool mem, host;
	bool mem_host; /* cc_op is known to be CC_HOST */
	struct lazy lazy;
};

/* Which vector registers of the guest are in the host's of the same number. */
struct vectors_at {
	u16 cached, dirty; /* dirty: the guest's in struct cpu are old */
	u16 wide;          /* 32 bytes of them */
	bool upper;        /* the host's upper halves are not clean */
	bool mxcsr;        /* the host's MXCSR is the guest's */
};

enum cold_kind {
	COLD_CALL,       /* the op by its handler, then back */
	COLD_CALL_FLAGS,
	COLD_TAIL,       /* the op by its handler, which ends the block */
	COLD_LINK,       /* link n is not set */
	COLD_EXIT,       /* the same where the jump cannot be linked */
	COLD_FAR,        /* link n leads to another page */
	COLD_JUMP,       /* the jump cache knows nothing of RIP T0; if that is canonical RSP moves by `far`, then on there */
	COLD_PAGE,       /* not the page of the last time: a look-up, then back. The next one is what to do on a miss */
	COLD_OUT,        /* an event is due */
	COLD_FLAGS,      /* cc_* in the translator's form, then back */
};

struct cold {
	u8 *from, *also;  /* displacements to patch; NULL */
	const u8 *resume; /* NULL: does not come back */
	u16 op;
	u8 kind;          /* enum cold_kind */
	u8 n;
	s64 far;          /* of COLD_FAR: offset from the block's page; of COLD_JUMP */
	bool rest;        /* of COLD_CALL: handlers do the rest of the block, too */
	struct flags_at fl;
	struct vectors_at vec, after; /* where the op may be left; after it */
};

#define MAX_COLD (BLOCK_MAX_OPS * 6 + 16)

/* What is known of an op before code is made: plan.c. */
struct plan {
	ZydisDecodedInstruction insn;
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	const struct emitter *emitter; /* NULL: the handler does it */
	bool vector;
	/* Of its access. The page that group g's first member looks up is for bytes lo to hi, from that one's address on. */
	bool leads, follows, write;
	bool rest;   /* what follows relies on such a look-up: no coming back from C */
	u8 group;
	s8 site;     /* of a loop: remembers its page under this number; -1: does not */
	s16 lo, hi;
};

/* A translation in the making. */
struct tr {
	struct cpu *c;
	struct jit *j;
	struct block *b;
	const struct block *plain; /* the block decoded again, without fusing */
	struct translation *t;
	struct asm_buf a;
	unsigned i;                /* the op now */
	const struct op *o;        /* its plain form */
	const ZydisDecodedInstruction *insn;
	const ZydisDecodedOperand *ops;
	struct flags_at fl;
	bool need_read[BLOCK_MAX_OPS + 1]; /* after op i: flags are read in the block before all are set anew */
	bool need_seen[BLOCK_MAX_OPS + 1]; /* … or may be seen: by a fault, a handler, the block's end */
	u8 effect[BLOCK_MAX_OPS + 1];      /* EFFECT_* */
	unsigned ncold;
	struct vectors_at vec;
	bool sse_checked, avx_checked;
	unsigned sites;            /* the block is a loop in itself with so many accesses that remember their page */
	/* from here on not cleared */
	struct plan plan[BLOCK_MAX_OPS + 1];
	struct cold cold[MAX_COLD];
};

/* What an op does to flags. */
#define EFFECT_READS 0x01
#define EFFECT_KILLS 0x02   /* sets all six, whatever they were */
#define EFFECT_SEEN  0x04   /* may fault or call a handler: flags must be recoverable */
#define EFFECT_PART  0x08   /* sets some natively, and needs the others for that */
#define EFFECT_NO_ACCESS 0x10 /* though it names an operand in memory */

static inline bool flags_wanted(const struct tr *t)
{
	return t->need_read[t->i] || t->need_seen[t->i];
}

static inline unsigned block_offset(const struct tr *t)
{
	return t->b->hpa & PAGE_OFFSET_MASK;
}

/* translate.c, branch.c */
/* again: without groups, the block has a translation. */
bool translate(struct cpu *c, struct jit *j, struct block *b, struct translation *made, bool again);
void op_at(struct tr *t, unsigned i); /* op i is the one now */
struct cold *cold_add(struct tr *t, enum cold_kind kind, u8 *from, const u8 *resume, unsigned n);
/* Misses of the op now come back here; flags: with the flags in the host's. */
void op_done(struct tr *t, bool flags);
/* The rest of the block's way out by link n to RIP page offset `off` (of the block's page). from: a jump to it, or NULL. */
void exit_direct(struct tr *t, unsigned n, s64 off, u8 *from);
void exit_far(struct tr *t, unsigned n, s64 off);

/* flags.c */
void flags_to_mem(struct tr *t);   /* cc_* hold them */
void flags_to_host(struct tr *t);  /* the host's flags hold them; uses T0 only */
void flags_clobber(struct tr *t);  /* the host's flags are about to be lost */
/* The op now has left them in the host's flags, as the reference defines them. */
void flags_produced(struct tr *t, struct lazy lazy);
/* The op now was AND, OR, XOR or TEST: the host's flags but AF hold, and rm has the result. */
void flags_logic(struct tr *t, unsigned size, struct rm result);
void flags_only_mem(struct tr *t); /* cc_* have been stored as CC_HOST, or by a handler */
void flags_lazy_out(struct asm_buf *a, const struct lazy *l); /* cc_* from a lazy state, in a cold stub */
u32 flags_registers_written(const struct tr *t); /* by the op, a bit each */
void flags_before_write(struct tr *t); /* the op's register operands are about to be overwritten */
void flags_store_ax(struct asm_buf *a); /* AH and AL as of LAHF and SETO */
void flags_from_ax(struct tr *t);  /* the op's flags are in AH and AL */
void flags_in_ax(struct tr *t);    /* puts them there; cc_src has the same afterwards */

/* vector.c. Host code that stores what is dirty, and loads it again: for a detour into C. */
void vector_out(struct asm_buf *a, const struct vectors_at *v);
void vector_in(struct asm_buf *a, const struct vectors_at *v);
void vector_flush(struct tr *t); /* all are in struct cpu from now on; flags stay */

/* memory.c: T1 = host address of the explicit operand of `size` bytes; misses go to the handler. */
void mem_operand(struct tr *t, unsigned size, bool write);
void mem_address(struct tr *t, unsigned to); /* linear address of the explicit operand */
void mem_lookup(struct tr *t, unsigned size, bool write); /* linear address in T1 */
void mem_lookup_tail(struct tr *t, unsigned size, bool write); /* the same; misses leave for the handler */
void mem_page(struct tr *t, struct cold *x); /* COLD_PAGE */
void mem_forget(struct tr *t); /* no access remembers its page any more */
void mem_segment(struct tr *t); /* adds the segment's base to T1 */
bool mem_supported(const struct tr *t);

/*
 * How a mnemonic is translated: integer.c, shift.c, bits.c, system.c, branch.c, vector.c. `can` may refuse the operands:
 * the handler does it. It is asked before it is known whether flags are wanted.
 */
struct emitter {
	ZydisMnemonic mnem;
	u8 effect;
	bool (*can)(const struct tr *t);
	void (*emit)(struct tr *t);
};
const struct emitter *integer_find(const struct tr *t);
/* bytes.c: where one of two operands is AH, CH, DH or BH. */
bool bytes_high(const struct tr *t, unsigned i);
bool bytes_can(const struct tr *t);
void bytes_alu(struct tr *t, unsigned k); /* enum alu */
void bytes_mov(struct tr *t);
unsigned bytes_extended(struct tr *t);
const struct emitter *shift_find(const struct tr *t);
u8 shift_effect(const struct tr *t, u8 effect); /* by the operands */
const struct emitter *bits_find(const struct tr *t);
const struct emitter *system_find(const struct tr *t);
const struct emitter *branch_find(const struct tr *t);
const struct emitter *vector_find(const struct tr *t);
bool vector_float(const struct tr *t);      /* looks at MXCSR */
bool vector_may_refuse(const struct tr *t); /* for its alignment */

/* plan.c: groups, and t->effect of what cannot fault because of them. */
void plan_groups(struct tr *t);
void plan_sites(struct tr *t);

/* jit.c: called by thunks. */
struct block *jit_follow(struct cpu *c, unsigned n);
struct block *jit_jump(struct cpu *c, u64 rip);
const struct op *jit_rest(struct cpu *c, const struct op *o);
const struct op *jit_interpret(struct cpu *c, struct block *b, u64 rip);
void jit_cc_to_host(struct cpu *c);
u32 jit_host_flags(struct cpu *c);

#endif
