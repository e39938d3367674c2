/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The harness and the doubles of the cpu and vmx rooms. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arch/msrs.h"
#include "machine/core/smp.h"
#include "machine/cpu/sys/monitor.h"
#include "machine/cpu/sys/sys.h"
#include "harness.h"

struct env env;

static _Noreturn void back(enum outcome how)
{
	longjmp(env.back, (int)how + 1);
}

void cpu_sync(struct cpu *c, const struct op *o)
{
	(void)c;
	(void)o;
}

void cpu_unwind(struct cpu *c, enum unwind how)
{
	(void)c;
	assert_int_equal(how, UNWIND_SINGLE);
	back(SINGLE);
}

/* No test enables a breakpoint of the debug registers. */
void sys_break_data(struct cpu *c, u64 lin, unsigned n, bool write)
{
	(void)c;
	(void)write;
	fail_msg("breakpoint asked for %u bytes at %llx", n, (unsigned long long)lin);
}

/* One CPU: it is always its turn. */
void smp_take_turn(struct cpu *c, const struct op *o)
{
	(void)c;
	(void)o;
}

void cpu_raise_err(struct cpu *c, const struct op *o, unsigned vector, u32 error)
{
	(void)c;
	(void)o;
	env.event = (struct event){ .vector = (u8)vector, .error = error, .has_error = true };
	back(FAULT);
}

void cpu_raise_pf(struct cpu *c, const struct op *o, u64 lin, u32 error)
{
	(void)c;
	(void)o;
	env.event = (struct event){ .vector = VEC_PF, .error = error, .has_error = true, .cr2_or_dr6 = lin };
	back(FAULT);
}

void code_written(struct machine *m, u64 frame, unsigned off, unsigned n)
{
	(void)m;
	(void)frame;
	assert_true(off + n <= PAGE_SIZE);
	env.code_stores++;
}

void monitor_stored(struct machine *m, u64 frame, unsigned off, unsigned n)
{
	(void)m;
	assert_true(off + n <= PAGE_SIZE);
	env.monitored_stores++;
	env.monitored = (frame << PAGE_SHIFT) + off;
	env.monitored_bytes = n;
}

void monitor_stored_by(struct cpu *c, const struct op *o, u64 frame, unsigned off, unsigned n)
{
	(void)o;
	monitor_stored(c->m, frame, off, n);
}

bool code_hits_running(struct cpu *c, const struct op *o, u64 frame, unsigned off, unsigned n)
{
	(void)c;
	(void)frame;
	(void)off;
	(void)n;
	return o && env.hits_running;
}

void code_tlb_changed(struct cpu *c)
{
	(void)c;
	env.code_changes++;
}

void vmx_exit_ept_violation(struct cpu *c, const struct op *o, const struct ept_fault *f)
{
	(void)c;
	(void)o;
	env.ept = *f;
	back(VIOLATION);
}

void vmx_exit_ept_misconfig(struct cpu *c, const struct op *o, gpa_t gpa)
{
	(void)c;
	(void)o;
	env.misconfig = gpa.v;
	back(MISCONFIG);
}

void vmx_exit_spp(struct cpu *c, const struct op *o, gpa_t gpa, u64 lin, bool missed)
{
	(void)c;
	(void)o;
	env.spp_gpa = gpa.v;
	env.spp_lin = lin;
	back(missed ? SPP_MISSED : SPP_MISCONFIG);
}

void vmx_pml_log(struct cpu *c, const struct op *o, gpa_t gpa)
{
	(void)c;
	(void)o;
	if (env.log_entry) {
		env.dirty_at_log = phys_get(env.log_entry) & EPT_D;
		env.accessed_at_log = phys_get(env.log_entry) & EPT_A;
	}
	if (env.logged == env.log_room)
		back(LOG_FULL);
	env.log[env.logged++] = gpa.v;
}

bool vmx_msr_read(struct cpu *c, u32 index, u64 *value)
{
	(void)c;
	assert_int_equal(index, IA32_VMX_EPT_VPID_CAP);
	*value = env.cap;
	return true;
}

/* No APIC-access page here: tests/guest/vmx/vmx_apic.c has one. */
static _Noreturn void no_apic_page(void)
{
	fail_msg("an access to the APIC-access page");
	abort();
}

void vmx_apic_check(struct cpu *c, const struct op *o, u64 hpa, unsigned n, bool write)
{
	no_apic_page();
}

void vmx_apic_read(struct cpu *c, u64 hpa, void *to, unsigned n)
{
	no_apic_page();
}

void vmx_apic_write(struct cpu *c, u64 hpa, const void *from, unsigned n)
{
	no_apic_page();
}

void vmx_apic_fetch(struct cpu *c, u64 hpa)
{
	no_apic_page();
}

void vmx_apic_guest_physical(struct cpu *c, const struct op *o)
{
	no_apic_page();
}

void machine_unimplemented(struct cpu *c, const struct op *o, const char *fmt, ...)
{
	(void)c;
	(void)o;
	fail_msg("not implemented: %s", fmt);
	abort();
}

void machine_stop(struct machine *m, int status, const char *reason)
{
	(void)m;
	fail_msg("stop %d: %s", status, reason);
}

void snap_bytes(struct snap *s, const char *name, void *p, size_t n)
{
	(void)name;
	if (s->restoring) {
		assert_true(s->at + n <= s->used);
		memcpy(p, s->bytes + s->at, n);
		s->at += n;
	} else {
		assert_true(s->used + n <= sizeof(s->bytes));
		memcpy(s->bytes + s->used, p, n);
		s->used += n;
	}
}

bool snap_restoring(const struct snap *s)
{
	return s->restoring;
}

bool snap_looking(const struct snap *s)
{
	(void)s;
	return false;
}

static u64 device_read(void *dev, struct cpu *c, u64 offset, unsigned size)
{
	(void)dev;
	(void)c;
	return 0x1122334455667788ull + offset + size;
}

static void device_write(void *dev, struct cpu *c, u64 offset, unsigned size, u64 value)
{
	(void)dev;
	(void)c;
	assert_true(env.device_stores < 8);
	env.device[env.device_stores].offset = offset;
	env.device[env.device_stores].size = size;
	env.device[env.device_stores++].value = value;
}

static struct cost_table costs = { .name = "test" };

static void make_machine(void)
{
	struct machine *m = &env.m;

	for (unsigned k = 0; k < COST_COUNT; k++)
		costs.cycles[k] = 1000 + k; /* any two rows differ */
	m->costs = &costs;
	assert_true(bus_init(m, RAM_BYTES));
	assert_int_equal(oracle_init(m), 0);
	bus_add_mmio(m, 0xfed00000, 0x1000, device_read, device_write, NULL, "test");
	m->cpu[0] = &env.c;
	m->ncpus = 1;
	env.c.m = m;
	mmu_init(&env.c);
}

/* As after power-on: zeroed RAM and registers, empty caches. */
void env_reset(void)
{
	struct cpu *c = &env.c;

	if (!env.m.costs)
		make_machine();
	for (int id = 0; id < ORACLE_MAX_WATCHES; id++)
		oracle_unwatch(&env.m, id);
	memset(env.m.bus.ram, 0, 0x20000);
	memset(env.m.bus.frame_flags, 0, RAM_BYTES >> PAGE_SHIFT);
	memset(env.m.stat, 0, sizeof(env.m.stat));
	c->cr0 = CR0_PE | CR0_ET;
	c->cr3 = c->cr4 = c->efer = 0;
	c->pkru = 0;
	c->eflags = EFLAGS_ONE;
	c->cpl = 0;
	c->code_size = 32;
	c->budget = 0;
	c->vmx = (struct vmx_state){ .apic_page = VMX_NO_POINTER };
	c->apic_mmio = ~0ull;
	env.logged = 0;
	env.log_room = 64;
	env.log_entry = 0;
	env.cap = EPT_CAP_EXECUTE_ONLY | EPT_CAP_WALK_4 | EPT_CAP_WALK_5 | EPT_CAP_2M | EPT_CAP_1G | EPT_CAP_AD;
	env.code_stores = env.code_changes = env.monitored_stores = 0;
	env.hits_running = false;
	env.device_stores = 0;
	mmu_clear(c);
}

u64 phys_get(u64 at)
{
	u64 v;

	memcpy(&v, env.m.bus.ram + at, 8);
	return v;
}

void phys_set(u64 at, u64 v)
{
	memcpy(env.m.bus.ram + at, &v, 8);
}

u64 guest_leaf_at(unsigned shift)
{
	return shift == 30 ? PDPT : shift == 21 ? PD + 8 * 2 : PT;
}

void map_guest(unsigned shift, u64 upper, u64 leaf)
{
	u64 base = DATA >> shift << shift;

	phys_set(PML4 + 8, PDPT | upper);
	if (shift < 30)
		phys_set(PDPT, PD | upper);
	if (shift < 21)
		phys_set(PD + 8 * 2, PT | upper);
	phys_set(guest_leaf_at(shift), base | leaf | (shift > 12 ? PTE_PS : 0));
	env.c.cr0 |= CR0_PG;
	env.c.cr3 = PML4;
	env.c.cr4 |= CR4_PAE;
	env.c.efer |= EFER_LME | EFER_LMA;
	env.c.code_size = 64;
	mmu_update_mode(&env.c);
}

u64 ept_leaf_at(unsigned shift)
{
	return shift == 30 ? EPDPT : shift == 21 ? EPD + 8 * 2 : EPT_DATA;
}

void map_ept(unsigned shift, u64 leaf, bool ad)
{
	u64 base = DATA >> shift << shift, wb = 6 << EPT_MT_SHIFT;

	phys_set(EPML4, EPDPT | EPT_RWX);
	if (shift < 30)
		phys_set(EPDPT, EPD | EPT_RWX);
	phys_set(EPD, EPT_LOW | EPT_RWX);
	for (u64 i = 0; i < 512; i++)
		phys_set(EPT_LOW + i * 8, i << 12 | wb | EPT_RWX);
	if (shift < 21)
		phys_set(EPD + 8 * 2, EPT_DATA | EPT_RWX);
	phys_set(ept_leaf_at(shift), base | leaf | wb | (shift > 12 ? EPT_PS : 0));
	env.c.vmx.on = env.c.vmx.nonroot = env.c.vmx.ept = true;
	env.c.vmx.ept_ad = ad;
	env.c.vmx.vpid = 1;
	env.c.vmx.eptp = EPML4 | EPTP_WALK_4 | 6 | (ad ? EPTP_AD : 0);
	mmu_update_mode(&env.c);
}

void set_cpl(unsigned cpl)
{
	env.c.cpl = (u8)cpl;
	mmu_update_mode(&env.c);
}

enum outcome try_op(enum mmu_access a, const struct op *o, u64 lin, unsigned size)
{
	struct cpu *c = &env.c;
	u8 buf[128] = { 0 };
	int how = setjmp(env.back);

	if (how)
		return (enum outcome)(how - 1);
	if (a == ACCESS_EXEC)
		(void)mmu_fetch(c, lin);
	else if (a == ACCESS_READ && size == 8)
		(void)ld64(c, o, lin);
	else if (a == ACCESS_WRITE && size == 8)
		st64(c, o, lin, 0x0123456789abcdefull);
	else if (a == ACCESS_READ)
		ld_buf(c, o, lin, buf, size);
	else
		st_buf(c, o, lin, buf, size);
	return DONE;
}

enum outcome try_access(enum mmu_access a, u64 lin, unsigned size)
{
	return try_op(a, NULL, lin, size);
}

enum outcome try_system(enum mmu_access a, u64 lin)
{
	int how = setjmp(env.back);

	if (how)
		return (enum outcome)(how - 1);
	if (a == ACCESS_READ)
		(void)mmu_ld_sys(&env.c, NULL, lin, 8);
	else
		mmu_st_sys(&env.c, NULL, lin, 8, 1);
	return DONE;
}
