/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The subject's side: what scenarios are written with. Its own state lies outside the window, so that it is never judged. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sound.h"

static int tester = -1;
static const char *backend;
static uint64_t stamp = 1;
static __thread uint64_t state;

void subject_start(int fd, const char *name)
{
	tester = fd;
	backend = name;
	rnd_begin(0);
}

void rnd_begin(uint64_t n)
{
	state = (seed_option + (n << 32)) * 0x9e3779b97f4a7c15ull + 1;
}

const char *backend_now(void)
{
	return backend;
}

static void say(struct message m)
{
	if (send(tester, &m, sizeof(m), MSG_NOSIGNAL) != sizeof(m))
		_exit(9);
}

static void ask(struct message m)
{
	struct message answer;

	say(m);
	if (recv(tester, &answer, sizeof(answer), 0) != sizeof(answer) || answer.kind != M_GO)
		_exit(9);
}

void subject_end(void)
{
	say((struct message){ .kind = M_END });
}

_Noreturn void skip(const char *fmt, ...)
{
	struct message m = { .kind = M_SKIP };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m.text, sizeof(m.text), fmt, ap);
	va_end(ap);
	say(m);
	_exit(0);
}

_Noreturn void broken(const char *fmt, ...)
{
	struct message m = { .kind = M_BROKEN };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m.text, sizeof(m.text), fmt, ap);
	va_end(ap);
	say(m);
	_exit(1);
}

char *map(void *at, size_t pages, int flags, int fd)
{
	char *p = mmap(at, pages * PG, PROT_READ | PROT_WRITE, flags, fd, 0);

	if (p == MAP_FAILED)
		broken("mmap of %zu pages: %m", pages);
	return p;
}

char *anon(size_t pages)
{
	char *p = map(NULL, pages, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	madvise(p, pages * PG, MADV_NOHUGEPAGE);
	return p;
}

char *resident(size_t pages)
{
	char *p = anon(pages);

	touch(p, pages);
	return p;
}

char *reserve(size_t pages)
{
	char *p = mmap(NULL, pages * PG + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	NEED(p != MAP_FAILED);
	return (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
}

uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

void touch(char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++) {
		uint64_t n = __atomic_fetch_add(&stamp, 1, __ATOMIC_RELAXED);

		*(volatile uint64_t *)(p + i * PG + n * 104 % PG / 8 * 8) = n << 20 | (uint64_t)(getpid() & 0xfffff);
	}
}

void track(char *start, size_t pages)
{
	ask((struct message){ .kind = M_TRACK, .start = (uintptr_t)start, .pages = pages, .n = pages });
}

void track_first(char *start, size_t pages, size_t n)
{
	ask((struct message){ .kind = M_TRACK, .start = (uintptr_t)start, .pages = pages, .n = n });
}

void track_whole(char *start, size_t pages)
{
	ask((struct message){ .kind = M_TRACK, .start = (uintptr_t)start, .pages = pages, .n = pages, .whole = true });
}

void track_more(char *start, size_t pages)
{
	ask((struct message){ .kind = M_MORE, .start = (uintptr_t)start, .pages = pages });
}

void round_of(const char *fmt, ...)
{
	struct message m = { .kind = M_ROUND };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m.text, sizeof(m.text), fmt, ap);
	va_end(ap);
	ask(m);
}

void round_cut(size_t n, const char *what)
{
	struct message m = { .kind = M_ROUND, .n = n };

	snprintf(m.text, sizeof(m.text), "%s", what);
	ask(m);
}

void race_begin(void)
{
	ask((struct message){ .kind = M_RACE });
}

void race_end(void)
{
	ask((struct message){ .kind = M_CALM });
}

void expect_overflow(void)
{
	ask((struct message){ .kind = M_OVERFLOW });
}

void expect_gone(void)
{
	say((struct message){ .kind = M_GONE });
}

pid_t child(void (*fn)(char *), char *arg)
{
	pid_t pid = fork();

	NEED(pid >= 0);
	if (pid == 0) {
		fn(arg);
		_exit(0);
	}
	return pid;
}

void wait_child(pid_t pid)
{
	int status;

	NEED(waitpid(pid, &status, 0) == pid);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		broken("a child ended with status %#x", status);
}

bool put_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);

	if (fd >= 0)
		close(fd);
	return ok;
}

long get_number(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 ? atol(text) : -1;
}
