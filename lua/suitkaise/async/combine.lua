-- Several tasks as one: gather, race, with_timeout, as_completed. What they
-- start or are given ends before they return.

local errors = require "suitkaise.errors"
local loop = require "suitkaise.async.loop"
local Task = require "suitkaise.async.task"
local Waiters = require "suitkaise.async.waiters"

local unpack = table.unpack or rawget(_G, "unpack")

local combine = {}

-- ---- a group: tasks that one task waits for ----

local function note_end(group, task)
  group.first = group.first or task
  if task.failed then group.failed = group.failed or task end
end

local function new_group(me, tasks)
  local group = { me = me, tasks = tasks, left = 0, list = Waiters.new() }
  local function ended(task)
    group.left = group.left - 1
    note_end(group, task)
    if me.list == group.list and group:is_over() then loop.wake(me, true) end
  end
  for i = 1, #tasks do
    local task = tasks[i]
    if task.state == "done" then
      note_end(group, task)
    else
      group.left = group.left + 1
      loop.watch(task, ended)
    end
  end
  return group
end

local function all_ended(group)
  return group.left == 0
end

-- Cancel the tasks and wait until all have ended, whoever cancels us.
local function end_all(group)
  for i = 1, #group.tasks do loop.cancel(group.tasks[i]) end
  group.is_over = all_ended
  if all_ended(group) then return end
  local me, before = group.me, group.me.shield
  me.shield = true
  loop.park_raw_in(me, group.list)
  me.shield = before
end

--- Cancel tasks and, in a task, wait until they have ended.
function combine.end_tasks(tasks)
  if not tasks[1] then return end
  local me = loop.current()
  if me then return end_all(new_group(me, tasks)) end
  for i = 1, #tasks do loop.cancel(tasks[i]) end
end

-- Wait until `is_over(group)`: false when the time is up. A cancellation of
-- this task ends the others first.
local function wait_until(group, is_over, deadline)
  group.is_over = is_over
  if is_over(group) then return true end
  local value = loop.park_raw_in(group.me, group.list, deadline)
  if value == loop.CANCEL then
    end_all(group)
    loop.deliver(group.me)
  end
  return value ~= loop.TIMEOUT
end

-- Tasks from arguments: tasks and functions, or one array of them.
local function tasks_of(name, ...)
  local given, n, is_array = { ... }, select("#", ...), false
  if type(given[1]) == "table" and getmetatable(given[1]) == nil then
    given, is_array = given[1], true
    n = given.n or #given
  end
  local me = loop.current()
  for i = 1, n do -- before any function of them becomes a task
    local task = given[i]
    if type(task) ~= "function" and getmetatable(task) ~= Task then
      errors.argument(name, i, task, "a task or a function", "caller")
    elseif task == me and me then
      errors.raise("Error", name .. ": a task cannot wait for itself",
                   "caller")
    end
  end
  local tasks = {}
  for i = 1, n do
    local task = given[i]
    if type(task) == "function" then task = Task.spawn(name, task) end
    tasks[i] = task
  end
  return tasks, is_array
end

local function all_ended_or_one_failed(group)
  return group.left == 0 or group.failed ~= nil
end

--- The first result of each task.
function combine.gather(...)
  local me = loop.enter "async.gather"
  local tasks, is_array = tasks_of("async.gather", ...)
  local group = new_group(me, tasks)
  wait_until(group, all_ended_or_one_failed)
  if group.failed then
    end_all(group)
    return Task.outcome(group.failed)
  end
  local results = { n = #tasks }
  for i = 1, #tasks do results[i] = (Task.outcome(tasks[i])) end
  if is_array then return results end
  return unpack(results, 1, #tasks)
end

local function one_ended(group)
  return group.first ~= nil
end

--- What the task that ends first returns or raises; the others are
-- cancelled.
function combine.race(...)
  local me = loop.enter "async.race"
  local tasks = tasks_of("async.race", ...)
  if not tasks[1] then
    errors.argument("async.race", 1, nil, "a task or a function", "caller")
  end
  local group = new_group(me, tasks)
  wait_until(group, one_ended)
  end_all(group)
  return Task.outcome(group.first)
end

--- fn(...), for so many seconds at most: then it is cancelled, and
-- late(seconds, err) raises; `err`, if any, is what it made of that.
function combine.limited(name, seconds, late, fn, ...)
  local me = loop.enter(name)
  local deadline = Task.deadline(name, seconds)
  local child = Task.spawn(name, fn, ...)
  local group = new_group(me, { child })
  if not wait_until(group, all_ended, deadline) then
    end_all(group)
    if child.failed then
      local err = child.err
      late(seconds, not errors.is(err, "CancelledError") and err or nil)
    end
  end
  return Task.outcome(child)
end

local function time_is_up(seconds, err)
  errors.raise("ResultTimeoutError", {
    message = string.format("async.with_timeout: not done within %g s",
                            seconds),
    timeout = seconds, original_error = err,
  }, "caller")
end

--- fn(...), for so many seconds at most.
function combine.with_timeout(seconds, fn, ...)
  return combine.limited("async.with_timeout", seconds, time_is_up, fn, ...)
end

--- An iterator over the tasks in the order in which they end.
function combine.as_completed(...)
  local tasks = tasks_of("async.as_completed", ...)
  local ended, taken, waiting = {}, 0, Waiters.new()
  local function note(task)
    loop.doubt(task)
    ended[#ended + 1] = task
    local waiter = waiting:pop()
    if waiter then loop.wake(waiter, true) end
  end
  for i = 1, #tasks do
    if tasks[i].state == "done" then ended[#ended + 1] = tasks[i]
    else loop.watch(tasks[i], note) end
  end
  return function()
    while taken == #ended do
      if taken == #tasks then return nil end
      loop.park_in(loop.enter "async.as_completed", waiting)
    end
    taken = taken + 1
    return ended[taken]
  end
end

return combine
