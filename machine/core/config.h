/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the command line says: filled by main.c, read at start-up. */
#ifndef OOH_MACHINE_CORE_CONFIG_H
#define OOH_MACHINE_CORE_CONFIG_H

#include "machine/core/types.h"

#define MACHINE_SERIALS 2
#define MACHINE_DISKS 4

/* ENGINE_UNSAID: as the environment's OOH_ENGINE says, else translated. */
enum engine { ENGINE_UNSAID, ENGINE_INTERPRET, ENGINE_TRANSLATE, ENGINE_EAGER };

struct machine_config {
	/* bzImage, vmlinux (ELF64) or Multiboot-1 image; initrd is the module of the latter */
	const char *kernel, *initrd, *append;
	u64 ram;             /* bytes */
	unsigned cpus;
	const char *cpu;     /* features left out and put in: "-AVX2,..."; NULL: none */
	const char *costs;   /* cost table: "broadwell" */
	u64 seed;
	/* "stdio", "null", "file:PATH" (output), "in:PATH,out:PATH" (input there from the first cycle) */
	const char *serial[MACHINE_SERIALS];
	const char *disk[MACHINE_DISKS]; /* FILE[,ro][,snapshot]; NULL behind the last */
	const char *net;     /* "peer" or "unix:PATH"; NULL: no network */
	bool rng;            /* an entropy device */
	const char *digest;  /* file for --digest */
	u64 digest_every;    /* cycles; 0: at the end only */
	bool digest_exact;   /* the CPU stops at each of these cycles */
	bool digest_memory;  /* RAM at every point */
	const char *profile; /* file for --profile */
	const char *stats;   /* file for --stats */
	const char *resume;  /* snapshot directory to resume */
	const char *snapshot_to;
	bool snapshot_exit;
	u64 max_cycles;      /* 0: no limit; else stops with status 124 */
	u64 epoch;           /* seconds since 1970 that the RTC starts with: fixed by default, for determinism */
	bool quiet;
	const char *trace_file; /* file for --trace */
	unsigned trace_events;  /* TRACE_* of machine/debug/trace.h; 0: all */
	bool exit_stats;        /* print exits by reason at the end */
	const char *gdb;        /* where the debugger connects: "tcp:PORT", "unix:PATH" */
	bool gdb_wait;          /* do nothing before it has */
	bool irq_ports;         /* I/O ports that set interrupt lines */
	bool test_device;       /* those, and machine/dev/testdev.h */
	bool dump_on_exit;      /* print CPUs and current VMCSs at the end */
	enum engine engine;     /* how instructions run; the meaning is the same */
	u64 cache;           /* bytes for translations, if the engine is named */
	u64 blocks;          /* bytes for decoded code */
	u64 trace_from;      /* cycle from which every instruction is printed on stderr; CYCLES_NONE: never */
};

/* Parses argv; prints usage or one line of error and returns the exit status to end with, or -1 to go on. */
int config_parse(int argc, char **argv, struct machine_config *cfg);

/*
 * What is to be used. A debugger changes decoded code, so with one it is interpreted. cache: bytes for translations. cfg
 * may be NULL.
 */
enum engine config_engine(const struct machine_config *cfg, u64 *cache);
#define CONFIG_CACHE (96ull << 20)
#define CONFIG_CACHE_MIN (128ull << 10) /* a translation wants half of it */
#define CONFIG_BLOCKS (160ull << 20)
#define CONFIG_BLOCKS_MIN (64ull << 10)

#endif
