/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "bench.h"
#include "lab/probe/probe.h"

static int fd = -1;

enum {
#define COUNTER(name, text) COUNTER_##name,
#include "abi/machine_counters.def"
#undef COUNTER
	COUNTER_COUNT
};

void die(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(3);
}

static void command(struct machine_command_block *b)
{
	if (ioctl(fd, PROBE_COMMAND, b))
		die("%s: command %u: %s", PROBE_DEVICE, b->command, strerror(errno));
	if (b->status)
		die("%s: command %u: %s", PROBE_DEVICE, b->command, strerror(-b->status));
}

void machine_open(void)
{
	fd = open(PROBE_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("%s: %s", PROBE_DEVICE, strerror(errno));
}

void counters_read(struct counters *c)
{
	uint64_t v[512] = { 0 };
	struct machine_command_block b = { .command = MACHINE_COUNTERS, .arg = { (uintptr_t)v, 512 } };
	struct machine_command_block t = { .command = MACHINE_NOW };

	command(&b);
	command(&t);
	*c = (struct counters){
		.now = t.out[0],
		.faults = v[COUNTER_PAGE_FAULTS],
		.exits = v[COUNTER_VMEXITS],
		.hypercalls = v[COUNTER_HYPERCALLS],
		.interrupts = v[COUNTER_INTERRUPTS],
		.instructions = v[COUNTER_INSNS],
		.tlb_misses = v[COUNTER_TLB_MISSES],
		.refs_1d = v[COUNTER_WALK_REFS_1D],
		.refs_guest = v[COUNTER_WALK_REFS_GUEST],
		.refs_ept = v[COUNTER_WALK_REFS_EPT],
		.pml = v[COUNTER_PML_ENTRIES],
		.ept_dirty = v[COUNTER_EPT_DIRTY_SETS],
		.halted = v[COUNTER_HALTED_CYCLES],
	};
	memcpy(c->exit, &v[MACHINE_EXITS_AT], sizeof(c->exit));
}

struct counters counters_since(const struct counters *before)
{
	struct counters now;
	uint64_t *a = (uint64_t *)&now;
	const uint64_t *b = (const uint64_t *)before;

	counters_read(&now);
	for (size_t i = 0; i < sizeof(now) / sizeof(*a); i++)
		a[i] -= b[i];
	return now;
}

int oracle_watch(pid_t pid, uint64_t start, uint64_t end)
{
	struct machine_command_block b = { .command = MACHINE_ORACLE_WATCH, .arg = { (uint64_t)pid, start, end } };

	if (fd < 0)
		return -1;
	command(&b);
	return (int)b.out[0];
}

void oracle_unwatch(int id)
{
	struct machine_command_block b = { .command = MACHINE_ORACLE_UNWATCH, .arg = { (uint64_t)id } };

	command(&b);
}

void oracle_round(int id, struct pages *out)
{
	struct machine_command_block b = { .command = MACHINE_ORACLE_ROUND, .arg = { (uint64_t)id } };
	size_t n;

	command(&b);
	n = b.out[0];
	if (n > out->cap) {
		out->v = realloc(out->v, n * sizeof(*out->v));
		if (!out->v)
			die("no memory for %zu pages", n);
		out->cap = n;
	}
	for (out->n = 0; out->n < n; out->n += b.out[0]) {
		b = (struct machine_command_block){ .command = MACHINE_ORACLE_READ,
			.arg = { (uint64_t)id, out->n, (uintptr_t)(out->v + out->n), n - out->n < 512 ? n - out->n : 512 } };
		command(&b);
		if (!b.out[0])
			die("the oracle gave %zu of %zu pages", out->n, n);
	}
}
