# Compile the core once, the binding once per Lua, and link one shared object
# per Lua: $(BUILD)/<lua>/suitkaise/core.so.

UNAME := $(shell uname -s)
ifeq ($(UNAME),Linux)
  PLATFORM := linux
  LIBFLAG = -shared
else ifeq ($(UNAME),Darwin)
  PLATFORM := macos
  LIBFLAG = -bundle -undefined dynamic_lookup
else
  PLATFORM := bsd
  LIBFLAG = -shared
endif

# What the core holds is the process's, not one Lua state's: a state that
# closes must not unload it. Names are looked up when it is loaded, and not
# again in every child.
ifneq ($(UNAME),Darwin)
  STAY := -Wl,-z,nodelete -Wl,-z,now
endif

WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wvla
BASE_FLAGS := -std=gnu11 -fPIC -fvisibility=hidden -pthread \
  $(WARNINGS) $(WERROR) $(SANITIZE)
LIBS := -lm

CORE_SOURCES := $(sort $(wildcard src/core/*.c)) src/os/$(PLATFORM).c
LUA_SOURCES := $(sort $(wildcard src/lua/*.c))
CTEST_SOURCES := $(sort $(wildcard spec/c/*_test.c))

CORE_OBJECTS := $(CORE_SOURCES:src/%.c=$(BUILD)/c/%.o)
CTEST_OBJECTS := $(CTEST_SOURCES:spec/c/%.c=$(BUILD)/c/test/%.o)
CTESTS := $(CTEST_OBJECTS:.o=)
ARCHIVE := $(BUILD)/c/libsuitkaise.a
MODULES := $(LUAS:%=$(BUILD)/%/suitkaise/core.so)
lua_objects = $(LUA_SOURCES:src/lua/%.c=$(BUILD)/$(1)/o/%.o)

.PHONY: all objects ctests $(LUAS) rock
all: $(MODULES) ; @:
# The runner runs all that lie there: none of a source that is gone.
ctests: $(CTESTS)
	@rm -f $(filter-out $(CTESTS),$(wildcard $(BUILD)/c/test/*_test))
# Everything that is compiled, and nothing linked: what lint looks at.
objects: $(CORE_OBJECTS) $(CTEST_OBJECTS) \
  $(foreach l,$(LUAS),$(call lua_objects,$(l)))

# `rock` is the Lua that LuaRocks builds for; it names the headers.
INCLUDE_rock := $(LUA_INCDIR:%=-isystem %)

# Files that change whenever a text does: the flags, so that objects never mix
# two sets of them; the sources, so that nothing keeps one that is gone.
FLAGS := $(CC) $(BASE_FLAGS) $(CFLAGS) $(CPPFLAGS) $(LDFLAGS) \
  $(INCLUDE_rock)
$(BUILD)/flags: TEXT := $(FLAGS)
$(BUILD)/sources: TEXT := $(CORE_SOURCES) $(LUA_SOURCES)
$(BUILD)/flags $(BUILD)/sources: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(TEXT))' | cmp -s - $@ || \
	  printf '%s\n' '$(subst ','\'',$(TEXT))' > $@
.PHONY: FORCE
FORCE:

# One short line for each file; V=1 shows the commands.
SHOW = $(if $(V),,@echo '  $@';)
COMPILE = $(CC) $(BASE_FLAGS) $(CFLAGS) $(CPPFLAGS) -Isrc/include -MMD -MP

# Reached where that file does not exist.
src/os/$(PLATFORM).c:
	@echo "suitkaise does not run on $(UNAME) yet: there is no $@" >&2; exit 1

$(BUILD)/c/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(SHOW)$(COMPILE) -Isrc/os -c -o $@ $<

$(ARCHIVE): $(CORE_OBJECTS) $(BUILD)/sources
	@rm -f $@
	$(SHOW)$(AR) rcs $@ $(CORE_OBJECTS)

$(BUILD)/c/test/%.o: spec/c/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(SHOW)$(COMPILE) -Isrc/core -Isrc/os -Ispec/c -c -o $@ $<

$(BUILD)/c/test/%: $(BUILD)/c/test/%.o $(ARCHIVE)
	$(SHOW)$(CC) -pthread $(SANITIZE) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS)

# Asked for once per Lua, and only when that Lua is built.
lua_include = $(or $(INCLUDE_$(1)),$(eval INCLUDE_$(1) := \
  $(shell tools/lua-include $(1)))$(INCLUDE_$(1)),\
  $(error no headers of $(1) found; `tools/setup test` installs them))

define lua_rules
$(1): $(BUILD)/$(1)/suitkaise/core.so ; @:

$(BUILD)/$(1)/o/%.o: src/lua/%.c $(BUILD)/flags
	@mkdir -p $$(@D)
	$$(SHOW)$$(COMPILE) $$(call lua_include,$(1)) -c -o $$@ $$<

$(BUILD)/$(1)/suitkaise/core.so: $$(call lua_objects,$(1)) $$(CORE_OBJECTS) \
  $(BUILD)/sources
	@mkdir -p $$(@D)
	$$(SHOW)$$(CC) $$(LIBFLAG) $$(STAY) -pthread $$(SANITIZE) $$(CFLAGS) \
	  $$(LDFLAGS) -o $$@ $$(filter %.o,$$^) $$(LIBS)
endef
$(foreach l,$(LUAS) rock,$(eval $(call lua_rules,$(l))))

-include $(CORE_OBJECTS:.o=.d) $(CTEST_OBJECTS:.o=.d) \
  $(foreach l,$(LUAS) rock,$(patsubst %.o,%.d,$(call lua_objects,$(l))))
.SECONDARY:
