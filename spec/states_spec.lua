-- A host that opens and closes many Lua states. Only LuaJIT can do that from
-- Lua, in a process of its own that has not loaded the core yet.

if not rawget(_G, "jit") then return end

local HOST = [[
local ffi = require "ffi"
ffi.cdef "void *luaL_newstate(void); void luaL_openlibs(void *);"
ffi.cdef "int luaL_loadstring(void *, const char *); void lua_close(void *);"
ffi.cdef "int lua_pcall(void *, int, int, int);"

local function one_state()
  local L = ffi.C.luaL_newstate()
  ffi.C.luaL_openlibs(L)
  assert(ffi.C.luaL_loadstring(L, "require 'suitkaise'.Counter()") == 0)
  assert(ffi.C.lua_pcall(L, 0, 0, 0) == 0)
  ffi.C.lua_close(L)
end

for _ = 1, 5 do one_state() end
local n = 0
for line in io.lines("/proc/self/maps") do
  if line:find("memfd:suitkaise", 1, true) then n = n + 1 end
end
print("segments " .. n)
]]

describe("Lua states", function()
  it("share one segment of the process, however many come and go", function()
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(HOST)
    file:close()
    local pipe = io.popen(("LUA_PATH='%s' LUA_CPATH='%s' luajit %s 2>&1")
      :format(package.path, package.cpath, path))
    local output = pipe:read "*a"
    pipe:close()
    os.remove(path)
    assert.equal("segments 1\n", output)
  end)
end)
