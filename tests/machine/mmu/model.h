/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A second opinion on access rights, written from the manual's prose and sharing nothing with the walker.
 * SDM 3A "Determination of Access Rights", "Page-Fault Exceptions"; SDM 3C "EPT Violations".
 */
#ifndef OOH_TESTS_MACHINE_MMU_MODEL_H
#define OOH_TESTS_MACHINE_MMU_MODEL_H

#include <stdbool.h>
#include <stdint.h>

enum model_access { MODEL_READ, MODEL_WRITE, MODEL_FETCH };

struct model_case {
	/* paging-structure entries from the root to the leaf */
	uint64_t entry[5];
	unsigned entries;
	uint64_t reserved[5]; /* bits that must be clear in each */
	bool wp, smep, smap, nxe, ac, user, implicit;
	bool pke;
	uint32_t pkru;
	enum model_access access;
};

struct model_result {
	bool fault;
	uint32_t error;
	uint64_t entry[5]; /* afterwards */
};

struct model_result model_run(const struct model_case *k);

#endif
