/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "model.h"

static struct model_result fault(const struct model_case *k, bool present, bool reserved)
{
	struct model_result r = { .fault = true };

	memcpy(r.entry, k->entry, sizeof(r.entry));
	if (present)
		r.error |= 1;
	if (k->access == MODEL_WRITE)
		r.error |= 2;
	if (k->user && !k->implicit)
		r.error |= 4;
	if (reserved)
		r.error |= 8;
	if (k->access == MODEL_FETCH && (k->nxe || k->smep))
		r.error |= 16;
	return r;
}

static bool every(const struct model_case *k, unsigned bit)
{
	for (unsigned i = 0; i < k->entries; i++)
		if (!((k->entry[i] >> bit) & 1))
			return false;
	return true;
}

static bool some(const struct model_case *k, unsigned bit)
{
	for (unsigned i = 0; i < k->entries; i++)
		if ((k->entry[i] >> bit) & 1)
			return true;
	return false;
}

static bool supervisor_may(const struct model_case *k, bool user_page, bool writable, bool no_execute)
{
	switch (k->access) {
	case MODEL_READ:
		/*
		 * "Data may be read from any user-mode address" unless SMAP, which EFLAGS.AC lifts for explicit
		 * accesses.
		 */
		return !user_page || !k->smap || (k->ac && !k->implicit);
	case MODEL_WRITE:
		if (user_page && k->smap && (!k->ac || k->implicit))
			return false;
		return writable || !k->wp;
	default:
		if (user_page && k->smep)
			return false;
		return !no_execute;
	}
}

static bool user_may(const struct model_case *k, bool user_page, bool writable, bool no_execute)
{
	if (!user_page)
		return false;
	if (k->access == MODEL_WRITE)
		return writable;
	return k->access == MODEL_READ || !no_execute;
}

/*
 * SDM 3A "Protection Keys": "If ADi = 1, no data accesses are permitted"; "if WDi = 1, write accesses are not" to user-mode
 * accesses ever, to supervisor-mode ones if CR0.WP is 1. Fetches are not concerned, nor are supervisor-mode addresses.
 */
static bool key_forbids(const struct model_case *k, bool user_page)
{
	unsigned key = (unsigned)(k->entry[k->entries - 1] >> 59) & 15;
	bool ad = k->pkru >> (2 * key) & 1, wd = k->pkru >> (2 * key + 1) & 1;

	if (!k->pke || !user_page || k->access == MODEL_FETCH)
		return false;
	return ad || (wd && k->access == MODEL_WRITE && ((k->user && !k->implicit) || k->wp));
}

struct model_result model_run(const struct model_case *k)
{
	bool user_page = every(k, 2), writable = every(k, 1), no_execute = k->nxe && some(k, 63);
	struct model_result r = { 0 };
	bool may;

	for (unsigned i = 0; i < k->entries; i++) {
		uint64_t reserved = k->reserved[i] | (k->nxe ? 0 : 1ull << 63);

		if (!(k->entry[i] & 1))
			return fault(k, false, false);
		if (k->entry[i] & reserved)
			return fault(k, true, true);
	}
	if (k->user && !k->implicit)
		may = user_may(k, user_page, writable, no_execute);
	else
		may = supervisor_may(k, user_page, writable, no_execute);
	if (!may || key_forbids(k, user_page)) {
		r = fault(k, true, false);
		if (key_forbids(k, user_page))
			r.error |= 32;
		return r;
	}
	for (unsigned i = 0; i < k->entries; i++)
		r.entry[i] = k->entry[i] | 0x20;
	if (k->access == MODEL_WRITE)
		r.entry[k->entries - 1] |= 0x40;
	return r;
}
