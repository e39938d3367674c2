/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The architectural TLB and the other translation caches of one CPU. Their hits and misses decide what a translation
 * costs, so they are part of the machine's definition; struct tlb_fast is only a shortcut to what is here.
 *
 * Every cached translation carries a key. A context (VPID, EPT, PCID) has a key for its own translations, a group
 * (VPID, EPT) one for its global pages. Flushing a context gives it a new key, and what it had cached matches no more:
 * O(1).
 */
#ifndef OOH_MACHINE_MMU_STATE_H
#define OOH_MACHINE_MMU_STATE_H

#include "arch/paging.h"
#include "machine/core/types.h"
#include "machine/cpu/cpu.h"
#include "machine/mmu/mmu.h"

#define TLB_LARGE 64     /* entries for pages above 4 KiB */
#define TLB_CONTEXTS 32  /* contexts whose translations can be cached at a time */
#define PDE_CACHE 64     /* paging-structure cache: entries that point to a last-level table */
#define PDPTE_CACHE 16   /* … to a table of the level above */
#define EPT_TLB 256      /* guest-physical translations, 4 KiB */
#define EPT_TLB_LARGE 64 /* guest-physical translations of larger pages, in pieces of 2 MiB */
#define FETCH_HASHES 4096
#define EPT_PDE_CACHE 32 /* EPT entries that point to a last-level table */
#define SPP_CACHE 64     /* sub-page permission vectors of cached translations */

/*
 * tlb_entry.perm: what is known of the page, from guest paging and from EPT. Without EPT the latter are all set. TP_EX
 * is the right that applies to the page's linear address: with mode-based execute control there are two.
 */
#define TP_U  0x01 /* user-mode address */
#define TP_W  0x02
#define TP_X  0x04
#define TP_D  0x08 /* the guest's dirty flag was seen set, or is not used */
#define TP_ER 0x10 /* EPT: read, write, execute */
#define TP_EW 0x20
#define TP_EX 0x40
#define TP_ED 0x80 /* EPT's dirty flag was seen set, or is not used */
#define TP_SPP 0x100 /* EPT allows no write, but sub-page permissions may */
#define TP_KEY_SHIFT 9 /* and above: 1 + protection key of a user-mode address, 0 where there is none */
#define TP_EPT_ALL (TP_ER | TP_EW | TP_EX | TP_ED)

/* One translation of a 4 KiB piece. key 0: empty. A cleared flag in memory is not noticed: software has to flush. */
struct tlb_entry {
	u64 page;   /* linear address */
	u64 hpa;
	u8 *host;   /* NULL: not RAM */
	u32 key;
	u16 perm;   /* TP_* */
	u8 gshift;  /* log2 of the size of the guest's page: INVLPG drops all pieces of it */
	u8 shift;   /* log2 of what is translated (the smaller one of guest page and EPT page) */
};

/* Which 128-byte pieces of a page with TP_SPP can be written. Counts only beside the tlb_entry of the same page, key. */
struct spp_entry {
	u64 page;
	u32 key;
	u32 writable; /* bit n: sub-page n */
};

/* Where a walk may start below the root. */
struct psc_entry {
	u64 tag;    /* linear address >> shift */
	u64 table;  /* guest-physical address of the table */
	u32 key;
	u8 perm;    /* TP_U, TP_W, TP_X of the entries above */
};

struct ept_entry {
	u64 gpa;    /* page, or 2 MiB piece */
	u64 hpa;    /* what it is translated to; of the cached tables: the table */
	u64 root;   /* EP4TA, with bit 0 set; 0: empty */
	u8 perms;   /* EP_* */
	u8 shift;
	bool spp;   /* EPT_SPP counts: writes that perms do not allow may be allowed by piece */
	bool dirty; /* EPT's dirty flag was seen set, or is not used */
};

/* What tells contexts apart. */
struct ctx_id {
	u64 ept;    /* EP4TA with bit 0 set, 0 without EPT */
	u64 apic;   /* APIC-access page, ~0 without one: it is reached through entries without a host address */
	u16 vpid;
	u16 pcid;
	bool paging;
};

struct tlb_ctx {
	struct ctx_id id;
	bool used;
	u32 key;      /* of its own translations */
	u32 gkey;     /* of its group's global translations */
	u32 psc_key;  /* of its paging-structure-cache entries */
	u16 fast;     /* its number in the fast tags, valid while … */
	u32 fast_epoch; /* … this is the current epoch, */
	u64 fast_cfg; /* and CR0, CR4, EFER and PKRU say the same about permissions, */
	u64 root;     /* and CR3 names the same root */
};

/* What an access needs of a page (TP_*), what it must not find, and the protection keys (by TP_KEY) that forbid it. */
struct rights {
	u16 need, forbid;
	u32 keys;
};

struct pt_format;

struct mmu_state {
	/* Read on each slow access. */
	u32 key, gkey; /* of the current context */
	struct rights rights[MMU_MODES][3]; /* by mode and enum mmu_access */
	bool align_check;        /* CPL 3, CR0.AM and EFLAGS.AC */
	struct tlb_entry tlb[TLB_SIZE];

	const struct pt_format *fmt; /* NULL: paging is off */
	struct tlb_ctx *cur;
	struct tlb_ctx ctx[TLB_CONTEXTS];
	unsigned victim;
	u32 serial;      /* last key given out */
	u32 fast_epoch;
	u16 fast_next;
	u64 cfg;         /* CFG_* now; above them PKRU, if it counts */

	struct tlb_entry large[TLB_LARGE];
	u16 pieces[3][64]; /* live 4 KiB pieces of larger guest pages, by size and address hash: may be too high */
	struct psc_entry pde[PDE_CACHE];
	struct psc_entry pdpte[PDPTE_CACHE];
	struct ept_entry ept[EPT_TLB];
	struct ept_entry ept_large[EPT_TLB_LARGE];
	struct ept_entry ept_pde[EPT_PDE_CACHE];
	struct spp_entry spp[SPP_CACHE];
	u64 ept_cap;     /* IA32_VMX_EPT_VPID_CAP, read at the first use of EPT */

	/*
	 * Pages that instructions may have been fetched from since decoded code last lost its addresses
	 * (code_tlb_changed): a set of hashes, so that dropping the translation of a data page need not disturb it.
	 */
	u64 fetched[FETCH_HASHES / 64];

	/* What c->ctx and the tables above were computed from. */
	u64 cr0, cr3, cr4, efer, eptp, apic;
	u32 pkru;
	u16 vpid;
	bool ept_on;

	u8 filled[TLB_SIZE]; /* modes whose fast entry of this index may have tags: a bit each */
	struct tlb_fast *none; /* always empty: in use while every access has to be checked for alignment */
};

#define CFG_WP   0x01
#define CFG_SMEP 0x02
#define CFG_SMAP 0x04
#define CFG_PG   0x08

/* The result of a walk. */
struct walk {
	u64 hpa;     /* of the 4 KiB page */
	u16 perm;
	u8 gshift, shift;
	bool global;
	u32 spp_writable; /* sub-pages that are known to be writable */
};

/* The translation for n bytes at lin, within a page: walks, sets flags, charges; raises #PF or exits on failure. */
void walk_linear(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a, enum mmu_mode mode,
		 struct walk *w);

/*
 * quick.c: the usual walk: a page of 4 KiB whose page table the paging-structure cache has. Charges and installs what
 * walk_linear() would; NULL, and nothing has happened, where that has to do it.
 */
struct tlb_entry *walk_quick(struct cpu *c, u64 lin, enum mmu_access a, enum mmu_mode mode);

/*
 * flush.c: SDM 3A "Invalidation of TLBs and Paging-Structure Caches": what a page fault or an EPT violation drops for
 * its address.
 */
void mmu_forget_faulting(struct cpu *c, u64 lin);

/*
 * Permissions of EPT entries as a violation's qualification reports them (from its bit 3 on): EPT_R, EPT_W, EPT_X, and
 * with mode-based execute control the right to fetch from user-mode linear addresses, which EPT_X then is not.
 */
#define EP_UX 0x08

/* A guest-physical access: what for, and how a violation is to be reported. */
struct ept_access {
	u8 rwx;          /* EPT_R, EPT_W, EPT_X bits that are needed; reported as the access */
	bool lin_valid;
	bool translated; /* of the linear address itself, not of a paging-structure entry */
	u64 lin;
	u8 guest;        /* translated: TP_U, TP_W and TP_X of the linear address */
	unsigned n;      /* translated: bytes accessed; a write of them is subject to sub-page permissions */
};
struct ept_result {
	u64 hpa;   /* of the address given */
	u8 perms;  /* EP_* */
	u8 shift;
	bool dirty;
	bool spp;  /* writes may be allowed by sub-page permissions; */
	u32 spp_writable; /* these, if they were looked up */
};
/* Translates under the current EPTP; exits with a violation or misconfiguration. */
void ept_translate(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a, struct ept_result *r);
/* The same without any effect, for mmu_peek. */
bool ept_peek(struct machine *m, u64 eptp, gpa_t gpa, hpa_t *out);
/* The permission that a fetch needs, by the linear address's TP_U: with mode-based execute control there are two. */
static inline u8 ept_fetch_right(const struct cpu *c, u8 guest)
{
	return c->vmx.mbec && (guest & TP_U) ? EP_UX : EPT_X;
}
/* spp.c: the sub-page permissions of gpa's page, bit n for sub-page n; exits if the table does not say. */
u32 spp_lookup(struct cpu *c, const struct op *o, gpa_t gpa, const struct ept_access *a);
/* The same without any effect, for debuggers; false if the table does not say. */
bool spp_peek(struct machine *m, u64 spptp, gpa_t gpa, u32 *writable);
void ept_flush(struct mmu_state *s);
void ept_flush_root(struct mmu_state *s, u64 root);
/* After an EPT violation: nothing cached may make it recur. */
void ept_forget(struct mmu_state *s, u64 root, u64 gpa);

/* tlb.c */
void tlb_note_fetch(struct mmu_state *s, const struct tlb_entry *e);
void tlb_fetch_stale(struct cpu *c, u64 lin); /* the page around lin may be translated anew: so must fetches from it */
struct tlb_entry *tlb_find(struct mmu_state *s, u64 page);
struct tlb_entry *tlb_find_large(struct mmu_state *s, u64 lin, const struct rights *r);
/* e's page, if cached sub-page permissions allow the write of n bytes at lin that e itself does not. */
bool tlb_spp_allows(const struct mmu_state *s, const struct tlb_entry *e, u64 lin, unsigned n, const struct rights *r);
struct tlb_entry *tlb_install(struct cpu *c, u64 lin, const struct walk *w);
struct tlb_entry *tlb_install_piece(struct cpu *c, const struct tlb_entry *large, u64 lin);
void tlb_drop_address(struct cpu *c, u64 lin, u32 key, u32 gkey);
void tlb_fast_clear(struct cpu *c);
void tlb_fast_drop(struct cpu *c, u64 page);

/* context.c */
u32 mmu_new_key(struct cpu *c);
void mmu_activate(struct cpu *c); /* c->ctx and keys from the current context, after its keys or id changed */

static inline bool perm_ok(u16 perm, const struct rights *r)
{
	return (perm & r->need) == r->need && !(perm & r->forbid) && !(r->keys >> (perm >> TP_KEY_SHIFT) & 1);
}

/* The sub-pages that n bytes at an address touch, within its page: a bit each. */
static inline u32 spp_touched(u64 address, unsigned n)
{
	unsigned first = (unsigned)bits(address, 11, 7), last = (unsigned)bits(address + n - 1, 11, 7);

	return (u32)(((2ull << last) - 1) & ~((1ull << first) - 1));
}

/* Guest-physical translations of pages and of 2 MiB pieces. */
static inline struct ept_entry *ept_slot_4k(struct mmu_state *s, u64 gpa)
{
	return &s->ept[(gpa >> PAGE_SHIFT) % EPT_TLB];
}

static inline struct ept_entry *ept_slot_large(struct mmu_state *s, u64 gpa)
{
	return &s->ept_large[(gpa >> PAGE_SHIFT_2M) % EPT_TLB_LARGE];
}

static inline bool ept_covers(const struct ept_entry *e, u64 root, u64 gpa, unsigned shift)
{
	return e->root == root && e->gpa == gpa >> shift << shift;
}

static inline const struct ept_entry *ept_cached(struct mmu_state *s, u64 root, u64 gpa, u8 need)
{
	const struct ept_entry *found[2] = { ept_slot_4k(s, gpa), ept_slot_large(s, gpa) };

	for (unsigned i = 0; i < 2; i++) {
		const struct ept_entry *e = found[i];

		if (ept_covers(e, root, gpa, i ? PAGE_SHIFT_2M : PAGE_SHIFT) && !(need & ~e->perms) &&
		    (e->dirty || !(need & EPT_W)))
			return e;
	}
	return NULL;
}

static inline u64 ept_entry_address(const struct ept_entry *e, u64 gpa)
{
	unsigned shift = e->shift == PAGE_SHIFT ? PAGE_SHIFT : PAGE_SHIFT_2M;

	return e->hpa | (gpa & ((1ull << shift) - 1));
}

/* EP4TA as contexts and caches name it. */
static inline u64 ept_root_id(u64 eptp)
{
	return (eptp & 0x000ffffffffff000ull) | 1;
}

#endif
