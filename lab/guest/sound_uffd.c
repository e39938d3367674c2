/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Memory that is not filled by ordinary faults: userfaultfd puts pages there; hugetlbfs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sound.h"

static int uffd_over(char *p, size_t pages, uint64_t mode, uint64_t features)
{
	struct uffdio_api api = { .api = UFFD_API, .features = features };
	struct uffdio_register reg = { .range = { (uintptr_t)p, pages * PG }, .mode = mode };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (!strcmp(backend_now(), "userfaultfd"))
		skip("the tracker has the range registered itself");
	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		skip("no such userfaultfd: %m");
	NEED(!ioctl(fd, UFFDIO_REGISTER, &reg));
	return fd;
}

static void put(int fd, char *to, char *from, size_t pages, uint64_t mode)
{
	struct uffdio_copy c = { .dst = (uintptr_t)to, .src = (uintptr_t)from, .len = pages * PG, .mode = mode };

	NEED(!ioctl(fd, UFFDIO_COPY, &c) && c.copy == (int64_t)(pages * PG));
}

static void put_zeros(int fd, char *to, size_t pages)
{
	struct uffdio_zeropage z = { .range = { (uintptr_t)to, pages * PG } };

	NEED(!ioctl(fd, UFFDIO_ZEROPAGE, &z));
}

static void copy(void)
{
	char *p = anon(64), *from = resident(8);
	int fd = uffd_over(p, 64, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP, UFFD_FEATURE_PAGEFAULT_FLAG_WP);
	struct uffdio_writeprotect wp = { .range = { (uintptr_t)p + 21 * PG, PG } };

	track(p, 64);
	for (int i = 0; i < 2; i++) {
		touch(from, 8);
		put(fd, p + 5 * PG, from, 4, 0);
		round_of("UFFDIO_COPY");
		touch(p + 6 * PG, 1);
		round_of("a store after it");
		put_zeros(fd, p + 10 * PG, 4);
		round_of("UFFDIO_ZEROPAGE");
		touch(p + 11 * PG, 1);
		round_of("a store to a zero page");
		put(fd, p + 20 * PG, from, 4, UFFDIO_COPY_MODE_WP);
		round_of("UFFDIO_COPY, write-protected");
		NEED(!ioctl(fd, UFFDIO_WRITEPROTECT, &wp));
		touch(p + 21 * PG, 1);
		round_of("the protection lifted, a store");
		put(fd, p + 30 * PG, from, 2, 0);
		touch(p + 30 * PG, 2);
		NEED(!madvise(p + 30 * PG, 2 * PG, MADV_DONTNEED));
		put(fd, p + 30 * PG, from, 1, 0);
		round_of("UFFDIO_COPY, stores, dropped, and once more for one of two");
		NEED(!madvise(p, 64 * PG, MADV_DONTNEED));
		round_of("all dropped");
	}
}

struct server {
	int fd;
	char *from;
};

static void *serve(void *arg)
{
	const struct server *s = arg;
	struct uffd_msg m;

	while (read(s->fd, &m, sizeof(m)) == sizeof(m) && m.event == UFFD_EVENT_PAGEFAULT)
		put(s->fd, (char *)(m.arg.pagefault.address & ~(PG - 1)), s->from, 1, 0);
	return NULL;
}

static void served(void)
{
	char *p = anon(64);
	struct server s = { uffd_over(p, 64, UFFDIO_REGISTER_MODE_MISSING, 0), resident(1) };
	pthread_t thread;

	NEED(!pthread_create(&thread, NULL, serve, &s));
	track(p, 64);
	touch(p + 3 * PG, 3);
	round_of("stores to pages that a thread supplies");
	*(volatile char *)(p + 10 * PG);
	round_of("a read of one");
	touch(p + 10 * PG, 1);
	round_of("a store to it");
	touch(p, 64);
	round_of("all");
}

/* A file's pages, written through another mapping, appear here when they are told to. */
static void minor(void)
{
	int file = memfd_create("t", 0), fd;
	char *p, *other;

	NEED(!ftruncate(file, 64 * PG));
	p = map(NULL, 64, MAP_SHARED, file);
	other = map(NULL, 64, MAP_SHARED, file);
	touch(other, 64);
	fd = uffd_over(p, 64, UFFDIO_REGISTER_MODE_MINOR, UFFD_FEATURE_MINOR_SHMEM);
	track(p, 64);
	for (size_t i = 0; i < 3; i++) {
		struct uffdio_continue c = { .range = { (uintptr_t)p + (5 + 8 * i) * PG, 4 * PG } };

		NEED(!ioctl(fd, UFFDIO_CONTINUE, &c));
		round_of("UFFDIO_CONTINUE");
		touch(p + (6 + 8 * i) * PG, 1);
		round_of("a store after it");
		touch(other + (7 + 8 * i) * PG, 1);
		round_of("a store through the other mapping");
	}
}

/* ---- hugetlbfs ---- */

#define IN_HUGE (HUGE / PG)

static char *map_hugetlb(int flags)
{
	char *p = reserve(3 * IN_HUGE);

	put_file("/proc/sys/vm/nr_hugepages", "4");
	if (get_number("/proc/sys/vm/nr_hugepages") < 2)
		skip("no pages for hugetlbfs");
	map(p, 2 * IN_HUGE, flags | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB, -1);
	map(p + 2 * HUGE, IN_HUGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	NEED(!madvise(p + 2 * HUGE, HUGE, MADV_NOHUGEPAGE));
	return p;
}

static void touch_some(char *p)
{
	touch(p + 30 * PG, 5);
}

static void hugetlb_rounds(int flags)
{
	char *p = map_hugetlb(flags);

	touch(p, 1);
	track(p, 3 * IN_HUGE);
	touch(p + 9 * PG, 3);
	round_of("stores");
	touch(p + HUGE + 100 * PG, 2);
	touch(p + 2 * HUGE + 10 * PG, 3);
	round_of("first touch of another, and small pages behind it");
	wait_child(child(touch_some, p));
	touch(p + 20 * PG, 2);
	round_of("a child stores, then the parent");
	touch(p + HUGE, 1);
	round_of("a store");
	NEED(!munmap(p + HUGE, HUGE));
	round_of("one unmapped");
	NEED(!munmap(p, HUGE));
	round_of("all unmapped");
	for (int i = 0; i < 2; i++) {
		map(p, IN_HUGE, flags | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB | (i ? MAP_POPULATE : 0), -1);
		touch(p + 40 * PG, 2);
		NEED(!munmap(p, HUGE));
		round_of("mapped, written and unmapped%s", i ? ", filled at once" : "");
	}
	map(p, IN_HUGE, flags | MAP_ANONYMOUS | MAP_FIXED | MAP_HUGETLB, -1);
	touch(p + 50 * PG, 2);
	round_of("mapped again");
	touch(p + 60 * PG, 2);
	map(p, IN_HUGE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1);
	*(volatile char *)(p + 60 * PG);
	round_of("written, and small pages in its place");
	put_file("/proc/sys/vm/nr_hugepages", "0");
}

static void hugetlb_private(void)
{
	hugetlb_rounds(MAP_PRIVATE);
}

static void hugetlb_shared(void)
{
	hugetlb_rounds(MAP_SHARED);
}

const struct scenario sound_uffd[] = {
	{ .name = "userfaultfd: COPY, ZEROPAGE, write-protection", .run = copy },
	{ .name = "userfaultfd: a thread supplies pages", .run = served },
	{ .name = "userfaultfd: CONTINUE", .run = minor },
	{ .name = "hugetlbfs, private", .run = hugetlb_private },
	{ .name = "hugetlbfs, shared", .run = hugetlb_shared },
	{ 0 },
};
