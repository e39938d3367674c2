/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <ooh.h>

#include "arch/exit_reasons.h"
#include "cli.h"

static const char *const state_name[] = { "absent", "inactive", "active" };

/* Fills st; a negative errno when there is no module. */
static int read_status(struct ooh_status *st)
{
	int fd = open(OOH_DEVICE, O_RDWR | O_CLOEXEC), err = 0;

	*st = (struct ooh_status){ .size = sizeof(*st) };
	if (fd < 0)
		return -errno;
	if (ioctl(fd, OOH_IOC_STATUS, st) < 0)
		err = -errno;
	close(fd);
	return err;
}

static const char *state_of(const struct ooh_status *st)
{
	return st->state < sizeof(state_name) / sizeof(state_name[0]) ? state_name[st->state] : "unknown";
}

static void print_hypervisor(const struct ooh_status *st)
{
	printf("hypervisor  %s", state_of(st));
	if (st->state != OOH_HV_ACTIVE) {
		puts("");
		return;
	}
	printf(", %u CPU%s, keeps %s\n", st->hv_cpus, st->hv_cpus == 1 ? "" : "s", human_bytes(st->hv_memory));
	printf("            %llu frames armed, %llu logged, %llu dropped, %llu hypercalls, %llu exits\n",
	       (unsigned long long)st->hv_armed, (unsigned long long)st->hv_logged, (unsigned long long)st->hv_dropped,
	       (unsigned long long)st->hv_hypercalls, (unsigned long long)st->hv_exits);
	for (unsigned i = 0; i < 72; i++)
		if (st->hv_exits_by_reason[i])
			printf("            %12llu  %s\n", (unsigned long long)st->hv_exits_by_reason[i], exit_reason_name(i));
}

static void print_text(const struct ooh_status *st, int err)
{
	const struct ooh_backend *b;
	char why[200];

	if (err)
		printf("module      absent (%s: %s)\n", OOH_DEVICE, strerror(-err));
	else {
		printf("module      ABI %u, %u tracker%s open\n", st->abi_version, st->trackers, st->trackers == 1 ? "" : "s");
		print_hypervisor(st);
	}
	puts("backends");
	for (unsigned i = 0; (b = ooh_backend_get(i)); i++) {
		int e = ooh_backend_probe(b->name, why, sizeof(why));

		printf("  %-11s %s\n", b->name, e ? why : "works");
	}
}

static void print_json(const struct ooh_status *st, int err)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_object(), *exits = json_object_new_object();
	const struct ooh_backend *b;
	char why[200];

	json_object_object_add(o, "module", json_object_new_boolean(!err));
	json_object_object_add(o, "hypervisor", json_object_new_string(err ? "absent" : state_of(st)));
	json_object_object_add(o, "trackers", json_object_new_int64(st->trackers));
	json_object_object_add(o, "cpus", json_object_new_int64(st->hv_cpus));
	json_object_object_add(o, "memory", json_object_new_uint64(st->hv_memory));
	json_object_object_add(o, "armed", json_object_new_uint64(st->hv_armed));
	json_object_object_add(o, "logged", json_object_new_uint64(st->hv_logged));
	json_object_object_add(o, "dropped", json_object_new_uint64(st->hv_dropped));
	json_object_object_add(o, "hypercalls", json_object_new_uint64(st->hv_hypercalls));
	json_object_object_add(o, "exits", json_object_new_uint64(st->hv_exits));
	for (unsigned i = 0; i < 72; i++)
		if (st->hv_exits_by_reason[i])
			json_object_object_add(exits, exit_reason_name(i),
					       json_object_new_uint64(st->hv_exits_by_reason[i]));
	json_object_object_add(o, "exits_by_reason", exits);
	for (unsigned i = 0; (b = ooh_backend_get(i)); i++) {
		int e = ooh_backend_probe(b->name, why, sizeof(why));

		json_object_object_add(list, b->name, json_object_new_string(e ? why : "works"));
	}
	json_object_object_add(o, "backends", list);
	puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
}

int cmd_status(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' }, { "help", no_argument, NULL, 'h' }, { 0 }
	};
	struct ooh_status st;
	bool json = false;
	int c, err;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h') {
			puts("usage: ooh status [--json]\n\nSays what works here: the hypervisor, the module, and each backend or what it lacks.");
			return EXIT_OK;
		}
		if (c != 'j')
			return EXIT_USAGE;
		json = true;
	}
	if (optind < argc)
		return fail(EXIT_USAGE, "status", "%s: unexpected argument", argv[optind]);
	err = read_status(&st);
	if (json)
		print_json(&st, err);
	else
		print_text(&st, err);
	return EXIT_OK;
}
