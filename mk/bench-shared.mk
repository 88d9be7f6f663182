# The loop in C that the shared types are measured against.

bench: $(BUILD)/bench/atomic.so

$(BUILD)/bench/atomic.so: bench/shared/atomic.c
	@mkdir -p $(@D)
	$(SHOW)$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) -fPIC -shared -o $@ $<
