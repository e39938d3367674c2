/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "machine/core/digest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine/core/config.h"
#include "machine/core/snapshot.h"

/* One look at the state. */
struct look {
	u64 hash;
	FILE *records; /* NULL: the hash alone */
	unsigned number;
};

static u64 mix(u64 h, u64 v)
{
	h = (h ^ v) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 29;
}

static u64 mix_bytes(u64 h, const void *p, size_t n)
{
	const u8 *b = p;
	u64 v;

	for (; n >= sizeof(v); n -= sizeof(v), b += sizeof(v)) {
		memcpy(&v, b, sizeof(v));
		h = mix(h, v);
	}
	v = 0;
	if (n)
		memcpy(&v, b, n);
	return mix(h, v);
}

static void see(void *arg, const char *name, const void *p, size_t n)
{
	struct look *l = arg;
	u64 shown = 0;

	l->hash = mix_bytes(l->hash, p, n);
	if (!l->records)
		return;
	if (n <= sizeof(shown))
		memcpy(&shown, p, n);
	else
		shown = mix_bytes(0, p, n);
	fprintf(l->records, "record %u %s %" PRIx64 "\n", l->number++, name, shown);
}

/* Frames of zeroes do not count: it makes no difference whether they were ever touched. */
static u64 hash_ram(const struct machine *m)
{
	static const u8 zeroes[PAGE_SIZE];
	u64 h = 0;

	for (u64 at = 0; at < m->bus.ram_size; at += PAGE_SIZE)
		if (memcmp(m->bus.ram + at, zeroes, PAGE_SIZE) != 0)
			h = mix_bytes(mix(h, at), m->bus.ram + at, PAGE_SIZE);
	return h;
}

static u64 point_after(const struct machine *m, u64 now)
{
	u64 every = m->cfg->digest_every;

	return every ? (now / every + 1) * every : CYCLES_NONE;
}

int digest_open(struct machine *m, const struct machine_config *cfg)
{
	struct digest *d;
	FILE *f = NULL;

	if (!cfg->digest)
		return STATUS_OK;
	d = calloc(1, sizeof(*d));
	if (d)
		f = strcmp(cfg->digest, "-") == 0 ? stdout : fopen(cfg->digest, "we");
	if (!f) {
		fprintf(stderr, "ooh-machine: %s: %s\n", cfg->digest, strerror(errno));
		free(d);
		return STATUS_ENVIRONMENT;
	}
	setvbuf(f, NULL, _IOLBF, BUFSIZ); /* whoever compares wants to see each line at once */
	d->file = f;
	d->exact = cfg->digest_exact;
	d->next = point_after(m, machine_now(m));
	m->digest = d;
	return STATUS_OK;
}

void digest_take(struct machine *m, u64 now)
{
	struct digest *d = m->digest;
	struct look l = { 0 };

	snapshot_look(m, see, &l);
	if (m->cfg->digest_memory)
		l.hash = mix(l.hash, hash_ram(m));
	fprintf(d->file, "%" PRIu64 " %" PRIu64 " %016" PRIx64 "\n", now, m->stat[STAT_INSNS], l.hash);
	d->next = point_after(m, now);
}

void digest_close(struct machine *m)
{
	struct digest *d = m->digest;
	struct look l = { 0 };
	FILE *f;

	if (!d)
		return;
	f = d->file;
	snapshot_look(m, see, &l);
	fprintf(f, "end %" PRIu64 " %" PRIu64 " %016" PRIx64 " %016" PRIx64 "\n", machine_now(m), m->stat[STAT_INSNS], l.hash,
		hash_ram(m));
	l.records = f;
	snapshot_look(m, see, &l);
	fflush(f);
	if (f != stdout)
		fclose(f);
	free(d);
	m->digest = NULL;
}
