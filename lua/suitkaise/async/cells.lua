-- Waiting for shared values (Flag, Progress, shares) without blocking.
--
-- A cell is a word in shared memory and has no descriptor. All processes that
-- share it hold one event, which is rung when a cell that an event loop
-- listens to has changed; each process with waiting tasks polls it and looks
-- at its own cells again.

local core = require "suitkaise.core"
local loop = require "suitkaise.async.loop"
local spin = require "suitkaise.async.spin"
local Waiters = require "suitkaise.async.waiters"

local cells = {}

local sleepers = Waiters.new()
local watch, poll          -- core's watch and libuv's handle for it
local is_on = false

local function is_reached(task)
  return task.raw.listen(task.cell)
end

local function on_news()
  watch:hush()
  spin.heard()
  sleepers:each(is_reached, loop.wake, true)
end

-- See suitkaise.async.spin: those that wait for what has a function `look`
-- are told of no sooner than the loop sleeps, and looked at until then; but not
-- when they are many.
local MOST_LOOKS = 8
local unarmed, n_unarmed = {}, 0

local function park_unarmed(task)
  n_unarmed = n_unarmed + 1
  unarmed[n_unarmed] = task
end

spin.lookers[#spin.lookers + 1] = function()
  if n_unarmed > MOST_LOOKS then return nil end
  local is_awaited = nil
  for i = 1, n_unarmed do
    local task = unarmed[i] -- it may wait for something else by now
    local look = task.list == sleepers and task.raw.look
    if look then
      if look(task.cell) then
        loop.wake(task, true)
        return true
      end
      is_awaited = false
    end
  end
  return is_awaited
end

local function arm()
  for i = 1, n_unarmed do
    local task = unarmed[i]
    unarmed[i] = nil
    if task.list == sleepers and is_reached(task) then loop.wake(task, true) end
  end
  n_unarmed = 0
end

local settler = {}

function settler.settle()
  if n_unarmed > 0 then arm() end
  local is_wanted = sleepers.n > 0
  if is_on == is_wanted and not (is_on and poll:is_closing()) then return end
  is_on = is_wanted
  if not is_on then
    if not poll:is_closing() then poll:stop() end
    return
  end
  if not poll or poll:is_closing() then
    poll = loop.uv().new_poll(watch:fd())
  end
  poll:start("r", on_news)
end

function settler.renew()
  sleepers, watch, poll, is_on = Waiters.new(), nil, nil, false
  unarmed, n_unarmed = {}, 0
end

loop.settlers[#loop.settlers + 1] = settler

--- Wait until a value has reached its goal: -> is it there? For so many
-- seconds at most.
-- @tparam table raw functions of its class
-- @param cell
-- @tparam number seconds
function cells.wait(raw, cell, seconds)
  if seconds <= 0 then return raw.wait(cell, 0) end
  local task, look = loop.enter(), raw.look
  watch = watch or core.cells_watch()
  if (look or raw.listen)(cell) then return raw.wait(cell, 0) end
  task.raw, task.cell = raw, cell
  if look then park_unarmed(task) end
  local value = loop.park_raw_in(task, sleepers, core.now() + seconds)
  task.raw, task.cell = nil, nil
  if value == loop.CANCEL then loop.deliver(task) end
  return raw.wait(cell, 0)
end

-- What stands for a cell where any ring is of interest.
local ANY = { listen = function() return true end }

--- Sleep until the event is rung, for so many seconds at most: -> was the task
-- cancelled?
-- @tparam table task
-- @tparam number seconds
-- @tparam[opt] table raw with `look` and `listen`, for
-- @param[opt] cell what is looked at before the loop sleeps
function cells.hear(task, seconds, raw, cell)
  watch = watch or core.cells_watch()
  task.raw, task.cell = raw or ANY, cell
  if raw then park_unarmed(task) end
  local value = loop.park_raw_in(task, sleepers, core.now() + seconds)
  task.raw, task.cell = nil, nil
  return value == loop.CANCEL
end

return cells
