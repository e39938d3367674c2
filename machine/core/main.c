/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The program ooh-machine. */
#include <stdio.h>

#include "machine/core/config.h"
#include "machine/core/machine.h"
#include "machine/core/profile.h"
#include "machine/core/stats.h"
#include "machine/debug/trace.h"
#include "machine/dev/dev.h"

int main(int argc, char **argv)
{
	static struct machine machine;
	struct machine_config cfg;
	int status = config_parse(argc, argv, &cfg);

	if (status >= 0)
		return status;
	status = machine_init(&machine, &cfg);
	if (status != STATUS_OK) {
		dev_close(&machine);
		return status;
	}
	status = machine_run(&machine);
	dev_close(&machine);
	if (!cfg.quiet || (status != STATUS_OK && !(status & 1)))
		fprintf(stderr, "ooh-machine: %s (status %d)\n", machine.stop_reason, status);
	if (!trace_close(&machine))
		return STATUS_ENVIRONMENT;
	if (cfg.profile && !profile_write(cfg.profile))
		return STATUS_ENVIRONMENT;
	if (cfg.stats && !stats_write(&machine, cfg.stats))
		return STATUS_ENVIRONMENT;
	return status;
}
