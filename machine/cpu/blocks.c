// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The store of decoded blocks: found by physical address, dropped when their bytes are written. It is shared by all
 * CPUs; each CPU has a cache of its own from RIP to block.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "arch/x86.h"
#include "machine/core/config.h"
#include "machine/cpu/block.h"
#include "machine/jit/jit.h"

#define HASH_BITS 17
#define CHUNK_SHIFT 6 /* a code frame knows which of its 64-byte chunks hold code */
#define CROSSING_SLOTS 1024
#define MAX_BYTES 15

struct code_frame {
	u64 chunks;
	struct block *blocks;
};

/* A decoded instruction that crosses a page, good as long as its bytes are the same. */
struct crossing {
	u64 hpa;
	u8 key, n;
	u8 bytes[MAX_BYTES];
	struct block *block;
};

struct code_cache {
	struct block *hash[1u << HASH_BITS];
	struct code_frame *frames; /* one per RAM frame */
	u8 *arena;
	u64 used, size;
	struct crossing crossing[CROSSING_SLOTS];
};

struct code_cache *code_cache_new(struct machine *m)
{
	struct code_cache *cc;

	if (m->cpu[0] && m->cpu[0]->code)
		return m->cpu[0]->code;
	cc = calloc(1, sizeof(*cc));
	if (!cc)
		return NULL;
	cc->frames = calloc(m->bus.ram_size >> PAGE_SHIFT, sizeof(*cc->frames));
	cc->size = m->cfg && m->cfg->blocks ? m->cfg->blocks : CONFIG_BLOCKS;
	cc->arena = mmap(NULL, cc->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (!cc->frames || cc->arena == MAP_FAILED) {
		free(cc->frames);
		free(cc);
		return NULL;
	}
	return cc;
}

static size_t block_size(unsigned nops)
{
	return (sizeof(struct block) + nops * sizeof(struct op) + 15) & ~(size_t)15;
}

/* Makes sure that a block of any size fits; may drop everything. Only at boundaries. */
static struct block *arena_top(struct cpu *c)
{
	struct code_cache *cc = c->code;

	if (cc->used + block_size(BLOCK_MAX_OPS + 1) > cc->size)
		code_flush_all(c);
	return (struct block *)(cc->arena + cc->used);
}

static void arena_keep(struct cpu *c, struct block *b)
{
	c->code->used += block_size(b->insns + 1u);
	if (c->jit)
		jit_watch(c->jit, b);
}

static struct block **hash_slot(struct code_cache *cc, u64 hpa, u8 key)
{
	u64 h = (hpa ^ (u64)key << 40) * 0x9e3779b97f4a7c15ull;

	return &cc->hash[h >> (64 - HASH_BITS)];
}

static void new_generation(struct cpu *c)
{
	c->jump_tag += JUMP_GENERATION;
	c->patch = NULL;
}

void code_tlb_changed(struct cpu *c)
{
	new_generation(c);
}

static void all_new_generation(struct machine *m)
{
	for (unsigned i = 0; i < m->ncpus; i++)
		if (m->cpu[i])
			new_generation(m->cpu[i]);
}

static void forget_jumps(struct cpu *c)
{
	memset(c->jumps, 0, sizeof(*c->jumps) << JUMP_BITS);
	new_generation(c);
}

void code_flush_all(struct cpu *c)
{
	struct code_cache *cc = c->code;
	struct bus *bus = &c->m->bus;
	u64 frames = bus->ram_size >> PAGE_SHIFT;

	memset(cc->hash, 0, sizeof(cc->hash));
	memset(cc->crossing, 0, sizeof(cc->crossing));
	for (u64 f = 0; f < frames; f++) {
		if (!cc->frames[f].blocks)
			continue;
		cc->frames[f] = (struct code_frame){ 0 };
		bus->frame_flags[f] &= (u8)~FRAME_CODE;
	}
	cc->used = 0;
	if (c->jit)
		jit_clear(c->jit);
	for (unsigned i = 0; i < c->m->ncpus; i++)
		if (c->m->cpu[i])
			forget_jumps(c->m->cpu[i]);
	forget_jumps(c);
}

/* Chunks that the bytes [off, off + n) of a page touch. */
static u64 chunk_mask(unsigned off, unsigned n)
{
	unsigned first = off >> CHUNK_SHIFT, last = (off + n - 1) >> CHUNK_SHIFT;

	return bits(~0ull, last, first) << first;
}

static void frame_add(struct machine *m, struct code_cache *cc, u64 frame, struct block *b)
{
	struct code_frame *f = &cc->frames[frame];

	f->chunks |= chunk_mask(b->hpa & PAGE_OFFSET_MASK, b->len);
	b->frame_next = f->blocks;
	f->blocks = b;
	if (!(m->bus.frame_flags[frame] & FRAME_CODE)) {
		m->bus.frame_flags[frame] |= FRAME_CODE;
		mmu_frame_slow(m, frame);
	}
}

static void hash_remove(struct code_cache *cc, const struct block *b)
{
	struct block **p = hash_slot(cc, b->hpa, b->key);

	while (*p && *p != b)
		p = &(*p)->hash_next;
	if (*p)
		*p = b->hash_next;
}

static bool block_overlaps(const struct block *b, unsigned off, unsigned n)
{
	unsigned start = b->hpa & PAGE_OFFSET_MASK;

	return start < off + n && off < start + b->len;
}

/* Takes the blocks that overlap the bytes out of the hash; returns how many. */
static unsigned kill_blocks(struct code_cache *cc, const struct code_frame *f, unsigned off, unsigned n)
{
	unsigned killed = 0;

	for (struct block *b = f->blocks; b; b = b->frame_next) {
		if (!block_overlaps(b, off, n))
			continue;
		hash_remove(cc, b);
		b->dead = true;
		killed++;
	}
	return killed;
}

/*
 * Rebuilds the frame's list without the killed blocks. Links stay inside a page, so dropping all of the frame's is
 * enough.
 */
static void frame_rebuild(struct code_frame *f, unsigned off, unsigned n)
{
	struct block *next, *keep = NULL;
	u64 chunks = 0;

	for (struct block *b = f->blocks; b; b = next) {
		next = b->frame_next;
		b->link[0] = b->link[1] = NULL;
		jit_unlink(b);
		if (block_overlaps(b, off, n))
			continue;
		b->frame_next = keep;
		keep = b;
		chunks |= chunk_mask(b->hpa & PAGE_OFFSET_MASK, b->len);
	}
	f->blocks = keep;
	f->chunks = chunks;
}

static void frame_written(struct machine *m, struct code_cache *cc, u64 frame, unsigned off, unsigned n)
{
	struct code_frame *f = &cc->frames[frame];
	unsigned killed;

	if (!(f->chunks & chunk_mask(off, n)))
		return;
	killed = kill_blocks(cc, f, off, n);
	if (!killed)
		return;
	frame_rebuild(f, off, n);
	stat_add(m, STAT_CODE_INVALIDATIONS, killed);
	if (!f->blocks)
		m->bus.frame_flags[frame] &= (u8)~FRAME_CODE;
	all_new_generation(m);
}

void code_written(struct machine *m, u64 frame, unsigned off, unsigned n)
{
	struct code_cache *cc = m->cpu[0] ? m->cpu[0]->code : NULL;

	if (cc && n && cc->frames[frame].chunks)
		frame_written(m, cc, frame, off, n);
}

bool code_hits_running(struct cpu *c, const struct op *o, u64 frame, unsigned off, unsigned n)
{
	const struct block *b = c->block;
	const u8 *host;

	if (!b || !o || b->temporary || o < b->ops || o >= b->ops + b->insns)
		return false;
	host = bus_ram(&c->m->bus, (hpa_t){ b->hpa });
	if (!host || bus_frame(&c->m->bus, host) != frame || (unsigned)(o - b->ops) + 1 == b->insns)
		return false;
	return block_overlaps(b, off, n);
}

/* In the mode that the block was decoded in, whatever mode the CPU is in now. */
static void decode_again(struct cpu *c, struct block *b, const u8 *bytes, unsigned avail)
{
	static const u8 sizes[] = { [KEY_SIZE16] = 16, [KEY_SIZE32] = 32, [KEY_SIZE64] = 64 };
	u8 size = c->code_size, key = c->code_key;

	c->code_size = sizes[b->key & 3];
	c->code_key = b->key;
	decode_block(c, b, bytes, avail);
	c->code_size = size;
	c->code_key = key;
}

void code_decode_again(struct machine *m, unsigned off)
{
	struct cpu *c = m->cpu[0];
	struct code_cache *cc = c->code;

	for (u64 f = 0; f < m->bus.ram_size >> PAGE_SHIFT; f++)
		for (struct block *b = cc->frames[f].blocks; b; b = b->frame_next)
			if (block_overlaps(b, off, 1))
				decode_again(c, b, bus_ram(&m->bus, (hpa_t){ b->hpa }), PAGE_SIZE - (b->hpa & PAGE_OFFSET_MASK));
	for (unsigned i = 0; i < CROSSING_SLOTS; i++) {
		struct crossing *x = &cc->crossing[i];

		if (x->block && (x->hpa & PAGE_OFFSET_MASK) == off)
			decode_again(c, x->block, x->bytes, MAX_BYTES);
	}
}

void code_translate_anew(struct cpu *c)
{
	struct machine *m = c->m;
	struct code_cache *cc = c->code;

	for (u64 f = 0; f < m->bus.ram_size >> PAGE_SHIFT; f++)
		for (struct block *b = cc->frames[f].blocks; b; b = b->frame_next) {
			decode_again(m->cpu[0], b, bus_ram(&m->bus, (hpa_t){ b->hpa }), PAGE_SIZE - (b->hpa & PAGE_OFFSET_MASK));
			jit_watch(c->jit, b);
		}
	jit_clear(c->jit);
	for (unsigned i = 0; i < m->ncpus; i++)
		for (unsigned k = 0; k < 1u << JUMP_BITS; k++)
			if (m->cpu[i]->jumps[k].block)
				m->cpu[i]->jumps[k].entry = m->cpu[i]->jumps[k].block->entry;
}

static u64 fetch_lin(const struct cpu *c)
{
	u64 lin = c->code_base + c->rip;

	return c->code_size == 64 ? lin : (u32)lin;
}

/*
 * The bytes of an instruction that starts at hpa and goes on in the next page, or that is not in RAM. Returns how
 * many.
 */
static unsigned fetch_bytes(struct cpu *c, u64 lin, hpa_t hpa, u8 *buf)
{
	hpa_t page = hpa;

	for (unsigned i = 0; i < MAX_BYTES; i++) {
		u64 at = lin + i;
		const u8 *host;

		if (i && !(at & PAGE_OFFSET_MASK))
			page = mmu_fetch(c, c->code_size == 64 ? at : (u32)at);
		else
			page.v = hpa.v & ~PAGE_OFFSET_MASK;
		hpa.v = (page.v & ~PAGE_OFFSET_MASK) | (at & PAGE_OFFSET_MASK);
		host = bus_ram(&c->m->bus, hpa);
		buf[i] = host ? *host : (u8)bus_mmio_read(c->m, c, hpa, 1);
	}
	return MAX_BYTES;
}

static void block_init(struct block *b, u64 hpa, u8 key)
{
	memset(b, 0, sizeof(*b));
	b->hpa = hpa;
	b->key = key;
}

static struct block *find_crossing(struct cpu *c, u64 lin, hpa_t hpa, u8 key)
{
	struct code_cache *cc = c->code;
	struct crossing *x = &cc->crossing[(hpa.v >> PAGE_SHIFT) & (CROSSING_SLOTS - 1)];
	u8 bytes[MAX_BYTES];
	struct block *b;

	fetch_bytes(c, lin, hpa, bytes);
	if (x->block && x->hpa == hpa.v && x->key == key && !memcmp(x->bytes, bytes, MAX_BYTES))
		return x->block;
	b = arena_top(c);
	block_init(b, hpa.v, key | KEY_SINGLE);
	b->temporary = true;
	decode_block(c, b, bytes, MAX_BYTES);
	arena_keep(c, b);
	x->hpa = hpa.v;
	x->key = key;
	memcpy(x->bytes, bytes, MAX_BYTES);
	x->block = b;
	return b;
}

static struct block *new_block(struct cpu *c, u64 lin, hpa_t hpa, u8 key)
{
	const u8 *host = bus_ram(&c->m->bus, hpa);
	struct block *b, **slot;

	if (!host)
		return find_crossing(c, lin, hpa, key & ~KEY_SINGLE);
	b = arena_top(c);
	block_init(b, hpa.v, key);
	if (!decode_block(c, b, host, PAGE_SIZE - (hpa.v & PAGE_OFFSET_MASK)))
		return find_crossing(c, lin, hpa, key & ~KEY_SINGLE);
	arena_keep(c, b);
	slot = hash_slot(c->code, hpa.v, key);
	b->hash_next = *slot;
	*slot = b;
	frame_add(c->m, c->code, bus_frame(&c->m->bus, host), b);
	return b;
}

static struct block *find_physical(struct cpu *c, u64 lin, hpa_t hpa, u8 key)
{
	struct block *b = *hash_slot(c->code, hpa.v, key);

	while (b && (b->hpa != hpa.v || b->key != key))
		b = b->hash_next;
	return b ? b : new_block(c, lin, hpa, key);
}

/* SDM 3A "Limit Checking": every byte of an instruction lies within CS. */
static struct block *check_limit(struct cpu *c, struct block *b, u64 lin, hpa_t hpa)
{
	u32 limit = c->seg[CS].limit;

	if (c->rip <= limit && b->len - 1u <= limit - c->rip)
		return b;
	if (c->rip > limit)
		cpu_raise_err(c, NULL, VEC_GP, 0);
	b = find_physical(c, lin, hpa, c->code_key | KEY_SINGLE);
	if (b->len - 1u > limit - c->rip)
		cpu_raise_err(c, NULL, VEC_GP, 0);
	return b;
}

const struct op *block_link(struct cpu *c, unsigned n, u64 rip)
{
	struct block *b = block_cached(c, rip);

	if (unlikely(b == NULL)) {
		c->patch = &c->block->link[n];
		return block_missed(c, rip);
	}
	if (block_may_link(c, c->block, rip + c->code_base, b))
		c->block->link[n] = b;
	return block_enter(c, b, rip);
}

struct block *block_next(struct cpu *c, u64 rip)
{
	struct block *b;

	c->rip = rip;
	c->unspent = 0;
	c->unretired = 0;
	if (c->pending || c->budget <= 0)
		return NULL;
	b = block_find(c, false);
	c->patch = NULL;
	return b;
}

const struct op *block_missed(struct cpu *c, u64 rip)
{
	struct block *b = block_next(c, rip);

	return b ? block_enter(c, b, rip) : NULL;
}

const struct op *block_go(struct cpu *c)
{
	struct block *b;

	if (unlikely(c->pending) || block_must_run_single(c) || c->activity != ACTIVE)
		return op_leave(c);
	block_mode(c);
	b = block_cached(c, c->rip);
	if (!b)
		return block_missed(c, c->rip);
	c->unspent = 0;
	c->unretired = 0;
	return block_enter(c, b, c->rip);
}

static void remember(struct cpu *c, u64 lin, struct block *b)
{
	struct jump_entry *j = jump_slot(c, lin);

	if (b->temporary)
		return;
	if (c->patch && block_may_link(c, c->block, lin, b))
		*c->patch = b;
	j->lin = lin;
	j->tag = c->jump_tag;
	j->block = b;
	j->entry = b->entry;
}

/* A jump entry of an earlier generation often still tells the truth. */
static bool same_block(const struct block *b, hpa_t hpa, u8 key)
{
	return b && !b->dead && b->hpa == hpa.v && b->key == key;
}

struct block *block_find(struct cpu *c, bool single)
{
	u64 lin = fetch_lin(c);
	struct jump_entry *j = jump_slot(c, lin);
	struct block *b;
	hpa_t hpa;

	if (!single && j->lin == lin && j->tag == c->jump_tag)
		return j->block;
	hpa = mmu_fetch(c, lin);
	if (!single && j->lin == lin && same_block(j->block, hpa, c->code_key))
		b = j->block;
	else
		b = find_physical(c, lin, hpa, c->code_key | (single ? KEY_SINGLE : 0));
	if (c->code_key & KEY_LIMIT)
		return check_limit(c, b, lin, hpa);
	if (!single)
		remember(c, lin, b);
	return b;
}

void block_mode(struct cpu *c)
{
	u8 key = c->code_size == 64 ? KEY_SIZE64 : c->code_size == 32 ? KEY_SIZE32 : KEY_SIZE16;

	if (!(c->cr0 & CR0_PE) || (c->eflags & EFLAGS_VM))
		key |= KEY_REAL;
	if (c->code_size != 64 && c->seg[CS].limit != 0xffffffffu)
		key |= KEY_LIMIT;
	c->code_key = key;
	c->code_base = c->code_size == 64 ? 0 : c->seg[CS].base;
	c->jump_tag = (c->jump_tag & ~0xffull) | key | (c->cpl == 3 ? KEY_USER : 0);
}
