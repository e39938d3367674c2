/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The slow path of loads and stores: everything that is not a plain access within one page of RAM whose fast tag is
 * valid. All pages of an access are translated and prepared before the first byte is touched.
 */
#include <string.h>

#include "arch/paging.h"
#include "arch/x86.h"
#include "machine/core/smp.h"
#include "machine/cpu/block.h"
#include "machine/cpu/sys/monitor.h"
#include "machine/cpu/sys/sys.h"
#include "machine/debug/hooks.h"
#include "machine/mmu/fast.h"
#include "machine/mmu/format.h"
#include "machine/oracle/state.h"
#include "machine/vmx/vmx.h"

/* An access, or its part in one page. */
struct part {
	u8 *host;   /* of the first byte; NULL: a device */
	hpa_t hpa;
	u64 lin;
	unsigned n;
};

/* SDM 1 "Stack Operation in 64-bit mode": a non-canonical address is #SS if the access is through the stack segment. */
static bool through_stack(const struct op *o, enum mmu_access a)
{
	switch (o->mnem) {
	case ZYDIS_MNEMONIC_PUSH:
	case ZYDIS_MNEMONIC_CALL:
		return a == ACCESS_WRITE || (o->flags & OP_MEM && o->seg == SS);
	case ZYDIS_MNEMONIC_POP:
		return a == ACCESS_READ || (o->flags & OP_MEM && o->seg == SS);
	case ZYDIS_MNEMONIC_PUSHF:
	case ZYDIS_MNEMONIC_PUSHFQ:
	case ZYDIS_MNEMONIC_POPF:
	case ZYDIS_MNEMONIC_POPFQ:
	case ZYDIS_MNEMONIC_RET:
	case ZYDIS_MNEMONIC_LEAVE:
	case ZYDIS_MNEMONIC_ENTER:
	case ZYDIS_MNEMONIC_IRETQ:
	case ZYDIS_MNEMONIC_IRETD:
		return true;
	default:
		return (o->flags & OP_MEM) && o->seg == SS;
	}
}

static void check_canonical(struct cpu *c, const struct op *o, u64 lin, enum mmu_access a)
{
	if (likely(is_canonical(lin, c->cr4 & CR4_LA57)))
		return;
	cpu_raise_err(c, o, o && through_stack(o, a) ? VEC_SS : VEC_GP, 0);
}

/* e: what is cached for the page without the right, or NULL. */
static struct tlb_entry *miss(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a,
			      enum mmu_mode mode, struct tlb_entry *e)
{
	struct mmu_state *s = c->mmu;
	const struct rights *r = &s->rights[mode][a];
	const struct tlb_entry *large;
	struct tlb_entry *quick;
	struct walk w;

	if (c->efer & EFER_LMA)
		check_canonical(c, o, lin, a);
	if (e && tlb_spp_allows(s, e, lin, n, r))
		return e;
	large = tlb_find_large(s, lin, r);
	if (large)
		return tlb_install_piece(c, large, lin);
	quick = walk_quick(c, lin, a, mode);
	if (quick)
		return quick;
	walk_linear(c, o, lin, n, a, mode, &w);
	return tlb_install(c, lin, &w);
}

/*
 * The translation of lin's page, with the right to do a to the n bytes from lin on, all in the page. Does not return
 * otherwise. Valid until the next one is made.
 */
static inline struct tlb_entry *translate(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a,
					  enum mmu_mode mode)
{
	struct mmu_state *s = c->mmu;
	struct tlb_entry *e = tlb_find(s, lin & ~PAGE_OFFSET_MASK);

	if (likely(e && perm_ok(e->perm, &s->rights[mode][a])))
		return e;
	return miss(c, o, lin, n, a, mode, e);
}

static bool last_of_block(const struct cpu *c, const struct op *o)
{
	return (unsigned)(o - c->block->ops) + 1 == c->block->insns;
}

/* Time and the state of devices must be exact to the instruction: what touches them ends its block. */
static void must_be_alone(struct cpu *c, const struct op *o)
{
	if (!o)
		return;
	cpu_sync(c, o);
	if (!last_of_block(c, o))
		cpu_unwind(c, UNWIND_SINGLE);
	smp_in_order(c, o);
}

static struct part make_part(const struct tlb_entry *e, u64 lin, unsigned n)
{
	unsigned off = (unsigned)(lin & PAGE_OFFSET_MASK);

	return (struct part){ e->host ? e->host + off : NULL, { e->hpa + off }, lin, n };
}

/* Whatever may still unwind the instruction has to do so before it stores or reads a device. */
static void prepare(struct cpu *c, const struct op *o, const struct part *p, bool store)
{
	u64 frame;

	if (!p->host) {
		must_be_alone(c, o);
		return;
	}
	frame = bus_frame(&c->m->bus, p->host);
	if (store && (c->m->bus.frame_flags[frame] & FRAME_CODE) &&
	    code_hits_running(c, o, frame, (unsigned)(p->lin & PAGE_OFFSET_MASK), p->n)) {
		cpu_sync(c, o);
		cpu_unwind(c, UNWIND_SINGLE);
	}
}

static u64 next_page(const struct cpu *c, u64 lin)
{
	u64 next = (lin | PAGE_OFFSET_MASK) + 1;

	return (c->efer & EFER_LMA) && (c->code_size == 64 || next >> 32 != 1) ? next : (u32)next;
}

/* n <= PAGE_SIZE. Returns the number of parts. */
static unsigned split(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a, enum mmu_mode mode,
		      struct part p[2])
{
	unsigned left = (unsigned)(PAGE_SIZE - (lin & PAGE_OFFSET_MASK));
	unsigned first = n < left ? n : left, parts = first < n ? 2 : 1;

	if (parts == 2)
		check_canonical(c, o, next_page(c, lin), a); /* comes before a page fault on the first */
	p[0] = make_part(translate(c, o, lin, first, a, mode), lin, first);
	if (parts == 2)
		p[1] = make_part(translate(c, o, next_page(c, lin), n - first, a, mode), next_page(c, lin), n - first);
	prepare(c, o, &p[0], a == ACCESS_WRITE);
	if (parts == 2)
		prepare(c, o, &p[1], a == ACCESS_WRITE);
	return parts;
}

static unsigned device_step(const struct part *p, unsigned done)
{
	unsigned left = p->n - done, size = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;

	while ((p->hpa.v + done) & (size - 1))
		size >>= 1;
	return size;
}

static void device_read(struct cpu *c, const struct part *p, u8 *to)
{
	for (unsigned done = 0, size; done < p->n; done += size) {
		u64 v;

		size = device_step(p, done);
		v = bus_mmio_read(c->m, c, (hpa_t){ p->hpa.v + done }, size);
		memcpy(to + done, &v, size);
	}
}

static void device_write(struct cpu *c, const struct part *p, const u8 *from)
{
	for (unsigned done = 0, size; done < p->n; done += size) {
		u64 v = 0;

		size = device_step(p, done);
		memcpy(&v, from + done, size);
		bus_mmio_write(c->m, c, (hpa_t){ p->hpa.v + done }, size, v);
	}
}

/*
 * Nothing is read or written yet: accesses to the APIC-access page that are not virtualized exit here. There are no
 * registers at either end of the page, so one part of an access never is.
 */
static void check_apic_page(struct cpu *c, const struct op *o, const struct part *p, unsigned parts, bool write)
{
	for (unsigned i = 0; i < parts; i++)
		if (!p[i].host && vmx_on_apic_page(c, p[i].hpa.v))
			vmx_apic_check(c, o, p[i].hpa.v, p[i].n, write);
}

static void read_part(struct cpu *c, const struct part *p, u8 *to)
{
	if (likely(p->host))
		memcpy(to, p->host, p->n);
	else if (vmx_on_apic_page(c, p->hpa.v))
		vmx_apic_read(c, p->hpa.v, to, p->n);
	else
		device_read(c, p, to);
}

/* A store to lin, in a page of RAM at host, concerns decoded code, the oracle or a monitored line. */
static bool watched(const struct cpu *c, u64 lin, const u8 *host)
{
	const struct bus *b = &c->m->bus;

	return (b->frame_flags[bus_frame(b, host)] & FRAME_SLOW) || oracle_gates(c, lin);
}

/* n bytes of RAM at host, within a page, have been written. */
static void tell_watchers(struct cpu *c, const struct op *o, u64 lin, const u8 *host, unsigned n)
{
	struct machine *m = c->m;
	unsigned off = (unsigned)(lin & PAGE_OFFSET_MASK);
	u64 frame = bus_frame(&m->bus, host);

	if (unlikely(m->bus.frame_flags[frame] & FRAME_CODE))
		code_written(m, frame, off, n);
	if (unlikely((m->bus.frame_flags[frame] & FRAME_ORACLE) || oracle_gates(c, lin)))
		oracle_store(c, lin, frame, off, n);
	if (unlikely(m->bus.frame_flags[frame] & FRAME_MONITOR))
		monitor_stored_by(c, o, frame, off, n);
}

static void write_part(struct cpu *c, const struct op *o, const struct part *p, const u8 *from)
{
	if (unlikely(!p->host)) {
		if (vmx_on_apic_page(c, p->hpa.v))
			vmx_apic_write(c, p->hpa.v, from, p->n);
		else
			device_write(c, p, from);
		return;
	}
	memcpy(p->host, from, p->n);
	tell_watchers(c, o, p->lin, p->host, p->n);
}

static void load(struct cpu *c, const struct op *o, u64 lin, void *buf, unsigned n, enum mmu_access a,
		 enum mmu_mode mode)
{
	struct part p[2];
	unsigned parts = split(c, o, lin, n, a, mode, p);

	check_apic_page(c, o, p, parts, false);
	if (a == ACCESS_WRITE)
		check_apic_page(c, o, p, parts, true);
	read_part(c, &p[0], buf);
	if (parts == 2)
		read_part(c, &p[1], (u8 *)buf + p[0].n);
}

static void store(struct cpu *c, const struct op *o, u64 lin, const void *buf, unsigned n, enum mmu_mode mode)
{
	struct part p[2];
	unsigned parts = split(c, o, lin, n, ACCESS_WRITE, mode, p);

	check_apic_page(c, o, p, parts, true);
	write_part(c, o, &p[0], buf);
	if (parts == 2)
		write_part(c, o, &p[1], (const u8 *)buf + p[0].n);
}

static bool within_page(u64 lin, unsigned n)
{
	return (lin & PAGE_OFFSET_MASK) <= PAGE_SIZE - n;
}

/* SDM 3A "Alignment Check Exception (#AC)". */
static void check_alignment(struct cpu *c, const struct op *o, u64 lin, unsigned size, enum mmu_access a)
{
	if (likely(!c->mmu->align_check) || !(lin & (size - 1)))
		return;
	check_canonical(c, o, lin, a);
	cpu_raise_err(c, o, VEC_AC, 0);
}

/* What every access by an instruction begins with. n: its bytes; size: what it should be aligned to. */
static void begin_access(struct cpu *c, const struct op *o, u64 lin, unsigned n, unsigned size, enum mmu_access a)
{
	check_alignment(c, o, lin, size, a);
	if (sys_breakpoints(c))
		sys_break_data(c, lin, n, a == ACCESS_WRITE);
}

static bool is_extended_real(const struct op *o)
{
	return o && (o->mnem == ZYDIS_MNEMONIC_FLD || o->mnem == ZYDIS_MNEMONIC_FSTP || o->mnem == ZYDIS_MNEMONIC_FBLD ||
		     o->mnem == ZYDIS_MNEMONIC_FBSTP);
}

/* SDM 3A table 6-7 "Alignment Requirements by Data Type"; for 128-bit operands the check is up to the implementation. */
static unsigned alignment_of(const struct op *o, unsigned n)
{
	switch (n) {
	case 2:
	case 14: /* FSTENV, FSAVE with 16-bit operand size */
	case 94:
		return 2;
	case 4:
	case 28:
	case 108:
		return 4;
	case 8:
		return 8;
	case 10:
		return is_extended_real(o) ? 8 : 1;
	default:
		return 1;
	}
}

static __attribute__((noinline)) void copy_any(void *to, const void *from, unsigned n)
{
	if (n == 32)
		memcpy(to, from, 32);
	else if (n == 16)
		memcpy(to, from, 16);
	else
		memcpy(to, from, n);
}

/* memcpy() of a length that is not known is a call. */
static inline void copy(void *to, const void *from, unsigned n)
{
	if (n == 8)
		memcpy(to, from, 8);
	else if (n == 4)
		memcpy(to, from, 4);
	else
		copy_any(to, from, n);
}

/* A plain load in one page of RAM fills the fast tags; false where it is not that. */
static inline bool quick_load(struct cpu *c, const struct op *o, u64 lin, void *to, unsigned n, enum mmu_mode mode)
{
	const struct tlb_entry *e;

	if (!within_page(lin, n))
		return false;
	e = translate(c, o, lin, n, ACCESS_READ, mode);
	if (unlikely(!e->host))
		return false;
	copy(to, e->host + (lin & PAGE_OFFSET_MASK), n);
	fast_fill(c, e, mode);
	return true;
}

static inline bool quick_store(struct cpu *c, const struct op *o, u64 lin, const void *from, unsigned n,
			       enum mmu_mode mode)
{
	const struct tlb_entry *e;

	if (!within_page(lin, n))
		return false;
	e = translate(c, o, lin, n, ACCESS_WRITE, mode);
	if (unlikely(!e->host) || watched(c, lin, e->host))
		return false;
	copy(e->host + (lin & PAGE_OFFSET_MASK), from, n);
	fast_fill(c, e, mode);
	return true;
}

static enum mmu_mode mode_now(const struct cpu *c)
{
	return (enum mmu_mode)c->mmu_mode;
}

/* SDM 3A "Access Rights": implicit supervisor-mode accesses behave as with EFLAGS.AC = 0. */
static enum mmu_mode system_mode(const struct cpu *c)
{
	return (c->cr4 & CR4_SMAP) ? MMU_SUPER : MMU_SUPER_AC;
}

u64 mmu_ld(struct cpu *c, const struct op *o, u64 lin, unsigned size)
{
	u64 v = 0;

	watch_access(c, o, lin, size, ACCESS_READ);
	begin_access(c, o, lin, size, size, ACCESS_READ);
	if (!quick_load(c, o, lin, &v, size, mode_now(c)))
		load(c, o, lin, &v, size, ACCESS_READ, mode_now(c));
	return v;
}

void mmu_st(struct cpu *c, const struct op *o, u64 lin, unsigned size, u64 val)
{
	watch_access(c, o, lin, size, ACCESS_WRITE);
	begin_access(c, o, lin, size, size, ACCESS_WRITE);
	if (!quick_store(c, o, lin, &val, size, mode_now(c)))
		store(c, o, lin, &val, size, mode_now(c));
}

u64 mmu_ld_rmw(struct cpu *c, const struct op *o, u64 lin, unsigned size)
{
	u64 v = 0;

	watch_access(c, o, lin, size, ACCESS_READ);
	begin_access(c, o, lin, size, size, ACCESS_WRITE);
	load(c, o, lin, &v, size, ACCESS_WRITE, mode_now(c));
	if (within_page(lin, size))
		fast_fill(c, translate(c, o, lin, size, ACCESS_WRITE, mode_now(c)), mode_now(c));
	return v;
}

void mmu_ld_buf(struct cpu *c, const struct op *o, u64 lin, void *buf, unsigned n)
{
	watch_access(c, o, lin, n, ACCESS_READ);
	begin_access(c, o, lin, n, alignment_of(o, n), ACCESS_READ);
	if (!quick_load(c, o, lin, buf, n, mode_now(c)))
		load(c, o, lin, buf, n, ACCESS_READ, mode_now(c));
}

void mmu_st_buf(struct cpu *c, const struct op *o, u64 lin, const void *buf, unsigned n)
{
	watch_access(c, o, lin, n, ACCESS_WRITE);
	begin_access(c, o, lin, n, alignment_of(o, n), ACCESS_WRITE);
	if (!quick_store(c, o, lin, buf, n, mode_now(c)))
		store(c, o, lin, buf, n, mode_now(c));
}

void mmu_probe(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a)
{
	struct part p[2];

	check_apic_page(c, o, p, split(c, o, lin, n, a, mode_now(c), p), a == ACCESS_WRITE);
}

u64 mmu_ld_sys(struct cpu *c, const struct op *o, u64 lin, unsigned size)
{
	u64 v = 0;

	watch_access(c, o, lin, size, ACCESS_READ);
	if (!quick_load(c, o, lin, &v, size, system_mode(c)))
		load(c, o, lin, &v, size, ACCESS_READ, system_mode(c));
	return v;
}

void mmu_st_sys(struct cpu *c, const struct op *o, u64 lin, unsigned size, u64 val)
{
	watch_access(c, o, lin, size, ACCESS_WRITE);
	if (!quick_store(c, o, lin, &val, size, system_mode(c)))
		store(c, o, lin, &val, size, system_mode(c));
}

u8 *mmu_host(struct cpu *c, const struct op *o, u64 lin, enum mmu_access a, unsigned *avail)
{
	const struct tlb_entry *e = translate(c, o, lin, 1, a, mode_now(c));

	*avail = (unsigned)(PAGE_SIZE - (lin & PAGE_OFFSET_MASK));
	if (watch_page(c, lin) || (a == ACCESS_WRITE && (e->perm & TP_SPP)))
		return NULL;
	return e->host && !sys_breakpoints(c) ? e->host + (lin & PAGE_OFFSET_MASK) : NULL;
}

const u8 *mmu_touch(struct cpu *c, const struct op *o, u64 lin)
{
	const struct tlb_entry *e;

	begin_access(c, o, lin, 1, 1, ACCESS_READ);
	mmu_probe(c, o, lin, 1, ACCESS_READ);
	e = translate(c, o, lin, 1, ACCESS_READ, mode_now(c));
	return e->host ? e->host + (lin & PAGE_OFFSET_MASK) : NULL;
}

void mmu_host_wrote(struct cpu *c, const struct op *o, u64 lin, const u8 *p, unsigned n)
{
	tell_watchers(c, o, lin, p, n);
}

hpa_t mmu_fetch(struct cpu *c, u64 lin)
{
	const struct tlb_entry *e = translate(c, NULL, lin, 1, ACCESS_EXEC, mode_now(c));

	if (vmx_on_apic_page(c, e->hpa))
		vmx_apic_fetch(c, e->hpa | (lin & PAGE_OFFSET_MASK));
	tlb_note_fetch(c->mmu, e);
	return (hpa_t){ e->hpa | (lin & PAGE_OFFSET_MASK) };
}

u64 mmu_ld_gpa(struct cpu *c, const struct op *o, gpa_t a)
{
	const struct ept_access read = { .rwx = EPT_R };
	struct ept_result r = { .hpa = a.v };
	u64 v = ~0ull;
	u8 *p;

	if (c->vmx.ept)
		ept_translate(c, o, a, &read, &r);
	if (c->vmx.ept && vmx_on_apic_page(c, r.hpa))
		vmx_apic_guest_physical(c, o);
	p = bus_ram(&c->m->bus, (hpa_t){ r.hpa });
	if (p)
		memcpy(&v, p, sizeof(v));
	return v;
}
