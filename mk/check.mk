# Everything that judges the code: tests, sanitizers, lint, models.

SUITES ?= c $(LUAS) luajit-joff
ROUNDS ?= 20
TEST_LUAS := $(sort $(filter $(LUAS),$(SUITES:luajit-joff=luajit)))

.PHONY: test stress lint model asan tsan

test:
	@tools/setup test $(TEST_LUAS)
	$(BUILD_FIRST) $(TEST_LUAS) $(filter ctests,$(SUITES:c=ctests))
	@tools/run-tests "$(BUILD)" $(SUITES)

stress:
	@tools/setup stress $(TEST_LUAS)
	$(BUILD_FIRST) $(TEST_LUAS) ctests
	@tools/run-stress "$(BUILD)" $(ROUNDS) $(SUITES)

model:
	@tools/setup model
	@tools/check-models "$(BUILD)"

asan tsan:
	@tools/run-sanitized $@ "$(BUILD)" "$(MAKE)"

lint:
	@tools/setup lint
	@tools/lint "$(BUILD)" "$(MAKE)"
