--- Hooks as tasks: how a process of sk.async.Skprocess runs its sections.
--
-- The process has a loop of its own, which turns while a section runs. Tasks
-- that a hook leaves behind go on in the sections after it, and are cancelled
-- after the last one.
-- @module suitkaise.processing.tasks

local cells = require "suitkaise.async.cells"
local combine = require "suitkaise.async.combine"
local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local loop = require "suitkaise.async.loop"
local Task = require "suitkaise.async.task"

local tasks = {}

local SLICE_SECONDS = 0.5 -- how often a waiting child looks for its parent

--- What is raised in a section that its limit has ended.
tasks.LATE = setmetatable({}, { __tostring = function() return "late" end })

local function late()
  error(tasks.LATE, 0)
end

-- Turn the loop until the task has ended.
local function drive(task)
  while not task:done() do
    if not loop.turn_once() and not task:done() and not loop.has_ready() then
      errors.raise("Error", "the hook waits for something that nobody will do",
                   0)
    end
  end
end

--- Run a hook to its end, or cancel it at its deadline.
-- @tparam function hook
-- @param object its argument
-- @tparam ?number deadline of core.now
-- @tparam function described(err, traceback): what to raise for an error
-- @return what the hook returns
function tasks.call(hook, object, deadline, described)
  local main = hook
  if deadline then
    main = function()
      return combine.limited("section", math.max(deadline - core.now(), 0),
                             late, hook, object)
    end
  end
  local task = Task.spawn("section", main, object)
  task.is_watched = true
  drive(task)
  if task.failed then error(described(task.err, task.traceback), 0) end
  return Task.outcome(task)
end

--- After the last section: cancel what is left and wait for its end.
function tasks.finish()
  local left = loop.live()
  for _, task in ipairs(left) do loop.cancel(task) end
  for _, task in ipairs(left) do
    while not task:done() and (loop.turn_once() or loop.has_ready()) do end
  end
  Task.report_failures()
end

-- What the process is told, for suitkaise.async.cells.
local told = {}

function told.look(channel)
  return channel:unread() > 0 or channel:stopping()
end

function told.listen(channel)
  return channel:hear()
end

--- Sleep until the process is told something or is to stop, for so many
-- seconds at most.
-- @param channel
-- @tparam number seconds
function tasks.hear(channel, seconds)
  local task = loop.enter "listen"
  if told.look(channel) then return end
  local slice = math.min(seconds, SLICE_SECONDS)
  if cells.hear(task, slice, told, channel) then loop.deliver(task) end
end

return tasks
