// SPDX-License-Identifier: GPL-2.0-only
/*
 * Root mode's own machinery: locks, exceptions, instructions that may fault.
 */
#include "core/root.h"

#include "arch/x86.h"

/* Where an instruction that may raise #GP continues if it does: rows made by the wrappers below. */
struct hv_fixup {
	uint64_t at, to;
};

extern const struct hv_fixup hv_fixups_start[], hv_fixups_end[];

#define FIXUP(at, to) ".pushsection .fixups, \"a\"\n.quad " at ", " to "\n.popsection\n"

void hv_lock(uint32_t *lock)
{
	while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
		while (__atomic_load_n(lock, __ATOMIC_RELAXED))
			asm volatile("pause");
}

void hv_unlock(uint32_t *lock)
{
	__atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

bool hv_rdmsr(uint32_t msr, uint64_t *value)
{
	uint32_t low = 0, high = 0;
	bool ok = true;

	asm volatile("1: rdmsr\njmp 3f\n2: movb $0, %0\n3:\n" FIXUP("1b", "2b")
		     : "+rm"(ok), "+a"(low), "+d"(high) : "c"(msr) : "memory");
	*value = (uint64_t)high << 32 | low;
	return ok;
}

bool hv_wrmsr(uint32_t msr, uint64_t value)
{
	bool ok = true;

	asm volatile("1: wrmsr\njmp 3f\n2: movb $0, %0\n3:\n" FIXUP("1b", "2b")
		     : "+rm"(ok) : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
	return ok;
}

bool hv_xsetbv(uint32_t index, uint64_t value)
{
	bool ok = true;

	asm volatile("1: xsetbv\njmp 3f\n2: movb $0, %0\n3:\n" FIXUP("1b", "2b")
		     : "+rm"(ok) : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
	return ok;
}

static bool fix_up(struct hv_frame *frame)
{
	for (const struct hv_fixup *f = hv_fixups_start; f < hv_fixups_end; f++) {
		if (f->at == frame->rip) {
			frame->rip = f->to;
			return true;
		}
	}
	return false;
}

/* An NMI that arrives in root mode belongs to the guest. Any other exception but a foreseen #GP is our own mistake. */
void hv_exception(struct hv_frame *frame)
{
	if (frame->vector == VEC_NMI) {
		hv_request_nmi();
		return;
	}
	if (frame->vector == VEC_GP && fix_up(frame))
		return;
	hv_stop_at(frame);
}
