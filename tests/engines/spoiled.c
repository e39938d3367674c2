// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mutants: a machine that forgets one thing, named in OOH_SPOIL. The linker puts these functions in the place of the
 * machine's.
 */
#include "tests/engines/spoiled.h"

#include <stdlib.h>
#include <string.h>

#include "machine/cpu/sys/sys.h"

static bool spoils(const char *what)
{
	const char *s = getenv("OOH_SPOIL");

	return s && strcmp(s, what) == 0;
}

static bool every(unsigned *count, unsigned n)
{
	return ++*count % n == 0;
}

/* Stores of a kind that are not to reach code. */
static bool quiet;

void __wrap_cpu_deliver(struct cpu *c, const struct event *e)
{
	static unsigned deliveries;

	__real_cpu_deliver(c, e);
	if (spoils("register") && ++deliveries == 20)
		c->dr[0] ^= 1;
}

void __wrap_code_written(struct machine *m, u64 frame, unsigned off, unsigned n)
{
	static unsigned stores;

	if (quiet || (spoils("stores") && every(&stores, 50)) || (spoils("parts") && off == 0))
		return;
	__real_code_written(m, frame, off, n);
}

bool __wrap_code_hits_running(struct cpu *c, const struct op *o, u64 frame, unsigned off, unsigned n)
{
	return !spoils("itself") && __real_code_hits_running(c, o, frame, off, n);
}

void __wrap_code_tlb_changed(struct cpu *c)
{
	if (!spoils("mappings"))
		__real_code_tlb_changed(c);
}

bool __wrap_bus_dma_write(struct machine *m, hpa_t a, const void *buf, u64 n)
{
	bool ok;

	quiet = spoils("dma");
	ok = __real_bus_dma_write(m, a, buf, n);
	quiet = false;
	return ok;
}

void __wrap_vmx_phys_write(struct cpu *c, u64 addr, unsigned size, u64 value)
{
	quiet = spoils("vmx");
	__real_vmx_phys_write(c, addr, size, value);
	quiet = false;
}

void __wrap_vmcs_store(struct cpu *c, u64 addr)
{
	quiet = spoils("vmcs");
	__real_vmcs_store(c, addr);
	quiet = false;
}

/* A walk that faults leaves it set: the mutant forgets some more. */
void __wrap_walk_linear(struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a, enum mmu_mode mode, struct walk *w)
{
	quiet = spoils("walks");
	__real_walk_linear(c, o, lin, n, a, mode, w);
	quiet = false;
}

void __wrap_mmu_frame_slow(struct machine *m, u64 frame)
{
	if (!spoils("watch"))
		__real_mmu_frame_slow(m, frame);
}

void __wrap_mmu_update_mode(struct cpu *c)
{
	static unsigned updates;

	if (!spoils("rights") || !every(&updates, 7))
		__real_mmu_update_mode(c);
}

void __wrap_sys_break_data(struct cpu *c, u64 lin, unsigned n, bool write)
{
	static unsigned looks;

	if (!spoils("breaks") || !every(&looks, 7))
		__real_sys_break_data(c, lin, n, write);
}

void __wrap_jit_unlink(struct block *b)
{
	if (!spoils("links"))
		__real_jit_unlink(b);
}

void __wrap_need_no_umip(struct cpu *c, const struct op *o)
{
	if (!spoils("umip"))
		__real_need_no_umip(c, o);
}

const struct op *__wrap_op_rdpid(struct cpu *c, const struct op *o)
{
	if (spoils("rdpid"))
		c->tsc_aux++;
	return __real_op_rdpid(c, o);
}

const char *__wrap_cpuid_choose(const char *list)
{
	return spoils("choice") ? NULL : __real_cpuid_choose(list);
}

bool __wrap_cpuid_has(const struct cpu *c, enum cpu_feature f)
{
	return (spoils("clwb") && f == FEAT_CLWB) || __real_cpuid_has(c, f);
}
