--- The name of the VM whose bytecode this Lua makes and reads.
-- @module suitkaise.cerial.vm
-- @local

if jit then
  local has_ffi, ffi = pcall(require, "ffi")
  local gc64 = has_ffi and ffi.abi "gc64" and " gc64" or ""
  return jit.version .. " " .. jit.arch .. gc64
end

-- PUC's header: signature, version, format and sizes of the C types, up to
-- where the function begins.
local HEADER = { ["Lua 5.1"] = 12, ["Lua 5.3"] = 33, ["Lua 5.4"] = 31 }

local header = string.dump(function() end):sub(5, HEADER[_VERSION] or 12)
local sum = 0
for i = 1, #header do sum = (sum * 31 + header:byte(i)) % 2 ^ 32 end
return ("%s %08x"):format(_VERSION, sum)
