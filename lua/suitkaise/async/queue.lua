--- Queue: values from task to task, in order. A value goes straight to the
-- getter that has waited longest; what a cancelled task was not given yet
-- stays in the queue, what it was given it returns from get.
-- `async.Queue(capacity)` holds so many values; without a capacity, any number.
-- @classmod suitkaise.async.queue
-- @usage local jobs = sk.async.Queue(10)
-- sk.async.spawn(function()
--   for _, url in ipairs(urls) do jobs:put(url) end
--   jobs:close()
-- end)
-- for url in function() return jobs:get() end do fetch(url) end

local errors = require "suitkaise.errors"
local loop = require "suitkaise.async.loop"
local Task = require "suitkaise.async.task"
local Waiters = require "suitkaise.async.waiters"

local Queue = { __name = "Queue" }
Queue.__index = Queue

-- What waiters are woken with when it is closed.
local function CLOSED() end

local function check_self(self, method)
  if getmetatable(self) ~= Queue then
    errors.argument("Queue:" .. method, "self", self,
                    "a Queue (call it with a colon)", "caller")
  end
end

local function append(self, value)
  self.last = self.last + 1
  self.values[self.last] = value
end

-- Hand the value to who waits for one, or keep it.
local function accept(self, value)
  local getter = self.getters:pop()
  if getter then loop.wake(getter, value) else append(self, value) end
end

local function take_first(self)
  local first = self.first
  local value = self.values[first]
  self.values[first] = nil
  self.first = first + 1
  if self.first > self.last then self.first, self.last = 1, 0 end
  return value
end

-- There is room for one more: the first who waits to put may.
local function let_in(self)
  local putter = self.putters:pop()
  if not putter then return end
  local value = putter.offer
  putter.offer = nil
  append(self, value)
  loop.wake(putter, true)
end

--- How many values are in it.
-- @function Queue:size
-- @treturn int
-- @usage print(jobs:size())
function Queue:size()
  check_self(self, "size")
  return self.last - self.first + 1
end

--- Put a value in; wait while it is full. Without a capacity it never waits,
-- and callbacks of luv may call it too.
-- @function Queue:put
-- @param value anything but nil
-- @tparam[opt] number timeout seconds
-- @treturn boolean true; or nil and "timeout" or "closed"
-- @usage local ok, why = jobs:put(url, 1)
function Queue:put(value, timeout)
  check_self(self, "put")
  if value == nil then
    errors.argument("Queue:put", "value", value, "anything but nil",
                    "caller")
  end
  local deadline = Task.deadline("Queue:put", timeout)
  if self.is_closed then return nil, "closed" end
  if self:size() < self.capacity then
    accept(self, value)
    return true
  end
  if timeout == 0 then return nil, "timeout" end
  local task = loop.enter "Queue:put"
  task.offer = value
  local how = loop.park_raw_in(task, self.putters, deadline)
  task.offer = nil
  if how == loop.CANCEL then loop.deliver(task) end
  if how == loop.TIMEOUT then return nil, "timeout" end
  if how == CLOSED then return nil, "closed" end
  return true
end

--- Take the first value out; wait while it is empty.
-- @function Queue:get
-- @tparam[opt] number timeout seconds
-- @return the value; or nil and "timeout", or "closed" when it is closed and
--   empty
-- @usage local url, why = jobs:get(5)
function Queue:get(timeout)
  check_self(self, "get")
  local deadline = Task.deadline("Queue:get", timeout)
  if self.first <= self.last then
    local value = take_first(self)
    let_in(self)
    return value
  end
  if self.is_closed then return nil, "closed" end
  if timeout == 0 then return nil, "timeout" end
  local task = loop.enter "Queue:get"
  local value = loop.park_in(task, self.getters, deadline)
  if value == loop.TIMEOUT then return nil, "timeout" end
  if value == CLOSED then return nil, "closed" end
  return value
end

--- No more values: those in it can still be taken out, then `get` returns
-- nil and "closed".
-- @function Queue:close
-- @usage jobs:close()
function Queue:close()
  check_self(self, "close")
  self.is_closed = true
  self.getters:empty(loop.wake, CLOSED)
  self.putters:empty(loop.wake, CLOSED)
end

local function new(_, capacity)
  if capacity ~= nil and (type(capacity) ~= "number" or capacity < 1
                          or capacity % 1 ~= 0) then
    errors.argument("Queue", "capacity", capacity,
                    "a whole number of at least 1 or nil", "caller")
  end
  return setmetatable({
    capacity = capacity or math.huge, values = {}, first = 1, last = 0,
    getters = Waiters.new(), putters = Waiters.new(),
  }, Queue)
end

return setmetatable(Queue, { __call = new })
