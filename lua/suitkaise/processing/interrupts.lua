--- Ctrl-C while somebody waits: the first one stops what runs, the second one
-- kills it.
-- @module suitkaise.processing.interrupts

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local registry = require "suitkaise.processing.registry"

local interrupts = {}

local is_on = true

--- Is Ctrl-C ours while we wait?
function interrupts.are_on()
  return is_on
end

function interrupts.set(on)
  is_on = on
end

local function each_running(fn)
  local n = 0
  for state in each(registry.running()) do
    if state.channel and state.channel:is_own() then
      n = n + 1
      fn(state)
    end
  end
  return n
end

local function ask_to_stop(state) state.channel:stop() end
local function kill(state) state.api.kill(state) end

-- One that runs, if any does.
local function any_running(is_over)
  for state in each(registry.running()) do
    if not is_over(state) then return state end
  end
end

--- Ctrl-C was pressed `n` times: let everything that runs finish, unless it is
-- pressed again, and raise.
-- @tparam int n
-- @tparam function is_over is_over(state) -> has it ended?
-- @tparam ?number deadline of the wait
-- @raise Interrupted
function interrupts.obey(n, is_over, deadline)
  each_running(ask_to_stop)
  local state = any_running(is_over)
  local left = deadline and deadline - core.now()
  while state and n < 2 and not (left and left <= 0) do
    n = n + state.channel:wait(state.process, left, false, true)
    state = any_running(is_over)
    left = deadline and deadline - core.now()
  end
  if n >= 2 then each_running(kill) end
  errors.raise("Interrupted", {
    message = n >= 2 and "interrupted again: all processes were killed"
      or state and "interrupted: processes were told to stop"
      or "interrupted: all processes have finished",
  }, "caller")
end

return interrupts
