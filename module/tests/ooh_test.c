// SPDX-License-Identifier: GPL-2.0-only
/*
 * Runs the tests of ooh.ko: ooh-module-tests [group ...]. TAP on stdout; exit 0: all passed or were skipped, 1: not,
 * 2: usage, 3: no /dev/ooh.
 */
#define _GNU_SOURCE
#include "ooh_test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TEST_SECONDS 120
#define EXIT_SKIP    77

int dev = -1;

/* ---- TAP ---- */

static void say(const char *prefix, const char *fmt, va_list ap)
{
	char line[512];
	int n = snprintf(line, sizeof(line), "%s", prefix);

	n += vsnprintf(line + n, sizeof(line) - n - 1, fmt, ap);
	if (n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n++] = '\n';
	if (write(1, line, n) < 0)
		_exit(1);
}

void note(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("# ", fmt, ap);
	va_end(ap);
}

void fail(const char *file, int line, const char *what, const char *fmt, ...)
{
	const char *base = strrchr(file, '/');
	char prefix[256];
	va_list ap;

	snprintf(prefix, sizeof(prefix), "#   %s:%d: %s", base ? base + 1 : file, line, what);
	va_start(ap, fmt);
	say(prefix, fmt, ap);
	va_end(ap);
	_exit(1);
}

void skip(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("# skipped: ", fmt, ap);
	va_end(ap);
	_exit(EXIT_SKIP);
}

void check_err(const char *file, int line, const char *what, long rc, int err)
{
	if (rc >= 0)
		fail(file, line, what, " returned %ld, not %s", rc, strerrorname_np(err));
	if (errno != err)
		fail(file, line, what, ": %s, not %s", strerrorname_np(errno), strerrorname_np(err));
}

/* ---- trackers ---- */

int tracker(int pidfd)
{
	struct ooh_tracker_create c = { .size = sizeof(c), .pidfd = pidfd };

	return ioctl(dev, OOH_IOC_TRACKER_CREATE, &c);
}

int range_op(int t, unsigned long cmd, void *start, size_t bytes)
{
	struct ooh_range r = { .size = sizeof(r), .start = (uintptr_t)start, .end = (uintptr_t)start + bytes };

	return ioctl(t, cmd, &r);
}

int range_all(int t)
{
	struct ooh_range r = { .size = sizeof(r), .flags = OOH_RANGE_ALL };

	return ioctl(t, OOH_IOC_ADD_RANGE, &r);
}

int simple_op(int t, unsigned long cmd)
{
	struct ooh_switch s = { .size = sizeof(s) };

	return ioctl(t, cmd, &s);
}

int self_tracker(void *start, size_t bytes)
{
	int t = tracker(OOH_PIDFD_SELF);

	CHECK(t >= 0, "%s", strerror(errno));
	CHECK(!range_op(t, OOH_IOC_ADD_RANGE, start, bytes), "%s", strerror(errno));
	CHECK(!simple_op(t, OOH_IOC_START), "%s", strerror(errno));
	return t;
}

int collect(int t, struct ooh_collect *c, void *start, size_t bytes, struct ooh_region *vec, size_t len,
	    uint32_t flags)
{
	memset(c, 0, sizeof(*c));
	c->size = sizeof(*c);
	c->flags = flags;
	c->start = (uintptr_t)start;
	c->end = (uintptr_t)start + bytes;
	c->vec = (uintptr_t)vec;
	c->vec_len = len;
	return ioctl(t, OOH_IOC_COLLECT, c);
}

void status(struct ooh_status *st)
{
	memset(st, 0, sizeof(*st));
	st->size = sizeof(*st);
	CHECK(!ioctl(dev, OOH_IOC_STATUS, st), "%s", strerror(errno));
}

void stats(int t, struct ooh_tracker_stats *s)
{
	memset(s, 0, sizeof(*s));
	s->size = sizeof(*s);
	CHECK(!ioctl(t, OOH_IOC_TRACKER_STATS, s), "%s", strerror(errno));
}

int pidfd_of(pid_t pid)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);

	CHECK(fd >= 0, "%s", strerror(errno));
	return fd;
}

/* ---- areas ---- */

static bool page_there(const struct area *a, size_t page)
{
	const off_t at = ((uintptr_t)a->start / PG + page) * 8;
	uint64_t e;

	return pread(a->pagemap, &e, 8, at) == 8 && e >> 62;
}

/* Reads one page of the process; false: nothing is there, or nobody may read it: zeros. */
static bool read_page(const struct area *a, size_t page, char *to)
{
	struct iovec here = { to, PG }, there = { a->start + page * PG, PG };

	if (page_there(a, page) && process_vm_readv(a->pid, &here, 1, &there, 1, 0) == PG)
		return true;
	memset(to, 0, PG);
	return false;
}

void area_init(struct area *a, int t, pid_t pid, void *start, size_t pages)
{
	char name[64];
	size_t i;

	*a = (struct area){ .t = t, .pid = pid, .start = start, .pages = pages, .vec_len = 64 };
	snprintf(name, sizeof(name), "/proc/%d/pagemap", pid);
	a->pagemap = open(name, O_RDONLY | O_CLOEXEC);
	a->copy = mmap(NULL, pages * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	a->mapped = calloc(pages, 1);
	a->seen = calloc(pages, sizeof(*a->seen));
	CHECK(a->pagemap >= 0 && a->copy != MAP_FAILED && a->mapped && a->seen);
	for (i = 0; i < pages; i++)
		a->mapped[i] = read_page(a, i, a->copy + i * PG);
}

void area_free(struct area *a)
{
	close(a->pagemap);
	munmap(a->copy, a->pages * PG);
	free(a->mapped);
	free(a->seen);
}

static void take_regions(struct area *a, const struct ooh_region *vec, size_t n)
{
	size_t i, page;

	for (i = 0; i < n; i++) {
		CHECK(vec[i].categories && vec[i].start < vec[i].end);
		CHECK(!i || vec[i].start >= vec[i - 1].end);
		CHECK(vec[i].start >= (uintptr_t)a->start && vec[i].end <= (uintptr_t)a->start + a->pages * PG);
		page = (vec[i].start - (uintptr_t)a->start) / PG;
		for (; a->start + page * PG < (char *)vec[i].end; page++)
			a->seen[page] |= vec[i].categories;
	}
}

void area_collect(struct area *a)
{
	static struct ooh_region vec[1024];
	char *at = a->start, *end = a->start + a->pages * PG;
	struct ooh_collect c;

	memset(a->seen, 0, a->pages * sizeof(*a->seen));
	a->result = 0;
	while (at < end) {
		CHECK(!collect(a->t, &c, at, end - at, vec, a->vec_len, 0), "%s", strerror(errno));
		CHECK(c.regions <= a->vec_len && c.walk_end > (uintptr_t)at && c.walk_end <= (uintptr_t)end);
		CHECK(!(c.result & OOH_COLLECTED_PARTIAL) == (c.walk_end == (uintptr_t)end));
		take_regions(a, vec, c.regions);
		a->result |= c.result;
		at = (char *)c.walk_end;
	}
}

static bool page_changed(const struct area *a, size_t i, char *now, bool *mapped)
{
	*mapped = read_page(a, i, now);
	return memcmp(now, a->copy + i * PG, PG);
}

void area_round(struct area *a, const char *what)
{
	char now[PG] __attribute__((aligned(PG)));
	size_t i, missed = 0, first = 0, changed = 0;
	uint32_t why = 0;
	bool mapped;

	area_collect(a);
	a->dirty = a->extra = 0;
	for (i = 0; i < a->pages; i++) {
		bool diff = page_changed(a, i, now, &mapped);

		changed += diff;
		a->dirty += !!a->seen[i];
		a->extra += a->seen[i] && !diff;
		why |= diff ? 0 : a->seen[i];
		if (diff && !a->seen[i] && !missed++)
			first = i;
		a->mapped[i] = mapped;
		if (diff)
			memcpy(a->copy + i * PG, now, PG);
	}
	if (getenv("OOH_VERBOSE"))
		for (i = 0; i < a->pages; i++)
			if (a->seen[i])
				note("  page %zu: %#x", i, a->seen[i]);
	note("%s: %zu changed, %u reported, %u extra (%#x)", what, changed, a->dirty, a->extra, why);
	CHECK(!missed, "after %s: %zu pages missed, the first is %zu", what, missed, first);
}

/* Up to 64 reported pages that are neighbours, at once. Returns how many were read; 0: the first cannot be. */
static size_t copy_run(struct area *a, size_t i)
{
	struct iovec here = { a->copy + i * PG, 0 }, there = { a->start + i * PG, 0 };
	size_t n = 0;
	ssize_t got;

	while (n < 64 && i + n < a->pages && a->seen[i + n])
		n++;
	here.iov_len = there.iov_len = n * PG;
	got = process_vm_readv(a->pid, &here, 1, &there, 1, 0);
	return got < 0 ? 0 : got / PG;
}

void area_copy_dirty(struct area *a)
{
	size_t i, n;

	for (i = 0; i < a->pages; i += n) {
		n = a->seen[i] ? copy_run(a, i) : 1;
		if (!n)
			memset(a->copy + i * PG, 0, PG);
		n += !n;
	}
}

size_t area_differs(struct area *a)
{
	char now[PG];
	bool mapped;
	size_t i, n = 0;

	for (i = 0; i < a->pages; i++)
		if (page_changed(a, i, now, &mapped) && n++ < 8)
			note("  page %zu: %s, starts with %#lx, the copy with %#lx", i, mapped ? "there" : "not there",
			     *(unsigned long *)now, *(unsigned long *)(a->copy + i * PG));
	return n;
}

char *area_over(struct area *a, char *p, size_t pages)
{
	area_init(a, self_tracker(p, pages * PG), getpid(), p, pages);
	return p;
}

char *area_anon(struct area *a, size_t pages)
{
	char *p = map_anon(pages);

	touch(p, pages);
	return area_over(a, p, pages);
}

void area_idle(struct area *a, const char *what)
{
	area_round(a, "settling");
	area_round(a, what);
	CHECK(!a->dirty, "idle round after %s reported %u pages, the first categories %#x", what, a->dirty, a->seen[0]);
}

void area_written(const struct area *a, size_t first, size_t pages)
{
	const bool over = a->result & OOH_COLLECTED_OVERFLOW;
	const uint32_t want = OOH_PAGE_WRITTEN | (over ? OOH_PAGE_OVERFLOW : 0);
	size_t i;

	for (i = 0; i < a->pages; i++) {
		const bool in = i >= first && i < first + pages;

		CHECK(!in || (a->seen[i] & want), "page %zu: categories %#x", i, a->seen[i]);
		CHECK(in || over || !a->seen[i], "page %zu: categories %#x", i, a->seen[i]);
	}
}

/* ---- this and that ---- */

char *map_at(void *at, size_t pages, int prot, int flags, int fd, off_t off)
{
	char *p = mmap(at, pages * PG, prot, flags, fd, off);

	CHECK(p != MAP_FAILED, "%s", strerror(errno));
	return p;
}

/* Without huge pages, so that tests say where they want them. */
char *map_anon(size_t pages)
{
	char *p = map_at(NULL, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	madvise(p, pages * PG, MADV_NOHUGEPAGE);
	return p;
}

uint64_t rnd(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

void scribble(char *p, size_t bytes)
{
	static uint64_t counter;
	size_t i;

	counter++;
	for (i = 0; i + 8 <= bytes; i += PG)
		*(volatile uint64_t *)(p + i) = counter << 20 | i / PG;
}

void touch(char *p, size_t pages)
{
	scribble(p, pages * PG);
}

bool put_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY);
	bool ok = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);

	if (fd >= 0)
		close(fd);
	return ok;
}

void khugepaged(bool often)
{
	const char *dir = "/sys/kernel/mm/transparent_hugepage/khugepaged/";
	char path[128];

	snprintf(path, sizeof(path), "%sscan_sleep_millisecs", dir);
	put_file(path, often ? "1" : "3600000");
	snprintf(path, sizeof(path), "%spages_to_scan", dir);
	put_file(path, often ? "65536" : "4096");
}

/* ---- the runner ---- */

static const struct group {
	const char *name;
	const struct test *tests;
} groups[] = {
	{ "boundary", boundary_tests }, { "sound", sound_tests },   { "kernel", kernel_tests },
	{ "process", process_tests },   { "race", race_tests },     { "double", double_tests },
	{ "cost", cost_tests },
};

#define NR_GROUPS (sizeof(groups) / sizeof(groups[0]))

/* In a session of its own, so that what it leaves behind can be ended with it. */
static int run_child(const struct test *t)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		setsid();
		alarm(TEST_SECONDS);
		t->fn();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	kill(-pid, SIGKILL);
	if (WIFSIGNALED(status))
		note("  ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static bool wanted(const char *name, const char *test, char **argv)
{
	if (!*argv)
		return strcmp(name, "double") && strcmp(name, "cost"); /* only by name */
	for (; *argv; argv++)
		if (!strcmp(*argv, name) || !strcmp(*argv, test))
			return true;
	return false;
}

static int run_all(char **argv)
{
	int n = 0, bad = 0, skipped = 0;
	const struct test *t;
	size_t g;

	for (g = 0; g < NR_GROUPS; g++) {
		for (t = groups[g].tests; t->name; t++) {
			int rc;

			if (!wanted(groups[g].name, t->name, argv))
				continue;
			rc = run_child(t);
			bad += rc && rc != EXIT_SKIP;
			skipped += rc == EXIT_SKIP;
			printf("%sok %d - %s: %s%s\n", rc && rc != EXIT_SKIP ? "not " : "", ++n, groups[g].name,
			       t->name, rc == EXIT_SKIP ? " # SKIP" : "");
			fflush(stdout);
		}
	}
	printf("1..%d\n# %d passed, %d failed, %d skipped\n", n, n - bad - skipped, bad, skipped);
	return n ? !!bad : 2;
}

int main(int argc, char **argv)
{
	struct ooh_switch on = { .size = sizeof(on) };
	int rc;

	dev = open(OOH_DEVICE, O_RDWR | O_CLOEXEC);
	if (dev < 0) {
		fprintf(stderr, "ooh-module-tests: %s: %s\n", OOH_DEVICE, strerror(errno));
		return 3;
	}
	if (ioctl(dev, OOH_IOC_ENABLE, &on) && errno != EALREADY) {
		fprintf(stderr, "ooh-module-tests: cannot enable the hypervisor: %s\n", strerror(errno));
		return 3;
	}
	khugepaged(false);
	put_file("/sys/kernel/mm/transparent_hugepage/enabled", "madvise");
	rc = run_all(argv + 1);
	if (rc == 2)
		fprintf(stderr, "ooh-module-tests: no such test: %s\n", argc > 1 ? argv[1] : "");
	return rc;
}
