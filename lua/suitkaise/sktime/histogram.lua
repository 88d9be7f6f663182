-- How often which time: for the report and for the picture.

-- Times that differ by more than this factor are looked at by their
-- logarithm: else all but the longest would be in one bin.
local WIDE = 50

local function identity(x) return x end

-- Cut times into at most `n` bins of one width. -> nil without times, else
-- { counts, edges = { [0] = lowest ... highest }, most, low, high, is_log,
--   to_scale = function(seconds) -> 0 to 1 }
return function(timer, n)
  local low, high = timer.min, timer.max
  if not low then return nil end
  local is_log = low > 0 and high / low >= WIDE
  local scale = is_log and math.log or identity
  local back = is_log and math.exp or identity
  if timer.num_times < n then n = math.max(timer.num_times, 1) end
  if low == high then n = 1 end
  local first, range = scale(low), scale(high) - scale(low)
  local h = { edges = { [0] = low }, most = 0, low = low, high = high,
              is_log = is_log }
  for i = 1, n do
    h[i] = 0
    h.edges[i] = i == n and high or back(first + i / n * range)
  end
  for _, seconds in ipairs(timer.times) do
    local at = n > 1 and (scale(seconds) - first) / range * n or 0
    at = math.min(math.max(math.floor(at) + 1, 1), n)
    h[at] = h[at] + 1
    h.most = math.max(h.most, h[at])
  end
  function h.to_scale(seconds)
    if n == 1 then return 0.5 end
    return (scale(seconds) - first) / range
  end
  return h
end
