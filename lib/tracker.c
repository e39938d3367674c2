/* SPDX-License-Identifier: LGPL-2.1-only */
/* The public calls: arguments are checked here, once for all backends. */
#include "tracker.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct backend_ops *const backends[] = { &backend_pml, &backend_soft_dirty, &backend_userfaultfd };
#define NBACKENDS (sizeof(backends) / sizeof(backends[0]))

/* Results of the probes: a backend does not come or go while a process runs, except pml, which `ooh enable` brings. */
static struct {
	bool done;
	int err;
	char why[160];
} probed[NBACKENDS];

int probe_says(char *why, size_t n, int err, const char *fmt, ...)
{
	va_list ap;

	if (why && n) {
		va_start(ap, fmt);
		vsnprintf(why, n, fmt, ap);
		va_end(ap);
	}
	return err;
}

const struct ooh_backend *ooh_backend_get(unsigned i)
{
	return i < NBACKENDS ? &backends[i]->info : NULL;
}

static int backend_index(const char *name)
{
	for (unsigned i = 0; i < NBACKENDS; i++)
		if (!strcmp(backends[i]->info.name, name))
			return (int)i;
	return -ENOENT;
}

static int probe(unsigned i)
{
	if (!probed[i].done || backends[i] == &backend_pml) {
		probed[i].why[0] = '\0';
		probed[i].err = backends[i]->probe(probed[i].why, sizeof(probed[i].why));
		probed[i].done = true;
	}
	return probed[i].err;
}

int ooh_backend_probe(const char *name, char *why, size_t n)
{
	int i = name ? backend_index(name) : -EINVAL, err;

	if (i < 0)
		return probe_says(why, n, i, "no such backend");
	err = probe((unsigned)i);
	return probe_says(why, n, err, "%s", probed[i].why);
}

/* The first backend that works here and can do what is asked. */
static int choose(bool self)
{
	for (unsigned i = 0; i < NBACKENDS; i++)
		if (!probe(i) && (self || (backends[i]->info.caps & OOH_CAP_OTHER)))
			return (int)i;
	return -ENODEV;
}

int ooh_tracker_open(struct ooh_tracker **out, pid_t pid, const char *backend, uint32_t flags)
{
	bool self = pid == 0 || pid == getpid();
	struct ooh_tracker *t;
	int i, err;

	if (!out || flags || pid < 0)
		return -EINVAL;
	if (!self && kill(pid, 0) && errno == ESRCH)
		return -ESRCH;
	i = backend ? backend_index(backend) : choose(self);
	if (i < 0)
		return i;
	err = probe((unsigned)i);
	if (err)
		return -ENODEV;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->ops = backends[i];
	t->self = self;
	t->pid = self ? getpid() : pid;
	err = t->ops->open(t);
	if (err) {
		free(t);
		return err;
	}
	*out = t;
	return 0;
}

void ooh_tracker_close(struct ooh_tracker *t)
{
	if (!t)
		return;
	t->ops->close(t);
	free(t);
}

const struct ooh_backend *ooh_tracker_backend(const struct ooh_tracker *t)
{
	return &t->ops->info;
}

static bool bad_range(uint64_t start, uint64_t end)
{
	return start % PAGE || end % PAGE || start >= end || end > USER_END;
}

int ooh_tracker_add(struct ooh_tracker *t, uint64_t start, uint64_t end)
{
	return bad_range(start, end) ? -EINVAL : t->ops->add(t, start, end);
}

int ooh_tracker_add_all(struct ooh_tracker *t)
{
	return t->ops->add(t, 0, USER_END);
}

int ooh_tracker_del(struct ooh_tracker *t, uint64_t start, uint64_t end)
{
	return bad_range(start, end) ? -EINVAL : t->ops->del(t, start, end);
}

int ooh_tracker_start(struct ooh_tracker *t)
{
	int err = t->started ? -EALREADY : t->ops->start(t);

	if (!err)
		t->started = true;
	return err;
}

int ooh_tracker_stop(struct ooh_tracker *t)
{
	int err = t->started ? t->ops->stop(t) : -EALREADY;

	if (!err)
		t->started = false;
	return err;
}

int ooh_tracker_collect(struct ooh_tracker *t, uint64_t start, uint64_t end, struct ooh_region *vec, size_t n,
			struct ooh_round *round)
{
	if (!start && !end)
		end = USER_END;
	if (bad_range(start, end) || !round || (n && !vec))
		return -EINVAL;
	if (!t->started)
		return -ENOTCONN;
	memset(round, 0, sizeof(*round));
	round->walk_end = end;
	return t->ops->collect(t, start, end, vec, n, round);
}

int ooh_tracker_stats(struct ooh_tracker *t, struct ooh_stats *out)
{
	memset(out, 0, sizeof(*out));
	return t->ops->stats(t, out);
}

const char *ooh_version(void)
{
	return OOH_VERSION;
}
