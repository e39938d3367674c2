/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ooh enable, ooh disable. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ooh.h>

#include "cli.h"

static int modprobe(const char *module)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execlp("modprobe", "modprobe", module, NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *reason(int err)
{
	switch (err) {
	case EPERM:
		return "needs root (CAP_SYS_ADMIN), or the firmware locked VT-x off; the kernel log says which";
	case EOPNOTSUPP:
	case ENODEV:
		return "this CPU lacks VT-x with EPT dirty flags and PML; the kernel log says what is missing. `ooh lab` needs none";
	case EBUSY:
		return "busy: trackers are open (--force revokes them), or another hypervisor (KVM) uses VT-x";
	case ENOENT:
		return "the module ooh_hv is not installed";
	default:
		return strerror(err);
	}
}

static int do_switch(const char *command, unsigned long request, unsigned flags)
{
	struct ooh_switch s = { .size = sizeof(s), .flags = flags };
	int fd = open(OOH_DEVICE, O_RDWR | O_CLOEXEC), r;

	if (fd < 0)
		return fail(EXIT_ENVIRONMENT, command, "%s: %s (is the module ooh installed?)", OOH_DEVICE, strerror(errno));
	r = ioctl(fd, request, &s);
	if (r < 0 && errno == EALREADY)
		r = 0;
	if (r < 0)
		r = fail(EXIT_ENVIRONMENT, command, "%s", reason(errno));
	close(fd);
	return r;
}

/* Parses --help and --force; -1 to go on. */
static int parse(int argc, char **argv, const char *help, bool *force)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'f' }, { "help", no_argument, NULL, 'h' }, { 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "hf", options, NULL)) != -1) {
		if (c == 'h') {
			puts(help);
			return EXIT_OK;
		}
		if (c != 'f' || !force)
			return c == 'f' ? fail(EXIT_USAGE, argv[0], "--force: not an option of this command") : EXIT_USAGE;
		*force = true;
	}
	return optind < argc ? fail(EXIT_USAGE, argv[0], "%s: unexpected argument", argv[optind]) : -1;
}

int cmd_enable(int argc, char **argv)
{
	int r = parse(argc, argv,
		      "usage: ooh enable\n\nStarts the hypervisor under the running Linux, on every CPU, and makes " OOH_DEVICE
		      " track by PML.\nNeeds root, and a CPU with VT-x, EPT accessed and dirty flags, and PML.", NULL);

	if (r >= 0)
		return r;
	if (access(OOH_DEVICE, F_OK) && geteuid() != 0)
		return fail(EXIT_ENVIRONMENT, "enable", "needs root to load the modules");
	if (access(OOH_DEVICE, F_OK) && (modprobe("ooh_hv") || modprobe("ooh")))
		return fail(EXIT_ENVIRONMENT, "enable", "modprobe ooh: failed (are the modules installed for this kernel?)");
	return do_switch("enable", OOH_IOC_ENABLE, 0);
}

int cmd_disable(int argc, char **argv)
{
	bool force = false;
	int r = parse(argc, argv,
		      "usage: ooh disable [--force]\n\nStops the hypervisor; Linux goes on without it. With trackers open it refuses;\n"
		      "--force revokes them: they fail from then on, they never lie.", &force);

	if (r >= 0)
		return r;
	return do_switch("disable", OOH_IOC_DISABLE, force ? OOH_DISABLE_FORCE : 0);
}
