/* SPDX-License-Identifier: GPL-2.0-or-later */
#define _GNU_SOURCE
#include "machine/fpu/host_fpe.h"

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

static struct sigaction before;

static void on_fpe(int sig, siginfo_t *info, void *context)
{
	greg_t *rip = &((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	uintptr_t begin = (uintptr_t)vex_thunks_begin, end = (uintptr_t)vex_guard_fault;

	if ((uintptr_t)*rip >= begin && (uintptr_t)*rip < end)
		*rip = (greg_t)end;
	else if (before.sa_flags & SA_SIGINFO)
		before.sa_sigaction(sig, info, context);
	else
		sigaction(SIGFPE, &before, NULL); /* and fault again */
}

void host_fpe_catch(void)
{
	const struct sigaction sa = { .sa_sigaction = on_fpe, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };

	sigaction(SIGFPE, &sa, &before);
}
