rockspec_format = "3.0"
package = "suitkaise"
version = "scm-1"
source = {
  url = ".", -- `luarocks make` builds the checkout that it is called in
}
description = {
  summary = "Forked workers, shared state and background work for Lua hosts",
  detailed = [[
    Process pools, shared memory that reads like tables, and a serializer
    for any Lua value, over a small C core. LuaJIT first, Lua 5.1, 5.3 and
    5.4 alike.]],
  license = "MIT",
}
supported_platforms = { "linux" }
dependencies = {
  "lua >= 5.1, < 5.5, ~= 5.2",
}
-- Not "builtin": that cannot hide the core's private symbols.
build = {
  type = "make",
  build_target = "rock",
  install_target = "install",
  variables = {
    LUA = "rock",
    BUILD = "build/rock",
    CC = "$(CC)",
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
  },
  copy_directories = { "doc" },
}
