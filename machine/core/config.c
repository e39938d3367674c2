/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The command line. Every mistake is one line, `ooh-machine: object: reason`, and status 2. */
#include "machine/core/config.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/core/costs.h"
#include "machine/core/machine.h"
#include "machine/debug/trace.h"

#define VERSION "0.1.0"
#define DEFAULT_RAM (512ull << 20)
#define MIN_RAM (16ull << 20)
#define MAX_RAM (64ull << 30)
#define RAM_GRANULE (2ull << 20)
#define DEFAULT_EPOCH 1767225600ull /* 2026-01-01 00:00:00 UTC */

enum option_id {
	OPT_KERNEL = 1, OPT_INITRD, OPT_APPEND, OPT_RAM, OPT_CPUS, OPT_SERIAL, OPT_SERIAL2, OPT_DISK, OPT_NET, OPT_RNG, OPT_STATS, OPT_SNAPSHOT_TO,
	OPT_SNAPSHOT_EXIT, OPT_RESUME, OPT_COSTS, OPT_SEED, OPT_EPOCH, OPT_MAX_CYCLES, OPT_TRACE_INSN, OPT_PROFILE, OPT_DIGEST,
	OPT_DIGEST_EVERY, OPT_DIGEST_EXACT, OPT_DIGEST_MEMORY,
	OPT_QUIET, OPT_CPU, OPT_TRACE, OPT_TRACE_EVENTS, OPT_EXIT_STATS, OPT_GDB, OPT_GDB_WAIT,
	OPT_DUMP_ON_EXIT, OPT_IRQ_PORTS, OPT_TEST_DEVICE, OPT_ENGINE, OPT_BLOCKS, OPT_HELP, OPT_VERSION,
};

static const struct option options[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "ram", required_argument, NULL, OPT_RAM },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "serial", required_argument, NULL, OPT_SERIAL },
	{ "serial2", required_argument, NULL, OPT_SERIAL2 },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "net", required_argument, NULL, OPT_NET },
	{ "rng", no_argument, NULL, OPT_RNG },
	{ "stats", required_argument, NULL, OPT_STATS },
	{ "snapshot-to", required_argument, NULL, OPT_SNAPSHOT_TO },
	{ "snapshot-exit", no_argument, NULL, OPT_SNAPSHOT_EXIT },
	{ "resume", required_argument, NULL, OPT_RESUME },
	{ "cpu", required_argument, NULL, OPT_CPU },
	{ "costs", required_argument, NULL, OPT_COSTS },
	{ "seed", required_argument, NULL, OPT_SEED },
	{ "epoch", required_argument, NULL, OPT_EPOCH },
	{ "max-cycles", required_argument, NULL, OPT_MAX_CYCLES },
	{ "quiet", no_argument, NULL, OPT_QUIET },
	{ "profile", required_argument, NULL, OPT_PROFILE },
	{ "digest", required_argument, NULL, OPT_DIGEST },
	{ "digest-every", required_argument, NULL, OPT_DIGEST_EVERY },
	{ "digest-exact", no_argument, NULL, OPT_DIGEST_EXACT },
	{ "digest-memory", no_argument, NULL, OPT_DIGEST_MEMORY },
	{ "trace-insn", required_argument, NULL, OPT_TRACE_INSN },
	{ "trace", required_argument, NULL, OPT_TRACE },
	{ "trace-events", required_argument, NULL, OPT_TRACE_EVENTS },
	{ "exit-stats", no_argument, NULL, OPT_EXIT_STATS },
	{ "gdb", required_argument, NULL, OPT_GDB },
	{ "gdb-wait", no_argument, NULL, OPT_GDB_WAIT },
	{ "dump-on-exit", no_argument, NULL, OPT_DUMP_ON_EXIT },
	{ "irq-ports", no_argument, NULL, OPT_IRQ_PORTS },
	{ "test-device", no_argument, NULL, OPT_TEST_DEVICE },
	{ "engine", required_argument, NULL, OPT_ENGINE },
	{ "blocks", required_argument, NULL, OPT_BLOCKS },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
"Usage: ooh-machine --kernel FILE [options]\n"
"       ooh-machine --resume DIR [options]\n"
"An emulated x86-64 PC with VT-x, in virtual time: the same inputs give the same run, to the cycle.\n"
"\n"
"Guest\n"
"  --kernel FILE       Linux bzImage or vmlinux (ELF64), or a Multiboot-1 image\n"
"  --initrd FILE       initial RAM disk; the module of a Multiboot image\n"
"  --append TEXT       kernel command line\n"
"  --ram SIZE          memory, with suffix K, M or G (512M); a multiple of 2M\n"
"  --cpus N            processors, 1 to 8 (1)\n"
"  --cpu LIST          features that its processors have not (-NAME) or have besides (+NAME), by commas: -avx2,-pcid\n"
"  --epoch SECONDS     what the real-time clock starts with, since 1970 (1767225600)\n"
"  --seed N            of RDRAND, RDSEED and all else that looks random (1)\n"
"  --costs NAME        cost table: prescott, merom, penryn, westmere, sandybridge, ivybridge, haswell, broadwell\n"
"                      (broadwell)\n"
"\n"
"Virtio devices on PCI\n"
"  --disk FILE[,ro][,snapshot]\n"
"                      a block device (up to 4): a raw image. Writes go to the file; with ro the guest may not write;\n"
"                      with snapshot its writes stay in memory and are gone at the end\n"
"  --net peer          a network device; at its other end 10.0.2.2 answers ARP, ICMP echo, DHCP and UDP echo\n"
"  --net unix:PATH     its frames go through a UNIX stream socket of the host, each behind its length in 4 bytes\n"
"  --rng               an entropy device; what it gives follows from --seed\n"
"\n"
"Serial ports (0x3f8: --serial, default stdio; 0x2f8: --serial2, default null)\n"
"  stdio               the terminal in raw mode; Ctrl-A x ends the machine, Ctrl-A Ctrl-A sends Ctrl-A\n"
"  null                no input, output dropped\n"
"  file:PATH           output to a file\n"
"  in:PATH,out:PATH    input from a file, all of it there from the first cycle; either part may be left out\n"
"\n"
"Runs\n"
"  --stats FILE        counters, VM exits by reason, times and the cost table as JSON, written at the end (-: stdout)\n"
"  --snapshot-to DIR   where the guest's request for a snapshot saves the machine\n"
"  --snapshot-exit     end with status 0 after saving\n"
"  --resume DIR        go on from a snapshot; RAM, processors, costs, seed, epoch, virtio and test devices\n"
"                      are the snapshot's\n"
"  --max-cycles N      stop at this cycle of virtual time (suffixes K, M, G: powers of 1000)\n"
"  --trace-insn CYCLE  print every instruction and the registers on stderr from this cycle on\n"
"  --profile FILE      where the guest's cycles go: RIP every 10007 cycles, as lines `count mode address`, at the end\n"
"  --digest FILE       hashes of the machine's whole state (-: stdout), RAM included at the end, for comparing two runs\n"
"  --digest-every N    also at the run loop's first boundary after each multiple of N cycles (suffixes K, M, G: of 1000)\n"
"  --digest-exact      stop at the cycle itself (one CPU); compare only with runs that do the same\n"
"  --digest-memory     RAM at each of these points too\n"
"  --engine NAME       interpret, or translate to host code (x86-64 hosts): the same run, faster (translate, or what\n"
"                      the environment variable OOH_ENGINE says); translate-eagerly is for tests. NAME:SIZE: room for\n"
"                      translations (96M, from 128K)\n"
"  --blocks SIZE       room for decoded code (160M, from 64K); it is part of what decides about the cycle\n"
"  --quiet             no line on stderr when the guest ends the run\n"
"  --help, --version\n"
"\n"
"For authors of hypervisors\n"
"  --trace FILE        VM exits and entries, with reason, qualification, guest RIP and cost: lines of text (-: stdout),\n"
"                      or trace events for Perfetto and other timeline viewers if FILE ends in .json\n"
"  --trace-events LIST only these, of exits,injections,irq,pf\n"
"  --exit-stats        a table of VM exits by reason on stderr at the end\n"
"  --gdb WHERE         a debugger may connect to tcp:PORT (of this host only) or unix:PATH; see its `monitor help`\n"
"  --gdb-wait          wait for it before the first instruction\n"
"  --dump-on-exit      each processor's state and its current VMCS by name on stderr at the end\n"
"  --irq-ports         a byte to I/O port 0x2000 + N sets interrupt line N (0 to 23): as QEMU's test device has it\n"
"  --test-device       that, a register at ports 0xe0 and 0xe8, and memory at 0xff000000 that is reached like a device\n"
"\n"
"Exit status: 0 power-off; code*2+1 by the exit port 0xf4; 2 usage; 3 a file or the host; 70 something that is not\n"
"implemented; 72 triple fault; 74 reset; 76 halted for ever; 78 ended by Ctrl-A x; 124 --max-cycles.\n";

static int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int fail(const char *fmt, ...)
{
	va_list ap;

	fputs("ooh-machine: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return STATUS_USAGE;
}

/* A decimal or 0x number with an optional suffix K, M, G of powers of `unit`. */
static bool parse_number(const char *s, u64 unit, u64 *out)
{
	static const char suffixes[] = "KMG";
	char *end;
	u64 v;
	const char *suffix;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	v = strtoull(s, &end, 0);
	if (errno || end == s)
		return false;
	if (*end && unit) {
		suffix = strchr(suffixes, *end & ~0x20);
		if (!suffix || end[1])
			return false;
		for (int i = 0; i <= suffix - suffixes; i++)
			if (__builtin_mul_overflow(v, unit, &v))
				return false;
	} else if (*end) {
		return false;
	}
	*out = v;
	return true;
}

static int set_ram(struct machine_config *cfg, const char *arg)
{
	if (!parse_number(arg, 1024, &cfg->ram))
		return fail("--ram %s: not a size (like 512M)", arg);
	if (cfg->ram < MIN_RAM || cfg->ram > MAX_RAM)
		return fail("--ram %s: must be from 16M to 64G", arg);
	if (cfg->ram % RAM_GRANULE)
		return fail("--ram %s: must be a multiple of 2M", arg);
	return -1;
}

static int set_cpus(struct machine_config *cfg, const char *arg)
{
	u64 n;

	if (!parse_number(arg, 0, &n) || n < 1)
		return fail("--cpus %s: not a number of processors", arg);
	if (n > MACHINE_MAX_CPUS)
		return fail("--cpus %s: at most %u", arg, MACHINE_MAX_CPUS);
	cfg->cpus = (unsigned)n;
	return -1;
}

static int set_serial(struct machine_config *cfg, unsigned i, const char *arg)
{
	bool ok = strcmp(arg, "stdio") == 0 || strcmp(arg, "null") == 0 || (strncmp(arg, "file:", 5) == 0 && arg[5]) ||
		  (strncmp(arg, "in:", 3) == 0 && arg[3] && arg[3] != ',') || (strncmp(arg, "out:", 4) == 0 && arg[4]);

	if (!ok)
		return fail("--serial%s %s: not stdio, null, file:PATH or in:PATH,out:PATH", i ? "2" : "", arg);
	cfg->serial[i] = arg;
	return -1;
}

static int set_u64(u64 *out, const char *name, const char *arg, u64 unit)
{
	return parse_number(arg, unit, out) ? -1 : fail("%s %s: not a number", name, arg);
}

static int set_costs(struct machine_config *cfg, const char *arg)
{
	if (!cost_table_find(arg))
		return fail("--costs %s: no such table", arg);
	cfg->costs = arg;
	return -1;
}

static int set_trace_events(struct machine_config *cfg, const char *arg)
{
	if (!trace_parse_events(arg, &cfg->trace_events))
		return fail("--trace-events %s: not a list of exits, injections, irq, pf", arg);
	return -1;
}

static int set_gdb(struct machine_config *cfg, const char *arg)
{
	u64 port;
	bool tcp = strncmp(arg, "tcp:", 4) == 0 && parse_number(arg + 4, 0, &port) && port >= 1 && port <= 65535;

	if (!tcp && (strncmp(arg, "unix:", 5) != 0 || !arg[5]))
		return fail("--gdb %s: not tcp:PORT or unix:PATH", arg);
	cfg->gdb = arg;
	return -1;
}

static int add_disk(struct machine_config *cfg, const char *arg)
{
	for (unsigned i = 0; i < MACHINE_DISKS; i++)
		if (!cfg->disk[i]) {
			cfg->disk[i] = arg;
			return *arg ? -1 : fail("--disk: no file is named");
		}
	return fail("--disk %s: at most %u disks", arg, MACHINE_DISKS);
}

static int set_net(struct machine_config *cfg, const char *arg)
{
	if (strcmp(arg, "peer") != 0 && (strncmp(arg, "unix:", 5) != 0 || !arg[5]))
		return fail("--net %s: not peer or unix:PATH", arg);
	cfg->net = arg;
	return -1;
}

/* NAME or NAME:SIZE. */
static enum engine parse_engine(const char *arg, u64 *cache)
{
	static const char *const name[] = { [ENGINE_INTERPRET] = "interpret", [ENGINE_TRANSLATE] = "translate",
					    [ENGINE_EAGER] = "translate-eagerly" };

	const char *size = arg ? strchr(arg, ':') : NULL;
	size_t n = size ? (size_t)(size - arg) : arg ? strlen(arg) : 0;

	*cache = CONFIG_CACHE;
	if (size && (!parse_number(size + 1, 1024, cache) || *cache < CONFIG_CACHE_MIN || *cache > CONFIG_CACHE))
		return ENGINE_UNSAID;
	for (unsigned i = ENGINE_INTERPRET; n && i <= ENGINE_EAGER; i++)
		if (n == strlen(name[i]) && memcmp(arg, name[i], n) == 0)
			return (enum engine)i;
	return ENGINE_UNSAID;
}

static int set_engine(struct machine_config *cfg, const char *arg)
{
	cfg->engine = parse_engine(arg, &cfg->cache);
	return cfg->engine == ENGINE_UNSAID ? fail("--engine %s: not interpret or translate, or :SIZE is not from 128K to 96M", arg) : -1;
}

static int set_blocks(struct machine_config *cfg, const char *arg)
{
	if (!parse_number(arg, 1024, &cfg->blocks) || cfg->blocks < CONFIG_BLOCKS_MIN || cfg->blocks > CONFIG_BLOCKS)
		return fail("--blocks %s: not a size from 64K to 160M", arg);
	return -1;
}

enum engine config_engine(const struct machine_config *cfg, u64 *cache)
{
	enum engine e = cfg ? cfg->engine : ENGINE_UNSAID;

	if (e == ENGINE_UNSAID)
		e = parse_engine(getenv("OOH_ENGINE"), cache);
	else
		*cache = cfg->cache;
	if (cfg && cfg->gdb)
		return ENGINE_INTERPRET;
	return e == ENGINE_UNSAID ? ENGINE_TRANSLATE : e;
}

static int set_option(struct machine_config *cfg, int id, const char *arg)
{
	switch ((enum option_id)id) {
	case OPT_KERNEL: cfg->kernel = arg; return -1;
	case OPT_INITRD: cfg->initrd = arg; return -1;
	case OPT_APPEND: cfg->append = arg; return -1;
	case OPT_RAM: return set_ram(cfg, arg);
	case OPT_CPUS: return set_cpus(cfg, arg);
	case OPT_SERIAL: return set_serial(cfg, 0, arg);
	case OPT_SERIAL2: return set_serial(cfg, 1, arg);
	case OPT_DISK: return add_disk(cfg, arg);
	case OPT_NET: return set_net(cfg, arg);
	case OPT_RNG: cfg->rng = true; return -1;
	case OPT_STATS: cfg->stats = arg; return -1;
	case OPT_SNAPSHOT_TO: cfg->snapshot_to = arg; return -1;
	case OPT_SNAPSHOT_EXIT: cfg->snapshot_exit = true; return -1;
	case OPT_RESUME: cfg->resume = arg; return -1;
	case OPT_CPU: cfg->cpu = arg; return -1;
	case OPT_COSTS: return set_costs(cfg, arg);
	case OPT_SEED: return set_u64(&cfg->seed, "--seed", arg, 0);
	case OPT_EPOCH: return set_u64(&cfg->epoch, "--epoch", arg, 0);
	case OPT_MAX_CYCLES: return set_u64(&cfg->max_cycles, "--max-cycles", arg, 1000);
	case OPT_TRACE_INSN: return set_u64(&cfg->trace_from, "--trace-insn", arg, 1000);
	case OPT_DIGEST: cfg->digest = arg; return -1;
	case OPT_DIGEST_EVERY: return set_u64(&cfg->digest_every, "--digest-every", arg, 1000);
	case OPT_DIGEST_EXACT: cfg->digest_exact = true; return -1;
	case OPT_DIGEST_MEMORY: cfg->digest_memory = true; return -1;
	case OPT_PROFILE: cfg->profile = arg; return -1;
	case OPT_QUIET: cfg->quiet = true; return -1;
	case OPT_TRACE: cfg->trace_file = arg; return -1;
	case OPT_TRACE_EVENTS: return set_trace_events(cfg, arg);
	case OPT_EXIT_STATS: cfg->exit_stats = true; return -1;
	case OPT_GDB: return set_gdb(cfg, arg);
	case OPT_GDB_WAIT: cfg->gdb_wait = true; return -1;
	case OPT_DUMP_ON_EXIT: cfg->dump_on_exit = true; return -1;
	case OPT_IRQ_PORTS: cfg->irq_ports = true; return -1;
	case OPT_TEST_DEVICE: cfg->test_device = true; return -1;
	case OPT_ENGINE: return set_engine(cfg, arg);
	case OPT_BLOCKS: return set_blocks(cfg, arg);
	case OPT_HELP: fputs(usage, stdout); return STATUS_OK;
	case OPT_VERSION: puts("ooh-machine " VERSION); return STATUS_OK;
	}
	return STATUS_USAGE;
}

static int check_together(const struct machine_config *cfg)
{
	if (!cfg->kernel && !cfg->resume)
		return fail("--kernel: missing (or --resume); see --help");
	if (cfg->kernel && cfg->resume)
		return fail("--resume: excludes --kernel");
	if (cfg->resume && (cfg->initrd || cfg->append))
		return fail("--resume: excludes --initrd and --append");
	if (cfg->resume && (cfg->disk[0] || cfg->net || cfg->rng || cfg->test_device))
		return fail("--resume: excludes --disk, --net, --rng and --test-device: they are the snapshot's");
	if (cfg->snapshot_exit && !cfg->snapshot_to)
		return fail("--snapshot-exit: needs --snapshot-to");
	if (cfg->digest_every && !cfg->digest)
		return fail("--digest-every: needs --digest");
	if ((cfg->digest_exact || cfg->digest_memory) && !cfg->digest_every)
		return fail("--digest-%s: needs --digest-every", cfg->digest_exact ? "exact" : "memory");
	if (cfg->trace_events && !cfg->trace_file)
		return fail("--trace-events: needs --trace");
	if (cfg->gdb_wait && !cfg->gdb)
		return fail("--gdb-wait: needs --gdb");
	if (strcmp(cfg->serial[0], "stdio") == 0 && strcmp(cfg->serial[1], "stdio") == 0)
		return fail("--serial2 stdio: the first port has it already");
	return -1;
}

static int unknown_option(int id, char **argv)
{
	const char *arg = argv[optind - 1];

	if (id == ':')
		return fail("%s: needs an argument", arg);
	return fail("%s: no such option; see --help", arg);
}

int config_parse(int argc, char **argv, struct machine_config *cfg)
{
	int id;

	*cfg = (struct machine_config){ .ram = DEFAULT_RAM, .cpus = 1, .costs = "broadwell", .seed = 1,
		.epoch = DEFAULT_EPOCH, .trace_from = CYCLES_NONE, .blocks = CONFIG_BLOCKS, .serial = { "stdio", "null" } };
	optind = 0; /* a full reset of getopt: tests parse many command lines */
	while ((id = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		int status = id == '?' || id == ':' ? unknown_option(id, argv) : set_option(cfg, id, optarg);

		if (status >= 0)
			return status;
	}
	if (optind < argc)
		return fail("%s: unexpected argument; see --help", argv[optind]);
	return check_together(cfg);
}
