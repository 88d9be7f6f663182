# Installation without LuaRocks, and the same files for LuaRocks, which sets
# LUA=rock, LUA_INCDIR, LUADIR and LIBDIR (see the rockspec).

LUA_VERSION := $(if $(filter luajit,$(LUA)),5.1,$(LUA:lua%=%))
LUADIR = $(PREFIX)/share/lua/$(LUA_VERSION)
LIBDIR = $(PREFIX)/lib/lua/$(LUA_VERSION)

LUA_FILES := $(sort $(patsubst lua/%,%,$(shell find lua -name '*.lua')))
LUA_FOLDERS := $(sort $(dir $(LUA_FILES)))
TO_LUA := $(DESTDIR)$(LUADIR)
TO_LIB := $(DESTDIR)$(LIBDIR)

.PHONY: install uninstall check-lua
check-lua:
	@case ' $(LUAS) rock ' in *' $(LUA) '*) ;; *) \
	  echo "LUA must be one of $(LUAS), not $(LUA)" >&2; exit 1 ;; esac

install: check-lua
	@$(MAKE) --no-print-directory $(LUA)
	@for d in $(LUA_FOLDERS); do install -d "$(TO_LUA)/$$d" || exit 1; done
	@for f in $(LUA_FILES); do \
	  install -m 644 "lua/$$f" "$(TO_LUA)/$$f" || exit 1; done
	@install -d "$(TO_LIB)/suitkaise"
	@install -m 755 "$(BUILD)/$(LUA)/suitkaise/core.so" "$(TO_LIB)/suitkaise/"
	@echo "installed suitkaise in $(TO_LUA) and $(TO_LIB)"

# Files, then the folders of ours that are empty; innermost first.
uninstall: check-lua
	@for f in $(LUA_FILES); do rm -f "$(TO_LUA)/$$f" || exit 1; done
	@rm -f "$(TO_LIB)/suitkaise/core.so"
	@for d in $(LUA_FOLDERS); do echo "$(TO_LUA)/$$d"; done | sort -r | \
	  while read -r d; do rmdir "$$d" 2>/dev/null || true; done
	@rmdir "$(TO_LIB)/suitkaise" 2>/dev/null || true
