--- A map in the background: the source of its Future.
--
-- Workers are given as much as their lanes hold at once; the rest when somebody
-- looks at the future, waits for it, or uses the pool.
-- @module suitkaise.pool.background

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local Future = require "suitkaise.future"
local on_collect = require "suitkaise.on_collect"
local wait = require "suitkaise.async.wait"

local background = {}

local Source = {}
Source.__index = Source

local function settle(self, future)
  self.job:show(true)
  local ok, results = pcall(self.finish, self.pool, self.job)
  if ok then future:resolve(results) else future:reject(results) end
end

-- The workers that are busy with it are replaced: they may never end.
local function break_off(self, why, waiter)
  local pool, job = self.pool, self.job
  pool.engine.remove(pool, job)
  pool.engine.break_workers(pool, job, why, waiter)
end

--- See Future.
function Source:poll(future, waiter)
  local pool, job = self.pool, self.job
  if not job:is_finished() then
    self.check(pool, self.name)
    pool.engine.tend(pool)
    job:show()
  end
  if job:is_finished() then
    settle(self, future)
  elseif core.now() >= self.deadline then
    local late = self.late(self.name, job, self.timeout)
    break_off(self, late, waiter)
    future:reject(late)
  end
end

function Source:wait(seconds, waiter)
  local pool, job = self.pool, self.job
  self.check(pool, self.name)
  pool.engine.run(pool, job, waiter, job.has_ended,
                  math.min(self.deadline, core.now() + seconds))
end

function Source:cancel()
  if self.pool.is_closed then return end
  break_off(self, errors.new("CancelledError", {
    message = self.name .. ": it was cancelled",
  }), wait.blocking)
end

--- Begin: -> its Future.
-- @tparam table source `pool`, `job`, `name`, `timeout` or nil,
--   `finish(pool, job)` -> results or raises,
--   `late(name, job, timeout)` -> error, `check(pool, name)`
function background.start(source)
  local pool, job = source.pool, source.job
  local owner = core.generation()
  source.deadline = source.timeout and core.now() + source.timeout
    or math.huge
  source.sentinel = on_collect(function()
    if owner == core.generation() then job.cancelled = true end
  end)
  job.how.is_background = true
  pool.engine.add(pool, job)
  pool.engine.turn(pool)
  return Future.new(setmetatable(source, Source))
end

return background
