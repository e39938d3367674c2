# SPDX-License-Identifier: GPL-2.0-or-later
# A short front of Meson. `make demo` and `make check` do everything, set-up included.
BUILD ?= build
export OOH_BUILD := $(abspath $(BUILD))
export PYTHONDONTWRITEBYTECODE := 1

all: build

setup:
	@scripts/setup

build: setup
	@[ -e $(BUILD)/build.ninja ] || { echo "configuring" >&2; meson setup $(if $(CI),--werror) $(BUILD) >$(BUILD).log 2>&1 || { tail -n 20 $(BUILD).log >&2; exit 3; }; mv $(BUILD).log $(BUILD)/setup.log; }
	@echo "building" >&2
	@ninja -C $(BUILD) --quiet

demo: build
	@lab/ooh-lab demo

check: build
	@scripts/setup qemu-system-x86
	@tests/check

# The same, longer: more random instructions, more rounds.
check-long: build
	@scripts/setup qemu-system-x86 mmdebstrap fakeroot e2fsprogs
	@tests/check --long

# The hypervisor and our own tests on Bochs, which is not ours. Slow.
check-foreign: build
	@scripts/setup bochs bochs-term bochsbios vgabios grub-common grub-pc-bin xorriso mtools
	@tests/check-foreign

# Static analysis.
lint:
	@scripts/setup cppcheck
	@scripts/lint

# The same, and clang's analyzer: half an hour of CPU time.
lint-long: build
	@scripts/setup cppcheck clang-tidy
	@scripts/lint --tidy

bench: build
	@scripts/setup qemu-system-x86 cloc
	@bench/run

install: build
	@ninja -C $(BUILD) install

clean:
	rm -rf $(BUILD)

.PHONY: all setup build demo check check-long check-foreign lint lint-long bench install clean
