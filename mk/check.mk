# Everything that judges the code: tests, sanitizers, lint, models, benches.
# stress, bench and model are double-colon rules: other fragments add to them.

SUITES ?= c $(LUAS) luajit-joff
SANITIZER_FLAGS := -g -O1 -fno-omit-frame-pointer

.PHONY: test stress bench lint model asan tsan

test:
	@tools/setup test
	@$(MAKE) --no-print-directory all ctests
	@tools/run-tests "$(BUILD)" $(SUITES)

asan tsan:
	@tools/run-sanitized $@ "$(BUILD)" "$(MAKE)"

lint:
	@tools/setup lint
	@tools/lint "$(BUILD)" "$(MAKE)"
