--- Event and Condition: waits for something that another task says.
-- `async.Event()` is not set at first; `async.Condition(lock)` makes a Lock of
-- its own if it is given none.
-- @classmod suitkaise.async.event
-- @usage local ready = sk.async.Event()
-- sk.async.spawn(function() connect() ready:set() end)
-- ready:wait()

local errors = require "suitkaise.errors"
local loop = require "suitkaise.async.loop"
local Task = require "suitkaise.async.task"
local Waiters = require "suitkaise.async.waiters"
local Lock = require "suitkaise.async.semaphore".Lock

local Event = { __name = "Event" }
Event.__index = Event

local Condition = { __name = "Condition" }
Condition.__index = Condition

local function check_self(self, class, method)
  if getmetatable(self) ~= class then
    errors.argument(class.__name .. ":" .. method, "self", self,
                    (class == Event and "an " or "a ") .. class.__name
                      .. " (call it with a colon)",
                    "caller")
  end
end

-- ---- Event ----

--- Set it: whoever waits goes on, and nobody waits until it is cleared.
-- @function Event:set
-- @usage ready:set()
function Event:set()
  check_self(self, Event, "set")
  self._is_set = true
  self.waiting:empty(loop.wake, true)
end

--- Let tasks wait again.
-- @function Event:clear
-- @usage ready:clear()
function Event:clear()
  check_self(self, Event, "clear")
  self._is_set = false
end

--- Is it set? Never waits.
-- @function Event:is_set
-- @treturn boolean
-- @usage print(ready:is_set())
function Event:is_set()
  check_self(self, Event, "is_set")
  return self._is_set
end

--- Wait until it is set.
-- @function Event:wait
-- @tparam[opt] number timeout seconds
-- @treturn boolean false when the time ran out
-- @usage if not ready:wait(5) then print "still not" end
function Event:wait(timeout)
  check_self(self, Event, "wait")
  local deadline = Task.deadline("Event:wait", timeout)
  if self._is_set then return true end
  if timeout == 0 then return false end
  local task = loop.enter "Event:wait"
  return loop.park_in(task, self.waiting, deadline) ~= loop.TIMEOUT
end

-- ---- Condition ----

--- Take the lock of the condition.
-- @function Condition:acquire
-- @tparam[opt] number timeout seconds
-- @treturn boolean false when the time ran out
-- @usage local changed = sk.async.Condition()
-- changed:acquire()
function Condition:acquire(timeout)
  check_self(self, Condition, "acquire")
  return self.lock:acquire(timeout)
end

--- Give the lock back.
-- @function Condition:release
-- @usage changed:release()
function Condition:release()
  check_self(self, Condition, "release")
  self.lock:release()
end

local function check_locked(self, method)
  check_self(self, Condition, method)
  if not self.lock:is_locked() then
    errors.raise("Error", "Condition:" .. method
      .. ": acquire the condition first", "caller")
  end
end

--- Give the lock back, wait until somebody notifies, take the lock again:
-- also when the wait ends by a timeout or a cancellation.
-- @function Condition:wait
-- @tparam[opt] number timeout seconds
-- @treturn boolean false when the time ran out
-- @raise Error when nobody has the lock
-- @usage while #jobs == 0 do changed:wait() end
function Condition:wait(timeout)
  check_locked(self, "wait")
  local deadline = Task.deadline("Condition:wait", timeout)
  if timeout == 0 then return false end
  local task = loop.enter "Condition:wait"
  self.lock:release()
  local value = loop.park_raw_in(task, self.waiting, deadline)
  Lock.retake(self.lock, task)
  if value == loop.CANCEL then loop.deliver(task) end
  return value ~= loop.TIMEOUT
end

--- Wake `n` of those who wait, those that came first.
-- @function Condition:notify
-- @tparam[opt=1] int n
-- @raise Error when nobody has the lock
-- @usage changed:notify()
function Condition:notify(n)
  check_locked(self, "notify")
  if n ~= nil and (type(n) ~= "number" or n < 0 or n % 1 ~= 0) then
    errors.argument("Condition:notify", "n", n,
                    "a whole number of at least 0 or nil", "caller")
  end
  for _ = 1, n or 1 do
    local task = self.waiting:pop()
    if not task then return end
    loop.wake(task, true)
  end
end

--- Wake all who wait.
-- @function Condition:notify_all
-- @raise Error when nobody has the lock
-- @usage changed:notify_all()
function Condition:notify_all()
  check_locked(self, "notify_all")
  self:notify(self.waiting.n)
end

local function new_condition(_, lock)
  if lock ~= nil and getmetatable(lock) ~= Lock then
    errors.argument("Condition", "lock", lock, "a Lock or nil", "caller")
  end
  return setmetatable({ lock = lock or Lock(), waiting = Waiters.new() },
                      Condition)
end

return {
  Event = setmetatable(Event, {
    __call = function()
      return setmetatable({ _is_set = false, waiting = Waiters.new() },
                          Event)
    end,
  }),
  Condition = setmetatable(Condition, { __call = new_condition }),
}
