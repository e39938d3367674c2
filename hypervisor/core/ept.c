// SPDX-License-Identifier: GPL-2.0-only
/*
 * The extended page tables. See ept.h; docs/hypervisor.md argues why arming is sound.
 *
 * CPUs set accessed and dirty flags with locked accesses while we change entries, so a live entry is changed by an
 * atomic operation on the bits meant, or replaced as a whole by one that has all flags set: no flag can get lost that
 * way.
 */
#include "core/ept.h"

#include "arch/msrs.h"
#include "arch/paging.h"

#define EPT_LEAF_FLAGS (EPT_RWX | EPT_A | EPT_D)

static uint64_t level_size(int level)
{
	return 1ull << PAGE_LEVEL_SHIFT(level);
}

static uint64_t *table_of(const struct hv *hv, uint64_t entry)
{
	return hv_virt(hv, entry & EPT_ADDRESS);
}

/* ---- pages ---- */

static bool limbo_is_safe(const struct hv *hv)
{
	for (uint32_t i = 0; i < hv->nr_cpus; i++) {
		const struct hv_cpu *cpu = hv_cpu_at(i);

		if (__atomic_load_n(&cpu->in_guest, __ATOMIC_ACQUIRE) &&
		    __atomic_load_n(&cpu->flushed, __ATOMIC_ACQUIRE) < hv->pool.limbo_epoch)
			return false;
	}
	return true;
}

/*
 * A table given back may be reused only when no CPU can still walk it: SDM 3C "Guidelines for Use of the INVEPT
 * Instruction".
 */
static void take_from_limbo(struct hv *hv)
{
	if (!hv->pool.limbo || !limbo_is_safe(hv))
		return;
	while (hv->pool.limbo) {
		uint64_t pa = hv->pool.limbo;

		hv->pool.limbo = *(uint64_t *)hv_virt(hv, pa);
		hv_page_free(hv, pa);
	}
}

uint64_t hv_page_alloc(struct hv *hv, bool spare)
{
	uint64_t pa, *page;

	if (hv->pool.count <= hv->pool.reserve)
		take_from_limbo(hv);
	if (!hv->pool.count || (!spare && hv->pool.count <= hv->pool.reserve))
		return 0;
	pa = hv->pool.free;
	page = hv_virt(hv, pa);
	hv->pool.free = page[0];
	hv->pool.count--;
	for (int i = 0; i < PAGE_TABLE_ENTRIES; i++)
		page[i] = 0;
	return pa;
}

void hv_page_free(struct hv *hv, uint64_t pa)
{
	*(uint64_t *)hv_virt(hv, pa) = hv->pool.free;
	hv->pool.free = pa;
	hv->pool.count++;
}

static void page_to_limbo(struct hv *hv, uint64_t pa)
{
	*(uint64_t *)hv_virt(hv, pa) = hv->pool.limbo;
	hv->pool.limbo = pa;
}

/* ---- what lies where ---- */

bool hv_is_ram(const struct hv *hv, uint64_t gpa, uint64_t size)
{
	for (uint32_t i = 0; i < hv->nr_ram; i++)
		if (gpa >= hv->ram[i].start && gpa < hv->ram[i].end)
			return size <= hv->ram[i].end - gpa;
	return false;
}

/* Index of the first of our blocks that ends above gpa. */
static uint32_t block_after(const struct hv *hv, uint64_t gpa)
{
	uint32_t low = 0, high = hv->nr_blocks;

	while (low < high) {
		uint32_t mid = (low + high) / 2;

		if (hv->blocks[mid] + HV_BLOCK_SIZE > gpa)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

static bool holds_ours(const struct hv *hv, uint64_t base, uint64_t size)
{
	uint32_t i = block_after(hv, base);

	return i < hv->nr_blocks && hv->blocks[i] < base + size;
}

bool hv_is_ours(const struct hv *hv, uint64_t gpa)
{
	return holds_ours(hv, gpa, 1);
}

bool hv_guest_owns(const struct hv *hv, hv_gpa gpa, uint64_t size)
{
	return hv_is_ram(hv, gpa.value, size) && !hv_is_ours(hv, gpa.value);
}

/*
 * ---- memory types ----
 * Those of the MTRRs, which EPT replaces (SDM 3C "EPT and Memory Typing"); the guest's PAT still applies.
 */

/* SDM 3A "MTRR Precedences": UC wins, then WT over WB; other overlaps are undefined, and UC is always safe. */
static uint32_t combine_types(uint32_t a, uint32_t b)
{
	if (a == b)
		return a;
	if ((a == MEMTYPE_WT && b == MEMTYPE_WB) || (a == MEMTYPE_WB && b == MEMTYPE_WT))
		return MEMTYPE_WT;
	return MEMTYPE_UC;
}

/* Returns the type of [base, base + size), a naturally aligned power of two, or -1 if it has more than one. */
static int variable_type(const struct hv *hv, uint64_t base, uint64_t size)
{
	int type = -1;

	for (uint32_t i = 0; i < hv->nr_mtrrs; i++) {
		const struct hv_mtrr *m = &hv->mtrrs[i];
		uint64_t differ = (base ^ m->base) & m->mask;

		if (differ & ~(size - 1))
			continue;
		if (m->mask & (size - 1))
			return -1;
		type = type < 0 ? (int)m->type : (int)combine_types(type, m->type);
	}
	return type < 0 ? (int)hv->mtrr_default : type;
}

/* Without MTRRs: RAM is write-back, all else uncached. */
static int plain_type(const struct hv *hv, uint64_t base, uint64_t size)
{
	for (uint32_t i = 0; i < hv->nr_ram; i++) {
		if (base >= hv->ram[i].start && base + size <= hv->ram[i].end)
			return MEMTYPE_WB;
		if (base < hv->ram[i].end && hv->ram[i].start < base + size)
			return size == HV_PAGE_SIZE ? MEMTYPE_WB : -1;
	}
	return MEMTYPE_UC;
}

static int memory_type(const struct hv *hv, uint64_t base, uint64_t size)
{
	if (!hv->mtrr_enabled)
		return plain_type(hv, base, size);
	if (!hv->mtrr_fixed || base >= (1 << 20))
		return variable_type(hv, base, size);
	return size == HV_PAGE_SIZE ? hv->mtrr_fixed_type[base / HV_PAGE_SIZE] : -1;
}

/* ---- building ---- */

static uint64_t leaf_entry(const struct hv *hv, uint64_t base, int level, int type)
{
	uint64_t flags = EPT_LEAF_FLAGS | ((uint64_t)type << EPT_MT_SHIFT);

	if (level > 1)
		flags |= EPT_PS;
	if (hv_is_ram(hv, base, level_size(level)))
		flags |= EPT_SW_RAM;
	return base | flags;
}

/* The entry that maps the whole region of this level, or 0 if it needs a table. */
static uint64_t try_leaf(const struct hv *hv, uint64_t base, int level)
{
	int type;

	if (level == 4 || (level == 3 && !hv->has_1g))
		return 0;
	if (holds_ours(hv, base, level_size(level)))
		return level == 2 ? hv->hole_table | EPT_RWX : 0;
	type = memory_type(hv, base, level_size(level));
	return type < 0 ? 0 : leaf_entry(hv, base, level, type);
}

uint64_t hv_ept_map(struct hv *hv, uint64_t gpa)
{
	uint64_t *table = hv_virt(hv, hv->eptp & EPT_ADDRESS);

	if (gpa >= hv->phys_limit)
		return 0;
	for (int level = 4;; level--) {
		uint64_t *entry = &table[PAGE_LEVEL_INDEX(gpa, level)];
		uint64_t page, base = gpa & ~(level_size(level) - 1);

		if (!*entry) {
			__atomic_store_n(entry, try_leaf(hv, base, level), __ATOMIC_RELEASE);
			if (!*entry) {
				page = hv_page_alloc(hv, true);
				if (!page)
					return 0;
				__atomic_store_n(entry, page | EPT_RWX, __ATOMIC_RELEASE);
			}
		}
		if (level == 1 || (*entry & EPT_PS) || (*entry & EPT_ADDRESS) == hv->hole_table)
			return level_size(level);
		table = table_of(hv, *entry);
	}
}

/* Walks to the entry that maps gpa; sets its level. Never NULL: an entry that is not present stops the walk. */
static uint64_t *walk(const struct hv *hv, uint64_t gpa, int *level)
{
	uint64_t *table = hv_virt(hv, hv->eptp & EPT_ADDRESS);

	for (*level = 4;; --*level) {
		uint64_t *entry = &table[PAGE_LEVEL_INDEX(gpa, *level)];

		if (*level == 1 || !(*entry & EPT_RWX) || (*entry & EPT_PS))
			return entry;
		table = table_of(hv, *entry);
	}
}

uint64_t *hv_ept_leaf(const struct hv *hv, uint64_t gpa)
{
	int level;
	uint64_t *entry = walk(hv, gpa, &level);

	return *entry & EPT_RWX ? entry : NULL;
}

/* ---- arming ---- */

/*
 * Replaces a leaf by a table of leaves one level smaller with the same meaning, dirty flags included. Translations of
 * the old size stay valid in TLBs until the INVEPT that begins the round; they say the same.
 */
static bool split_leaf(struct hv *hv, uint64_t *entry, int level)
{
	uint64_t child = *entry, step = level_size(level - 1), page = hv_page_alloc(hv, false);
	uint64_t *table;

	if (!page)
		return false;
	table = hv_virt(hv, page);
	if (level == 2)
		child &= ~EPT_PS;
	for (uint64_t i = 0; i < PAGE_TABLE_ENTRIES; i++)
		table[i] = child + i * step;
	__atomic_store_n(entry, page | EPT_RWX | EPT_SW_SPLIT, __ATOMIC_RELEASE);
	hv->split += level == 2;
	return true;
}

/* The leaf of a frame of the guest's RAM, and its level; NULL if it is not one. */
static uint64_t *frame_leaf(const struct hv *hv, struct hv_ept_cursor *cursor, uint64_t frame, int *level)
{
	hv_gpa gpa = { frame << PAGE_SHIFT_4K };
	uint64_t *entry;

	if (frame >= hv->phys_limit >> PAGE_SHIFT_4K)
		return NULL;
	*level = 1;
	if (cursor->table && frame / PAGE_TABLE_ENTRIES == cursor->region)
		entry = &cursor->table[frame % PAGE_TABLE_ENTRIES];
	else
		entry = walk(hv, gpa.value, level);
	if (!(*entry & EPT_SW_RAM) && !hv_guest_owns(hv, gpa, HV_PAGE_SIZE))
		return NULL;
	return entry;
}

static uint64_t *split_to_4k(struct hv *hv, uint64_t *entry, uint64_t frame, int level)
{
	while (level > 1) {
		if (!split_leaf(hv, entry, level))
			return NULL;
		entry = walk(hv, frame << PAGE_SHIFT_4K, &level);
	}
	return entry;
}

int hv_ept_arm(struct hv *hv, struct hv_ept_cursor *cursor, uint64_t frame)
{
	int level;
	uint64_t *entry = frame_leaf(hv, cursor, frame, &level);

	if (!entry)
		return OOH_HC_EFAULT;
	entry = split_to_4k(hv, entry, frame, level);
	if (!entry)
		return OOH_HC_ENOMEM;
	cursor->table = entry - frame % PAGE_TABLE_ENTRIES;
	cursor->region = frame / PAGE_TABLE_ENTRIES;
	if (__atomic_fetch_and(entry, ~EPT_D, __ATOMIC_SEQ_CST) & EPT_D)
		hv->armed++;
	return 0;
}

/* A large leaf is dirty already: setting its flag changes nothing. */
int hv_ept_disarm(struct hv *hv, struct hv_ept_cursor *cursor, uint64_t frame)
{
	int level;
	uint64_t *entry = frame_leaf(hv, cursor, frame, &level);

	if (!entry)
		return OOH_HC_EFAULT;
	if (!(__atomic_fetch_or(entry, EPT_D, __ATOMIC_SEQ_CST) & EPT_D) && hv->armed)
		hv->armed--;
	return 0;
}

/* ---- giving large leaves back ---- */

static void merge(struct hv *hv, uint64_t *entry)
{
	uint64_t page = *entry & EPT_ADDRESS;
	uint64_t first = *(uint64_t *)hv_virt(hv, page);

	__atomic_store_n(entry, first | EPT_PS | EPT_A | EPT_D, __ATOMIC_RELEASE);
	page_to_limbo(hv, page);
}

static void disarm_table(uint64_t *table)
{
	for (int i = 0; i < PAGE_TABLE_ENTRIES; i++)
		if (table[i] & EPT_W)
			__atomic_fetch_or(&table[i], EPT_D, __ATOMIC_SEQ_CST);
}

/* An entry of a page directory. */
static void reset_pde(struct hv *hv, uint64_t *entry)
{
	if (!*entry || (*entry & EPT_PS) || (*entry & EPT_ADDRESS) == hv->hole_table)
		return;
	if (*entry & EPT_SW_SPLIT) {
		merge(hv, entry);
		hv->split--;
	} else {
		disarm_table(table_of(hv, *entry));
	}
}

static void reset_pdpte(struct hv *hv, uint64_t *entry)
{
	uint64_t *table;

	if (!*entry || (*entry & EPT_PS))
		return;
	table = table_of(hv, *entry);
	for (int i = 0; i < PAGE_TABLE_ENTRIES; i++)
		reset_pde(hv, &table[i]);
	if (*entry & EPT_SW_SPLIT)
		merge(hv, entry);
}

void hv_ept_reset(struct hv *hv)
{
	uint64_t *pml4 = hv_virt(hv, hv->eptp & EPT_ADDRESS);

	for (int i = 0; i < PAGE_TABLE_ENTRIES; i++) {
		uint64_t *pdpt;

		if (!pml4[i])
			continue;
		pdpt = table_of(hv, pml4[i]);
		for (int j = 0; j < PAGE_TABLE_ENTRIES; j++)
			reset_pdpte(hv, &pdpt[j]);
	}
	hv->armed = 0;
	hv->pool.limbo_epoch = hv->epoch + 1;
	__atomic_store_n(&hv->epoch, hv->epoch + 1, __ATOMIC_RELEASE); /* after the entries: who sees it flushes them */
}
