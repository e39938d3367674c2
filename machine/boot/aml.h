/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A small writer of ACPI Machine Language: as much as a DSDT with static devices needs. */
#ifndef OOH_MACHINE_BOOT_AML_H
#define OOH_MACHINE_BOOT_AML_H

#include "machine/core/types.h"

#define AML_MAX 2048

struct aml {
	u8 bytes[AML_MAX];
	unsigned n;
};

/* Opens a scope, device, package or buffer; the returned mark goes to aml_close. */
unsigned aml_scope(struct aml *a, const char *path);
unsigned aml_device(struct aml *a, const char *name);
unsigned aml_package(struct aml *a, unsigned elements);
/* A resource template: a buffer named _CRS. */
unsigned aml_resources(struct aml *a);
void aml_close(struct aml *a, unsigned mark);
void aml_resources_close(struct aml *a, unsigned mark);

/* Name (path, …): to be followed by an object. path: four characters, a leading backslash allowed. */
void aml_name(struct aml *a, const char *path);
void aml_integer(struct aml *a, u32 v);
/* "PNP0501" as the integer that _HID wants. */
void aml_eisa_id(struct aml *a, const char *id);

/* Resource descriptors. */
void aml_io(struct aml *a, u16 base, u8 length);
void aml_irq(struct aml *a, unsigned irq);
void aml_bus_range(struct aml *a, u16 first, u16 last);
void aml_io_window(struct aml *a, u16 first, u16 last);
void aml_memory(struct aml *a, u32 base, u32 length);
void aml_memory_window(struct aml *a, u32 first, u32 last);

#endif
