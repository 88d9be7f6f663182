--- An Skprocess with modifiers: `p:timeout(5):background():run()`.
-- @module suitkaise.processing.view

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local Future = require "suitkaise.future"
local views = require "suitkaise.views"
local wait = require "suitkaise.async.wait"

local View = { __name = "Skprocess view" }

--- A view of an object, or of a view, with one thing more said.
function View.of(thing, name, value)
  local object, how = thing, {}
  if getmetatable(thing) == View then
    object, how = rawget(thing, "_object"), rawget(thing, "_how")
  end
  return setmetatable({ _object = object, _how = views.with(how, name, value) },
                      View)
end

-- ---- with a timeout ----

local function late(object, name, timeout)
  errors.raise("ResultTimeoutError", {
    message = ("%s:%s: nothing within %g s"):format(
      getmetatable(object).__name, name, timeout),
    timeout = timeout,
  }, "caller")
end

local timed = {}

function timed.result(object, timeout, waiter)
  return object:result(timeout, waiter)
end

function timed.run(object, timeout, waiter)
  object:start()
  return object:result(timeout, waiter)
end

-- A timeout that the call gave is answered as by the object itself.
function timed.wait(object, timeout, waiter, is_own)
  return object:wait(timeout, waiter)
    or not is_own and late(object, "wait", timeout)
end

function timed.listen(object, timeout, waiter, is_own)
  local value, why = object:listen(timeout, waiter)
  if why == "timeout" and not is_own then late(object, "listen", timeout) end
  return value, why
end

-- ---- in the background: sources of a Future ----

local Source = {}
Source.__index = Source

local function end_of_wait(source, future)
  local state = source.state
  if not state.api.poll(state) then return end
  local outcome = state.outcome
  if source.verb == "wait" then future:resolve(true)
  elseif outcome.error then future:reject(outcome.error)
  else future:resolve(outcome.result) end
end

local function message(source, future)
  local ok, value, why = pcall(source.object.listen, source.object, 0)
  if not ok then future:reject(value)
  elseif why ~= "timeout" then future:resolve(value, why) end
end

function Source:poll(future)
  if self.verb == "listen" then message(self, future)
  else end_of_wait(self, future) end
  if self.deadline and future._state == "pending"
     and core.now() >= self.deadline then
    local _, err = pcall(late, self.object, self.verb, self.timeout)
    future:reject(err)
  end
end

function Source:wait(seconds, waiter)
  local deadline = core.now() + seconds
  if self.deadline then deadline = math.min(deadline, self.deadline) end
  self.state.api.doze(self.state, deadline, self.verb == "listen", waiter)
end

function Source:cancel()
  if self.verb == "run" or self.verb == "result" then self.object:kill() end
end

local function in_background(object, verb, timeout, state)
  if verb == "run" then object:start() end
  if not state.api.doze then
    errors.raise("Error", {
      message = state.name .. ":background: not from within the process itself",
    }, "caller")
  end
  state.api.check_started(state, verb)
  return Future.new(setmetatable({
    object = object, state = state, verb = verb, timeout = timeout,
    deadline = timeout and core.now() + timeout,
  }, Source))
end

-- ---- the view ----

--- Set by the class: state_of(object).
View.state_of = nil

local function verb_of(name)
  return function(view, timeout)
    local object, how = rawget(view, "_object"), rawget(view, "_how")
    local waiter = how.asynced and wait.asynced or nil
    local is_own = how.timeout == nil
    timeout = timeout or how.timeout
    if how.background then
      local future = in_background(object, name, timeout,
                                   View.state_of(object))
      return waiter and future:asynced() or future
    end
    return timed[name](object, timeout, waiter, is_own)
  end
end

local verbs = {}
for name in each(timed) do verbs[name] = verb_of(name) end

-- Everything else is the object's.
function View.__index(view, key)
  local object = rawget(view, "_object")
  local value = verbs[key]
  if value then return value end
  value = object[key]
  if type(value) ~= "function" then return value end
  if key == "timeout" or key == "background" or key == "asynced" then
    return value
  end
  return function(self, ...)
    return value(self == view and object or self, ...)
  end
end

function View.__newindex(view, key, value)
  rawget(view, "_object")[key] = value
end

return View
