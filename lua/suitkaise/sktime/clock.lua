-- The clocks and the sleep of sktime and circuit. LuaJIT's compiler calls the
-- core's functions directly; elsewhere they are C functions of Lua.

local core = require "suitkaise.core"
local each = require "suitkaise.each"

local SLICE = 3600 -- seconds of one sleep: how long "for ever" is cut

local clock = {
  -- Seconds of the monotonic clock, the same for all processes.
  now = core.now,
  -- Seconds since 1970.
  time = core.time,
  -- Another value in every process; to be compared only.
  generation = core.generation,
}

-- Any copy of the library will do: nothing here has state that another part
-- of the core sees.
local function load_direct(ffi)
  ffi.cdef [[
    int64_t sk_now_ns (void);
    int64_t sk_time_ns (void);
    uint64_t sk_generation (void);
  ]]
  local path = assert(package.searchpath("suitkaise.core", package.cpath))
  local lib, cast = ffi.load(path), ffi.cast
  assert(lib.sk_now_ns() > 0)
  return {
    now = function() return tonumber(lib.sk_now_ns()) * 1e-9 end,
    time = function() return tonumber(lib.sk_time_ns()) * 1e-9 end,
    -- Signed: the compiler and the interpreter of LuaJIT round a uint64 above
    -- 2^63 to two different doubles.
    generation = function()
      return tonumber(cast("int64_t", lib.sk_generation()))
    end,
  }
end

-- With the JIT off a call through ffi is slower than one of a C function.
if rawget(_G, "jit") and jit.status() then
  local has_ffi, ffi = pcall(require, "ffi")
  local ok, direct = pcall(load_direct, has_ffi and ffi)
  if ok then
    for name, fn in each(direct) do clock[name] = fn end
  end
end

-- Sleep for so many seconds. A signal ends a sleep of the core and not this
-- one, but a handler that Lua has for it, Ctrl-C's say, runs and may raise.
function clock.sleep(seconds)
  local deadline = core.now() + seconds
  local left = seconds
  while left > 0 do
    core.sleep(left < SLICE and left or SLICE)
    left = deadline - core.now()
  end
end

-- Lua's handlers of signals run in interpreted code only.
if rawget(_G, "jit") then jit.off(clock.sleep) end

return clock
