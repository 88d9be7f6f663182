-- Looking for news before the loop sleeps. What another process says while we
-- look costs neither of the two a system call, nor a wake-up of twenty
-- microseconds or more. Where it does not pay it is left for a while: it holds
-- up the very process that we wait for when there are not enough processors.

local core = require "suitkaise.core"

local spin = {}

local now = core.now

local SECONDS = 50e-6
local MOST_CREDIT = 4 -- looks in vain that are forgiven
-- Sleeps without a look after that: twice as many each time.
local LEAST_REST, MOST_REST = 8, 1024

-- News that come so soon after a sleep began, a look might have found.
local SOON = 100e-6

local credit, rest, next_rest = 0, 0, LEAST_REST
local asleep_since = -1
local can_pay = core.cpu_count() > 1

--- Functions that look: true when they have woken a task, false when tasks
-- wait for something that they look for, else nil.
spin.lookers = {}

local function look()
  local is_awaited = nil
  for i = 1, #spin.lookers do
    local found = spin.lookers[i]()
    if found then return true end
    if found == false then is_awaited = false end
  end
  return is_awaited
end

--- Look until `limit` at most: -> has a task been woken?
function spin.look(limit)
  if not can_pay then return false end
  local found = look()
  if found ~= false then return found == true end
  asleep_since = now()
  if rest > 0 then
    rest = rest - 1
    return false
  end
  local until_then = asleep_since + SECONDS
  if limit < until_then then return false end
  repeat
    found = look()
    asleep_since = now()
  until found ~= false or asleep_since >= until_then
  if found then
    if credit < MOST_CREDIT then credit = credit + 1 end
    next_rest = LEAST_REST
    return true
  end
  credit = credit - 1
  if credit < 0 then
    credit, rest = 0, next_rest
    if next_rest < MOST_REST then next_rest = 2 * next_rest end
  end
  return false
end

--- Who sleeps was told of news: how soon?
function spin.heard()
  if rest > 0 and now() - asleep_since < SOON then
    rest, next_rest = 0, LEAST_REST
  end
end

return spin
