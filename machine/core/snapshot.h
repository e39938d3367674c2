/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Saving and resuming. Each room has one function `NAME_snap(m, s)` that names its state; the same function saves and
 * restores, so that the two cannot drift apart. RAM is a file of its own, mapped copy-on-write on resume.
 */
#ifndef OOH_MACHINE_CORE_SNAPSHOT_H
#define OOH_MACHINE_CORE_SNAPSHOT_H

#include "machine/core/types.h"

struct machine;
struct snap;

/* Saves n bytes at p under a name, or restores them; a name or length that does not match fails the restore. */
void snap_bytes(struct snap *s, const char *name, void *p, size_t n);
#define snap_var(s, name, lvalue) snap_bytes((s), (name), &(lvalue), sizeof(lvalue))
bool snap_restoring(const struct snap *s);
/* The snapshot fails: one line on stderr, `object: why`. */
void snap_refuse(struct snap *s, const char *object, const char *why);
/* Only a look is taken: nothing may change, and what is cached belongs to it. */
bool snap_looking(const struct snap *s);

/* Takes that look: `see` gets every record, in the order in which a snapshot has them. */
typedef void snap_see_fn(void *arg, const char *name, const void *p, size_t n);
void snapshot_look(struct machine *m, snap_see_fn *see, void *arg);

/*
 * What the snapshot's machine was made of goes to cfg: RAM, CPUs, seed, epoch, costs, virtio devices. 0 or a negative errno, as
 * below.
 */
struct machine_config;
int snapshot_read_config(const char *dir, struct machine_config *cfg);

/*
 * dir: a directory (made if absent) with `state` and `ram`. Return 0 or a negative errno; one line on stderr says
 * why.
 */
int snapshot_save(struct machine *m, const char *dir);
int snapshot_load(struct machine *m, const char *dir);

#endif
