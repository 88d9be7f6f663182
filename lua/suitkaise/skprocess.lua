--- Skprocess: a process with a life cycle.
--
-- A class below Skprocess says what its process does in its hooks:
-- `__prerun__`, `__run__`, `__postrun__` again and again, then `__onfinish__`
-- and `__result__`; `__error__` when it is out of lives.
-- @classmod suitkaise.skprocess
-- @usage local Count = sk.Skprocess:extend "Count"
-- function Count:init(n) self.n, self.config.runs = 0, n end
-- function Count:__run__() self.n = self.n + 1 end
-- function Count:__result__() return self.n end
-- assert(Count(5):run() == 5)

local class = require "suitkaise.class"
local errors = require "suitkaise.errors"
local fields = require "suitkaise.processing.fields"
local owner = require "suitkaise.processing.owner"
local View = require "suitkaise.processing.view"
local views = require "suitkaise.views"
local waiters = require "suitkaise.async.wait"

local Skprocess = class "Skprocess"

-- ---- the state behind an object ----

-- Not fields: those are the user's.
local states = setmetatable({}, { __mode = "k" })

local function state_of(object, name)
  local state = states[object]
  if state then return state end
  if type(object) ~= "table" or not errors.is(object, Skprocess) then
    errors.argument("Skprocess:" .. (name or "?"), "self", object,
                    "an Skprocess (call it with a colon)", "caller")
  end
  state = {
    name = getmetatable(object).__name, api = owner, phase = "new",
    first = 1, last = 0, synced = 0, is_async = object._is_async,
    object = setmetatable({ object }, { __mode = "v" }),
  }
  states[object] = state
  return state
end

local function check_timeout(state, name, timeout)
  if timeout == nil then return end
  if not views.is_seconds(timeout) then
    errors.argument(state.name .. ":" .. name, "timeout", timeout,
                    "a number of seconds of at least 0", "caller")
  end
end

-- How a method waits: as told, or as objects of its class do.
local function waiter_of(state, waiter)
  if waiter then return waiter end
  return state.is_async and waiters.here() or waiters.blocking
end

-- ---- computed fields ----

local computed = {}

function computed.config(object)
  local config = { timeouts = {} }
  rawset(object, "config", config)
  return config
end

local function from_api(name)
  return function(object)
    local state = state_of(object)
    return state.api[name](state)
  end
end

computed.pid = from_api "pid"
computed.is_alive = from_api "is_alive"
computed.error = from_api "error_of"
computed.current_run = from_api "current_run"
computed.timers = from_api "timers"

local function index(object, key)
  local value = Skprocess[key]
  if value ~= nil then return value end
  local compute = computed[key]
  -- a class itself has none of them
  if compute and getmetatable(object).__call ~= class.construct then
    return compute(object)
  end
  return nil
end

Skprocess.__index = index

-- ---- life ----

--- Start it. Its fields are copied with the process; what either side changes
-- afterwards the other does not see, unless it is synced or told.
-- @raise ProcessError when the system has no more processes or memory;
--   ArgumentError about `config`; Error when it runs already
-- @usage local p = Count(5)
-- p:start()
function Skprocess:start()
  local state = state_of(self, "start")
  state.api.start(self, state)
end

--- Wait for its end.
-- @tparam[opt] number timeout seconds
-- @param[opt] waiter the library's own, of tasks
-- @treturn boolean false when the time ran out
-- @raise Interrupted
-- @usage if not p:wait(10) then p:kill() end
function Skprocess:wait(timeout, waiter)
  local state = state_of(self, "wait")
  check_timeout(state, "wait", timeout)
  return (state.api.wait(state, timeout, waiter_of(state, waiter)))
end

--- Wait for its end and get its result.
-- @tparam[opt] number timeout seconds
-- @param[opt] waiter the library's own, of tasks
-- @return what `__result__` returned
-- @raise ProcessError (`current_run`, `original_error`, `traceback`, `pid`)
--   or one of its classes; ResultTimeoutError; Interrupted
-- @usage print(p:result())
function Skprocess:result(timeout, waiter)
  local state = state_of(self, "result")
  check_timeout(state, "result", timeout)
  return (state.api.result(state, timeout, waiter_of(state, waiter)))
end

--- Start it, wait for its end, get its result.
-- @return what `__result__` returned
-- @raise see @{start} and @{result}
-- @usage print(Count(5):run()) --> 5
function Skprocess:run()
  self:start()
  return (self:result())
end

--- Let it come to its end: it finishes the section that it is in, then
-- `__onfinish__` and `__result__`. From either side. Does not wait.
-- @usage p:stop()
-- print(p:result())
function Skprocess:stop()
  local state = state_of(self, "stop")
  state.api.stop(state)
end

--- End it at once, without a result.
-- @usage p:kill()
function Skprocess:kill()
  local state = state_of(self, "kill")
  state.api.kill(state)
end

--- Bring the fields that it synced last (`config.join_in`) into this object.
-- @treturn boolean were there newer ones than last time?
-- @usage p.config.join_in = 5
-- p:start()
-- if p:sync() then print(p.n) end
function Skprocess:sync()
  local state = state_of(self, "sync")
  return (state.api.sync(state))
end

-- ---- talking ----

--- Send any value to the other side. Never waits.
-- @param value
-- @treturn boolean false when the process has ended
-- @raise QueueFullError when `config.max_queued` bytes wait already;
--   SerializationError
-- @usage p:tell{ command = "pause" }
function Skprocess:tell(value)
  local state = states[self] or state_of(self, "tell")
  return (state.api.tell(state, value))
end

--- Get the next value that the other side told.
-- @tparam[opt] number timeout seconds; 0 only looks
-- @param[opt] waiter the library's own, of tasks
-- @return the value; or nil and `"timeout"`, `"closed"` (the process has ended
--   and everything was read) or, in the process, `"stopped"`
-- @usage local value, why = p:listen(5)
function Skprocess:listen(timeout, waiter)
  local state = states[self] or state_of(self, "listen")
  check_timeout(state, "listen", timeout)
  return state.api.listen(state, timeout, waiter_of(state, waiter))
end

-- ---- modifiers ----

View.state_of = state_of

--- Limit how long the verb behind it waits: `run`, `wait`, `result`, `listen`.
-- The process goes on.
-- @tparam number seconds
-- @treturn Skprocess a view of the same object
-- @raise by the verbs: ResultTimeoutError (`timeout`)
-- @usage p:timeout(5):run()
function Skprocess:timeout(seconds)
  if not views.is_seconds(seconds) then
    errors.argument("Skprocess:timeout", "seconds", seconds,
                    "a number of seconds of at least 0", "caller")
  end
  return View.of(self, "timeout", seconds)
end

--- Have the verb behind it return a Future at once: `run`, `wait`, `result`,
-- `listen`. To cancel the one of `run` or `result` kills the process.
-- @treturn Skprocess a view of the same object
-- @usage local future = p:background():run()
function Skprocess:background()
  return View.of(self, "background", true)
end

--- Have the verb behind it yield the running task of sk.async instead of
-- blocking: `run`, `wait`, `result`, `listen`. With `background` the Future's
-- `result` does. Cancelling the task leaves the process alone.
-- @treturn Skprocess a view of the same object
-- @usage p:asynced():run()
function Skprocess:asynced()
  return View.of(self, "asynced", true)
end

-- ---- as a value ----

Skprocess.__serialize = fields.serialize
Skprocess.__deserialize = fields.deserialize

--- The end of a block that holds it: `local p <close> = Worker()`. Stops it,
-- and kills it when that takes longer than five seconds.
-- @usage local p <close> = Count(5)
function Skprocess:__close()
  local state = state_of(self, "close")
  if state.api.close then state.api.close(state, waiter_of(state)) end
end

function Skprocess:__tostring()
  local state = state_of(self)
  return ("%s: %s"):format(state.name, state.phase)
end

return Skprocess
