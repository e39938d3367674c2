/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot is a directory of two files. `state`: a header, then records (name, length, bytes) in the order in which
 * the rooms name their state. `ram`: the contents of RAM, sparse where it is zero, and one page with the header's id,
 * so that a `state` and a `ram` of different snapshots are not taken for one. Both are replaced by renaming: a
 * machine that runs from the old files keeps them.
 */
#define _GNU_SOURCE
#include "machine/core/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/core/config.h"
#include "machine/core/machine.h"
#include "machine/core/smp.h"
#include "machine/cpu/cpu.h"
#include "machine/dev/apic.h"
#include "machine/dev/ctl.h"
#include "machine/dev/dev.h"
#include "machine/oracle/oracle.h"

#define MAGIC "OOHSNAP"
#define VERSION 8

struct header {
	char magic[8];
	u32 version, cpus;
	u64 ram, seed, epoch;
	u64 id;    /* also at the end of `ram` */
	u64 block; /* physical address of the control block that asked for the snapshot; 0: none */
	char costs[16];
};

struct snap {
	const char *dir;
	bool restoring, failed;
	bool refused; /* failed, and a line has said why */
	u8 *buf;
	size_t n, room; /* saving: filled and allocated; restoring: n is the file's size */
	size_t at;      /* restoring: read up to here */
	snap_see_fn *see; /* looking: who sees it, and what it gets */
	void *see_arg;
};

static int report(const char *dir, const char *file, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int report(const char *dir, const char *file, const char *fmt, ...)
{
	int err = errno ? -errno : -EIO;
	va_list ap;

	fprintf(stderr, "ooh-machine: %s/%s: ", dir, file);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return err;
}

static int broken(struct snap *s, const char *what, const char *name)
{
	if (!s->failed) {
		errno = EINVAL;
		report(s->dir, "state", "%s (at \"%s\")", what, name);
	}
	s->failed = true;
	return -EINVAL;
}

static void append(struct snap *s, const void *p, size_t n)
{
	if (s->failed || !n)
		return;
	if (s->n + n > s->room) {
		size_t room = (s->n + n) * 2;
		u8 *buf = realloc(s->buf, room);

		if (!buf) {
			s->failed = true;
			return;
		}
		s->buf = buf;
		s->room = room;
	}
	memcpy(s->buf + s->n, p, n);
	s->n += n;
}

static const void *take(struct snap *s, size_t n)
{
	const u8 *p = s->buf + s->at;

	if (s->failed || n > s->n - s->at)
		return NULL;
	s->at += n;
	return p;
}

static void save_record(struct snap *s, const char *name, const void *p, u64 n)
{
	u8 length = (u8)strlen(name);

	append(s, &length, 1);
	append(s, name, length);
	append(s, &n, sizeof(n));
	append(s, p, n);
}

static void load_record(struct snap *s, const char *name, void *p, u64 n)
{
	const u8 *length = take(s, 1);
	const char *found = length ? take(s, *length) : NULL;
	const void *size = found ? take(s, sizeof(u64)) : NULL;
	const void *data;

	if (s->failed)
		return;
	if (!size)
		broken(s, "ends too early", name);
	else if (*length != strlen(name) || memcmp(found, name, *length) != 0)
		broken(s, "another record stands there: saved by another version", name);
	else if (memcmp(size, &n, sizeof(n)) != 0)
		broken(s, "the record has another size: saved by another version", name);
	else if (!(data = take(s, n)))
		broken(s, "ends too early", name);
	else if (n)
		memcpy(p, data, n);
}

void snap_bytes(struct snap *s, const char *name, void *p, size_t n)
{
	if (s->see)
		s->see(s->see_arg, name, p, n);
	else if (s->restoring)
		load_record(s, name, p, n);
	else
		save_record(s, name, p, n);
}

bool snap_restoring(const struct snap *s)
{
	return s->restoring;
}

bool snap_looking(const struct snap *s)
{
	return s->see != NULL;
}

void snap_refuse(struct snap *s, const char *object, const char *why)
{
	if (!s->failed)
		fprintf(stderr, "ooh-machine: %s: %s\n", object, why);
	s->failed = s->refused = true;
}

/* A string or NULL; a restored one lives as long as the program. */
static void snap_string(struct snap *s, const char *name, const char **string)
{
	u32 n = *string ? (u32)strlen(*string) + 1 : 0;
	char *copy;

	snap_var(s, name, n);
	if (!s->restoring) {
		snap_bytes(s, name, (void *)*string, *string ? n : 0);
		return;
	}
	copy = n && n <= s->n - s->at ? malloc(n) : NULL;
	if (n && !copy)
		broken(s, "ends too early", name);
	snap_bytes(s, name, copy, copy ? n : 0);
	if (s->failed) {
		free(copy);
		copy = NULL;
	}
	if (copy)
		copy[n - 1] = '\0';
	*string = copy;
}

/* What the machine is made of, besides what the header says. */
static void snap_config(struct snap *s, struct machine_config *cfg)
{
	for (unsigned i = 0; i < MACHINE_DISKS; i++)
		snap_string(s, "config.disk", &cfg->disk[i]);
	snap_string(s, "config.net", &cfg->net);
	snap_string(s, "config.cpu", &cfg->cpu);
	snap_var(s, "config.rng", cfg->rng);
	snap_var(s, "config.test_device", cfg->test_device);
}

/* All rooms, in the one order. The clock comes first: restored devices may arm timers. */
static void snap_all(struct machine *m, struct snap *s)
{
	snap_var(s, "stat", m->stat);
	snap_var(s, "exits", m->exits);
	snap_var(s, "exit_cycles", m->exit_cycles);
	snap_var(s, "vector_exits", m->vector_exits);
	snap_var(s, "vector_cycles", m->vector_cycles);
	snap_var(s, "seed", m->seed);
	clock_snap(m, s);
	for (unsigned i = 0; i < m->ncpus && !s->failed; i++) {
		cpu_snap(m->cpu[i], s);
		apic_snap(m->cpu[i]->apic, s);
	}
	if (!s->failed)
		smp_snap(m, s);
	if (!s->failed)
		dev_snap(m, s);
	if (!s->failed)
		oracle_snap(m, s); /* reads page tables: RAM is there */
	if (s->see)
		return;
	/* Decoding may look up translations: the machine that goes on must decode anew like the one that resumes. */
	for (unsigned i = 0; i < m->ncpus; i++)
		code_flush_all(m->cpu[i]);
}

void snapshot_look(struct machine *m, snap_see_fn *see, void *arg)
{
	struct snap s = { .see = see, .see_arg = arg };

	snap_all(m, &s);
}

static int open_in(const char *dir, const char *file, int flags)
{
	char path[4096];

	if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, flags | O_CLOEXEC, 0666);
}

static bool write_all(int fd, const void *p, size_t n, off_t at)
{
	while (n) {
		ssize_t done = pwrite(fd, p, n, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return false;
		p = (const u8 *)p + done;
		n -= (size_t)done;
		at += done;
	}
	return true;
}

static bool is_zero(const u8 *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/* Runs of non-zero pages go out in one write each. */
static bool write_ram(const struct machine *m, int fd, u64 id)
{
	const u8 *ram = m->bus.ram;
	u64 size = m->bus.ram_size, at = 0;

	if (ftruncate(fd, (off_t)(size + PAGE_SIZE)) != 0)
		return false;
	while (at < size) {
		u64 end = at;

		while (end < size && !is_zero(ram + end, PAGE_SIZE))
			end += PAGE_SIZE;
		if (end > at && !write_all(fd, ram + at, end - at, (off_t)at))
			return false;
		at = end + PAGE_SIZE;
	}
	return write_all(fd, &id, sizeof(id), (off_t)size);
}

static int rename_in(const char *dir, const char *from, const char *to)
{
	char a[4096], b[4096];

	if (snprintf(a, sizeof(a), "%s/%s", dir, from) >= (int)sizeof(a) ||
	    snprintf(b, sizeof(b), "%s/%s", dir, to) >= (int)sizeof(b)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return rename(a, b);
}

static int save_files(struct machine *m, struct snap *s, u64 id)
{
	int ram = open_in(s->dir, "ram.new", O_RDWR | O_CREAT | O_TRUNC), state = -1;
	bool ok = ram >= 0 && write_ram(m, ram, id);

	if (ok) {
		state = open_in(s->dir, "state.new", O_RDWR | O_CREAT | O_TRUNC);
		ok = state >= 0 && write_all(state, s->buf, s->n, 0);
	}
	if (ram >= 0)
		close(ram);
	if (state >= 0)
		close(state);
	ok = ok && rename_in(s->dir, "ram.new", "ram") == 0 && rename_in(s->dir, "state.new", "state") == 0;
	return ok ? 0 : report(s->dir, "state", "cannot be saved: %s", strerror(errno));
}

/* An id that two different states will not share: FNV-1a over the records. */
static u64 hash(const u8 *p, size_t n)
{
	u64 h = 0xcbf29ce484222325ull;

	while (n--)
		h = (h ^ *p++) * 0x100000001b3ull;
	return h;
}

int snapshot_save(struct machine *m, const char *dir)
{
	struct snap s = { .dir = dir };
	struct machine_config cfg = *m->cfg;
	struct header h = { .magic = MAGIC, .version = VERSION, .cpus = m->ncpus, .ram = m->bus.ram_size,
		.seed = m->cfg->seed, .epoch = m->cfg->epoch, .block = m->snapshot_block };
	int err;

	if (mkdir(dir, 0777) != 0 && errno != EEXIST)
		return report(dir, ".", "%s", strerror(errno));
	snprintf(h.costs, sizeof(h.costs), "%s", m->costs->name);
	append(&s, &h, sizeof(h));
	snap_config(&s, &cfg);
	snap_all(m, &s);
	if (s.failed) {
		free(s.buf);
		errno = ENOMEM;
		return s.refused ? -EINVAL : report(dir, "state", "out of memory");
	}
	h.id = hash(s.buf + sizeof(h), s.n - sizeof(h));
	memcpy(s.buf, &h, sizeof(h));
	err = save_files(m, &s, h.id);
	free(s.buf);
	return err;
}

static bool read_whole(int fd, struct snap *s)
{
	struct stat st;
	size_t got = 0;

	if (fstat(fd, &st) != 0)
		return false;
	s->n = (size_t)st.st_size;
	s->buf = malloc(s->n + 1);
	while (s->buf && got < s->n) {
		ssize_t n = read(fd, s->buf + got, s->n - got);

		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return s->buf != NULL;
}

static int read_state(struct snap *s, struct header *h)
{
	int fd = open_in(s->dir, "state", O_RDONLY);
	bool ok = fd >= 0 && read_whole(fd, s);

	if (!ok) {
		int err = report(s->dir, "state", "%s", strerror(errno));

		if (fd >= 0)
			close(fd);
		return err;
	}
	close(fd);
	errno = EINVAL;
	if (s->n < sizeof(*h) || memcmp(s->buf, MAGIC, sizeof(MAGIC)) != 0)
		return report(s->dir, "state", "not a snapshot");
	memcpy(h, take(s, sizeof(*h)), sizeof(*h));
	if (h->version != VERSION)
		return report(s->dir, "state", "format %u, this program reads %u", h->version, VERSION);
	if (h->cpus < 1 || h->cpus > MACHINE_MAX_CPUS || h->costs[sizeof(h->costs) - 1] || !cost_table_find(h->costs))
		return report(s->dir, "state", "broken header");
	return 0;
}

int snapshot_read_config(const char *dir, struct machine_config *cfg)
{
	struct snap s = { .dir = dir, .restoring = true };
	struct header h = { 0 };
	int err = read_state(&s, &h);

	if (!err)
		snap_config(&s, cfg);
	free(s.buf);
	if (err || s.failed)
		return err ? err : -EINVAL;
	cfg->ram = h.ram;
	cfg->cpus = h.cpus;
	cfg->seed = h.seed;
	cfg->epoch = h.epoch;
	cfg->costs = cost_table_find(h.costs)->name;
	return 0;
}

static int map_ram(struct machine *m, const char *dir, u64 id)
{
	int fd = open_in(dir, "ram", O_RDONLY), err = 0;
	u64 found;

	if (fd < 0)
		return report(dir, "ram", "%s", strerror(errno));
	errno = EINVAL;
	if (pread(fd, &found, sizeof(found), (off_t)m->bus.ram_size) != sizeof(found) || found != id)
		err = report(dir, "ram", "does not belong to this state");
	else if (!bus_map_ram(m, fd, 0))
		err = report(dir, "ram", "%s", strerror(errno));
	close(fd);
	return err;
}

int snapshot_load(struct machine *m, const char *dir)
{
	struct snap s = { .dir = dir, .restoring = true };
	struct header h;
	struct machine_config same = { 0 }; /* as snapshot_read_config has seen it */
	int err = read_state(&s, &h);

	if (!err)
		snap_config(&s, &same);
	if (!err && (h.ram != m->bus.ram_size || h.cpus != m->ncpus)) {
		errno = EINVAL;
		err = report(dir, "state", "of another machine: other RAM or CPUs");
	}
	if (!err)
		err = map_ram(m, dir, h.id);
	if (!err) {
		snap_all(m, &s);
		if (!s.failed && s.at != s.n)
			broken(&s, "longer than it should be", "end");
		if (s.failed)
			err = -EINVAL;
	}
	if (!err && h.block)
		ctl_resumed(m, h.block);
	free(s.buf);
	return err;
}
