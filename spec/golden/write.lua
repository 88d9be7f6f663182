-- Writes golden files for values that have none yet.
-- usage: tools/with-lua LUA BUILD spec/golden/write.lua

package.path = "./?.lua;" .. package.path
local cerial = require "suitkaise.cerial"
local values = require "spec.golden.values"

local maker = rawget(_G, "jit") and "luajit"
  or _VERSION:lower():gsub("[ .]", "")
local COLUMNS = 78

local function to_hex(bytes)
  local hex = bytes:gsub(".", function(c)
    return ("%02x"):format(c:byte())
  end)
  return (hex:gsub(("."):rep(COLUMNS), "%0\n"))
end

local function write(name, value)
  local path = ("spec/golden/%s.%s.hex"):format(name, maker)
  local there = io.open(path)
  if there then
    there:close()
    return
  end
  local file = assert(io.open(path, "w"))
  file:write(to_hex(cerial.serialize(value)), "\n")
  file:close()
  print(path)
end

for name, class in pairs(values.classes) do cerial.register(name, class) end
for _, name in ipairs(values.names) do write(name, values[name]) end
write("objects", values.make_objects())
