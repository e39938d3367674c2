/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How handlers go on. With optimisation each handler jumps to the next one (a tail call: no dispatch loop); without,
 * as under the sanitizers' -O0, it returns to the loop. The meaning is the same.
 */
#ifndef OOH_MACHINE_CPU_DISPATCH_H
#define OOH_MACHINE_CPU_DISPATCH_H

#include "machine/cpu/cpu.h"

#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
#define OP_GOTO(c, o) return (o)->fn((c), (o))
#else
#define OP_GOTO(c, o) return (o)
#endif
#define OP_NEXT(c, o) OP_GOTO(c, (o) + 1)

#endif
