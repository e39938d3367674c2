/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "sound.h"

const struct scenario sound_huge[] = {
	{ 0 },
};
