-- What a timer knows about its times, kept up to date with each of them: the
-- cost of an addition and of a read does not grow with their number.
--
-- Mean and squares: B. P. Welford, "Note on a method for calculating corrected
-- sums of squares and products", Technometrics 4 (1962). Two parts are joined
-- as in T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae and a
-- pairwise algorithm for computing sample variances" (1979). Sums carry the
-- error of each addition: D. E. Knuth, The Art of Computer Programming 2,
-- section 4.2.2, theorem B.
--
-- The window of the last n times: taking a time out of a Welford sum loses
-- digits, for good when it was large. So nothing is taken out. The stream is
-- cut into blocks of n; a window is the end of one block and the beginning of
-- the next, joined. That is the sliding minimum of M. van Herk, Pattern
-- Recognition Letters 13 (1992), with more than a minimum. The array of times
-- is a ring, so slots up to the position hold the new block and the others
-- the end of the old one.
--
-- The state is plain fields of the timer, read and written as fields only:
-- `timer` may be a proxy that keeps a log.

local statistics = {}

-- What is computed from the state when it is asked for. Another process makes
-- its own; a stamp tells whether it still fits.
local tails = setmetatable({}, { __mode = "k" })
local sorted = setmetatable({}, { __mode = "k" })

--- The state of a timer without times.
function statistics.clear(timer)
  timer._count = 0      -- times since then, also those that left the window
  timer._times = {}     -- slot -> seconds
  timer._pauses = {}    -- slot -> seconds paused, where there were any
  timer._sum, timer._carry = 0, 0 -- of this block, as all below
  timer._mean, timer._squares = 0, 0
  timer._min_slot, timer._max_slot = 0, 0
  timer._paused = 0
  timer._block_before = 0 -- sum of the block before: part of the stamp
  tails[timer], sorted[timer] = nil, nil
end

local function begin_block(timer, seconds, paused)
  timer._block_before = timer._sum
  timer._sum, timer._carry = seconds, 0
  timer._mean, timer._squares = seconds, 0
  timer._min_slot, timer._max_slot = 1, 1
  timer._paused = paused
end

local function extend_block(timer, times, slot, seconds)
  local sum = timer._sum
  local total = sum + seconds
  local added = total - sum
  timer._sum = total
  timer._carry = timer._carry + ((sum - (total - added)) + (seconds - added))
  local delta = seconds - timer._mean
  local mean = timer._mean + delta / slot
  timer._mean = mean
  timer._squares = timer._squares + delta * (seconds - mean)
  if seconds < times[timer._min_slot] then timer._min_slot = slot end
  if seconds > times[timer._max_slot] then timer._max_slot = slot end
end

--- Add one time.
function statistics.add(timer, seconds, paused)
  local count = timer._count + 1
  local window = timer._max_times
  local slot = window and (count - 1) % window + 1 or count
  local times = timer._times
  timer._count = count
  times[slot] = seconds
  if paused > 0 or window and timer._pauses[slot] then
    timer._pauses[slot] = paused > 0 and paused or nil
  end
  if slot == 1 then
    begin_block(timer, seconds, paused)
  else
    extend_block(timer, times, slot, seconds)
    if paused > 0 then timer._paused = timer._paused + paused end
  end
end

-- ---- the end of the block before ----

local function new_tail()
  return { sum = {}, squares = {}, min_slot = {}, max_slot = {}, paused = {} }
end

-- Of the slots from each to the last: sum, squares, slots of the extremes.
-- The tail before is written over: it has the same size.
local function fill_tail(tail, timer, first, last)
  local times, pauses = timer._times, timer._pauses
  local sum, squares, paused, n = 0, 0, 0, 0
  local mean, min_slot, max_slot = 0, last, last
  for slot = last, first, -1 do
    local seconds = times[slot]
    n = n + 1
    sum, paused = sum + seconds, paused + (pauses[slot] or 0)
    local delta = seconds - mean
    mean = mean + delta / n
    squares = squares + delta * (seconds - mean)
    if seconds <= times[min_slot] then min_slot = slot end
    if seconds >= times[max_slot] then max_slot = slot end
    tail.sum[slot], tail.squares[slot] = sum, squares
    tail.min_slot[slot], tail.max_slot[slot] = min_slot, max_slot
    tail.paused[slot] = paused
  end
  tail.first = first
end

-- -> position in this block, and the tail behind it if the window has one
local function position(timer)
  local count, window = timer._count, timer._max_times
  if not window then return count end
  local slot = (count - 1) % window + 1
  if count <= window or slot == window then return slot end
  local block, before = count - slot, timer._block_before
  local tail = tails[timer]
  if not tail then
    tail = new_tail()
    tails[timer] = tail
  end
  if tail.block ~= block or tail.before ~= before or tail.first > slot + 1 then
    fill_tail(tail, timer, slot + 1, window)
    tail.block, tail.before = block, before
  end
  return slot, tail
end

-- ---- what users read ----

--- How many times are kept.
function statistics.count(timer)
  local count, window = timer._count, timer._max_times
  return window and window < count and window or count
end

--- Their sum.
function statistics.sum(timer)
  local slot, tail = position(timer)
  local sum = timer._sum
  if sum < math.huge then sum = sum + timer._carry end -- else that is nan
  return tail and sum + tail.sum[slot + 1] or sum
end

--- The time that they were paused.
function statistics.paused(timer)
  local slot, tail = position(timer)
  return tail and timer._paused + tail.paused[slot + 1] or timer._paused
end

function statistics.mean(timer)
  local n = statistics.count(timer)
  if n == 0 then return nil end
  return statistics.sum(timer) / n
end

--- Of the sample: nil for less than two times.
function statistics.variance(timer)
  local n = statistics.count(timer)
  if n < 2 then return nil end
  local slot, tail = position(timer)
  local squares = timer._squares
  if tail then
    local others = n - slot
    local delta = tail.sum[slot + 1] / others - timer._mean
    squares = squares + tail.squares[slot + 1]
      + delta * delta * slot * others / n
  end
  return squares / (n - 1)
end

-- Number among the kept times, the oldest is 1, of what is in a slot.
local function index_of(timer, slot, at, tail)
  if slot > at then return slot - at end
  return tail and slot + timer._max_times - at or slot
end

-- The extreme of both parts; the older one of two that are equal.
local function extreme(timer, name, is_better)
  if timer._count == 0 then return nil end
  local at, tail = position(timer)
  local slot = timer["_" .. name]
  if tail then
    local other = tail[name][at + 1]
    local times = timer._times
    if not is_better(times[slot], times[other]) then slot = other end
  end
  return timer._times[slot], index_of(timer, slot, at, tail)
end

local function less(a, b) return a < b end
local function greater(a, b) return a > b end

--- -> shortest time, its number; nil when there is none
function statistics.fastest(timer)
  return extreme(timer, "min_slot", less)
end

--- -> longest time, its number; nil when there is none
function statistics.slowest(timer)
  return extreme(timer, "max_slot", greater)
end

--- The kept time of that number, 1 is the oldest.
function statistics.get(timer, index)
  local n = statistics.count(timer)
  if index < 1 or index > n then return nil end
  local window = timer._max_times
  local first = timer._count - n -- that many have left
  return timer._times[window and (first + index - 1) % window + 1 or index]
end

--- The kept times, the oldest first: a new array.
function statistics.times(timer)
  local list = {}
  for i = 1, statistics.count(timer) do list[i] = statistics.get(timer, i) end
  return list
end

local function sorted_times(timer)
  local known = sorted[timer]
  local last = statistics.get(timer, statistics.count(timer))
  if known and known.count == timer._count and known.last == last
     and known.sum == timer._sum and known.squares == timer._squares
     and known.before == timer._block_before then
    return known.list
  end
  local list = statistics.times(timer)
  table.sort(list)
  sorted[timer] = {
    count = timer._count, last = last, sum = timer._sum,
    squares = timer._squares, before = timer._block_before, list = list,
  }
  return list
end

--- Interpolated between the two times next to it; nil when there is none.
function statistics.percentile(timer, p)
  local n = statistics.count(timer)
  if n == 0 then return nil end
  local list = sorted_times(timer)
  local rank = p / 100 * (n - 1) + 1
  local below = math.floor(rank)
  local low, high = list[below], list[below + 1]
  if not high then return low end
  return low + (high - low) * (rank - below)
end

return statistics
