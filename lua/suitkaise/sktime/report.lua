-- A timer's statistics as text: a table and a small histogram.

local histogram = require "suitkaise.sktime.histogram"
local units = require "suitkaise.sktime.units"

local BINS = 10
local WIDTH = 30 -- characters of the longest bar

-- Pad on the left; a µ is two bytes and one character.
local function right(text, width)
  local _, more = text:gsub("[\128-\191]", "")
  return (" "):rep(width - #text + more) .. text
end

local function row(name1, value1, name2, value2)
  local line = ("  %-7s%s   %-7s%s"):format(
    name1, right(value1, 9), name2, right(value2, 9))
  return line
end

local function bars(h)
  local lines = {}
  for i = 1, #h do
    local length = math.floor(h[i] / h.most * WIDTH + 0.5)
    if h[i] > 0 and length == 0 then length = 1 end
    lines[i] = ("  %s |%s %d"):format(
      right(units.show(h.edges[i - 1]), 9),
      ("#"):rep(length), h[i])
  end
  lines[#lines + 1] = "  " .. right(units.show(h.high), 9) .. " |"
    .. (h.is_log and " (logarithmic)" or "")
  return table.concat(lines, "\n")
end

local function title(timer)
  local n, all = timer.num_times, timer._count
  if n < all then
    return ("Timer: the last %d of %d times"):format(n, all)
  end
  return ("Timer: %d %s"):format(n, n == 1 and "time" or "times")
end

return function(timer)
  if timer.num_times == 0 then return "Timer: no times" end
  local show = units.show
  local function at(p) return show(timer:percentile(p)) end
  return table.concat({
    title(timer),
    row("mean", show(timer.mean), "min", show(timer.min)),
    row("stdev", show(timer.stdev), "median", at(50)),
    row("total", show(timer.total_time), "p95", at(95)),
    row("paused", show(timer.total_time_paused), "p99", at(99)),
    row("latest", show(timer.most_recent), "max", show(timer.max)),
    "",
    bars(histogram(timer, BINS)),
  }, "\n")
end
