/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers of the tests that drive ooh.ko through its ioctls: TAP output, trackers, and areas whose content is
 * compared with what was reported. Each test runs in a child process, so that one that dies fails alone.
 */
#ifndef OOH_MODULE_TESTS_OOH_TEST_H
#define OOH_MODULE_TESTS_OOH_TEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../abi/ooh.h"

#define PG 4096ul

/* ---- TAP ---- */

struct test {
	const char *name;
	void (*fn)(void);
};

extern const struct test boundary_tests[], sound_tests[], kernel_tests[], race_tests[], process_tests[];
extern const struct test double_tests[], cost_tests[];

/* Fails the running test with what was expected and a message, and ends its process. */
void fail(const char *file, int line, const char *what, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 4, 5)));
/* Ends it as skipped: the machine lacks something. */
void skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* A diagnostic line of the running test. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(cond, ...) ((cond) ? (void)0 : fail(__FILE__, __LINE__, #cond, " " __VA_ARGS__))
/* The call must fail with this errno. */
#define CHECK_ERR(call, err) check_err(__FILE__, __LINE__, #call, (call), (err))
void check_err(const char *file, int line, const char *what, long rc, int err);

/* ---- trackers ---- */

extern int dev; /* /dev/ooh */

int tracker(int pidfd);                 /* a file descriptor, or -1 and errno */
int self_tracker(void *start, size_t bytes); /* of this process, started over this range */
int range_op(int t, unsigned long cmd, void *start, size_t bytes);
int simple_op(int t, unsigned long cmd);
int range_all(int t);
/* One COLLECT. c->size and c->vec are filled in; vec may be NULL. */
int collect(int t, struct ooh_collect *c, void *start, size_t bytes, struct ooh_region *vec, size_t len,
	    uint32_t flags);
void status(struct ooh_status *st);
void stats(int t, struct ooh_tracker_stats *s);
int pidfd_of(pid_t pid);

/* ---- areas: is what changed reported? ---- */

/*
 * What each page held when it was last compared. A page of which nothing is in memory or swap is not touched to find
 * out: it is nothing, which compares equal to zeros.
 */
struct area {
	int t;             /* tracker */
	pid_t pid;         /* whose memory */
	char *start;       /* in that process */
	size_t pages;
	char *copy;        /* content, pages * PG */
	uint8_t *mapped;   /* by page: something was there */
	int pagemap;       /* of the process: looking through it touches nothing */
	uint32_t *seen;    /* categories of the last round, by page; 0: clean */
	uint32_t result;   /* OOH_COLLECTED_* of the last round */
	size_t vec_len;    /* regions asked for at once; small, so that partial rounds are usual */
	unsigned int dirty, extra; /* pages of the last round; of these unchanged */
};

/* Takes the content as it is now as the truth to compare with. */
void area_init(struct area *a, int t, pid_t pid, void *start, size_t pages);
void area_free(struct area *a);
/*
 * Collects and compares: every page whose content (or mapping) changed since the last time must be reported. Fails
 * the test otherwise, naming `what` was done. Reports categories and extra pages in the area.
 */
void area_round(struct area *a, const char *what);
/* Just collects, into seen. */
void area_collect(struct area *a);
/* Copies what was reported from the process: with content races, until nothing is dirty, copy and memory are equal. */
void area_copy_dirty(struct area *a);
/* Pages whose copy differs from the memory now; notes the first few. */
size_t area_differs(struct area *a);

/* Anonymous memory, every page touched, tracked by this process itself. Returns its start. */
char *area_anon(struct area *a, size_t pages);
/* The same over memory that is there. Returns p. */
char *area_over(struct area *a, char *p, size_t pages);
/* Nothing was done: nothing may be reported. A first round may still settle what comparing has touched. */
void area_idle(struct area *a, const char *what);
/* The last round reported exactly these pages, as written, and no others; or, with too small a ring, all of them. */
void area_written(const struct area *a, size_t first, size_t pages);

/* ---- this and that ---- */

char *map_anon(size_t pages);
char *map_at(void *at, size_t pages, int prot, int flags, int fd, off_t off);
/* Different bytes each time, so that no store writes what was there before. */
void scribble(char *p, size_t bytes);
void touch(char *p, size_t pages);
uint64_t rnd(uint64_t *state);
/* Lets the kernel's collapsing thread come all the time, or never: else it would come in the middle of other tests. */
void khugepaged(bool often);
/* Writes a value to a file of /sys or /proc; false: it is not there. */
bool put_file(const char *path, const char *value);

#endif
