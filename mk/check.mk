# Everything that judges the code: tests, sanitizers, lint, models, benches.
# stress, bench and model are double-colon rules: other fragments add to them.

SUITES ?= c $(LUAS) luajit-joff
TEST_LUAS := $(filter $(LUAS),$(SUITES:luajit-joff=luajit))

.PHONY: test stress bench lint model asan tsan

test:
	@tools/setup test $(TEST_LUAS)
	@$(MAKE) --no-print-directory $(TEST_LUAS) $(filter ctests,$(SUITES:c=ctests))
	@tools/run-tests "$(BUILD)" $(SUITES)

asan tsan:
	@tools/run-sanitized $@ "$(BUILD)" "$(MAKE)"

lint:
	@tools/setup lint
	@tools/lint "$(BUILD)" "$(MAKE)"
