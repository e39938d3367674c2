// SPDX-License-Identifier: GPL-2.0-or-later
/* Ways into translated code and out of it. Nothing here knows a block. */
#include "machine/jit/state.h"

/* Guest registers and their homes. R10, R11, R13, R14 and R15 are the least used by compilers: they stay in memory. */
const s8 jit_home[16] = {
	[RAX] = H10, [RCX] = HCX, [RDX] = HDX, [RBX] = HBX, [RSP] = H13, [RBP] = H12, [RSI] = HSI, [RDI] = HDI,
	[R8] = H8, [R9] = H9, [R10] = -1, [R11] = -1, [R12] = H11, [R13] = -1, [R14] = -1, [R15] = -1,
};

static const u8 saved[] = { HBX, HBP, H12, H13, H14, H15 };

static void spill(struct asm_buf *a)
{
	for (unsigned g = 0; g < 16; g++)
		if (jit_home[g] >= 0)
			x_store(a, 8, guest_mem(g), (unsigned)jit_home[g]);
}

static void reload(struct asm_buf *a)
{
	for (unsigned g = 0; g < 16; g++)
		if (jit_home[g] >= 0)
			x_load(a, 8, (unsigned)jit_home[g], guest_mem(g));
}

static void enter_frame(struct asm_buf *a)
{
	for (unsigned i = 0; i < sizeof(saved); i++)
		x_push(a, saved[i]);
	x_alu_imm(a, X_SUB, 8, rm_reg(HSP), 8);
}

static void leave_frame(struct asm_buf *a)
{
	x_alu_imm(a, X_ADD, 8, rm_reg(HSP), 8);
	for (unsigned i = sizeof(saved); i--;)
		x_pop(a, saved[i]);
}

static void cpu_argument(struct asm_buf *a)
{
	x_lea(a, 8, HDI, HCPU, -1, 0, -CPU_BIAS);
}

/*
 * Blocks look at nothing but the budget when they are entered. What else C needs to be exact, or can have changed, is
 * seen to between translated code and C. Guest registers have been spilled; uses RCX and RDX.
 */
#define HELD (1ull << 62)

/* To C: the true budget, and instructions counted: those entered are the cycles taken less the surplus. */
static void settle(struct asm_buf *a)
{
	x_load(a, 8, HCX, CPU(held));
	x_alu_to(a, X_ADD, 8, CPU(budget), HCX);
	x_load(a, 8, HCX, CPU(counted));
	x_alu(a, X_SUB, 8, HCX, CPU(budget));
	x_alu(a, X_SUB, 8, HCX, CPU(surplus));
	x_load(a, 8, HDX, CPU(insns));
	x_alu_to(a, X_ADD, 8, rm_mem(HDX, 0), HCX);
	x_store_imm(a, 8, CPU(held), 0);
	x_store_imm(a, 8, CPU(surplus), 0);
}

/* From C: with something pending no block can be entered. */
static void unsettle(struct asm_buf *a)
{
	u8 *none;

	x_load(a, 8, HCX, CPU(budget));
	x_store(a, 8, CPU(counted), HCX);
	x_alu_imm(a, X_CMP, 4, CPU(pending), 0);
	none = x_jcc(a, CC_X_E);
	x_mov_imm(a, HCX, HELD);
	x_store(a, 8, CPU(held), HCX);
	x_alu_to(a, X_SUB, 8, CPU(budget), HCX);
	x_patch(none, a->p);
}

static void call_c(struct asm_buf *a, u64 fn)
{
	x_mov_imm(a, HAX, fn);
	x_call_rm(a, rm_reg(HAX));
}

/* RCX = RIP of block R15; registers have been spilled. */
static void block_rip(struct asm_buf *a)
{
	x_load(a, 4, HCX, rm_mem(T2, offsetof(struct block, hpa)));
	x_alu_imm(a, X_AND, 4, rm_reg(HCX), (s32)PAGE_OFFSET_MASK);
	x_alu(a, X_ADD, 8, HCX, CPU(page_rip));
}

static void set_running(struct asm_buf *a)
{
	x_store(a, 8, CPU(block), T2);
	block_rip(a);
	x_store(a, 8, CPU(gpr[REG_BLOCK]), HCX);
}

static void make_enter(struct asm_buf *a)
{
	enter_frame(a);
	x_lea(a, 8, HCPU, HDI, -1, 0, CPU_BIAS);
	x_load(a, 8, T0, CPU(gpr[REG_BLOCK]));
	x_alu_imm(a, X_AND, 8, rm_reg(T0), ~(s32)PAGE_OFFSET_MASK);
	x_store(a, 8, CPU(page_rip), T0);
	x_load(a, 8, T2, CPU(block));
	x_load(a, 8, T2, rm_mem(T2, offsetof(struct block, translation)));
	unsettle(a);
	reload(a);
	x_jmp_rm(a, rm_mem(T2, offsetof(struct translation, body)));
}

static void leave(struct asm_buf *a)
{
	leave_frame(a);
	x_alu(a, X_XOR, 4, HAX, rm_reg(HAX));
	x_u8(a, 0xc3);
}

static void make_interp(struct asm_buf *a)
{
	spill(a);
	settle(a);
	block_rip(a);
	x_load(a, 8, HDX, rm_reg(HCX));
	x_load(a, 8, HSI, rm_reg(T2));
	cpu_argument(a);
	leave_frame(a);
	x_mov_imm(a, HAX, (u64)(uintptr_t)jit_interpret);
	x_jmp_rm(a, rm_reg(HAX));
}

static void make_out(struct asm_buf *a)
{
	x_alu(a, X_ADD, 8, T0, CPU(page_rip));
	x_store(a, 8, CPU(rip), T0);
	spill(a);
	settle(a);
	leave(a);
}

/* A handler that ends its block though it usually does not (NULL) is obeyed. */
static void make_call(struct asm_buf *a, bool flags)
{
	u8 *ended;

	spill(a);
	settle(a);
	set_running(a);
	cpu_argument(a);
	x_load(a, 8, HSI, rm_reg(T1));
	x_alu_imm(a, X_SUB, 8, rm_reg(HSP), 8);
	x_call_rm(a, rm_reg(HAX));
	x_test(a, 8, rm_reg(HAX), HAX);
	ended = x_jcc(a, CC_X_E);
	if (flags) {
		cpu_argument(a);
		call_c(a, (u64)(uintptr_t)jit_host_flags);
	}
	x_alu_imm(a, X_ADD, 8, rm_reg(HSP), 8);
	unsettle(a);
	reload(a);
	if (flags) {
		x_alu_imm(a, X_ADD, 1, rm_reg(HAX), 0x7f);
		x_u8(a, 0x9e); /* SAHF */
	}
	x_u8(a, 0xc3);
	x_patch(ended, a->p);
	x_alu_imm(a, X_ADD, 8, rm_reg(HSP), 16);
	leave(a);
}

static void make_tail(struct asm_buf *a)
{
	spill(a);
	settle(a);
	set_running(a);
	cpu_argument(a);
	x_load(a, 8, HSI, rm_reg(T1));
	leave_frame(a);
	x_jmp_rm(a, rm_reg(HAX));
}

static void make_rest(struct asm_buf *a)
{
	x_mov_imm(a, HAX, (u64)(uintptr_t)jit_rest);
	make_tail(a);
}

/* Goes on with the block that C has returned, or leaves without one. */
static void enter_block(struct asm_buf *a)
{
	u8 *none;

	x_test(a, 8, rm_reg(HAX), HAX);
	none = x_jcc(a, CC_X_E);
	x_load(a, 8, T2, rm_reg(HAX));
	unsettle(a);
	reload(a);
	x_jmp_rm(a, rm_mem(T2, offsetof(struct block, entry)));
	x_patch(none, a->p);
	leave(a);
}

static void make_exit(struct asm_buf *a)
{
	spill(a);
	settle(a);
	set_running(a);
	cpu_argument(a);
	x_load(a, 4, HSI, rm_reg(HAX));
	call_c(a, (u64)(uintptr_t)jit_follow);
	enter_block(a);
}

static void make_jump(struct asm_buf *a)
{
	spill(a);
	settle(a);
	cpu_argument(a);
	x_load(a, 8, HSI, rm_reg(HAX));
	call_c(a, (u64)(uintptr_t)jit_jump);
	enter_block(a);
}

/* A result of AND, OR, XOR or TEST, which translated code leaves behind most often, needs no C. */
static void make_flags(struct asm_buf *a)
{
	u8 *other;

	x_alu_imm(a, X_CMP, 4, CPU(cc_op), CC_LOGIC);
	other = x_jcc(a, CC_X_NE);
	x_load(a, 8, T0, CPU(cc_res));
	x_test(a, 8, rm_reg(T0), T0);
	x_u8(a, 0x9f); /* LAHF */
	x_alu_imm(a, X_AND, 4, rm_reg(T0), (CC_SF | CC_ZF | CC_PF) << 8);
	flags_store_ax(a);
	x_u8(a, 0xc3);
	x_patch(other, a->p);
	spill(a);
	cpu_argument(a);
	x_alu_imm(a, X_SUB, 8, rm_reg(HSP), 8);
	call_c(a, (u64)(uintptr_t)jit_cc_to_host);
	x_alu_imm(a, X_ADD, 8, rm_reg(HSP), 8);
	reload(a);
	x_u8(a, 0xc3);
}

static void make(struct asm_buf *a, enum thunk k)
{
	switch (k) {
	case THUNK_ENTER:      make_enter(a); break;
	case THUNK_INTERP:     make_interp(a); break;
	case THUNK_OUT:        make_out(a); break;
	case THUNK_CALL:       make_call(a, false); break;
	case THUNK_CALL_FLAGS: make_call(a, true); break;
	case THUNK_TAIL:       make_tail(a); break;
	case THUNK_REST:       make_rest(a); break;
	case THUNK_EXIT:       make_exit(a); break;
	case THUNK_JUMP:       make_jump(a); break;
	case THUNK_FLAGS:      make_flags(a); break;
	case THUNK_COUNT:      break;
	}
}

void thunks_make(struct jit *j)
{
	struct asm_buf a = { .p = j->rw };

	for (unsigned k = 0; k < THUNK_COUNT; k++) {
		a.p = (u8 *)(((uintptr_t)a.p + 63) & ~(uintptr_t)63);
		j->thunk[k] = a.p;
		make(&a, (enum thunk)k);
	}
	j->thunks = (size_t)(a.p - j->rw + 63) & ~(size_t)63;
	jit_clear(j);
}
