# cerial's own targets: the contest of serializers, and the fuzzer of its
# decoder in C, which needs clang with libFuzzer.

FUZZ_LUA ?= lua5.4
FUZZ_SECONDS ?= 60
FUZZ_FLAGS := -std=gnu11 -g -O2 -fsanitize=fuzzer,address,undefined \
  -fno-sanitize-recover=undefined
FUZZ_SOURCES = spec/fuzz/decode_fuzz.c $(wildcard src/lua/cerial*.c) \
  src/lua/buffer.c src/lua/error.c

.PHONY: bench-cerial fuzz-cerial

bench-cerial:
	@$(MAKE) --no-print-directory bench BENCH=bench/cerial_bench.lua

$(BUILD)/fuzz/decode-%: $(FUZZ_SOURCES) $(wildcard src/lua/*.h)
	@mkdir -p $(@D)
	$(SHOW)clang $(FUZZ_FLAGS) $(call lua_include,$*) -Isrc/include \
	  -Isrc/lua -o $@ $(FUZZ_SOURCES) \
	  $(if $(filter luajit,$*),-lluajit-5.1,-l$*) $(LIBS)

fuzz-cerial: $(BUILD)/fuzz/decode-$(FUZZ_LUA)
	@spec/fuzz/run "$(BUILD)" $(FUZZ_LUA) $(FUZZ_SECONDS)
