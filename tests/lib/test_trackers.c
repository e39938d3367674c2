/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every backend that is available here, through the public calls: a page that was written since the last round must be in this
 * one, and a page that was not must be clean in a private anonymous area. What is not available is skipped with its reason.
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include <ooh.h>

#define NPAGES 512u
#define PAGE 4096u

/* The tracked process: does what it is told through a pipe. */
struct child {
	pid_t pid;
	int to, from;
	char *area; /* the same address in both */
};

struct order {
	char what; /* 'w' store, 'r' read(2) into, 'd' MADV_DONTNEED, 'f' fork a child that stores too, 'x' exec */
	unsigned page;
};

static void serve(int in, int out, char *area)
{
	struct order o;
	int zero = -1, pfd[2];

	while (read(in, &o, sizeof(o)) == sizeof(o)) {
		char *p = area + (size_t)o.page * PAGE;

		if (o.what == 'w')
			++*(volatile char *)p;
		else if (o.what == 'r') {
			if (pipe(pfd) || write(pfd[1], "data", 4) != 4 || read(pfd[0], p + 100, 4) != 4)
				_exit(3);
			close(pfd[0]);
			close(pfd[1]);
		} else if (o.what == 'd')
			madvise(p, PAGE, MADV_DONTNEED);
		else if (o.what == 'f') {
			pid_t pid = fork();

			++*(volatile char *)p;
			if (pid == 0)
				_exit(0);
			waitpid(pid, NULL, 0);
		} else if (o.what == 'x')
			execl("/bin/sleep", "sleep", "100", NULL);
		if (write(out, &zero, 1) != 1)
			break;
	}
	_exit(0);
}

static void child_start(struct child *c)
{
	int to[2], from[2];
	char ready;

	c->area = mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(c->area, MAP_FAILED);
	madvise(c->area, NPAGES * PAGE, MADV_NOHUGEPAGE); /* the kernel's trackers see a huge page as one */
	memset(c->area, 1, NPAGES * PAGE);
	assert_int_equal(pipe(to), 0);
	assert_int_equal(pipe(from), 0);
	c->pid = fork();
	if (c->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		memset(c->area, 2, NPAGES * PAGE); /* its own copy */
		if (write(from[1], "r", 1) != 1)
			_exit(3);
		serve(to[0], from[1], c->area);
	}
	close(to[0]);
	close(from[1]);
	c->to = to[1];
	c->from = from[0];
	assert_int_equal(read(c->from, &ready, 1), 1);
}

static void tell(struct child *c, char what, unsigned page)
{
	struct order o = { what, page };
	char done;

	assert_int_equal(write(c->to, &o, sizeof(o)), sizeof(o));
	assert_int_equal(read(c->from, &done, 1), 1);
}

static void child_end(struct child *c)
{
	kill(c->pid, SIGKILL);
	waitpid(c->pid, NULL, 0);
	close(c->to);
	close(c->from);
	munmap(c->area, NPAGES * PAGE);
}

static bool reported(const struct ooh_region *vec, const struct ooh_round *r, const char *p)
{
	for (size_t i = 0; i < r->regions; i++)
		if ((uintptr_t)p >= vec[i].start && (uintptr_t)p < vec[i].end)
			return true;
	return false;
}

static void skip_unless(const char *backend)
{
	char why[200];

	if (ooh_backend_probe(backend, why, sizeof(why))) {
		print_message("skipped: %s: %s\n", backend, why);
		skip();
	}
}

static struct ooh_tracker *open_tracker(const char *backend, pid_t pid)
{
	struct ooh_tracker *t = NULL;

	assert_int_equal(ooh_tracker_open(&t, pid, backend, 0), 0);
	assert_string_equal(ooh_tracker_backend(t)->name, backend);
	return t;
}

static void random_rounds(struct child *c, struct ooh_tracker *t)
{
	struct ooh_region vec[NPAGES];
	struct ooh_round r;
	unsigned seed = 7;

	for (int round = 0; round < 40; round++) {
		bool written[NPAGES] = { false };

		for (int k = rand_r(&seed) % 60; k > 0; k--) {
			unsigned page = rand_r(&seed) % NPAGES;

			tell(c, "wrf"[rand_r(&seed) % 3], page);
			written[page] = true;
		}
		assert_int_equal(ooh_tracker_collect(t, 0, 0, vec, NPAGES, &r), 0);
		assert_false(r.partial);
		for (unsigned i = 0; i < NPAGES; i++) {
			if (written[i])
				assert_true(reported(vec, &r, c->area + (size_t)i * PAGE));
			else
				assert_false(reported(vec, &r, c->area + (size_t)i * PAGE));
		}
	}
}

static void test_other(const char *backend)
{
	struct child c;
	struct ooh_tracker *t;

	skip_unless(backend);
	child_start(&c);
	t = open_tracker(backend, c.pid);
	assert_int_equal(ooh_tracker_add(t, (uintptr_t)c.area, (uintptr_t)c.area + NPAGES * PAGE), 0);
	assert_int_equal(ooh_tracker_start(t), 0);
	assert_int_equal(ooh_tracker_start(t), -EALREADY);
	random_rounds(&c, t);
	assert_int_equal(ooh_tracker_stop(t), 0);
	assert_int_equal(ooh_tracker_stop(t), -EALREADY);
	tell(&c, 'w', 0); /* it lives on, untracked */
	ooh_tracker_close(t);
	tell(&c, 'w', 1);
	child_end(&c);
}

/* A window resets itself only; a vector too small ends at walk_end and resets nothing beyond. */
static void test_windows(const char *backend)
{
	struct ooh_region vec[NPAGES];
	struct ooh_tracker *t;
	struct ooh_round r;
	struct child c;
	uintptr_t a;

	skip_unless(backend);
	child_start(&c);
	a = (uintptr_t)c.area;
	t = open_tracker(backend, c.pid);
	assert_int_equal(ooh_tracker_add(t, a, a + NPAGES * PAGE), 0);
	assert_int_equal(ooh_tracker_start(t), 0);
	for (unsigned i = 0; i < 10; i++)
		tell(&c, 'w', i * 2);
	assert_int_equal(ooh_tracker_collect(t, a, a + 4 * PAGE, vec, NPAGES, &r), 0);
	assert_int_equal(r.pages, 2);
	assert_int_equal(ooh_tracker_collect(t, 0, 0, vec, 3, &r), 0);
	assert_true(r.partial);
	assert_int_equal(r.pages, 3);
	assert_true(reported(vec, &r, c.area + 4 * PAGE) && reported(vec, &r, c.area + 8 * PAGE));
	assert_int_equal(ooh_tracker_collect(t, r.walk_end, a + NPAGES * PAGE, vec, NPAGES, &r), 0);
	assert_int_equal(r.pages, 5);
	assert_int_equal(ooh_tracker_collect(t, 0, 0, vec, NPAGES, &r), 0);
	assert_int_equal(r.pages, 0);
	assert_int_equal(ooh_tracker_collect(t, 1, 2, vec, NPAGES, &r), -EINVAL);
	ooh_tracker_close(t);
	child_end(&c);
}

static void test_exec_and_exit(const char *backend)
{
	struct ooh_region vec[NPAGES];
	struct order o = { 'x', 0 };
	struct ooh_tracker *t;
	struct ooh_round r;
	struct child c;
	int err = 0;

	skip_unless(backend);
	child_start(&c);
	t = open_tracker(backend, c.pid);
	assert_int_equal(ooh_tracker_add_all(t), 0);
	assert_int_equal(ooh_tracker_start(t), 0);
	assert_int_equal(write(c.to, &o, sizeof(o)), sizeof(o));
	for (int i = 0; i < 200 && err != -ESRCH; i++) {
		err = ooh_tracker_collect(t, 0, 0, vec, NPAGES, &r);
		assert_true(err == 0 || err == -ESRCH);
		usleep(10000);
	}
	assert_int_equal(err, -ESRCH);
	child_end(&c);
	assert_int_equal(ooh_tracker_collect(t, 0, 0, vec, NPAGES, &r), -ESRCH);
	ooh_tracker_close(t);
}

static void test_self(const char *backend)
{
	char *area = mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ooh_region vec[8];
	struct ooh_tracker *t;
	struct ooh_stats stats;
	struct ooh_round r;

	skip_unless(backend);
	t = open_tracker(backend, 0);
	madvise(area, NPAGES * PAGE, MADV_NOHUGEPAGE);
	memset(area, 1, NPAGES * PAGE);
	assert_int_equal(ooh_tracker_add(t, (uintptr_t)area, (uintptr_t)area + NPAGES * PAGE), 0);
	assert_int_equal(ooh_tracker_collect(t, 0, 0, vec, 8, &r), -ENOTCONN);
	assert_int_equal(ooh_tracker_start(t), 0);
	area[5 * PAGE] = 7;
	area[6 * PAGE + 4095] = 7;
	assert_int_equal(ooh_tracker_collect(t, 0, 0, vec, 8, &r), 0);
	for (size_t i = 0; i < r.regions; i++)
		print_message("%s: page %d..%d categories %x\n", backend, (int)((vec[i].start - (uintptr_t)area) / PAGE),
			      (int)((vec[i].end - (uintptr_t)area) / PAGE), vec[i].categories);
	assert_int_equal(r.pages, 2);
	assert_true(reported(vec, &r, area + 5 * PAGE) && reported(vec, &r, area + 6 * PAGE));
	assert_int_equal(ooh_tracker_stats(t, &stats), 0);
	assert_int_equal(stats.rounds, 1);
	ooh_tracker_close(t);
	munmap(area, NPAGES * PAGE);
}

#define PER_BACKEND(fn, id, name)                                                                                      \
	static void fn##_##id(void **state)                                                                            \
	{                                                                                                              \
		(void)state;                                                                                           \
		test_##fn(name);                                                                                       \
	}
#define ALL_BACKENDS(fn) PER_BACKEND(fn, pml, "pml") PER_BACKEND(fn, sd, "soft-dirty") PER_BACKEND(fn, uffd, "userfaultfd")
ALL_BACKENDS(other)
ALL_BACKENDS(windows)
ALL_BACKENDS(exec_and_exit)
ALL_BACKENDS(self)

static void test_arguments(void **state)
{
	struct ooh_tracker *t = NULL;

	(void)state;
	assert_int_equal(ooh_tracker_open(&t, 0, "nonsense", 0), -ENOENT);
	assert_int_equal(ooh_tracker_open(NULL, 0, NULL, 0), -EINVAL);
	assert_int_equal(ooh_tracker_open(&t, 0, NULL, 1), -EINVAL);
	assert_int_equal(ooh_tracker_open(&t, -5, NULL, 0), -EINVAL);
	assert_int_equal(ooh_backend_probe("nonsense", NULL, 0), -ENOENT);
	assert_null(ooh_backend_get(3));
	ooh_tracker_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_arguments),
		cmocka_unit_test(other_pml), cmocka_unit_test(other_sd), cmocka_unit_test(other_uffd),
		cmocka_unit_test(windows_pml), cmocka_unit_test(windows_sd), cmocka_unit_test(windows_uffd),
		cmocka_unit_test(exec_and_exit_pml), cmocka_unit_test(exec_and_exit_sd),
		cmocka_unit_test(exec_and_exit_uffd),
		cmocka_unit_test(self_pml), cmocka_unit_test(self_sd), cmocka_unit_test(self_uffd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
