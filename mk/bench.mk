# Speed and memory, each program on its own; BENCH names those to run.

BENCH ?= $(sort $(wildcard bench/*_bench.lua))

.PHONY: bench
bench:
	@tools/setup bench
	$(BUILD_FIRST) luajit
	@for f in $(BENCH); do \
	  echo "== $$f"; \
	  tools/with-lua luajit $(BUILD) "$$f" || exit 1; \
	done
