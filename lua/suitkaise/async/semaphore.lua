--- Semaphore and Lock: permits, handed from one task to the next in the order
-- in which they asked. A permit that was handed over is the task's own, also
-- when the task is cancelled before it runs: the cancellation waits.
-- `async.Semaphore(n)` has n permits, `async.Lock()` has one; a Lock is not
-- recursive.
-- @classmod suitkaise.async.semaphore
-- @usage local slots = sk.async.Semaphore(10)
-- local function fetch_politely(url)
--   slots:acquire()
--   local ok, page = sk.async.pcall(fetch, url)
--   slots:release()
--   return ok and page or nil
-- end

local errors = require "suitkaise.errors"
local loop = require "suitkaise.async.loop"
local Task = require "suitkaise.async.task"
local Waiters = require "suitkaise.async.waiters"

local Semaphore = { __name = "Semaphore" }
Semaphore.__index = Semaphore

local Lock = { __name = "Lock" }
Lock.__index = Lock

local function new(class, n)
  return setmetatable({ free = n, max = n, waiting = Waiters.new() }, class)
end

local function check_self(self, class, method)
  if getmetatable(self) ~= class then
    errors.argument(class.__name .. ":" .. method, "self", self,
                    "a " .. class.__name .. " (call it with a colon)",
                    "caller")
  end
end

-- Without a free permit there is always a wait, even of no time at all.
local function acquire(self, name, timeout)
  local deadline = Task.deadline(name, timeout)
  if self.free > 0 then
    self.free = self.free - 1
    return true
  end
  if timeout == 0 then return false end
  local task = loop.enter(name)
  return loop.park_in(task, self.waiting, deadline) ~= loop.TIMEOUT
end

local function release(self)
  local task = self.waiting:pop()
  if task then loop.wake(task, true)
  else self.free = self.free + 1 end
end

--- Take a permit; wait for one if there is none.
-- @function Semaphore:acquire
-- @tparam[opt] number timeout seconds
-- @treturn boolean false when the time ran out
-- @usage if slots:acquire(5) then work() slots:release() end
function Semaphore:acquire(timeout)
  check_self(self, Semaphore, "acquire")
  return acquire(self, "Semaphore:acquire", timeout)
end

--- Give a permit back. Anybody may, a callback of luv too.
-- @function Semaphore:release
-- @raise Error when none was taken
-- @usage slots:release()
function Semaphore:release()
  check_self(self, Semaphore, "release")
  if self.free >= self.max then
    errors.raise("Error", "Semaphore:release: nothing was acquired",
                 "caller")
  end
  release(self)
end

--- Take the lock; wait while somebody has it.
-- @function Lock:acquire
-- @tparam[opt] number timeout seconds
-- @treturn boolean false when the time ran out
-- @usage local lock = sk.async.Lock()
-- lock:acquire()
function Lock:acquire(timeout)
  check_self(self, Lock, "acquire")
  return acquire(self, "Lock:acquire", timeout)
end

--- Give it back.
-- @function Lock:release
-- @raise Error when nobody has it
-- @usage lock:release()
function Lock:release()
  check_self(self, Lock, "release")
  if self.free > 0 then
    errors.raise("Error", "Lock:release: nobody has the lock", "caller")
  end
  release(self)
end

--- Has somebody got it?
-- @function Lock:is_locked
-- @treturn boolean
-- @usage print(lock:is_locked())
function Lock:is_locked()
  check_self(self, Lock, "is_locked")
  return self.free == 0
end

-- Take it whatever happens, for Condition: not ended by a cancellation.
function Lock.retake(self, task)
  if self.free > 0 then
    self.free = 0
    return
  end
  local before = task.shield
  task.shield = true
  loop.park_raw_in(task, self.waiting)
  task.shield = before
end

return {
  Semaphore = setmetatable(Semaphore, {
    __call = function(_, n)
      if type(n) ~= "number" or n < 1 or n % 1 ~= 0 then
        errors.argument("Semaphore", "n", n,
                        "a whole number of at least 1", "caller")
      end
      return new(Semaphore, n)
    end,
  }),
  Lock = setmetatable(Lock, { __call = function() return new(Lock, 1) end }),
}
