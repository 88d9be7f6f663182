--- Future: a result that comes later, from whatever makes it.
--
-- A future is fed by its source, a table of three functions: `poll(source,
-- future, waiter)` looks, and calls `future:resolve(...)` or
-- `future:reject(err)` when there is an outcome; `wait(source, seconds)`
-- sleeps until a look may be worth it, in the way of the waiter that it gets
-- third; `cancel(source)` ends the work.
-- @classmod suitkaise.future

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local views = require "suitkaise.views"
local waiters = require "suitkaise.async.wait"

local Future = { __name = "Future" }
Future.__index = Future

local SLICE_SECONDS = 0.5 -- longest sleep: a lost wake-up costs no more

errors.define("CancelledError", "Error")

--- Make a future.
-- @tparam table source see above
-- @treturn Future
-- @local
function Future.new(source)
  return setmetatable({
    _source = source, _state = "pending", _callbacks = {},
    _generation = core.generation(),
  }, Future)
end

-- ---- what a source does ----

-- Every callback is called; the first of their errors goes to whoever looked.
local function settle(self, state)
  local callbacks = self._callbacks
  self._state, self._source, self._callbacks = state, nil, {}
  local failure
  for _, fn in ipairs(callbacks) do
    local ok, err = pcall(fn, self)
    if not ok and not failure then failure = { err } end
  end
  if failure then error(failure[1], 0) end
end

--- The source has the results.
-- @param ... what `result` will return
-- @local
function Future:resolve(...)
  self._values = { n = select("#", ...), ... }
  settle(self, "done")
end

--- The source has an error.
-- @param err what `result` will raise
-- @local
function Future:reject(err)
  self._error = { err }
  settle(self, "failed")
end

-- ---- what its user does ----

local function check(self, name)
  if getmetatable(self) ~= Future then
    errors.argument("Future:" .. name, "self", self,
                    "a Future (call it with a colon)", "caller")
  end
  if self._state == "pending" and self._generation ~= core.generation() then
    errors.raise("ClosedError", {
      message = "Future:" .. name .. ": it belongs to the process that made "
        .. "it, before that forked this one",
    }, "caller")
  end
end

local function look(self, waiter)
  if self._state == "pending" then
    self._source.poll(self._source, self, waiter or waiters.blocking)
  end
  return self._state ~= "pending"
end

--- Is there an outcome, of whatever kind? Never waits.
-- @treturn boolean
-- @usage if future:done() then print(future:result()) end
function Future:done()
  check(self, "done")
  return look(self)
end

local unpack = rawget(_G, "unpack") or table.unpack

local function outcome(self)
  if self._state == "done" then
    return unpack(self._values, 1, self._values.n)
  end
  errors.reraise(self._error[1])
end

local function late(timeout)
  errors.raise("ResultTimeoutError", {
    message = string.format("Future:result: no result within %g s", timeout),
    timeout = timeout,
  }, "caller")
end

--- Wait in the way of a waiter, see suitkaise.async.wait.
-- @local
function Future:wait(waiter, timeout)
  check(self, "result")
  if timeout ~= nil and not views.is_seconds(timeout) then
    errors.argument("Future:result", "timeout", timeout,
                    "a number of seconds of at least 0", "caller")
  end
  local deadline = core.now() + (timeout or math.huge)
  while not look(self, waiter) do
    local left = deadline - core.now()
    if left <= 0 then late(timeout) end
    self._source.wait(self._source, math.min(left, SLICE_SECONDS), waiter)
  end
  return outcome(self)
end

--- Wait for the outcome.
-- @tparam[opt] number timeout seconds; nil waits for ever, 0 only looks
-- @return what the function returned
-- @raise its error; CancelledError after `cancel`; ResultTimeoutError when the
--   time ran out: the work goes on, and may be asked for again
-- @usage local future = pool:background():map(fn, items)
-- local results = future:result(10)
function Future:result(timeout)
  return Future.wait(self, waiters.blocking, timeout)
end

--- The same in a task of sk.async: others run meanwhile. When the task is
-- cancelled the work goes on.
-- @tparam[opt] number timeout see @{result}
-- @return see @{result}
-- @raise see @{result}; CancelledError
-- @usage sk.async.run(function() print(future:await(10)) end)
function Future:await(timeout)
  return Future.wait(self, waiters.asynced, timeout)
end

local view = views.over("Future view", { result = Future.await })

--- Yield the running task instead of blocking: `f:asynced():result(timeout)`
-- is `f:await(timeout)`.
-- @treturn Future a view
-- @usage local results = future:asynced():result(10)
function Future:asynced()
  check(self, "asynced")
  return view(self)
end

--- End the work, whatever it is doing.
-- @treturn boolean false when there was an outcome already
-- @usage if not future:cancel() then print(future:result()) end
function Future:cancel()
  check(self, "cancel")
  if look(self) then return false end
  self._source.cancel(self._source)
  self._error = { errors.new("CancelledError", {
    message = "the work was cancelled",
  }) }
  settle(self, "cancelled")
  return true
end

--- Call `fn(future)` once there is an outcome: at once when it is there,
-- else from the first `done`, `result` or `cancel` that finds it.
-- @tparam function fn
-- @treturn Future itself
-- @usage future:on_done(function(f) print(pcall(f.result, f)) end)
function Future:on_done(fn)
  check(self, "on_done")
  local meta = getmetatable(fn)
  if type(fn) ~= "function" and not (type(meta) == "table" and meta.__call)
  then
    errors.argument("Future:on_done", "fn", fn, "a function", "caller")
  end
  if look(self) then
    fn(self)
  else
    self._callbacks[#self._callbacks + 1] = fn
  end
  return self
end

function Future:__tostring()
  return "Future: " .. self._state
end

function Future.__serialize()
  errors.raise("SerializationError", {
    message = "a Future belongs to the process that waits for it",
  }, "caller")
end

-- A signal ends a sleep; its hook runs in interpreted code only.
if rawget(_G, "jit") then jit.off(Future.wait) end

return Future
