/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the TLB holds, what drops it, and what it costs. */
#include <string.h>

#include "harness.h"

#define RW (PTE_P | PTE_RW)
#define OTHER 0x500000ull /* another frame */

static u64 costs_of(s64 before)
{
	return (u64)(before - env.c.budget);
}

static u64 cost(enum cost k)
{
	return env.m.costs->cycles[k];
}

static void start(void)
{
	env_reset();
	map_guest(12, RW, RW);
}

static void start_ept(bool pml)
{
	env_reset();
	map_guest(12, RW | PTE_A, RW | PTE_A | PTE_D);
	map_ept(12, EPT_RWX, true);
	env.c.vmx.pml = pml;
}

static void clear_bit_at(u64 at, u64 bit)
{
	phys_set(at, phys_get(at) & ~bit);
}

/* A cleared dirty flag is not noticed until software flushes: what a tracker that forgets to would miss. */
static void stale_guest_dirty(void **state)
{
	(void)state;
	start();
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_true(phys_get(PT) & PTE_D);
	clear_bit_at(PT, PTE_D);
	mmu_drop_fast_writes(&env.m); /* the fast path is not the reason */
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_false(phys_get(PT) & PTE_D);
	mmu_invlpg(&env.c, LIN);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_false(phys_get(PT) & PTE_D);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_true(phys_get(PT) & PTE_D);
}

static void stale_ept_dirty(void **state)
{
	(void)state;
	start_ept(true);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_true(phys_get(EPT_DATA) & EPT_D);
	clear_bit_at(EPT_DATA, EPT_D);
	env.logged = 0;
	/*
	 * Neither the linear nor the VPID's flushes drop guest-physical mappings: SDM 3C "Operations that Invalidate
	 * Cached Mappings"
	 */
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	mmu_invlpg(&env.c, LIN);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	mmu_flush_all(&env.c);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	mmu_invvpid(&env.c, INVVPID_ALL, 0, 0);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_false(phys_get(EPT_DATA) & EPT_D);
	assert_int_equal(env.logged, 0);
	mmu_invept(&env.c, INVEPT_SINGLE, env.c.vmx.eptp);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_true(phys_get(EPT_DATA) & EPT_D);
	assert_int_equal(env.logged, 1);
	assert_int_equal(env.log[0], DATA);
}

static void invept_of_another_root(void **state)
{
	(void)state;
	start_ept(true);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	clear_bit_at(EPT_DATA, EPT_D);
	mmu_invept(&env.c, INVEPT_SINGLE, 0x77000 | EPTP_WALK_4 | 6);
	mmu_invvpid(&env.c, INVVPID_SINGLE, 1, 0);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_false(phys_get(EPT_DATA) & EPT_D);
	mmu_invept(&env.c, INVEPT_ALL, 0);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_true(phys_get(EPT_DATA) & EPT_D);
}

/* The log comes before the flag; and when it is full nothing has happened. */
static void pml_before_dirty(void **state)
{
	(void)state;
	start_ept(true);
	env.log_entry = EPT_DATA;
	env.log_room = 4; /* the four guest tables */
	assert_int_equal(try_access(ACCESS_WRITE, LIN + 8, 8), LOG_FULL);
	assert_int_equal(env.logged, 4);
	assert_false(env.dirty_at_log || env.accessed_at_log);
	assert_int_equal(phys_get(EPT_DATA) & (EPT_A | EPT_D), 0);
	assert_int_equal(phys_get(DATA + 8), 0);
	env.logged = 0;
	assert_int_equal(try_access(ACCESS_WRITE, LIN + 8, 8), DONE);
	assert_int_equal(env.logged, 1);
	assert_int_equal(env.log[0], DATA);
	assert_false(env.dirty_at_log);
	assert_int_equal(phys_get(EPT_DATA) & (EPT_A | EPT_D), EPT_A | EPT_D);
	assert_int_equal(phys_get(DATA + 8), 0x0123456789abcdefull);
	phys_set(DATA + 8, 0);
}

/* A read that is followed by a write: the cached clean translation has to be walked again. */
static void read_then_write(void **state)
{
	(void)state;
	start_ept(true);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(phys_get(EPT_DATA) & (EPT_A | EPT_D), EPT_A);
	env.logged = 0;
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_int_equal(env.logged, 1);
	assert_int_equal(try_access(ACCESS_WRITE, LIN + 64, 8), DONE);
	assert_int_equal(env.logged, 1);
}

static void large_page_logs_once(void **state)
{
	(void)state;
	env_reset();
	map_guest(21, RW, RW);
	map_ept(21, EPT_RWX, true);
	env.c.vmx.pml = true;
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	env.logged = 0;
	assert_int_equal(try_access(ACCESS_WRITE, LIN + 0x5008, 8), DONE);
	assert_int_equal(try_access(ACCESS_WRITE, LIN + 0x9008, 8), DONE);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_int_equal(env.logged, 1);
	assert_int_equal(env.log[0], DATA + 0x5000);
}

/* The walker's own flag updates are writes to the table's frame. */
static void walker_dirties_tables(void **state)
{
	(void)state;
	env_reset();
	map_guest(12, RW, RW);
	map_ept(12, EPT_RWX, true);
	env.c.vmx.pml = true;
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_true(phys_get(EPT_LOW + PT / 512) & EPT_D);
	assert_int_equal(env.logged, 4);
	assert_int_equal(env.log[0], PML4);
	assert_int_equal(env.log[3], PT);
}

/* Global pages survive MOV to CR3 and serve every PCID of the VPID. */
static void globals(void **state)
{
	(void)state;
	start();
	env.c.cr4 |= CR4_PGE | CR4_PCIDE;
	phys_set(PT, phys_get(PT) | PTE_G);
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	phys_set(PT, 0);
	mmu_cr3_written(&env.c, false);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	env.c.cr3 = PML4 | 5;
	mmu_cr3_written(&env.c, false);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	mmu_invpcid(&env.c, 3, 0, 0);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	mmu_invpcid(&env.c, 0, 5, LIN);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	mmu_invpcid(&env.c, 2, 0, 0);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
	phys_set(PT, DATA | RW | PTE_G);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	phys_set(PT, 0);
	mmu_invlpg(&env.c, LIN);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
}

/* Without CR4.PGE the flag means nothing. */
static void not_global(void **state)
{
	(void)state;
	start();
	phys_set(PT, phys_get(PT) | PTE_G);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	phys_set(PT, 0);
	mmu_cr3_written(&env.c, false);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
}

/* Each PCID keeps its own translations, and is flushed alone. */
static void pcids(void **state)
{
	(void)state;
	start();
	env.c.cr4 |= CR4_PCIDE;
	for (u64 pcid = 1; pcid <= 2; pcid++) {
		env.c.cr3 = PML4 | pcid;
		mmu_cr3_written(&env.c, true);
		assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	}
	phys_set(PT, 0);
	for (u64 pcid = 1; pcid <= 2; pcid++) {
		env.c.cr3 = PML4 | pcid;
		mmu_cr3_written(&env.c, true);
		/* direct-mapped: the second one has evicted the first one's entry, not its right to be cached */
		assert_int_equal(try_access(ACCESS_READ, LIN, 8), pcid == 2 ? DONE : FAULT);
	}
	mmu_invpcid(&env.c, 1, 1, 0);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	mmu_invpcid(&env.c, 0, 2, LIN + PAGE_SIZE);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	mmu_invpcid(&env.c, 1, 2, 0);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
}

static void vpids(void **state)
{
	(void)state;
	start_ept(false);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	phys_set(PT, 0);
	mmu_invvpid(&env.c, INVVPID_SINGLE, 2, 0);
	mmu_invvpid(&env.c, INVVPID_ADDRESS, 2, LIN);
	mmu_invvpid(&env.c, INVVPID_ADDRESS, 1, LIN + PAGE_SIZE);
	mmu_flush_vpid0(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	mmu_invvpid(&env.c, INVVPID_ADDRESS, 1, LIN);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
	phys_set(PT, DATA | RW | PTE_G);
	env.c.cr4 |= CR4_PGE;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	phys_set(PT, 0);
	mmu_invvpid(&env.c, INVVPID_SINGLE_NONGLOBAL, 1, 0);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	mmu_invvpid(&env.c, INVVPID_SINGLE, 1, 0);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
}

/* Another EPT pointer under the same VPID: other combined mappings. */
static void other_ept(void **state)
{
	u64 root = 0x15000, eptp;

	(void)state;
	start_ept(false);
	eptp = env.c.vmx.eptp;
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	memset(env.m.bus.ram + root, 0, PAGE_SIZE);
	env.c.vmx.eptp = root | (eptp & 0xfff);
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), VIOLATION);
	env.c.vmx.eptp = eptp;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
}

/* A large guest page that EPT scatters: each 4 KiB piece is translated by itself. */
static void scattered_large_page(void **state)
{
	(void)state;
	env_reset();
	map_guest(21, RW | PTE_A, RW | PTE_A | PTE_D);
	map_ept(12, EPT_RWX, true);
	phys_set(EPT_DATA + 8, OTHER | 6 << EPT_MT_SHIFT | EPT_RWX);
	phys_set(DATA, 0x44);
	phys_set(OTHER, 0x55);
	assert_int_equal(ld64(&env.c, NULL, LIN), 0x44);
	assert_int_equal(ld64(&env.c, NULL, LIN + PAGE_SIZE), 0x55);
	phys_set(PD + 16, 0);
	assert_int_equal(ld64(&env.c, NULL, LIN), 0x44);
	mmu_invlpg(&env.c, LIN + 0x5000);
	assert_int_equal(try_access(ACCESS_READ, LIN + PAGE_SIZE, 8), FAULT);
}

/* Root operation (VPID 0) and the guest do not see each other's translations. */
static void entry_and_exit(void **state)
{
	(void)state;
	start_ept(false);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	phys_set(PT, 0);
	env.c.vmx.ept = env.c.vmx.nonroot = false;
	env.c.vmx.vpid = 0;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN + PAGE_SIZE, 8), FAULT);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
	env.c.vmx.ept = env.c.vmx.nonroot = true;
	env.c.vmx.vpid = 1;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(env.m.stat[STAT_TLB_FLUSHES], 0);
}

/* INVVPID for all contexts leaves VPID 0 alone. */
static void invvpid_spares_root(void **state)
{
	(void)state;
	start();
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	phys_set(PT, 0);
	mmu_invvpid(&env.c, INVVPID_ALL, 0, 0);
	mmu_invept(&env.c, INVEPT_ALL, 0);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	mmu_flush_vpid0(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
}

/* INVLPG drops the cached upper levels of its PCID, whatever the address. */
static void invlpg_drops_upper_levels(void **state)
{
	(void)state;
	start();
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	memset(env.m.bus.ram + 0x8000, 0, PAGE_SIZE);
	phys_set(0x8000 + 8, OTHER | RW);
	phys_set(PD + 16, 0x8000 | RW);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	mmu_invlpg(&env.c, LIN + 0x40000000);
	assert_int_equal(try_access(ACCESS_READ, LIN + PAGE_SIZE, 8), DONE);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
}

/* INVLPG drops every piece of a large page, whichever address of it is given, and the cached upper levels. */
static void invlpg_of_large_pages(void **state)
{
	static const unsigned shifts[] = { 21, 30 };

	(void)state;
	for (unsigned s = 0; s < 2; s++) {
		u64 leaf, second = LIN + 0x7000;

		env_reset();
		map_guest(shifts[s], RW, RW);
		leaf = phys_get(guest_leaf_at(shifts[s]));
		assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
		assert_int_equal(try_access(ACCESS_READ, second, 8), DONE);
		assert_int_equal(env.m.stat[STAT_TLB_MISSES], 1); /* the second piece came from the large entry */
		phys_set(guest_leaf_at(shifts[s]), 0);
		assert_int_equal(try_access(ACCESS_READ, second, 8), DONE);
		mmu_invlpg(&env.c, LIN + 0x13000);
		assert_int_equal(try_access(ACCESS_READ, second, 8), FAULT);
		assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
		phys_set(guest_leaf_at(shifts[s]), leaf);
		assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	}
}

/*
 * A page fault leaves nothing behind that could make it recur; but an old permissive translation stays until it is
 * flushed.
 */
static void fault_forgets(void **state)
{
	(void)state;
	start();
	phys_set(PT, DATA | PTE_P);
	env.c.cr0 |= CR0_WP;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), FAULT);
	assert_int_equal(env.event.error, PFEC_P | PFEC_W);
	phys_set(PT, DATA | RW);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	phys_set(PT, DATA | PTE_P | PTE_A);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE); /* stale */
	mmu_flush_current(&env.c, true);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), FAULT);
	/* the fault dropped what reads had used, too */
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), FAULT);
	phys_set(PT, 0);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
}

/* The same for EPT: a violation drops the guest-physical translation, a stale permissive one stays until INVEPT. */
static void violation_forgets(void **state)
{
	(void)state;
	start_ept(false);
	clear_bit_at(EPT_DATA, EPT_W);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), VIOLATION);
	phys_set(EPT_DATA, phys_get(EPT_DATA) | EPT_W);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	clear_bit_at(EPT_DATA, EPT_W);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	mmu_invvpid(&env.c, INVVPID_SINGLE, 1, 0);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	mmu_invept(&env.c, INVEPT_SINGLE, env.c.vmx.eptp);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), VIOLATION);
	/* the violation dropped what reads had used, too */
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), VIOLATION);
	phys_set(EPT_DATA, 0);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), VIOLATION);
}

/* The permissions of modes that change without a flush: WP, SMAP and AC take effect at once. */
static void modes_change(void **state)
{
	(void)state;
	start();
	phys_set(PT, DATA | PTE_P | PTE_A | PTE_D);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	env.c.cr0 |= CR0_WP;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), FAULT);
	env.c.cr0 &= ~CR0_WP;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	map_guest(12, RW | PTE_US, RW | PTE_US);
	mmu_flush_all(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	env.c.cr4 |= CR4_SMAP;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), FAULT);
	env.c.eflags |= EFLAGS_AC;
	mmu_update_mode(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(try_system(ACCESS_READ, LIN), FAULT);
	set_cpl(3);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
}

/* One dimension: four references, the flags; then nothing; after INVLPG one more walk. */
static void walk_costs(void **state)
{
	s64 before;

	(void)state;
	start();
	before = env.c.budget;
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(costs_of(before), 4 * cost(COST_WALK_REF_1D) + 4 * cost(COST_PT_AD_SET));
	before = env.c.budget;
	assert_int_equal(try_access(ACCESS_READ, LIN + 8, 8), DONE);
	assert_int_equal(costs_of(before), 0);
	/* its PTE is empty: one reference by the PDE cache */
	assert_int_equal(try_access(ACCESS_READ, LIN + PAGE_SIZE, 8), FAULT);
	assert_int_equal(costs_of(before), cost(COST_WALK_REF_1D));
	before = env.c.budget;
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	/* the fault of the neighbour dropped the cached upper levels that the two share */
	assert_int_equal(costs_of(before), 4 * cost(COST_WALK_REF_1D) + cost(COST_PT_AD_SET));
	assert_int_equal(env.m.stat[STAT_WALK_REFS_1D], 9);
	assert_int_equal(env.m.stat[STAT_PT_AD_SETS], 5);
}

/* Two dimensions: 4 guest references and 5 EPT walks, shortened by what the first ones left in the caches. */
static void walk_costs_2d(void **state)
{
	s64 before;

	(void)state;
	start_ept(true);
	before = env.c.budget;
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_int_equal(env.m.stat[STAT_WALK_REFS_GUEST], 4);
	assert_int_equal(env.m.stat[STAT_WALK_REFS_EPT], 4 + 3 + 4);
	assert_int_equal(env.m.stat[STAT_EPT_DIRTY_SETS], 5);
	assert_int_equal(env.m.stat[STAT_PML_ENTRIES], 5);
	assert_int_equal(costs_of(before), 4 * cost(COST_WALK_REF_GUEST) + 11 * cost(COST_WALK_REF_EPT) +
			 5 * (cost(COST_EPT_DIRTY_SET) + cost(COST_PML_LOG)) + 4 * cost(COST_EPT_ACCESSED_SET));
	assert_int_equal(env.m.stat[STAT_WALK_REFS_1D], 0);
}

/* Dropping fast tags costs nothing, and neither does a gated frame. */
static void fast_tags_are_free(void **state)
{
	s64 before;

	(void)state;
	start();
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	before = env.c.budget;
	mmu_drop_fast_writes(&env.m);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	env.m.bus.frame_flags[DATA >> PAGE_SHIFT] |= FRAME_CODE;
	mmu_frame_slow(&env.m, DATA >> PAGE_SHIFT);
	assert_int_equal(env.code_stores, 0);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_int_equal(env.code_stores, 2);
	assert_int_equal(costs_of(before), 0);
}

/* An entry that is evicted takes the fast tags of all modes with it: the next access is a miss again. */
static void eviction_is_seen(void **state)
{
	u64 rival = LIN + TLB_SIZE * PAGE_SIZE;

	(void)state;
	start();
	phys_set(PD + 16 + 8 * 4, 0x8000 | RW | PTE_US);
	memset(env.m.bus.ram + 0x8000, 0, PAGE_SIZE);
	phys_set(0x8000, OTHER | RW | PTE_US);
	phys_set(PML4 + 8, phys_get(PML4 + 8) | PTE_US);
	phys_set(PDPT, phys_get(PDPT) | PTE_US);
	mmu_flush_all(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	set_cpl(3);
	assert_int_equal(try_access(ACCESS_READ, rival, 8), DONE);
	set_cpl(0);
	assert_int_equal(env.m.stat[STAT_TLB_MISSES], 2);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(env.m.stat[STAT_TLB_MISSES], 3);
}

/* A load that fills the fast tags must not open the write path of a watched frame. */
static void loads_respect_gates(void **state)
{
	(void)state;
	start();
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	env.m.bus.frame_flags[DATA >> PAGE_SHIFT] |= FRAME_CODE;
	mmu_frame_slow(&env.m, DATA >> PAGE_SHIFT);
	mmu_flush_all(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_int_equal(env.code_stores, 1);
}

/*
 * Decoded code is told when the translation of a page it was fetched from is dropped, and is not disturbed otherwise.
 */
static void fetches_go_stale(void **state)
{
	static const unsigned shifts[] = { 12, 21, 30 };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		env_reset();
		map_guest(shifts[i], RW, RW);
		assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
		env.code_changes = 0;
		mmu_invlpg(&env.c, LIN);
		assert_int_equal(env.code_changes, 0);
		assert_int_equal(try_access(ACCESS_EXEC, LIN, 1), DONE);
		mmu_invlpg(&env.c, LIN ^ 1ull << 46);
		assert_int_equal(env.code_changes, 0);
		mmu_invlpg(&env.c, LIN + (shifts[i] == 12 ? 0 : 0x3000));
		assert_int_equal(env.code_changes, 1);
	}
}

/* Two fast write tags to one frame: both go. */
static void frame_slow_finds_all(void **state)
{
	(void)state;
	start();
	phys_set(PT + 8, DATA | RW);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_WRITE, LIN + PAGE_SIZE, 8), DONE);
	env.m.bus.frame_flags[DATA >> PAGE_SHIFT] |= FRAME_CODE;
	mmu_frame_slow(&env.m, DATA >> PAGE_SHIFT);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_WRITE, LIN + PAGE_SIZE, 8), DONE);
	assert_int_equal(env.code_stores, 2);
}

/* More flushes than there are context numbers: no old tag may match again. */
static void numbers_wrap(void **state)
{
	(void)state;
	start();
	phys_set(PT + 8, OTHER | RW);
	assert_int_equal(try_access(ACCESS_READ, LIN + PAGE_SIZE, 8), DONE);
	phys_set(PT + 8, 0);
	for (unsigned i = 0; i < 10000; i++) {
		phys_set(PT, i % 2 ? 0 : DATA | RW);
		mmu_flush_current(&env.c, true);
		assert_true(env.c.ctx < 0xfff);
		assert_int_equal(try_access(ACCESS_READ, LIN + PAGE_SIZE, 8), FAULT);
		if (try_access(ACCESS_READ, LIN, 8) != (i % 2 ? FAULT : DONE))
			fail_msg("flush %u", i);
	}
}

/* More contexts than can be cached: the oldest give way, none is confused with another. */
static void many_contexts(void **state)
{
	(void)state;
	start();
	env.c.cr4 |= CR4_PCIDE;
	for (u64 n = 0; n < 200; n++) {
		u64 page = LIN + (n % 7) * PAGE_SIZE;

		env.c.cr3 = PML4 | (n % 50 + 1);
		mmu_cr3_written(&env.c, true);
		phys_set(PT + (n % 7) * 8, DATA | RW | PTE_A);
		mmu_invlpg(&env.c, page);
		assert_int_equal(try_access(ACCESS_READ, page, 8), DONE);
	}
}

static void snapshot_clears(void **state)
{
	static struct snap sn;

	(void)state;
	start();
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	mmu_snap(&env.c, &sn);
	clear_bit_at(PT, PTE_D);
	assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), DONE);
	assert_true(phys_get(PT) & PTE_D);
}

static void frames_differ(void **state)
{
	(void)state;
	start();
	phys_set(PT + 8, OTHER | RW);
	phys_set(OTHER, 0x55);
	phys_set(DATA, 0x44);
	assert_int_equal(mmu_ld(&env.c, NULL, LIN, 8), 0x44);
	assert_int_equal(mmu_ld(&env.c, NULL, LIN + PAGE_SIZE, 8), 0x55);
	assert_int_equal(ld64(&env.c, NULL, LIN), 0x44);
	assert_int_equal(ld64(&env.c, NULL, LIN + PAGE_SIZE), 0x55);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stale_guest_dirty),
		cmocka_unit_test(stale_ept_dirty),
		cmocka_unit_test(invept_of_another_root),
		cmocka_unit_test(pml_before_dirty),
		cmocka_unit_test(read_then_write),
		cmocka_unit_test(large_page_logs_once),
		cmocka_unit_test(walker_dirties_tables),
		cmocka_unit_test(globals),
		cmocka_unit_test(not_global),
		cmocka_unit_test(fetches_go_stale),
		cmocka_unit_test(other_ept),
		cmocka_unit_test(scattered_large_page),
		cmocka_unit_test(invvpid_spares_root),
		cmocka_unit_test(invlpg_drops_upper_levels),
		cmocka_unit_test(eviction_is_seen),
		cmocka_unit_test(loads_respect_gates),
		cmocka_unit_test(pcids),
		cmocka_unit_test(vpids),
		cmocka_unit_test(entry_and_exit),
		cmocka_unit_test(invlpg_of_large_pages),
		cmocka_unit_test(fault_forgets),
		cmocka_unit_test(violation_forgets),
		cmocka_unit_test(modes_change),
		cmocka_unit_test(walk_costs),
		cmocka_unit_test(walk_costs_2d),
		cmocka_unit_test(fast_tags_are_free),
		cmocka_unit_test(frame_slow_finds_all),
		cmocka_unit_test(numbers_wrap),
		cmocka_unit_test(many_contexts),
		cmocka_unit_test(snapshot_clears),
		cmocka_unit_test(frames_differ),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
