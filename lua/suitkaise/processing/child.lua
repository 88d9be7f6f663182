--- The child's side of an Skprocess: its life from the fork to its last word.
-- Nothing returns from here into the program that was forked.
-- @module suitkaise.processing.child

local each = require "suitkaise.each"
local autoreconnect = require "suitkaise.processing.autoreconnect"
local core = require "suitkaise.core"
local coroutines = require "suitkaise.processing.coroutines"
local errors = require "suitkaise.errors"
local failure = require "suitkaise.processing.failure"
local fields = require "suitkaise.processing.fields"
local sections = require "suitkaise.processing.sections"
local timers = require "suitkaise.processing.timers"
local wait = require "suitkaise.async.wait"

-- Kept from what a hook does to the globals, which it shares with us.
local error, pcall, setmetatable, type = error, pcall, setmetatable, type

local FLUSH_SECONDS = 0.25 -- between two reports of times

-- ---- what the object's methods do on this side ----

local child = {}

function child.tell(state, value)
  local ok, sent, waiting, bytes = pcall(state.channel.tell, state.channel,
                                         value, state.config.max_queued)
  if not ok then errors.reraise(sent) end
  if sent then return true end
  errors.raise("QueueFullError", {
    message = failure.full(state, "its owner", waiting, bytes),
    queued_bytes = waiting,
  }, "caller")
end

-- A message, or why there is none.
local function take(state)
  local kind, ok, value = state.channel:next()
  if not kind then return nil end
  if not ok then errors.reraise(value) end
  return true, value
end

-- Until there may be something, or the time is over.
local function await(channel, left, waiter)
  if waiter == wait.blocking then return channel:await(left) end
  require "suitkaise.processing.tasks".hear(channel, left or math.huge)
end

function child.listen(state, timeout, waiter)
  local channel = state.channel
  local found, value = take(state)
  if found then return value end
  local deadline = timeout and core.now() + timeout
  repeat
    await(channel, deadline and math.max(deadline - core.now(), 0), waiter)
    found, value = take(state)
    if found then return value end
    if channel:stopping() then return nil, "stopped" end
  until deadline and core.now() >= deadline
  return nil, "timeout"
end

function child.stop(state)
  state.channel:stop()
end

function child.kill()
  core.exit(128 + 9)
end

function child.refuse(name)
  return function(state)
    errors.raise("Error", {
      message = ("%s:%s: not from within the process itself"):format(
        state.name, name),
    }, "caller")
  end
end

for _, name in ipairs { "start", "wait", "result", "sync" } do
  child[name] = child.refuse(name)
end

function child.pid() return core.getpid() end
function child.is_alive() return true end
function child.error_of(state) return state.error end
function child.current_run(state) return state.channel:run() end

-- ---- the life ----

local Life = {}
Life.__index = Life

local function begin(object, state)
  local channel, config = state.channel, state.config
  state.api, state.error = child, nil
  state.process, state.inbox = nil, nil
  channel:adopt()
  local self = setmetatable({
    object = object, state = state, channel = channel, config = config,
    hooks = sections.hooks(object), limits = config.timeouts,
    flushed = core.now(),
  }, Life)
  if config.time_limit or next(config.timeouts) then
    channel:on_late(function(number, limit)
      return failure.late(state, number, limit, channel:run())
    end)
    if not rawget(_G, "jit") and not state.is_async then
      coroutines.follow(channel)
    end
  end
  if state.is_async then
    self.tasks = require "suitkaise.processing.tasks"
    self:make_tasks()
  end
  return self
end

-- Each hook becomes one that runs it as a task.
function Life:make_tasks()
  local call, channel = self.tasks.call, self.channel
  for name, hook in each(self.hooks) do
    self.hooks[name] = function(object)
      return call(hook, object, channel:deadline(), failure.describe_own)
    end
  end
end

-- ---- times ----

function child.timers(state)
  timers.add(state, state.channel:take_times())
  return timers.of(state)
end

-- ---- sections ----

-- -> true and what the hook returned, or false and the error
function Life:section(name)
  local hook = self.hooks[name]
  if not hook then return true end
  local channel = self.channel
  local ok, value, is_late, limit =
    channel:section(sections.number[name], self.limits[name],
                    sections.is_of_run[name], hook, self.object,
                    failure.describe, self.tasks ~= nil)
  if not ok and self.tasks and value.error == self.tasks.LATE then
    is_late = true
  end
  if ok and not is_late then return true, value end
  local err
  if is_late then
    -- the limit holds also when the hook made something else of the error
    err = failure.late(self.state, sections.number[name], limit,
                       channel:run())
    err.traceback = type(value) == "table" and value.traceback or nil
  else
    err = failure.raised(self.state, name, channel:run(), value)
  end
  return false, err
end

-- For a class of autoreconnect: -> true, or false and the error. It is a
-- `__prerun__` of its own, under the same limits. What failed is tried again
-- with the next life.
function Life:connect()
  local plan = self.state.plan
  if not plan then return true end
  local prerun = self.hooks.prerun
  self.hooks.prerun = function(object) autoreconnect.connect(object, plan) end
  local ok, err = self:section "prerun"
  self.hooks.prerun = prerun
  if ok then self.state.plan = nil end
  return ok, err
end

-- -> "done", "stopped", or "failed" and the error
function Life:run_once()
  local is_connected, trouble = self:connect()
  if not is_connected then return "failed", trouble end
  local begun = core.now()
  for i, name in ipairs(sections.of_run) do
    if self.hooks[name] then
      if i > 1 and self.channel:stopping() then return "stopped" end
      local ok, err = self:section(name)
      if not ok then return "failed", err end
    end
  end
  self.channel:record_run(begun)
  if begun - self.flushed > FLUSH_SECONDS then
    self.flushed = begun
    self.channel:send_times()
  end
  return "done"
end

-- ---- syncs ----

-- -> true, or false and the error
function Life:sync(section)
  local channel = self.channel
  self.channel:send_times()
  local ok, sent = fields.send(self.object, channel:run(), function(synced)
    return channel:sync(synced)
  end)
  if ok and sent then return true end
  if ok then
    sent = errors.new("QueueFullError", {
      message = "its fields are more than fit into a sync",
    })
  end
  return false, failure.raised(self.state, section, channel:run(),
                               failure.describe_own(sent))
end

function Life:sync_if_due(run)
  local join_in = self.config.join_in
  if not join_in or run % join_in ~= 0 then return true end
  return self:sync "postrun"
end

-- ---- from run to run ----

-- A run was done: count it. -> nil or an error
function Life:count_run()
  local run = self.channel:run() + 1
  self.channel:set_run(run)
  local ok, err = self:sync_if_due(run)
  if not ok then return err end
end

-- An error costs a life. -> is it the last one?
function Life:spend(err)
  local spent = self.channel:spent() + 1
  self.channel:set_spent(spent)
  return spent >= self.config.lives or err.is_end
end

-- -> nil when it came to its end, or the error that cost the last life
function Life:loop()
  local channel, runs = self.channel, self.config.runs
  while not channel:stopping() and not (runs and channel:run() >= runs) do
    local what, err = self:run_once()
    if what == "done" then err = self:count_run() end
    if err and self:spend(err) then return err end
    if what == "stopped" then return nil end
  end
end

-- ---- the end ----

function Life:say_error(err, has_result, result)
  self.channel:send_times()
  if not failure.send(self.channel, {
    error = err, has_result = has_result, result = result,
  }) then
    error("cannot send the error: " .. tostring(err), 0)
  end
  self.channel:finish()
end

-- Out of lives, or an error at the end.
function Life:fail(err)
  self.state.error = err
  if self.hooks.error then failure.announce(self.channel, err) end
  local ok, result = self:section "error"
  if self.tasks then self.tasks.finish() end
  if not ok then
    result.failure = err
    return self:say_error(result)
  end
  if self.config.join_in then self:sync "error" end
  return self:say_error(err, result ~= nil, result)
end

-- -> nil or an error
function Life:finish()
  local ok, err = self:section "onfinish"
  if not ok then return err end
  local result
  ok, result = self:section "result"
  if ok and self.tasks then self.tasks.finish() end
  if not ok then return result end
  if self.config.join_in then
    ok, err = self:sync "result"
    if not ok then return err end
  end
  self.channel:send_times()
  local sent
  ok, sent = pcall(self.channel.say_result, self.channel, result)
  if ok and not sent then
    sent = errors.new("QueueFullError", { message = "it is too large" })
  end
  if not ok or not sent or type(sent) == "table" then
    return failure.raised(self.state, "result", self.channel:run(),
                          failure.describe_own(sent))
  end
  self.channel:finish()
end

--- The whole life of a child.
-- @param object the Skprocess
-- @param state of it
-- @tparam boolean is_restart go on from the last sync, if there is one
function child.live(object, state, is_restart)
  local life = begin(object, state)
  if is_restart then
    local _, run = fields.receive(object, life.channel, 0)
    life.channel:set_run(run or 0)
  end
  local err = life:loop() or life:finish()
  if err then life:fail(err) end
end

--- Only `__error__`, for a child that has died.
function child.live_error(object, state, err)
  local life = begin(object, state)
  fields.receive(object, life.channel, 0)
  life:fail(err)
end

return child
