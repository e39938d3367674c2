/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The tester's side: starts the tracker, collects, and compares with the oracle and with the content of the memory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "sound.h"

#define USER_END    0x00007ffffffff000ull
#define REGIONS     (1u << 16)
#define PATIENCE_MS 60000
#define PM_HERE     (1ull << 63)
#define PM_SWAPPED  (1ull << 62)

enum there { NOTHING, ZEROS, BYTES, UNKNOWN }; /* UNKNOWN: in swap or in a file, not looked at */

struct trial {
	const char *backend;
	pid_t pid;
	int fd, mem, pagemap;
	struct ooh_tracker *tracker;
	int watch; /* -1: none */
	bool failed, over, racing, whole, want_overflow;
	const char *blind; /* the backend is known to miss pages here */
	uint64_t missed; /* pages, by the oracle */
	unsigned notes;
	/* the window */
	uint64_t start;
	size_t pages;
	bool *tracked;
	char *copy;         /* content when last looked at; nothing is zeros */
	bool *known;        /* the copy is what the page held */
	bool *told;         /* reported since then */
	bool *here;         /* in memory or swap at the last round */
	char *fresh;        /* one page */
	/* the last round */
	struct ooh_region *vec;
	size_t regions;
	bool overflow;
	uint64_t dropped;   /* a page that OOH_SOUND_DROP takes out of it; 0: none */
	struct pages truth;
	struct pages late;  /* stores seen while racing that the next round may still report */
	uint64_t vvar, vvar_end;
	unsigned rounds;
	uint64_t n_truth, n_reported;
};

static void fail(struct trial *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct trial *t, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	t->failed = true;
	if (t->notes++ >= 8)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	note("%s: %s", t->backend, text);
}

/* A page was written and is not reported. */
static void miss(struct trial *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void miss(struct trial *t, const char *fmt, ...)
{
	char text[280];
	va_list ap;

	if (t->blind)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fail(t, "missed page %s", text);
}

/* ---- what is to be dropped, to see the test fail ---- */

static const char *drop(void)
{
	const char *s = getenv("OOH_SOUND_DROP");

	return s ? s : "";
}

static bool reported(const struct trial *t, uint64_t page)
{
	size_t lo = 0, hi = t->regions;

	if (page == t->dropped)
		return false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (t->vec[mid].end <= page)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < t->regions && t->vec[lo].start <= page;
}

/* ---- the oracle ---- */

static bool judged(const struct trial *t, uint64_t page)
{
	size_t i = (page - t->start) / PG;

	if (page >= t->start && i < t->pages)
		return t->tracked[i];
	return t->whole && !(page >= t->vvar && page < t->vvar_end);
}

static void be_late(struct trial *t, uint64_t page)
{
	if (t->late.n == t->late.cap) {
		t->late.cap = t->late.cap ? t->late.cap * 2 : 1024;
		t->late.v = realloc(t->late.v, t->late.cap * sizeof(*t->late.v));
		if (!t->late.v)
			die("no memory");
	}
	t->late.v[t->late.n++] = page;
}

/*
 * A page that was not there at the last round (or was the zero page), came, was stored to and went again: its content did not
 * change from round to round. The kernel's own trackers cannot see that; PML does.
 */
static bool left_no_trace(const struct trial *t, uint64_t page)
{
	size_t i = (page - t->start) / PG, k = 0;
	uint64_t entry;

	if (!strcmp(t->backend, "pml") || page < t->start || i >= t->pages || page == t->dropped)
		return false;
	if (pread(t->pagemap, &entry, 8, (off_t)(page / PG * 8)) != 8 || entry & (PM_HERE | PM_SWAPPED))
		return false;
	while (k < PG && !t->copy[i * PG + k])
		k++;
	return !t->here[i] || k == PG;
}

static void check_late(struct trial *t, const char *what)
{
	for (size_t i = 0; i < t->late.n; i++)
		if (!reported(t, t->late.v[i]) && !left_no_trace(t, t->late.v[i]) && ++t->missed)
			miss(t, "%" PRIx64 " (window + %" PRId64 ") stored to before the last of the rounds of: %s",
			     t->late.v[i], ((int64_t)t->late.v[i] - (int64_t)t->start) / (int64_t)PG, what);
	t->late.n = 0;
}

static void check_oracle(struct trial *t, const char *what)
{
	if (t->watch < 0)
		return;
	oracle_round(t->watch, &t->truth);
	if (!strcmp(drop(), "content"))
		return;
	if (!strcmp(drop(), "oracle"))
		for (size_t i = 0; i < t->truth.n && !t->dropped; i++)
			t->dropped = judged(t, t->truth.v[i]) ? t->truth.v[i] : 0;
	check_late(t, what);
	for (size_t i = 0; i < t->truth.n; i++) {
		uint64_t page = t->truth.v[i];

		if (!judged(t, page))
			continue;
		t->n_truth++;
		if (reported(t, page))
			continue;
		if (t->racing)
			be_late(t, page);
		else if (!left_no_trace(t, page) && ++t->missed)
			miss(t, "%" PRIx64 " (window + %" PRId64 "): the oracle saw a store: %s", page,
			     ((int64_t)page - (int64_t)t->start) / (int64_t)PG, what);
	}
}

/* ---- the content ---- */

struct mapping {
	uint64_t start, end;
	bool zeros; /* what is not there reads as zeros */
};

static size_t mappings(const struct trial *t, struct mapping *v, size_t cap)
{
	char path[32], *line = NULL;
	size_t n = 0, room = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);
	f = fopen(path, "re");
	while (f && n < cap && getline(&line, &room, f) > 0) {
		uint64_t start, end, inode;
		char prot[5];

		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %*x %*x:%*x %" SCNu64, &start, &end, prot, &inode) == 4 &&
		    end > t->start && start < t->start + t->pages * PG)
			v[n++] = (struct mapping){ start, end, prot[3] == 'p' && inode == 0 };
	}
	free(line);
	if (f)
		fclose(f);
	return n;
}

/* What is at page i, into t->fresh. */
static enum there look(struct trial *t, size_t i, uint64_t entry, const struct mapping *v, size_t n)
{
	uint64_t page = t->start + i * PG;

	memset(t->fresh, 0, PG);
	if (entry & PM_HERE)
		return pread(t->mem, t->fresh, PG, (off_t)page) == (ssize_t)PG ? BYTES : UNKNOWN;
	if (entry & PM_SWAPPED)
		return UNKNOWN;
	for (size_t k = 0; k < n; k++)
		if (page >= v[k].start && page < v[k].end)
			return v[k].zeros ? ZEROS : UNKNOWN;
	return NOTHING;
}

enum look { FIRST, JUDGE, FOLLOW };

/*
 * Brings the copy up to date. JUDGE: what differs must have been reported since it was last looked at. FOLLOW: only with what
 * was reported, as who keeps a replica does.
 */
static void compare_page(struct trial *t, size_t i, enum there what, enum look how, const char *after)
{
	char *old = t->copy + i * PG;

	if (what == UNKNOWN || (how == FOLLOW && !t->told[i]))
		return;
	if (how == JUDGE && t->tracked[i] && t->known[i] && memcmp(old, t->fresh, PG)) {
		bool told = t->told[i] && t->start + i * PG != t->dropped;

		if (!t->dropped && !strcmp(drop(), "content"))
			told = false, t->dropped = t->start + i * PG;
		if (!told)
			miss(t, "%" PRIx64 " (window + %zu): %s: %s", t->start + i * PG, i,
			     what == BYTES ? "other content" : "its content is gone", after);
	}
	memcpy(old, t->fresh, PG);
	t->known[i] = true;
	t->told[i] = false;
}

static void check_content(struct trial *t, enum look how, const char *after)
{
	static struct mapping maps[4096];
	size_t n = mappings(t, maps, 4096);
	uint64_t entries[512];

	for (size_t i = 0; i < t->pages; i += 512) {
		size_t some = t->pages - i < 512 ? t->pages - i : 512;

		if (pread(t->pagemap, entries, some * 8, (off_t)((t->start / PG + i) * 8)) != (ssize_t)(some * 8)) {
			fail(t, "the page map cannot be read: %s", after);
			return;
		}
		for (size_t k = 0; k < some; k++) {
			t->here[i + k] = entries[k] & (PM_HERE | PM_SWAPPED);
			if (how == FOLLOW && !t->told[i + k])
				continue;
			if (t->want_overflow && entries[k] & PM_HERE && t->tracked[i + k] &&
			    !reported(t, t->start + (i + k) * PG))
				fail(t, "page %zu of the window is not handed over after an overflow: %s", i + k, after);
			compare_page(t, i + k, look(t, i + k, entries[k], maps, n), how, after);
		}
	}
}

/* ---- a round ---- */

/* Where the subject stands still: it waits for the answer, and stores no more. */
static void wait_asleep(const struct trial *t)
{
	char path[32], text[256];

	snprintf(path, sizeof(path), "/proc/%d/stat", t->pid);
	for (int i = 0; i < 2000; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
		const char *p;

		if (fd >= 0)
			close(fd);
		text[n > 0 ? n : 0] = '\0';
		p = strrchr(text, ')');
		if (p && p[1] && p[2] == 'S')
			return;
		usleep(1000);
	}
}

/* One window into vec, whatever its size. */
static int collect_window(struct trial *t, uint64_t start, uint64_t end)
{
	struct ooh_round r;
	int err;

	do {
		size_t room = REGIONS - t->regions;

		err = ooh_tracker_collect(t->tracker, start, end, t->vec + t->regions, room < 512 ? room : 512, &r);
		if (err)
			return err;
		t->regions += r.regions;
		t->n_reported += r.pages;
		t->overflow |= r.overflow;
		start = r.walk_end;
		end = end ? end : USER_END;
	} while (r.partial && t->regions < REGIONS);
	return r.partial ? -ENOSPC : 0;
}

static int collect(struct trial *t, size_t cut)
{
	uint64_t middle = t->start + cut * PG;
	int err;

	t->regions = 0;
	t->dropped = 0;
	t->overflow = false;
	err = collect_window(t, cut ? t->start : 0, cut ? middle : 0);
	if (!err && cut)
		err = collect_window(t, middle, t->start + t->pages * PG);
	for (size_t i = 0; i < t->regions; i++)
		for (uint64_t p = t->vec[i].start; p < t->vec[i].end; p += PG)
			if (p >= t->start && p < t->start + t->pages * PG)
				t->told[(p - t->start) / PG] = true;
	return err;
}

static void one_round(struct trial *t, const struct message *m)
{
	int err;

	if (!t->racing)
		wait_asleep(t);
	err = collect(t, m->n);
	if (err) {
		fail(t, "collect: %s: %s", strerror(-err), m->text);
		t->over = true;
		return;
	}
	t->rounds++;
	check_oracle(t, m->text);
	if (t->want_overflow && !t->overflow)
		fail(t, "no overflow was reported: %s", m->text);
	check_content(t, t->racing ? FOLLOW : JUDGE, m->text);
	t->want_overflow = false;
}

static void begin(struct trial *t, const struct message *m);

/* ---- messages ---- */

static void go(const struct trial *t)
{
	struct message m = { .kind = M_GO };

	if (send(t->fd, &m, sizeof(m), MSG_NOSIGNAL) != sizeof(m))
		note("the subject has gone");
}

static void find_vvar(struct trial *t)
{
	char path[32], *line = NULL;
	size_t room = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/maps", t->pid);
	f = fopen(path, "re");
	while (f && getline(&line, &room, f) > 0)
		if (strstr(line, "[vvar"))
			sscanf(line, "%" SCNx64 "-%" SCNx64, &t->vvar, &t->vvar_end);
	free(line);
	if (f)
		fclose(f);
}

static int open_proc(pid_t pid, const char *name)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static int start_tracker(struct trial *t, const struct message *m)
{
	int err = ooh_tracker_open(&t->tracker, t->pid, t->backend, 0);

	if (!err)
		err = m->whole ? ooh_tracker_add_all(t->tracker) : ooh_tracker_add(t->tracker, m->start, m->start + m->n * PG);
	return err ? err : ooh_tracker_start(t->tracker);
}

static void begin(struct trial *t, const struct message *m)
{
	int err;

	wait_asleep(t);
	t->start = m->start;
	t->pages = m->pages;
	t->whole = m->whole;
	t->tracked = calloc(m->pages, 1);
	t->known = calloc(m->pages, 1);
	t->told = calloc(m->pages, 1);
	t->here = calloc(m->pages, 1);
	t->copy = calloc(m->pages, PG);
	t->fresh = malloc(PG);
	t->vec = malloc(REGIONS * sizeof(*t->vec));
	t->mem = open_proc(t->pid, "mem");
	t->pagemap = open_proc(t->pid, "pagemap");
	if (!t->tracked || !t->known || !t->told || !t->here || !t->copy || !t->fresh || !t->vec || t->mem < 0 || t->pagemap < 0)
		die("setting up a trial failed");
	for (size_t i = 0; i < m->n; i++)
		t->tracked[i] = true;
	find_vvar(t);
	err = start_tracker(t, m);
	if (err) {
		fail(t, "starting the tracker: %s", strerror(-err));
		t->over = true;
		return;
	}
	check_content(t, FIRST, "");
	wait_asleep(t);
	t->watch = oracle_watch(t->pid, t->whole ? 0 : t->start, t->whole ? USER_END : t->start + t->pages * PG);
}

/* A range that is added is clean from then on. */
static void more(struct trial *t, const struct message *m)
{
	size_t first = (m->start - t->start) / PG;
	int err;

	wait_asleep(t);
	err = ooh_tracker_add(t->tracker, m->start, m->start + m->pages * PG);
	if (err)
		fail(t, "adding a range: %s", strerror(-err));
	for (size_t i = first; i < first + m->pages; i++)
		t->tracked[i] = true;
	/* What was stored before to these pages is not to be found: a round of the oracle that nobody judges would lose the
	 * others' stores, so scenarios collect first. */
	if (t->watch >= 0)
		oracle_round(t->watch, &t->truth);
	check_content(t, FIRST, "");
}

static bool pending_message(const struct trial *t, int ms)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };

	return poll(&p, 1, ms) > 0;
}

static void race(struct trial *t)
{
	static const struct message m = { .text = "rounds beside it" };

	t->racing = true;
	go(t);
	while (!t->over && !pending_message(t, 1))
		one_round(t, &m);
}

/* The image is gone, or about to go: exec or exit. */
static void gone(struct trial *t)
{
	int err = 0;

	if (t->watch >= 0)
		oracle_unwatch(t->watch);
	t->watch = -1;
	for (int i = 0; i < 500 && !err; i++) {
		usleep(10000);
		err = collect(t, 0);
		if (err == -EBUSY)
			err = 0;
	}
	if (err != -ESRCH)
		fail(t, "collect after the end gave %d, not ESRCH", -err);
	t->over = true;
}

static void obey(struct trial *t, struct message *m, int *verdict, char *why, size_t n)
{
	m->text[sizeof(m->text) - 1] = '\0';
	switch (m->kind) {
	case M_TRACK: begin(t, m); break;
	case M_MORE: more(t, m); break;
	case M_ROUND: one_round(t, m); break;
	case M_RACE: race(t); return;
	case M_CALM: t->racing = false; break;
	case M_OVERFLOW: t->want_overflow = true; break;
	case M_GONE: gone(t); return;
	case M_SKIP:
		snprintf(why, n, "%.*s", (int)n - 1, m->text);
		*verdict = 2;
		t->over = true;
		return;
	case M_BROKEN: fail(t, "%s", m->text); t->over = true; return;
	case M_END: t->over = true; return;
	default: die("message %d", m->kind);
	}
	if (!t->over)
		go(t);
}

static void free_trial(struct trial *t)
{
	if (t->watch >= 0)
		oracle_unwatch(t->watch);
	ooh_tracker_close(t->tracker);
	kill(t->pid, SIGKILL);
	waitpid(t->pid, NULL, 0);
	close(t->fd);
	if (t->mem >= 0)
		close(t->mem);
	if (t->pagemap >= 0)
		close(t->pagemap);
	free(t->tracked);
	free(t->known);
	free(t->told);
	free(t->here);
	free(t->copy);
	free(t->fresh);
	free(t->vec);
	free(t->truth.v);
	free(t->late.v);
}

static _Noreturn void be_subject(const struct scenario *s, const char *backend, int fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	subject_start(fd, backend);
	if (s->run)
		s->run();
	else
		s->whole(backend);
	subject_end();
	for (;;)
		pause(); /* its memory stays until the tracker is closed */
}

int judge(const struct scenario *s, const char *backend, char *why, size_t n)
{
	struct trial t = { .backend = backend, .blind = strcmp(backend, "pml") ? s->blind : NULL, .watch = -1, .mem = -1, .pagemap = -1 };
	int pair[2], verdict = 0;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		die("socketpair: %s", strerror(errno));
	fflush(stdout);
	t.pid = fork();
	if (t.pid == 0) {
		close(pair[0]);
		be_subject(s, backend, pair[1]);
	}
	close(pair[1]);
	t.fd = pair[0];
	while (!t.over) {
		struct message m;

		if (!pending_message(&t, PATIENCE_MS)) {
			fail(&t, "the subject did not answer within %d s", PATIENCE_MS / 1000);
			break;
		}
		if (recv(t.fd, &m, sizeof(m), 0) != sizeof(m)) {
			fail(&t, "the subject ended early");
			break;
		}
		obey(&t, &m, &verdict, why, n);
	}
	if (getenv("OOH_SOUND_VERBOSE"))
		note("%zu regions in the last round", t.regions), note("%s: %s: %u rounds, %" PRIu64 " written, %" PRIu64 " reported", backend, s->name, t.rounds, t.n_truth,
		     t.n_reported);
	free_trial(&t);
	if (t.blind && t.missed && !t.failed && verdict == 0)
		snprintf(why, n, "missed %" PRIu64 " pages, as expected: %s", t.missed, t.blind);
	return t.failed ? 1 : verdict;
}
