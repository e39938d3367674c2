/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ooh lab: hands over to the lab's own program. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

int cmd_lab(int argc, char **argv)
{
	const char *lab = getenv("OOH_LAB");

	(void)argc;
	if (!lab && !access(OOH_LAB_SOURCE, X_OK))
		lab = OOH_LAB_SOURCE; /* run from the build directory */
	if (!lab)
		lab = OOH_LAB_INSTALLED;
	argv[0] = (char *)lab;
	execv(lab, argv);
	return fail(EXIT_ENVIRONMENT, "lab", "%s: %s", lab, strerror(errno));
}
