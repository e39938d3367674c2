/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef OOH_TESTS_ENGINES_SPOILED_H
#define OOH_TESTS_ENGINES_SPOILED_H

#include "machine/core/machine.h"
#include "machine/cpu/cpu.h"
#include "machine/cpu/sys/priv.h"
#include "machine/jit/jit.h"
#include "machine/mmu/state.h"
#include "machine/vmx/vmcs.h"

/* Each function that a mutant changes: result, name, parameters, arguments. */
#define SPOILED(X) \
	X(void, cpu_deliver, (struct cpu *c, const struct event *e)) \
	X(void, code_written, (struct machine *m, u64 frame, unsigned off, unsigned n)) \
	X(bool, code_hits_running, (struct cpu *c, const struct op *o, u64 frame, unsigned off, unsigned n)) \
	X(void, code_tlb_changed, (struct cpu *c)) \
	X(bool, bus_dma_write, (struct machine *m, hpa_t a, const void *buf, u64 n)) \
	X(void, vmx_phys_write, (struct cpu *c, u64 addr, unsigned size, u64 value)) \
	X(void, vmcs_store, (struct cpu *c, u64 addr)) \
	X(void, walk_linear, (struct cpu *c, const struct op *o, u64 lin, unsigned n, enum mmu_access a, enum mmu_mode mode, struct walk *w)) \
	X(void, mmu_frame_slow, (struct machine *m, u64 frame)) \
	X(void, mmu_update_mode, (struct cpu *c)) \
	X(void, sys_break_data, (struct cpu *c, u64 lin, unsigned n, bool write)) \
	X(void, jit_unlink, (struct block *b)) \
	X(void, need_no_umip, (struct cpu *c, const struct op *o)) \
	X(const struct op *, op_rdpid, (struct cpu *c, const struct op *o)) \
	X(const char *, cpuid_choose, (const char *list)) \
	X(bool, cpuid_has, (const struct cpu *c, enum cpu_feature f))

#define DECLARE(type, name, parameters) \
	type __wrap_##name parameters; \
	type __real_##name parameters;
SPOILED(DECLARE)
#undef DECLARE

#endif
