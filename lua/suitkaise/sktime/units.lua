-- Seconds as people write them: 1.52 ms.

local UNITS = { { "s", 1 }, { "ms", 1e-3 }, { "µs", 1e-6 }, { "ns", 1e-9 } }
local DIGITS = 3
local LARGE = 1e9

local units = {}

-- The largest unit in which a number of seconds is at least 1 after it was
-- rounded: -> name, seconds.
function units.pick(seconds)
  for _, unit in ipairs(UNITS) do
    if seconds >= unit[2] * 0.9995 then return unit[1], unit[2] end
  end
  if seconds > 0 then return "ns", 1e-9 end
  return "s", 1
end

-- So many digits, without an exponent unless it is very large.
local function plain(n)
  if n >= LARGE then return string.format("%." .. DIGITS .. "g", n) end
  if n >= 10 ^ (DIGITS - 1) or n == 0 then
    return string.format("%.0f", n)
  end
  local decimals = DIGITS - 1 - math.max(math.floor(math.log(n * 1.0005)
                                                    / math.log(10)), 0)
  return string.format("%." .. decimals .. "f", n)
end

-- Three digits and a unit; "-" for nil.
function units.show(seconds)
  if not seconds then return "-" end
  local name, size = units.pick(seconds)
  return plain(seconds / size) .. " " .. name
end

return units
