# The tests that kill processes at named places of the core (share_fault.h)
# need a core that has these places: compiled apart, into build/c/fault.

FAULT_OBJECTS := $(CORE_SOURCES:src/%.c=$(BUILD)/c/fault/%.o)
FAULT_TESTS := $(patsubst spec/crash/%.c,$(BUILD)/c/test/%,\
  $(sort $(wildcard spec/crash/*_test.c)))

CTESTS += $(FAULT_TESTS)
ctests: $(FAULT_TESTS)

$(BUILD)/c/fault/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(SHOW)$(COMPILE) -DSK_FAULTS -Isrc/os -c -o $@ $<

$(BUILD)/c/fault/test/%.o: spec/crash/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(SHOW)$(COMPILE) -DSK_FAULTS -Isrc/core -Isrc/os -Ispec/c -c -o $@ $<

$(FAULT_TESTS): $(BUILD)/c/test/%: $(BUILD)/c/fault/test/%.o \
    $(FAULT_OBJECTS) $(BUILD)/sources
	@mkdir -p $(@D)
	$(SHOW)$(CC) -pthread $(SANITIZE) $(CFLAGS) $(LDFLAGS) -o $@ \
	  $(filter %.o,$^) $(LIBS)

-include $(FAULT_OBJECTS:.o=.d) \
  $(FAULT_TESTS:$(BUILD)/c/test/%=$(BUILD)/c/fault/test/%.d)

# The same tests against a core with a known mistake in it must fail.
.PHONY: mutants
mutants:
	@tools/check-mutants "$(BUILD)"

# What a share's core costs without Lua: make share-core-bench
.PHONY: share-core-bench
share-core-bench: $(BUILD)/bench/share_core
	@$<

$(BUILD)/bench/share_core: bench/share/core_bench.c $(ARCHIVE)
	@mkdir -p $(@D)
	$(SHOW)$(COMPILE) -o $@ $< $(ARCHIVE) $(LIBS)
