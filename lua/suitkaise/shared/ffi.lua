-- The fast path of the shared types: LuaJIT's compiler calls the core's
-- functions directly. Everything that is rare stays in C.
--
-- Values are read by a call, never by a load through a pointer: the compiler
-- would move such a load out of a loop that waits for another process.

local core = require "suitkaise.core"
local whole = require "suitkaise.shared.whole"

local EXACT = 2 ^ 53
local TWO_63 = 2 ^ 63

local DECLARATIONS = [[
  typedef struct sk_cell sk_cell;
  int64_t sk_cell_load (const sk_cell *c);
  int64_t sk_cell_add (sk_cell *c, int64_t n);
  int64_t sk_cell_exchange (sk_cell *c, int64_t v);
]]

local ffi_path = {}

-- The library that the C module is, with the same functions at the same
-- addresses: otherwise these would be other cells.
local function find_library(ffi)
  local path = assert(package.searchpath("suitkaise.core", package.cpath))
  local library = ffi.load(path)
  local address = ffi.cast("uintptr_t", library.sk_cell_add)
  assert(tonumber(address) == core.cell_add_address, "another library")
  return library
end

-- Numbers of Lua for int64 and back. n is a whole number when it is given.
local function make_conversions()
  local floor, to_int64 = math.floor, whole.to_int64

  local function push(n)
    local double = tonumber(n)
    if double < EXACT and double > -EXACT then return double end
    return n >= -EXACT and n <= EXACT and double or n
  end

  -- An int64, or a double of the same value; nil for what is neither.
  local function to_whole(n)
    if type(n) ~= "number" then return to_int64(n) end
    if n == floor(n) and n >= -TWO_63 and n < TWO_63 then return n end
  end

  return push, to_whole, whole.int64
end

-- Every function that a user can call makes sure that `self` is of its class:
-- the pointer in any other userdata is not one to a cell. In a trace that is
-- a check that was made already. Errors are raised by the function itself,
-- never in a tail call, so that they are at its caller's line.

local function counter(Counter, hooks, lib, to_handle)
  local push, to_whole, int64 = make_conversions()

  function Counter.__index(self, key)
    if key == "value" and getmetatable(self) == Counter then
      return push(lib.sk_cell_load(to_handle(self).cell))
    end
    local value = Counter[key]
    if value == nil then value = hooks.missing(self, key) end
    return value
  end

  function Counter.increment(self, n)
    if getmetatable(self) ~= Counter then
      hooks.refuse("increment", "self", self)
    end
    if n == nil then n = 1 end
    local step = to_whole(n)
    if not step then hooks.refuse("increment", "n", n, "a whole number") end
    return push(lib.sk_cell_add(to_handle(self).cell, step))
  end

  function Counter.decrement(self, n)
    if getmetatable(self) ~= Counter then
      hooks.refuse("decrement", "self", self)
    end
    if n == nil then n = 1 end
    local step = to_whole(n)
    if not step then hooks.refuse("decrement", "n", n, "a whole number") end
    return push(lib.sk_cell_add(to_handle(self).cell, -int64(step)))
  end

  function Counter.set(self, n)
    if getmetatable(self) ~= Counter then hooks.refuse("set", "self", self) end
    local value = to_whole(n)
    if not value then hooks.refuse("set", "n", n, "a whole number") end
    lib.sk_cell_exchange(to_handle(self).cell, value)
  end
end

local function flag(Flag, hooks, lib, to_handle)
  function Flag.__index(self, key)
    if key == "value" and getmetatable(self) == Flag then
      return lib.sk_cell_load(to_handle(self).cell) ~= 0
    end
    local value = Flag[key]
    if value == nil then value = hooks.missing(self, key) end
    return value
  end
end

local function progress(Progress, hooks, lib, to_handle, raw)
  local push, to_whole = make_conversions()

  function Progress.__index(self, key)
    if key == "completed" and getmetatable(self) == Progress then
      return push(lib.sk_cell_load(to_handle(self).cell))
    end
    local value = Progress[key]
    if value == nil then value = hooks.missing(self, key) end
    return value
  end

  function Progress.increment(self, n)
    if getmetatable(self) ~= Progress then
      hooks.refuse("increment", "self", self)
    end
    if n == nil then n = 1 end
    local step = to_whole(n)
    if not step or step < 0 then
      hooks.refuse("increment", "n", n, "a whole number of at least 0")
    end
    local handle = to_handle(self)
    local now = lib.sk_cell_add(handle.cell, step)
    if now >= handle.goal then raw.finish(self) end
    if handle.watched ~= 0 then hooks.redraw(self) end
    return push(now)
  end
end

local function make(ffi)
  ffi.cdef(DECLARATIONS)
  local lib = find_library(ffi)
  -- the userdata of cell.c
  local handle = ffi.typeof
    "struct { sk_cell *cell; int64_t goal; int32_t watched; } *"
  local cast = ffi.cast
  local function to_handle(self) return cast(handle, self) end
  local function bind(add)
    return function(class, hooks, raw)
      add(class, hooks, lib, to_handle, raw)
    end
  end
  return { Counter = bind(counter), Flag = bind(flag),
           Progress = bind(progress) }
end

-- What replaces functions of the classes, for classes.make; or nil and why.
-- `is_forced`: also when it is slower than C.
function ffi_path.load(is_forced)
  if not rawget(_G, "jit") then return nil, "not LuaJIT" end
  if not (is_forced or jit.status()) then return nil, "the JIT is off" end
  local has_ffi, ffi = pcall(require, "ffi")
  if not has_ffi then return nil, "no ffi" end
  local ok, fast = pcall(make, ffi)
  if not ok then return nil, fast end
  return fast
end

return ffi_path
