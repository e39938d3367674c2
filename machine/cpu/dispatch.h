/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How handlers go on. With optimisation each handler jumps to the next one (a tail call: no dispatch loop); without, as under
 * the sanitizers' -O0, it returns to the loop. The meaning is the same.
 */
#ifndef OOH_MACHINE_CPU_DISPATCH_H
#define OOH_MACHINE_CPU_DISPATCH_H

#include "machine/cpu/cpu.h"

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
#define OP_NEXT(c, o) return (o)[1].fn((c), (o) + 1)
#else
#define OP_NEXT(c, o) return (o) + 1
#endif

#endif
