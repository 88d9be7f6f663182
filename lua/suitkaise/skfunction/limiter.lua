--- Evenly spaced calls: each takes the next free moment of a schedule that all
-- processes share.
--
-- The schedule is a Counter: the first free moment, in microseconds of
-- core.now, which is the same clock in all processes of a machine.
-- @module suitkaise.skfunction.limiter

local core = require "suitkaise.core"
local classes = require "suitkaise.shared.classes"
local shared = require "suitkaise.shared"

local replace = classes.replace[shared.Counter]
local floor, max = math.floor, math.max

local limiter = {}

--- A new schedule, all of which is free.
function limiter.new()
  return shared.Counter(0)
end

--- Is it something that a schedule can be kept in?
function limiter.is_schedule(value)
  return getmetatable(value) == shared.Counter
end

--- Take the next free moment.
-- @param schedule a Counter
-- @tparam number per_second
-- @treturn number when that is, in seconds of core.now
function limiter.reserve(schedule, per_second)
  local interval = max(1, floor(1e6 / per_second + 0.5))
  local seen, moment
  repeat
    seen = schedule.value
    moment = max(seen, floor(core.now() * 1e6))
  until replace(schedule, seen, moment + interval)
  return moment * 1e-6
end

return limiter
