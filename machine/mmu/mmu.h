/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory as instructions see it: linear addresses in, bytes out, or a fault. The fast path is a compare against the
 * TLB; all the rest (walks in one and two dimensions, accessed and dirty flags, PML, MMIO, page crossings, code and
 * oracle pages) is in mmu_ld and friends.
 */
#ifndef OOH_MACHINE_MMU_MMU_H
#define OOH_MACHINE_MMU_MMU_H

#include "machine/core/types.h"

struct cpu;
struct op;
struct machine;
struct snap;

#define TLB_BITS 11
#define TLB_SIZE (1u << TLB_BITS)

/* Who accesses: selects the array that the fast path looks in. */
enum mmu_mode {
	MMU_USER,      /* CPL 3 */
	MMU_SUPER,     /* CPL 0-2 */
	MMU_SUPER_AC,  /* CPL 0-2 with SMAP off or EFLAGS.AC set */
	MMU_MODES
};

enum mmu_access { ACCESS_READ, ACCESS_WRITE, ACCESS_EXEC };

/*
 * One entry of the fast path. A tag is the page's linear address with the current context (12 bits: VPID, EPTP, PCID)
 * in its low bits, or ~0. A write tag is present only when every dirty flag on the way is set and the frame has no
 * FRAME_SLOW flag.
 */
struct tlb_fast {
	u64 tag_r, tag_w, tag_x;
	uintptr_t addend; /* host address = addend + linear address */
};

struct mmu_state; /* the architectural TLB and paging-structure caches: mmu room only */

static inline unsigned tlb_index(u64 lin)
{
	return (lin >> PAGE_SHIFT) & (TLB_SIZE - 1);
}

/*
 * Slow paths. o: the running op, or NULL when c->rip is already exact. They may raise #PF, #GP, #SS, #AC or a VM exit
 * (and then do not return). Sizes 1..8, any alignment; mmu_*_buf any size up to 4096, and nothing is stored unless all
 * of it can be.
 */
u64 mmu_ld(struct cpu *c, const struct op *o, u64 lin, unsigned size);
void mmu_st(struct cpu *c, const struct op *o, u64 lin, unsigned size, u64 val);
/* A load that also makes sure that a store to the same bytes cannot fault: the first half of read-modify-write. */
u64 mmu_ld_rmw(struct cpu *c, const struct op *o, u64 lin, unsigned size);
void mmu_ld_buf(struct cpu *c, const struct op *o, u64 lin, void *buf, unsigned n);
void mmu_st_buf(struct cpu *c, const struct op *o, u64 lin, const void *buf, unsigned n);
/* Only the checks of an access of n bytes (page faults, EPT violations), e.g. before a multi-part store. */
void mmu_probe(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a);
/*
 * The same with supervisor rights whatever the CPL (descriptor tables, TSS, IDT, stack switches): "implicit supervisor
 * access".
 */
u64 mmu_ld_sys(struct cpu *c, const struct op *o, u64 lin, unsigned size);
void mmu_st_sys(struct cpu *c, const struct op *o, u64 lin, unsigned size, u64 val);

/*
 * The bytes from lin to the end of its page, for rep string instructions to touch directly: host pointer, or NULL where
 * it must go element by element: no RAM, or permissions that differ within the page. Faults as an access of one byte
 * does. *avail: bytes to the page's end. What was written through the pointer is to be told by mmu_host_wrote (n > 0
 * bytes at p = the address for lin), so that what watches the frame sees it and yet changes no instruction's cost. o
 * must be the last op of its block.
 */
u8 *mmu_host(struct cpu *c, const struct op *o, u64 lin, enum mmu_access a, unsigned *avail);
void mmu_host_wrote(struct cpu *c, const struct op *o, u64 lin, const u8 *p, unsigned n);

/* The faults, exits and flags of a byte load without the load. Host pointer, NULL where it is no RAM. For MONITOR. */
const u8 *mmu_touch(struct cpu *c, const struct op *o, u64 lin);

/* Instruction fetch: host-physical address of lin (raises #PF etc. with the I/D flag). */
hpa_t mmu_fetch(struct cpu *c, u64 lin);

/*
 * A translation for debuggers, the oracle and dumps: no fault, no flag set, no charge. False if not mapped. cr3 as the
 * guest's CR3; levels: 4 or 5; ept: 0 or an EPT pointer.
 */
bool mmu_peek(struct machine *m, u64 cr3, unsigned levels, u64 ept, u64 lin, hpa_t *out, u64 *pte);

/* Levels of the running address space for mmu_peek(). */
unsigned mmu_levels(const struct cpu *c);

/*
 * Eight bytes at a guest-physical address, aligned, read as the CPU reads PAE page-directory-pointer entries: under EPT
 * a read that may exit, never one that sets a dirty flag.
 */
u64 mmu_ld_gpa(struct cpu *c, const struct op *o, gpa_t a);

/*
 * To call after anything that the current context or mode depends on changed: CR0, CR3, CR4, EFER, CPL, EFLAGS.AC,
 * VPID, EPTP.
 */
void mmu_update_mode(struct cpu *c);
/*
 * Flushes of the CPU's own context by MOV to CR or INVPCID charge TLB_FLUSH on top of the instruction's cost, which the
 * caller charges. INVEPT, INVVPID, VM entries and exits have the flush in their cost.
 * mmu_cr3_written: MOV to CR3, after c->cr3 is set (noflush: bit 63 of the source with CR4.PCIDE).
 */
void mmu_cr3_written(struct cpu *c, bool noflush);
/* Every context of the current VPID: CR0.PG, CR4.PGE/PAE/PCIDE/SMEP changes. */
void mmu_flush_all(struct cpu *c);
void mmu_flush_current(struct cpu *c, bool keep_global);
void mmu_invlpg(struct cpu *c, u64 lin);
/* SDM 3C "INVPCID": type 0..3. */
void mmu_invpcid(struct cpu *c, unsigned type, u16 pcid, u64 lin);
/* SDM 3C "INVVPID"/"INVEPT" after their operand checks. eptp/vpid as given. */
void mmu_invvpid(struct cpu *c, unsigned type, u16 vpid, u64 lin);
void mmu_invept(struct cpu *c, unsigned type, u64 eptp);
/* VM entry/exit without VPID: drop linear and combined mappings of VPID 0. */
void mmu_flush_vpid0(struct cpu *c);
/* A frame got a FRAME_SLOW flag: fast write tags to it go away (no architectural effect, no charge). */
void mmu_frame_slow(struct machine *m, u64 frame);
/* Drop all fast write tags (start of an oracle round); the architectural TLB stays. */
void mmu_drop_fast_writes(struct machine *m);

/* Drops everything, as after reset; no charge. For what lies elsewhere now: the local APIC's registers. */
void mmu_clear(struct cpu *c);

/*
 * Part of saving and of resuming: drops all that is cached on both sides, so that they go on alike. The registers are
 * restored first.
 */
void mmu_snap(struct cpu *c, struct snap *sn);

void mmu_init(struct cpu *c);

#endif
