--- Waiters: the one point where the blocking and the async face of something
-- differ. The logic is written once and waits through one of these:
--
-- * `waiter.events(source, how, seconds, goal)`: until there is a message in
--   one of `source.links` or one of `source.processes` has ended; true, or
--   false when `seconds` have passed. `how` is "lazy" or "eager" (see
--   core.wait). Where several share a source, `goal:has_news()` says whether
--   the caller has what it wants.
-- * `waiter.cell(raw, cell, seconds)`: until a shared value has reached its
--   goal; is it there?
-- * `waiter.sleep(seconds)`; `waiter.pause(moment)`: until that time of
--   core.now
-- * `waiter.pass()`: let others run, if there are others, in the midst of work
-- * `waiter.pcall(fn, ...)`: a protected call in which one can wait
--
-- `blocking` parks the process. `yielding` lets the other tasks of the loop
-- run until libuv says that there is something, or the time is up; it raises
-- a CancelledError when the task is cancelled. `wait.here()` is the one for
-- the place of the call: in a task `yielding`, elsewhere `blocking`.
-- @module suitkaise.async.wait

local core = require "suitkaise.core"

local wait = {}

-- ---- park the process ----

wait.blocking = { name = "blocking", pcall = pcall }

function wait.blocking.events(source, how, seconds)
  return core.wait(source.links, source.processes, how, seconds)
end

function wait.blocking.cell(raw, cell, seconds)
  return raw.wait(cell, seconds)
end

function wait.blocking.sleep(seconds)
  core.wait({}, {}, "eager", seconds)
end

wait.blocking.pause = require "suitkaise.skfunction.pause"

function wait.blocking.pass() end

-- ---- yield the task ----

-- Loaded by the first who wants to yield: it needs luv.
local function make_yielding()
  local async = require "suitkaise.async"
  local hub = require "suitkaise.async.hub"
  local cells = require "suitkaise.async.cells"
  local loop = require "suitkaise.async.loop"
  return {
    name = "yielding", pcall = async.pcall, events = hub.wait,
    cell = cells.wait, sleep = async.sleep, pass = loop.pass,
    pause = function(moment)
      local left = moment - core.now()
      if left > 0 then async.sleep(left) end
    end,
  }
end

-- Lua 5.1 cannot yield in the iterator of a `for`: loops block there.
wait.can_yield_in_loops = _VERSION ~= "Lua 5.1"
  or rawget(_G, "jit") ~= nil

--- The waiter that yields.
function wait.yielding()
  wait.yielder = wait.yielder or make_yielding()
  return wait.yielder
end

--- The waiter that yields, for what is made before anybody waits: luv is
-- loaded by the first wait.
wait.asynced = setmetatable({ name = "yielding" }, {
  __index = function(self, key)
    self[key] = wait.yielding()[key]
    return rawget(self, key)
  end,
})

--- The waiter for where this is called: blocking outside of tasks.
function wait.here()
  local loop = package.loaded["suitkaise.async.loop"]
  if loop and loop.current() then return wait.yielding() end
  return wait.blocking
end

--- A source has changed: wake tasks that wait for it and have what they want.
function wait.share_news(source)
  local list = source.sleepers
  if list and list.n > 0 then
    require "suitkaise.async.hub".share_news(source)
  end
end

--- What a source waits for is about to change, or to end.
function wait.close(source)
  if source.watch then require "suitkaise.async.hub".close(source) end
end

--- There is nothing to wait for in a source any more.
function wait.finish(source)
  wait.close(source)
  local list = source.sleepers
  if list then
    list:empty(require "suitkaise.async.loop".wake, true)
  end
end

return wait
