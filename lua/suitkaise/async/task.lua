--- A task: a coroutine that can wait, and a Future of what it returns.
-- @classmod suitkaise.async.task
-- @usage local task = sk.async.spawn(fetch, url)
-- local page = task:await(5)

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local loop = require "suitkaise.async.loop"
local on_collect = require "suitkaise.on_collect"
local Waiters = require "suitkaise.async.waiters"

local unpack = table.unpack or rawget(_G, "unpack")

local Task = { __name = "Task" }
Task.__index = Task

local function is_callable(fn)
  local meta = getmetatable(fn)
  return type(fn) == "function"
    or type(meta) == "table" and type(meta.__call) == "function"
end

Task.is_callable = is_callable

local function check_task(self, name)
  if getmetatable(self) ~= Task then
    errors.argument("Task:" .. name, "self", self,
                    "a task (call it with a colon)", "caller")
  end
end

-- A function that calls what can be called.
local function function_of(name, callable)
  if not is_callable(callable) then
    errors.argument(name, "fn", callable, "a function", "caller")
  end
  return function(...) return callable(...) end
end

--- Make a task that runs fn(...) soon.
-- @local
function Task.spawn(name, fn, ...)
  if type(fn) ~= "function" then fn = function_of(name, fn) end
  return loop.spawn(Task, fn, select("#", ...), ...)
end

--- Seconds of core.now at which a wait of `timeout` ends; nil for never.
-- @local
function Task.deadline(name, timeout)
  if timeout == nil then return nil end
  if type(timeout) ~= "number" or not (timeout >= 0) then
    errors.argument(name, "timeout", timeout,
                    "a number of seconds of at least 0 or nil", "caller")
  end
  if timeout == math.huge then return nil end
  return core.now() + timeout
end

-- ---- failures that nobody has asked for ----

-- Kept until somebody asks; reported when the task is collected before.
local failures = {}

local function tell(failure)
  failures[failure] = nil
  local handler = Task.on_unhandled
  if handler then
    local ok, err = pcall(handler, failure.err, failure.traceback)
    if ok then return end
    loop.report(err, "in the handler of unhandled errors")
  end
  loop.report(failure.err, "in a task that nobody waits for",
              failure.traceback)
end

local function sentinel(failure)
  return on_collect(function()
    if failures[failure] and failure.generation == core.generation() then
      tell(failure)
    end
  end)
end

function loop.on_failure(task)
  local interrupt = package.loaded["suitkaise.skfunction.interrupt"]
  if interrupt and interrupt.is_pending(task.err) then return end
  local failure = {
    err = task.err, traceback = task.traceback,
    generation = core.generation(),
  }
  failures[failure] = true
  task.failure, task.sentinel = failure, sentinel(failure)
end

--- Report the failures that nobody has asked for.
-- @local
function Task.report_failures()
  local failure = next(failures)
  while failure do -- a handler may cause more of them
    if failure.generation == core.generation() then tell(failure)
    else failures[failure] = nil end
    failure = next(failures)
  end
end

-- ---- outcome ----

--- The results of a task that has ended, or its error raised.
-- @local
function Task.outcome(task)
  if task.failed then
    if task.failure then
      failures[task.failure] = nil
      task.failure, task.sentinel = nil, nil
    end
    error(task.err, 0)
  end
  local results = task.results
  if results then return unpack(results, 1, results.n) end
end
local outcome = Task.outcome

local function late(name, timeout)
  errors.raise("ResultTimeoutError", {
    message = string.format("%s: no result within %g s", name, timeout),
    timeout = timeout,
  }, "caller")
end

local function wait_for(task, name, timeout)
  local me = loop.enter(name)
  if me == task then
    errors.raise("Error", name .. ": a task cannot wait for itself", "caller")
  end
  local deadline = Task.deadline(name, timeout)
  if timeout == 0 then late(name, timeout) end
  task.waiters = task.waiters or Waiters.new()
  if loop.park_in(me, task.waiters, deadline) == loop.TIMEOUT then
    late(name, timeout)
  end
end

--- Wait for its end.
-- @tparam[opt] number timeout seconds; nil waits for ever, 0 only looks
-- @return what the task's function returned
-- @raise its error, unchanged; ResultTimeoutError; CancelledError when the
--   task was cancelled, or the one that waits
-- @usage local page = task:await(5)
function Task:await(timeout)
  check_task(self, "await")
  if self.state ~= "done" then wait_for(self, "Task:await", timeout) end
  return outcome(self)
end

-- Outside of tasks: turn the loop until it has ended.
local function drive(task, timeout)
  if loop.is_turning() then
    errors.raise("Error", "Task:result: the loop that would run the task is "
      .. "the one that calls this", "caller")
  end
  local deadline = Task.deadline("Task:result", timeout)
  local uv = loop.uv()
  local timer
  if deadline then
    timer = uv.new_timer()
    timer:start(loop.milliseconds(timeout * 1000), 0, function() end)
  end
  while task.state ~= "done" and (not deadline or core.now() < deadline) do
    if not loop.turn_once() and task.state ~= "done"
       and not loop.has_ready() and not deadline then
      break
    end
  end
  if timer then timer:close() end
end

--- The same, and outside of tasks too: there it turns the loop meanwhile.
-- @tparam[opt] number timeout see @{await}
-- @return see @{await}
-- @raise see @{await}
-- @usage local task = sk.async.spawn(fetch, url)
-- print(task:result())
function Task:result(timeout)
  check_task(self, "result")
  if self.state == "done" then return outcome(self) end
  if loop.current() then return self:await(timeout) end
  drive(self, timeout)
  if self.state == "done" then return outcome(self) end
  if timeout then late("Task:result", timeout) end
  errors.raise("Error", "Task:result: the task waits for something that "
    .. "nobody will do", "caller")
end

--- Has it ended?
-- @treturn boolean
-- @usage while not task:done() do sk.async.step(0.002) end
function Task:done()
  check_task(self, "done")
  return self.state == "done"
end

--- Raise a CancelledError in it, where it waits or at its next wait. It may
-- catch that to clean up, and wait while it does; after a second every
-- further wait raises, and one that goes on regardless is left lying.
-- @treturn boolean false when it had ended
-- @usage task:cancel()
function Task:cancel()
  check_task(self, "cancel")
  return loop.cancel(self)
end

--- Call a function when it has ended; at once when it has.
-- @tparam function fn gets the task
-- @treturn Task itself
-- @usage task:on_done(function(t) print(pcall(t.result, t)) end)
function Task:on_done(fn)
  check_task(self, "on_done")
  if not is_callable(fn) then
    errors.argument("Task:on_done", "fn", fn, "a function", "caller")
  end
  if self.state == "done" then
    fn(self)
  else
    loop.watch(self, function()
      loop.doubt(self) -- unless fn asks
      local ok, err = pcall(fn, self)
      if not ok then loop.report(err, "in a function given to on_done") end
    end)
  end
  return self
end

function Task:__tostring()
  return "Task: " .. (self.failed and "failed" or self.state)
end

--- A task is bound to its process.
-- @local
function Task.__serialize()
  errors.raise("SerializationError", "a task cannot leave its process", 0)
end

return Task
