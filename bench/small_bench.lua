-- What sktime and circuit add to a call: nanoseconds over the bare function,
-- beside what plain Lua would do by hand. Timers keep the last 100 times.

package.path = "bench/?.lua;" .. package.path

local measure = require "measure"
local sk = require "suitkaise"

local ROUNDS = 7
local TURNS = 2e6

local sktime = sk.sktime
local kept

local function bare(x) return x end

-- Nanoseconds a turn of a loop of n turns, without that of the bare call.
local function per_turn(loop)
  return function()
    loop(1e4)
    return measure.time(loop, TURNS) / TURNS * 1e9
  end
end

local empty = per_turn(function(n) for i = 1, n do kept = bare(i) end end)

local function above_bare(loop)
  local turn = per_turn(loop)
  return function() return turn() - empty() end
end

local clock, now = os.clock, measure.now

local PEERS = {
  { "os.clock twice, by hand", above_bare(function(n)
    local sum = 0
    for i = 1, n do
      local began = clock()
      kept = bare(i)
      sum = sum + (clock() - began)
    end
    kept = sum
  end) },
  { "core.now twice, by hand", above_bare(function(n)
    local sum = 0
    for i = 1, n do
      local began = now()
      kept = bare(i)
      sum = sum + (now() - began)
    end
    kept = sum
  end) },
}

local function beside_clocks(ours)
  local contenders = { { "ours", above_bare(ours) } }
  for _, peer in ipairs(PEERS) do contenders[#contenders + 1] = peer end
  return measure.in_turn(contenders, ROUNDS)
end

local timer = sktime.Timer{ max_times = 100 }

measure.report("timer:start(); f(x); timer:stop()", "ns",
  beside_clocks(function(n)
    for i = 1, n do
      timer:start()
      kept = bare(i)
      timer:stop()
    end
  end), "start and stop at most 150 ns")

local timed = sktime.timethis(bare, timer)

measure.report("timethis(f)(x)", "ns", beside_clocks(function(n)
  for i = 1, n do kept = timed(i) end
end))

local function block(t) kept = t end

measure.report("TimeThis(f, timer)", "ns", beside_clocks(function(n)
  for _ = 1, n do sktime.TimeThis(block, timer) end
end))

local all = {}

measure.report("timer:add_time(s)", "ns", measure.in_turn({
  { "ours", above_bare(function(n)
    for i = 1, n do timer:add_time(i) end
  end) },
  { "a table of all times", above_bare(function(n)
    all = {}
    for i = 1, n do all[#all + 1] = i end
  end) },
}, ROUNDS))
assert(#all == TURNS)

-- Reading after each of the times: what is incremental is worth here.
for _, size in ipairs { 10, 1000, 1000000 } do
  local window = sktime.Timer{ max_times = size }
  for i = 1, size do window:add_time(i % 1000) end
  local figures = measure.in_turn({ { "ours", above_bare(function(n)
    for i = 1, n do
      window:add_time(i % 1000)
      kept = window.mean + window.stdev + window.min + window.max
    end
  end) } }, ROUNDS)
  measure.report("add_time, then mean, stdev, min, max; " .. size .. " kept",
                 "ns", figures)
end

local breaker = sk.Circuit()

measure.report("circuit:call(f, x)", "ns", measure.in_turn({
  { "ours", above_bare(function(n)
    for i = 1, n do kept = breaker:call(bare, i) end
  end) },
  { "pcall(f, x)", above_bare(function(n)
    for i = 1, n do
      local _, result = pcall(bare, i)
      kept = result
    end
  end) },
}, ROUNDS))
assert(kept)
