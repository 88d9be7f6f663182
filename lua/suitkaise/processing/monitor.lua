--- The monitor: a process between an owner and its child that enforces limits
-- and forks the next child from its own image, which is the owner's at the
-- start.
-- @module suitkaise.processing.monitor

local each = require "suitkaise.each"
local child = require "suitkaise.processing.child"
local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local failure = require "suitkaise.processing.failure"

local monitor = {}

local TERMINATED = 128 + 15 -- exit code
local LEAST_SECONDS = 0.05 -- between two looks at the child

-- The shortest time until a section can be late.
local function least(state, ends)
  local seconds
  for _, limit in each(state.config.timeouts) do
    seconds = math.min(seconds or limit, limit)
  end
  if ends then
    local left = ends - core.now()
    seconds = math.min(seconds or left, left)
  end
  return seconds and math.max(seconds, LEAST_SECONDS)
end

-- Watch a child to its end. -> nil when it had its last word, or the error and
-- whether that came in its `__error__`
local function watch(state, process, ends)
  local channel = state.channel
  local has_ended, number, limit, late
  repeat
    has_ended, number, limit = channel:watch(process, least(state, ends))
    if has_ended == false then
      late = failure.late(state, number, limit, channel:run())
      process:kill()
      core.wait_end(process)
      has_ended = true
    end
  until has_ended
  local in_handler = failure.in_handler(state)
  channel:ended()
  local goes_on = core.monitor_follow(nil)
  local code, signal = process:poll()
  process:close()
  if not goes_on then core.exit(TERMINATED) end
  if channel:has_finished() then return nil end
  return late or failure.died(state, "it", code, signal, channel:run()),
         in_handler
end

local function start(state, fn, ...)
  local process, why = core.fork(fn, ...)
  if process then
    state.channel:started(process:pid())
    core.monitor_follow(process)
    return process
  end
  return nil, errors.new("ProcessError", {
    message = state.name .. ": cannot start its process: " .. why,
    current_run = state.channel:run(),
  })
end

-- Say in the name of a child that cannot.
local function speak(state, err, is_unhandled)
  state.channel:adopt()
  failure.send(state.channel, { error = err, is_unhandled = is_unhandled })
  state.channel:finish()
end

-- A life was lost by a death. -> is there another one?
local function spend(state, err)
  local spent = state.channel:spent() + 1
  state.channel:set_spent(spent)
  return spent < state.config.lives and not err.is_end
end

local function handle_error(object, state, err, ends)
  if not object.__error__ then return speak(state, err) end
  local process, why = start(state, child.live_error, object, state, err)
  if not process then return speak(state, why) end
  local died = watch(state, process, ends)
  if not died then return end
  speak(state, failure.unhandled(state, died, err))
end

--- Run a process to its end, in as many children as it has lives.
-- @param object the Skprocess
-- @param state of it
function monitor.watch(object, state)
  core.monitor_begin()
  local limit = state.config.time_limit
  local ends = limit and core.now() + limit
  local is_restart = false
  local err
  repeat
    local process, why = start(state, child.live, object, state, is_restart)
    if not process then return speak(state, why) end
    local in_handler
    err, in_handler = watch(state, process, ends)
    -- the owner has been told what it was to handle
    if in_handler then return speak(state, err, true) end
    is_restart = true
  until not err or not spend(state, err)
  if err then handle_error(object, state, err, ends) end
end

return monitor
