# The example in C, compiled as its readers would: with suitkaise.h alone.

C_EXAMPLE := $(BUILD)/c/example/read_share

ctests: $(C_EXAMPLE)

$(C_EXAMPLE): examples/read_share.c $(ARCHIVE)
	@mkdir -p $(@D)
	$(SHOW)$(COMPILE) $(LDFLAGS) -o $@ $< $(ARCHIVE) $(LIBS)
