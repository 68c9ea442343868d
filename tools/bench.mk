# `make bench`: builds that measure themselves, and the table of what they found. Included by
# tools/tools.mk.

BENCH_BUILD := $(BUILD)/bench
DIRECT_BUILD := $(BUILD)/direct
# The comparator with a direct map, where this Makefile knows how to build it.
HAS_DIRECT := $(shell grep -l '^DIRECT_MAP' Makefile)

.PHONY: bench bench-builds bench-baseline

bench-builds: all guests
	@$(MAKE) --no-print-directory BUILD=$(BENCH_BUILD) CONFIG_BENCH=1 all
	$(if $(HAS_DIRECT),@$(MAKE) --no-print-directory BUILD=$(DIRECT_BUILD) DIRECT_MAP=1 CONFIG_BENCH=1 all)

bench: bench-builds ## what operations cost: table, build/bench.json, build/bench.svg (PEER=kvm: KVM too)
	@$(PYTHON) tools/bench --build $(BUILD) $(if $(PROFILE),--profile) $(if $(PEER),--peer $(PEER))

bench-baseline: bench-builds ## write the counts that make test compares with
	@$(PYTHON) tools/bench --build $(BUILD) --write-baseline
