/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static const char help[] =
	"usage: trackbench array|redis|mix [--technique none|soft-dirty|userfaultfd|pml] [--rounds N] [--megabytes N]\n"
	"                  [--dirty PAGES] [--huge]\n\n"
	"Runs a workload under a technique inside ooh-machine and prints one JSON object a line. Exit status 1: a written page was\n"
	"not reported; 2 usage; 3 environment.";

static const struct {
	const char *name;
	int (*run)(const struct workload_options *o);
} workloads[] = { { "array", run_array }, { "redis", run_redis }, { "mix", run_mix } };

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "technique", required_argument, NULL, 't' }, { "rounds", required_argument, NULL, 'r' },
		{ "megabytes", required_argument, NULL, 'm' }, { "dirty", required_argument, NULL, 'd' },
		{ "huge", no_argument, NULL, 'H' },            { "help", no_argument, NULL, 'h' }, { 0 },
	};
	struct workload_options o = { .technique = "none", .rounds = 3, .megabytes = 10 };
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 't': o.technique = optarg; break;
		case 'r': o.rounds = (unsigned)atoi(optarg); break;
		case 'm': o.megabytes = (unsigned)atoi(optarg); break;
		case 'd': o.dirty = (unsigned)atoi(optarg); break;
		case 'H': o.huge = true; break;
		case 'h': puts(help); return 0;
		default: return 2;
		}
	}
	if (optind + 1 != argc || !o.rounds || !o.megabytes || o.dirty > o.megabytes * 256) {
		fprintf(stderr, "trackbench: see --help\n");
		return 2;
	}
	for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++)
		if (!strcmp(argv[optind], workloads[i].name)) {
			machine_open();
			return workloads[i].run(&o);
		}
	fprintf(stderr, "trackbench: %s: no such workload\n", argv[optind]);
	return 2;
}
