-- What each wrapper of Skfunction costs over the bare function, and what the
-- detector's answers cost.

package.path = "bench/?.lua;" .. package.path

local measure = require "measure"
local sk = require "suitkaise"
local detect = require "suitkaise.detect"
local limiter = require "suitkaise.skfunction.limiter"

local ROUNDS = 7

local function same(x) return x end

-- Nanoseconds of one call, of many in a loop.
local function nanoseconds(call, n)
  local function loop()
    local sum = 0
    for i = 1, n do sum = sum + call(i) end
    return sum
  end
  loop()
  return measure.time(loop) / n * 1e9
end

-- ns over the bare function, medians of rounds in turn, with the compiler and
-- without
local function over_bare(title, call, by_hand, n)
  for _, mode in ipairs { "compiled", "interpreted" } do
    jit[mode == "compiled" and "on" or "off"]()
    jit.flush()
    local medians = measure.in_turn({
      { "bare", function() return nanoseconds(same, n) end },
      { "ours", function() return nanoseconds(call, n) end },
      { "by hand", function() return by_hand and nanoseconds(by_hand, n) end },
    }, ROUNDS)
    print(string.format("%s, %s: %.1f ns over a bare call of %.1f ns%s", title,
                        mode, medians.ours - medians.bare, medians.bare,
                        by_hand and string.format("; by hand %.1f ns",
                          medians["by hand"] - medians.bare) or ""))
  end
  jit.on()
end

local f = sk.skf(same)
local function two(a, x) return a and x end
over_bare("skf(fn)", f, function(...) return same(...) end, 1e6)
over_bare("bind", sk.skf(two):bind { a = 1 },
          function(x) return two(1, x) end, 1e6)

over_bare("retry", f:retry { times = 3 }, function(x)
  local ok, result
  for _ = 1, 3 do
    ok, result = pcall(same, x)
    if ok then return result end
  end
  error(result, 0)
end, 1e6)

over_bare("timeout, here", f:timeout(10), nil, 1e5)

local schedule = sk.Counter()
over_bare("rate_limit: taking a moment", function()
  return limiter.reserve(schedule, 1e6)
end, nil, 1e6)

-- Milliseconds of one call in a process of its own.
local function milliseconds(call)
  local n = 100
  local function loop()
    for i = 1, n do call(i) end
  end
  return measure.time(loop) / n * 1e3
end

local isolated, later = f:timeout(10, { isolate = true }), f:background()
measure.report("timeout, isolated", "ms", measure.in_turn({
  { "ours", function() return milliseconds(isolated) end },
}, ROUNDS))
measure.report("background, and its result", "ms", measure.in_turn({
  { "ours", function()
    return milliseconds(function(i) return later(i):result() end)
  end },
}, ROUNDS))

-- ---- the detector ----

local Stats = {}
Stats.__index = Stats
function Stats:record(x)
  self.samples[#self.samples + 1] = x
  self.total = self.total + x
end
function Stats:mean() return self.total / #self.samples end
function Stats:worst()
  local worst = 0
  for _, x in ipairs(self.samples) do worst = math.max(worst, x) end
  return worst
end

measure.report("detect.method, known", "ns", measure.in_turn({
  { "ours", function()
    return nanoseconds(function()
      return detect.method(Stats, "record") and 1
    end, 1e5)
  end },
}, ROUNDS))

measure.report("detect.method, new class of three methods", "ms",
               measure.in_turn({
  { "ours", function()
    local class = { record = Stats.record, mean = Stats.mean,
                    worst = Stats.worst }
    class.__index = class
    return measure.time(detect.method, class, "record") * 1e3
  end },
}, ROUNDS))
