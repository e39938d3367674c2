/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * soundness: is every written page reported? A subject (a process forked for each scenario) does something to its memory and
 * stops; the tester collects and compares what was reported with the oracle's set and with the content of the memory.
 *
 * A scenario runs in the subject. It calls track() once, round_of() after each step. The memory it is judged by is one window.
 */
#ifndef OOH_LAB_GUEST_SOUND_H
#define OOH_LAB_GUEST_SOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <ooh.h>

#define PG   4096ul
#define HUGE (2ul << 20)

/* ---- in the subject (sound_subject.c) ---- */

/* Anonymous private memory without huge pages; not touched / every page written. */
char *anon(size_t pages);
char *resident(size_t pages);
/* As mmap(2) with PROT_READ | PROT_WRITE, at a free address if at is NULL; an error ends the scenario as failed. */
char *map(void *at, size_t pages, int flags, int fd);
/* Room for the scenario's own mappings: nothing is there, and nothing comes there without MAP_FIXED. 2 MiB aligned. */
char *reserve(size_t pages);

/* One store to each page, of a value never stored before, at a place that varies. */
void touch(char *p, size_t pages);
uint64_t rnd(void);
/* Of each thread; n tells them apart. The first thread need not. */
void rnd_begin(uint64_t n);

/* The window to be tracked from here on (the tester starts the tracker); whole: with it, all of the process. */
void track(char *start, size_t pages);
void track_whole(char *start, size_t pages);
/* A window of which only the first n pages are tracked; track_more() adds others while started. */
void track_first(char *start, size_t pages, size_t n);
void track_more(char *start, size_t pages);
/* The end of a round: the tester collects and compares. Then the scenario goes on. */
void round_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Collects in two windows, cut at page n. */
void round_cut(size_t n, const char *what);
/* Collects while this process runs on: nothing is judged until the next round_of(), which judges all since the last. */
void race_begin(void);
void race_end(void);
/* The next round must say that log entries were lost, and hand over every page of the window that is there. */
void expect_overflow(void);
/* The process image goes away now: the tester expects -ESRCH within a moment. */
void expect_gone(void);

_Noreturn void skip(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void broken(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define NEED(cond)                                                                           \
	do {                                                                                 \
		if (!(cond))                                                                 \
			broken("%s:%d: %s: %m", __FILE__, __LINE__, #cond);                  \
	} while (0)

/* A child of the subject that does fn(arg) and exits. */
pid_t child(void (*fn)(char *), char *arg);
void wait_child(pid_t pid);
/* false: the file is not there or takes no such value. */
bool put_file(const char *path, const char *value);
long get_number(const char *path);
const char *backend_now(void);
/* /dev/vda with O_DIRECT, or the scenario is skipped; where to read next. (sound_dma.c) */
int open_disk(void);
off_t next_place(size_t pages);

/* ---- scenarios ---- */

struct scenario {
	const char *name;
	void (*run)(void);               /* in the subject; or */
	void (*whole)(const char *backend); /* instead of a subject, in a process that does all by itself */
	unsigned flags;
	const char *blind;               /* why the kernel's own trackers miss pages here; PML must not */
};
#define ONLY_PML  1u /* concerns the hypervisor and the module */
#define ON_DEMAND 2u /* runs only when named by --only */

/* Each ends with a row without a name. */
extern const struct scenario sound_writes[], sound_insns[], sound_uffd[], sound_fork[], sound_map[], sound_huge[], sound_shared[], sound_swap[], sound_life[],
	sound_race[], sound_random[], sound_dma[], sound_uring[];

extern unsigned long seed_option;
extern unsigned rounds_option;

/* ---- in the tester (sound_check.c) ---- */

/* Runs the scenario under the backend; 0 passed (why: a remark), 1 failed, 2 skipped (the reason in why). */
int judge(const struct scenario *s, const char *backend, char *why, size_t n);

/* Comment lines of the report ("# …"). */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What subject and tester say to each other. */
enum message_kind { M_TRACK, M_MORE, M_ROUND, M_RACE, M_CALM, M_OVERFLOW, M_GONE, M_SKIP, M_BROKEN, M_END, M_GO };
struct message {
	enum message_kind kind;
	bool whole;
	uint64_t start, pages, n; /* n: of these tracked from the start; of a round: where to cut the window, 0: nowhere */
	char text[160];
};
/* The subject's side begins: fd is its end. */
void subject_start(int fd, const char *backend);
void subject_end(void);

#endif
