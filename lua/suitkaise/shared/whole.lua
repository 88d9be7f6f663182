-- Whole numbers beyond 2^53 where Lua has no integers: int64 of LuaJIT's ffi,
-- in two halves for the C code; without ffi the nearest double.

local TWO_32 = 4294967296

local whole = {}

-- ffi may be there while the JIT is off
local has_ffi, ffi
if rawget(_G, "jit") then has_ffi, ffi = pcall(require, "ffi") end

if not has_ffi then
  -- The number of two halves; low is not negative.
  function whole.join(high, low) return high * TWO_32 + low end
  -- The halves of an int64 or uint64; nothing for anything else.
  function whole.split() end
  return whole
end

local int64, uint64 = ffi.typeof "int64_t", ffi.typeof "uint64_t"

whole.int64 = int64

function whole.join(high, low)
  return int64(high) * TWO_32 + low
end

-- An int64 of the same value, or nothing: also for uint64 that are too large.
function whole.to_int64(value)
  if type(value) ~= "cdata" then return nil end
  if ffi.istype(int64, value) then return value end
  local is_small = ffi.istype(uint64, value) and int64(value) >= 0
  return is_small and int64(value) or nil
end

function whole.split(value)
  local n = whole.to_int64(value)
  if not n then return nil end
  local low = n % TWO_32
  if low < 0 then low = low + TWO_32 end
  return tonumber((n - low) / TWO_32), tonumber(low)
end

return whole
