/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "sound.h"

static const char help[] =
	"usage: soundness [--backend pml|soft-dirty|userfaultfd] [--only TEXT] [--seed N] [--rounds N] [--no-oracle] [--list]\n\n"
	"Scenarios × backends inside ooh-machine: is every written page reported? Compared with the oracle and with the content.\n"
	"--no-oracle: with the content alone, on a machine that is not ours. --only: scenarios whose name contains TEXT; up to\n"
	"eight times. --seed, --rounds: of the random scenarios. Prints TAP; exit status 1: a test failed; 2 usage; 3 environment.\n"
	"OOH_SOUND_VERBOSE=1: counts of each scenario. OOH_SOUND_DROP=oracle (or content): takes a\n"
	"page that the oracle (or the content) shows to be written out of each round: every scenario must fail.";

static const struct scenario *const groups[] = { sound_writes, sound_insns, sound_fork, sound_map, sound_huge, sound_shared, sound_uffd, sound_swap,
						 sound_life, sound_dma, sound_uring, sound_race, sound_random };
static const char *const backends[] = { "pml", "soft-dirty", "userfaultfd" };

unsigned long seed_option = 20;
unsigned rounds_option = 12;
static const char *backend_option, *only_option[8];
static bool no_oracle;
static unsigned number, failed;
static char running[160];

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("# ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	fflush(stdout);
}

static void too_long(int sig)
{
	(void)sig;
	dprintf(1, "not ok %u - %s\nBail out! it did not end\n", number, running);
	_exit(1);
}

static void one(const struct scenario *s, const char *backend)
{
	char why[200] = "";
	int verdict;

	snprintf(running, sizeof(running), "%s: %s", backend, s->name);
	number++;
	alarm(300);
	verdict = judge(s, backend, why, sizeof(why));
	alarm(0);
	printf("%sok %u - %s%s%s\n", verdict == 1 ? "not " : "", number, running, verdict == 2 ? " # SKIP " : *why ? ": " : "", why);
	fflush(stdout);
	failed += verdict == 1;
}

static bool wanted(const struct scenario *s, const char *backend)
{
	if (backend_option && strcmp(backend_option, backend))
		return false;
	if ((s->flags & ONLY_PML) && strcmp(backend, "pml"))
		return false;
	for (size_t i = 0; i < sizeof(only_option) / sizeof(only_option[0]) && only_option[i]; i++)
		if (strstr(s->name, only_option[i]))
			return true;
	return !only_option[0] && !(s->flags & ON_DEMAND);
}

static void each(void (*fn)(const struct scenario *, const char *))
{
	for (size_t b = 0; b < sizeof(backends) / sizeof(backends[0]); b++)
		for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
			for (const struct scenario *s = groups[g]; s->name; s++)
				if (wanted(s, backends[b]))
					fn(s, backends[b]);
}

static void list(const struct scenario *s, const char *backend)
{
	printf("%s: %s\n", backend, s->name);
}

static bool parse(int argc, char **argv)
{
	static const struct option options[] = {
		{ "backend", required_argument, NULL, 'b' }, { "only", required_argument, NULL, 'o' },
		{ "seed", required_argument, NULL, 's' },    { "rounds", required_argument, NULL, 'r' },
		{ "list", no_argument, NULL, 'l' },          { "help", no_argument, NULL, 'h' },
		{ "no-oracle", no_argument, NULL, 'n' },     { 0 },
	};
	size_t only = 0;
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (c) {
		case 'b': backend_option = optarg; break;
		case 'o':
			if (only == sizeof(only_option) / sizeof(only_option[0]))
				return false;
			only_option[only++] = optarg;
			break;
		case 's': seed_option = strtoul(optarg, NULL, 0); break;
		case 'r': rounds_option = (unsigned)atoi(optarg); break;
		case 'n': no_oracle = true; break;
		case 'l': each(list); exit(0);
		case 'h': puts(help); exit(0);
		default: return false;
		}
	}
	return optind == argc && rounds_option;
}

int main(int argc, char **argv)
{
	char why[200];

	if (!parse(argc, argv)) {
		fprintf(stderr, "soundness: see --help\n");
		return 2;
	}
	if (!no_oracle)
		machine_open();
	signal(SIGALRM, too_long);
	signal(SIGPIPE, SIG_IGN);
	for (size_t b = 0; b < sizeof(backends) / sizeof(backends[0]); b++)
		if ((!backend_option || !strcmp(backend_option, backends[b])) && ooh_backend_probe(backends[b], why, sizeof(why)))
			die("%s: %s", backends[b], why);
	note("seed %lu", seed_option);
	each(one);
	if (!number)
		die("no such scenario");
	printf("1..%u\n", number);
	return failed ? 1 : 0;
}
