-- Counter, Flag and Progress beside the bare atomic instruction on the same
-- word, and the same loops where there is no FFI path.

package.path = "bench/?.lua;" .. package.path

local ffi = require "ffi"
local measure = require "measure"
local sk = require "suitkaise"

ffi.cdef "void atomic_add (void *word, int64_t times);"

local ROUNDS = 7
local TURNS = 2e7

-- The build tree, and what mk/bench-shared.mk put there.
local build = assert(package.searchpath("suitkaise.core", package.cpath))
  :gsub("/luajit/suitkaise/core%.so$", "")
local baseline = ffi.load(build .. "/bench/atomic.so")

local counter, flag, progress = sk.Counter(), sk.Flag(), sk.Progress(1e12)
local word = ffi.cast("void **", counter)[0] -- its first field is the cell
local kept

-- Nanoseconds a turn of a loop of n turns.
local function turn(loop)
  return function() return measure.time(loop, TURNS) / TURNS * 1e9 end
end

local empty = turn(function(n) for i = 1, n do kept = i end end)

local function above_empty(loop)
  return function() return turn(loop)() - empty() end
end

-- The same loop where the C API is used: contenders are added.
local function with_others(name, contenders)
  for _, lua in ipairs { "luajit -joff", "lua5.1", "lua5.3", "lua5.4" } do
    local program, option = lua:match "^(%S+) ?(.*)$"
    local command = ("tools/with-lua %s '%s' %s bench/shared/loop.lua %s")
      :format(program, build, option, name)
    contenders[#contenders + 1] = {
      lua .. ", C API", function() return measure.program(command) end,
    }
  end
  return contenders
end

local figures = measure.in_turn(with_others("increment", {
  { "C atomic_fetch_add, same word", turn(function(n)
    baseline.atomic_add(word, n)
  end) },
  { "ours", turn(function(n) for _ = 1, n do counter:increment() end end) },
}), ROUNDS)
measure.report("counter:increment() in a LuaJIT loop", "ns", figures,
               "at most 1.5 of C atomic_fetch_add")

measure.report("counter.value above an empty LuaJIT loop", "ns",
  measure.in_turn(with_others("value", {
    { "ours", above_empty(function(n)
      for _ = 1, n do kept = counter.value end
    end) },
    { "the empty loop", empty },
  }), ROUNDS), "at most 3 ns (the other Luas: loop included)")

measure.report("flag.value above an empty LuaJIT loop", "ns",
  measure.in_turn(with_others("flag", {
    { "ours", above_empty(function(n)
      for _ = 1, n do kept = flag.value end
    end) },
  }), ROUNDS))

measure.report("progress:increment() in a LuaJIT loop", "ns",
  measure.in_turn(with_others("progress", {
    { "ours", turn(function(n)
      for _ = 1, n do progress:increment() end
    end) },
  }), ROUNDS))

assert(kept ~= TURNS + 1)
