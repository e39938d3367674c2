/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every combination of page permissions and processor modes, in one and two dimensions, against the model. */
#include <stdlib.h>

#include "harness.h"
#include "model.h"

#define PHYS_BITS 46
#define PHYS_RESERVED BITS(51, PHYS_BITS)

/* What is varied besides the entries. */
struct mode {
	bool wp, smep, smap, nxe, ac;
	bool pke;
	u32 pkru;
	unsigned cpl;
	bool implicit;
	enum mmu_access access;
};

static const u64 flag_sets[16] = {
#define SET(p, w, u, x) ((p) * PTE_P | (w) * PTE_RW | (u) * PTE_US | (x) * PTE_NX)
	SET(0, 0, 0, 0), SET(1, 0, 0, 0), SET(0, 1, 0, 0), SET(1, 1, 0, 0),
	SET(0, 0, 1, 0), SET(1, 0, 1, 0), SET(0, 1, 1, 0), SET(1, 1, 1, 0),
	SET(0, 0, 0, 1), SET(1, 0, 0, 1), SET(0, 1, 0, 1), SET(1, 1, 0, 1),
	SET(0, 0, 1, 1), SET(1, 0, 1, 1), SET(0, 1, 1, 1), SET(1, 1, 1, 1),
};

static void apply_mode(const struct mode *k)
{
	struct cpu *c = &env.c;

	c->cr0 = CR0_PE | CR0_PG | (k->wp ? CR0_WP : 0);
	c->cr4 = CR4_PAE | (k->smep ? CR4_SMEP : 0) | (k->smap ? CR4_SMAP : 0) | (k->pke ? CR4_PKE : 0) |
		 (c->cr4 & CR4_LA57);
	c->pkru = k->pkru;
	c->efer = EFER_LME | EFER_LMA | (k->nxe ? EFER_NXE : 0);
	c->eflags = EFLAGS_ONE | (k->ac ? EFLAGS_AC : 0);
	set_cpl(k->cpl);
	mmu_flush_all(c);
}

/* The entries of a walk to LIN. */
static unsigned entry_addresses(unsigned shift, u64 at[4])
{
	static const u64 all[4] = { PML4 + 8, PDPT, PD + 16, PT };
	unsigned n = 4 - (shift - 12) / 9;

	for (unsigned i = 0; i < n; i++)
		at[i] = all[i];
	return n;
}

static void check_one(unsigned shift, const u64 at[4], unsigned n, const struct mode *k)
{
	struct model_case mc = {
		.entries = n, .wp = k->wp, .smep = k->smep, .smap = k->smap, .nxe = k->nxe, .ac = k->ac,
		.user = k->cpl == 3, .implicit = k->implicit, .access = (enum model_access)k->access,
		.pke = k->pke, .pkru = k->pkru,
	};
	u64 before[5];
	struct model_result want;
	enum outcome got;

	for (unsigned i = 0; i < n; i++) {
		before[i] = mc.entry[i] = phys_get(at[i]);
		mc.reserved[i] = PHYS_RESERVED | (i + 3 < n + (shift - 12) / 9 ? PTE_PS : 0);
	}
	if (shift > 12)
		mc.reserved[n - 1] |= BITS(shift - 1, 13);
	want = model_run(&mc);
	got = k->implicit ? try_system(k->access, LIN) : try_access(k->access, LIN, 8);
	if (got != (want.fault ? FAULT : DONE) ||
	    (want.fault && (env.event.error != want.error || env.event.cr2_or_dr6 != LIN)))
		fail_msg("shift %u access %d cpl %u implicit %d pke %d pkru %x wp %d smep %d smap %d nxe %d ac %d: got %d error %x, "
			 "model %d error %x; upper %llx leaf %llx", shift, k->access, k->cpl, k->implicit, k->pke, k->pkru, k->wp,
			 k->smep, k->smap, k->nxe, k->ac, got, env.event.error, want.fault, want.error,
			 (unsigned long long)before[n - 2], (unsigned long long)before[n - 1]);
	for (unsigned i = 0; i < n; i++) {
		if (phys_get(at[i]) != want.entry[i])
			fail_msg("shift %u: entry %u is %llx, model %llx", shift, i,
				 (unsigned long long)phys_get(at[i]), (unsigned long long)want.entry[i]);
		phys_set(at[i], before[i]);
	}
}

static void all_modes(unsigned shift, const u64 at[4], unsigned n)
{
	static const struct { unsigned cpl; bool implicit; } who[] = {
		{ 0, false }, { 3, false }, { 0, true }, { 3, true },
	};

	for (unsigned bits = 0; bits < 32; bits++)
		for (unsigned w = 0; w < 4; w++)
			for (enum mmu_access a = ACCESS_READ; a <= ACCESS_EXEC; a++) {
				struct mode k = { .wp = bits & 1, .smep = bits & 2, .smap = bits & 4, .nxe = bits & 8,
						  .ac = bits & 16, .cpl = who[w].cpl, .implicit = who[w].implicit,
						  .access = a };

				if (k.implicit && a == ACCESS_EXEC)
					continue;
				apply_mode(&k);
				check_one(shift, at, n, &k);
			}
}

/* The leaf against one entry above it (`upper`: which), and a reserved bit in none, the leaf or the other. */
static void sweep(unsigned shift, unsigned upper)
{
	u64 at[4], base[4];
	unsigned n = entry_addresses(shift, at);

	env_reset();
	map_guest(shift, PTE_P | PTE_RW | PTE_US, PTE_P | PTE_RW | PTE_US);
	for (unsigned i = 0; i < n; i++)
		base[i] = phys_get(at[i]);
	for (unsigned u = 0; u < 16; u++)
		for (unsigned l = 0; l < 16; l++)
			for (unsigned rsvd = 0; rsvd < 3; rsvd++) {
				u64 bad = rsvd ? BIT64(47) : 0;

				phys_set(at[upper], (base[upper] & ~0x7ull) | flag_sets[u] | (rsvd == 1 ? bad : 0));
				phys_set(at[n - 1], (base[n - 1] & ~0x7ull) | flag_sets[l] | (rsvd == 2 ? bad : 0));
				all_modes(shift, at, n);
			}
}

static void rights_4k(void **state)
{
	(void)state;
	sweep(12, 2);
}

static void rights_4k_root(void **state)
{
	(void)state;
	sweep(12, 0);
}

static void rights_2m(void **state)
{
	(void)state;
	sweep(21, 1);
}

static void rights_1g(void **state)
{
	(void)state;
	sweep(30, 0);
}

/* Protection keys: two keys, each with every setting of PKRU, on every leaf that can be present. */
static void check_keys(unsigned shift, const u64 at[4], unsigned n, u64 leaf)
{
	static const struct { unsigned cpl; bool implicit; } who[] = { { 0, false }, { 3, false }, { 3, true } };

	for (unsigned key = 0; key < 16; key += 5)
		for (unsigned bits = 0; bits < 32; bits++)
			for (unsigned w = 0; w < 3; w++)
				for (enum mmu_access a = ACCESS_READ; a <= ACCESS_EXEC; a++) {
					u32 rights = bits & 3, others = bits & 4 ? ~(3u << (2 * key)) : 0;
					struct mode k = { .wp = bits & 8, .nxe = true, .pke = bits & 16,
							  .pkru = rights << (2 * key) | others,
							  .cpl = who[w].cpl, .implicit = who[w].implicit, .access = a };

					if (k.implicit && a == ACCESS_EXEC)
						continue;
					phys_set(at[n - 1], leaf | (u64)key << PTE_PKEY_SHIFT);
					apply_mode(&k);
					check_one(shift, at, n, &k);
				}
}

static void protection_keys(void **state)
{
	static const unsigned shifts[] = { 12, 21, 30 };
	u64 at[4], leaf;

	(void)state;
	for (unsigned s = 0; s < 3; s++)
		for (unsigned l = 0; l < 16; l++) {
			unsigned n = entry_addresses(shifts[s], at);

			if (!(flag_sets[l] & PTE_P))
				continue;
			env_reset();
			map_guest(shifts[s], PTE_P | PTE_RW | PTE_US, 0);
			leaf = phys_get(at[n - 1]) | flag_sets[l];
			check_keys(shifts[s], at, n, leaf);
		}
}

/* WRPKRU takes effect at once, whatever is cached. */
static void keys_change(void **state)
{
	const u64 leaf = PTE_P | PTE_RW | PTE_US | 3ull << PTE_PKEY_SHIFT;

	(void)state;
	env_reset();
	map_guest(12, PTE_P | PTE_RW | PTE_US, leaf);
	env.c.cr4 |= CR4_PKE;
	env.c.cr0 |= CR0_WP;
	set_cpl(3);
	for (unsigned i = 0; i < 3; i++) {
		static const struct { u32 pkru; enum outcome read, write; } rows[] = {
			{ 0, DONE, DONE }, { PKRU_WD(3), DONE, FAULT }, { PKRU_AD(3), FAULT, FAULT },
			{ PKRU_AD(2) | PKRU_WD(4), DONE, DONE },
		};

		for (unsigned r = 0; r < 4; r++) {
			env.c.pkru = rows[r].pkru;
			mmu_update_mode(&env.c);
			assert_int_equal(try_access(ACCESS_WRITE, LIN, 8), rows[r].write);
			assert_int_equal(try_access(ACCESS_READ, LIN, 8), rows[r].read);
			assert_int_equal(try_access(ACCESS_EXEC, LIN, 1), DONE);
		}
	}
}

/* 5-level paging: rights of the new entry, its reserved bits, and 57 bits of address. */
static void five_levels(void **state)
{
	static const u64 at[5] = { PML5, PML4 + 8, PDPT, PD + 16, PT };
	u64 base;

	(void)state;
	env_reset();
	map_guest(12, PTE_P | PTE_RW | PTE_US, PTE_P | PTE_RW | PTE_US);
	phys_set(PML5, PML4 | PTE_P | PTE_RW | PTE_US);
	env.c.cr3 = PML5;
	env.c.cr4 |= CR4_LA57;
	mmu_update_mode(&env.c);
	base = phys_get(PML5);
	for (unsigned u = 0; u < 16; u++)
		for (unsigned bad = 0; bad < 3; bad++) {
			phys_set(PML5, (base & ~7ull) | flag_sets[u] | (bad == 1 ? PTE_PS : bad == 2 ? BIT64(47) : 0));
			all_modes(12, at, 5);
		}
	phys_set(PML5, base);
	phys_set(PML5 + 8 * 255, base);
	phys_set(PML5 + 8 * 256, base);
	mmu_flush_all(&env.c);
	env.c.cr4 &= ~(u64)(CR4_SMEP | CR4_SMAP);
	set_cpl(0);
	assert_int_equal(try_access(ACCESS_READ, 255ull << 48 | LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_READ, ~0ull << 56 | LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_READ, 256ull << 48 | LIN, 8), FAULT);
	assert_int_equal(env.event.vector, VEC_GP);
	env.c.cr4 &= ~(u64)CR4_LA57;
	env.c.cr3 = PML4;
	mmu_flush_all(&env.c);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), DONE);
	assert_int_equal(try_access(ACCESS_READ, 255ull << 48 | LIN, 8), FAULT);
	assert_int_equal(env.event.vector, VEC_GP);
}

/* Reserved bits inside the address of a large page. */
static void reserved_bits(void **state)
{
	static const struct { unsigned shift, lo; } sizes[] = { { 21, 13 }, { 30, 13 } };

	(void)state;
	for (unsigned s = 0; s < 2; s++)
		for (unsigned bit = sizes[s].lo; bit < 52; bit++) {
			bool reserved = bit < sizes[s].shift || bit >= PHYS_BITS;

			if (bit >= 30 && bit < PHYS_BITS)
				continue; /* addresses without RAM here */
			env_reset();
			map_guest(sizes[s].shift, PTE_P | PTE_RW, (PTE_P | PTE_RW) | BIT64(bit));
			assert_int_equal(try_access(ACCESS_READ, LIN, 8), reserved ? FAULT : DONE);
			if (reserved)
				assert_int_equal(env.event.error, PFEC_P | PFEC_RSVD);
		}
}

/* A guest page with all rights, under EPT leaves of every kind. */
struct ept_case {
	unsigned gshift, eshift;
	u64 rwx;
	bool ad, dirty, pml;
	enum mmu_access access;
};

static u8 wanted(enum mmu_access a)
{
	return a == ACCESS_READ ? EPT_R : a == ACCESS_WRITE ? EPT_W : EPT_X;
}

static void check_ept_flags(const struct ept_case *k, bool ok)
{
	u64 leaf = phys_get(ept_leaf_at(k->eshift)), want = 0;

	if (ok && k->ad)
		want = EPT_A;
	if (k->dirty || (ok && k->ad && k->access == ACCESS_WRITE))
		want |= EPT_D;
	assert_int_equal(leaf & (EPT_A | EPT_D), want);
}

static unsigned logs_for(u64 gpa)
{
	unsigned n = 0;

	for (unsigned i = 0; i < env.logged; i++)
		n += env.log[i] == gpa;
	return n;
}

static void check_ept_case(const struct ept_case *k)
{
	u64 offset = 0x128;
	enum outcome got, want = DONE;

	env_reset();
	map_guest(k->gshift, PTE_P | PTE_RW | PTE_A, PTE_P | PTE_RW | PTE_A | PTE_D);
	map_ept(k->eshift, k->rwx | (k->dirty ? EPT_D : 0), k->ad);
	env.c.vmx.pml = k->pml;
	if ((k->rwx & 3) == 2)
		want = MISCONFIG;
	else if (!(k->rwx & wanted(k->access)))
		want = VIOLATION;
	got = try_access(k->access, LIN + offset, 8);
	assert_int_equal(got, want);
	if (want == MISCONFIG)
		assert_int_equal(env.misconfig, DATA + offset);
	if (want == VIOLATION) {
		assert_int_equal(env.ept.gpa.v, DATA + offset);
		assert_int_equal(env.ept.lin, LIN + offset);
		assert_true(env.ept.lin_valid && env.ept.translated);
		assert_int_equal(env.ept.access, wanted(k->access));
		assert_int_equal(env.ept.perms, k->rwx);
	}
	check_ept_flags(k, want == DONE);
	assert_int_equal(logs_for(DATA), want == DONE && k->pml && k->access == ACCESS_WRITE && !k->dirty);
}

static void ept_rights(void **state)
{
	static const unsigned shifts[] = { 12, 21, 30 };

	(void)state;
	for (unsigned n = 0; n < 3 * 3 * 8 * 2 * 2 * 2 * 3; n++) {
		struct ept_case k = { .gshift = shifts[n % 3], .eshift = shifts[n / 3 % 3], .rwx = n / 9 % 8,
				      .access = (enum mmu_access)(n / 72 % 3), .ad = n / 216 % 2, .dirty = n / 432 % 2,
				      .pml = n / 864 % 2 };

		if (k.eshift == 30) /* then the guest's tables are in the same EPT page: see ept_tables */
			continue;
		k.pml = k.pml && k.ad;
		check_ept_case(&k);
	}
}

/* The frame of a guest table: with EPT's accessed and dirty flags, reading an entry is a write. */
static void ept_tables(void **state)
{
	static const u64 tables[] = { PML4, PDPT, PD, PT };

	(void)state;
	for (unsigned t = 0; t < 4; t++)
		for (unsigned n = 0; n < 16; n++) {
			bool ad = n & 1, set_a = n & 2;
			u64 rwx = (n & 4 ? EPT_W : 0) | (n & 8 ? EPT_R : 0);
			u64 flags = PTE_P | PTE_RW | (set_a ? 0 : PTE_A | PTE_D);
			u64 at = EPT_LOW + tables[t] / 512, entry = tables[t] + (t == 0 ? 8 : t == 2 ? 16 : 0);
			enum outcome want = DONE, got;

			if (rwx == EPT_W)
				continue; /* a misconfiguration */
			env_reset();
			map_guest(12, flags, flags);
			map_ept(12, EPT_RWX, ad);
			env.c.vmx.pml = ad;
			phys_set(at, (phys_get(at) & ~EPT_RWX) | rwx);
			if (!(rwx & EPT_R) || (!(rwx & EPT_W) && (ad || set_a)))
				want = VIOLATION;
			got = try_access(ACCESS_READ, LIN, 8);
			assert_int_equal(got, want);
			if (want == DONE) {
				assert_int_equal(phys_get(at) & (EPT_A | EPT_D), ad ? EPT_A | EPT_D : 0);
				assert_int_equal(logs_for(tables[t]), ad);
				continue;
			}
			assert_int_equal(env.ept.gpa.v, entry);
			assert_true(env.ept.lin_valid && !env.ept.translated);
			assert_int_equal(env.ept.lin, LIN);
			assert_int_equal(env.ept.perms, rwx);
			assert_int_equal(env.ept.access, ad || (rwx & EPT_R) ? EPT_R | EPT_W : EPT_R);
			assert_int_equal(phys_get(at) & (EPT_A | EPT_D), 0);
		}
}

/* SDM 3C "EPT Misconfigurations". */
static void ept_misconfigurations(void **state)
{
	static const struct { unsigned shift; u64 at, set, clear; bool bad; } rows[] = {
		{ 12, EPT_DATA, 2 << 3, 7 << 3, true },
		{ 12, EPT_DATA, 3 << 3, 7 << 3, true },
		{ 12, EPT_DATA, 7 << 3, 0, true },
		{ 12, EPT_DATA, 0, 7 << 3, false },
		{ 12, EPT_DATA, 1 << 3, 7 << 3, false },
		{ 12, EPT_DATA, 5 << 3, 7 << 3, false },
		{ 12, EPT_DATA, BIT64(PHYS_BITS), 0, true },
		{ 12, EPT_DATA, BIT64(51), 0, true },
		{ 12, EPT_DATA, BIT64(52), 0, false },
		{ 12, EPT_DATA, BIT64(10) | BIT64(11) | BIT64(62), 0, false },
		{ 12, EPT_DATA, EPT_PS, 0, false },
		{ 12, EPD + 16, BIT64(3), 0, true },
		{ 12, EPD + 16, BIT64(6), 0, true },
		{ 12, EPD + 16, BIT64(49), 0, true },
		{ 12, EPML4, EPT_PS, 0, true },
		{ 12, EPML4, BIT64(4), 0, true },
		{ 12, EPDPT, BIT64(5), 0, true },
		{ 21, EPD + 16, BIT64(12), 0, true },
		{ 21, EPD + 16, BIT64(20), 0, true },
		{ 21, EPD + 16, BIT64(6), 0, false },
		{ 21, EPD + 16, 2 << 3, 7 << 3, true },
	};

	(void)state;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		env_reset();
		map_guest(12, PTE_P | PTE_RW, PTE_P | PTE_RW);
		map_ept(rows[i].shift, EPT_RWX, false);
		phys_set(rows[i].at, (phys_get(rows[i].at) & ~rows[i].clear) | rows[i].set);
		if (try_access(ACCESS_READ, LIN, 8) != (rows[i].bad ? MISCONFIG : DONE))
			fail_msg("row %u", i);
	}
}

/* What the capability MSR does not offer is reserved. */
static void ept_capabilities(void **state)
{
	(void)state;
	env_reset();
	env.cap &= ~EPT_CAP_EXECUTE_ONLY;
	map_guest(12, PTE_P | PTE_RW, PTE_P | PTE_RW);
	map_ept(12, EPT_X, false);
	assert_int_equal(try_access(ACCESS_EXEC, LIN, 1), MISCONFIG);
	env_reset();
	env.cap &= ~EPT_CAP_2M;
	map_guest(12, PTE_P | PTE_RW, PTE_P | PTE_RW);
	map_ept(21, EPT_RWX, false);
	assert_int_equal(try_access(ACCESS_READ, LIN, 8), MISCONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rights_4k),
		cmocka_unit_test(rights_4k_root),
		cmocka_unit_test(rights_2m),
		cmocka_unit_test(rights_1g),
		cmocka_unit_test(protection_keys),
		cmocka_unit_test(keys_change),
		cmocka_unit_test(five_levels),
		cmocka_unit_test(reserved_bits),
		cmocka_unit_test(ept_rights),
		cmocka_unit_test(ept_tables),
		cmocka_unit_test(ept_misconfigurations),
		cmocka_unit_test(ept_capabilities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
