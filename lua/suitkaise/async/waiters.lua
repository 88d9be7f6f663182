-- Tasks in the order in which they came, each of which may leave at any time.
-- A task is in one list at most and knows its place there (`slot`).

local Waiters = {}
Waiters.__index = Waiters

local HOLES = 32 -- that many may stay, and as many more as there are tasks

function Waiters.new()
  return setmetatable({ first = 1, last = 0, n = 0 }, Waiters)
end

function Waiters:push(task)
  local last = self.last + 1
  self[last], self.last, self.n = task, last, self.n + 1
  task.list, task.slot = self, last
end

-- No holes at the ends, and not many between them.
local function tidy(self)
  if self.n == 0 then
    self.first, self.last = 1, 0
    return
  end
  while not self[self.first] do
    self[self.first] = nil
    self.first = self.first + 1
  end
  while not self[self.last] do
    self[self.last] = nil
    self.last = self.last - 1
  end
  if self.last - self.first + 1 - 2 * self.n <= HOLES then return end
  local to = self.first
  for from = self.first, self.last do
    local task = self[from]
    if task then
      self[from] = nil
      self[to], task.slot = task, to
      to = to + 1
    else
      self[from] = nil
    end
  end
  self.last = to - 1
end

--- Take a task out, wherever it is.
function Waiters:remove(task)
  local slot = task.slot
  task.list, task.slot = nil, nil
  self.n = self.n - 1
  if slot == self.first or slot == self.last then
    self[slot] = nil
    if slot == self.first then self.first = slot + 1
    else self.last = slot - 1 end
  else
    self[slot] = false
  end
  tidy(self)
end

--- Take the first one out; nil when there is none.
function Waiters:pop()
  if self.n == 0 then return nil end
  local task = self[self.first]
  self:remove(task)
  return task
end

--- Call fn(task, value), which takes the task out, for those of whom
-- is_wanted(task) is true, in order.
function Waiters:each(is_wanted, fn, value)
  local wanted, n = nil, 0
  for i = self.first, self.last do
    local task = self[i]
    if task and is_wanted(task) then
      wanted, n = wanted or {}, n + 1
      wanted[n] = task
    end
  end
  for i = 1, n do fn(wanted[i], value) end -- moves those that stay
end

--- Take all out, in order, and call fn(task, value) for each.
function Waiters:empty(fn, value)
  local first, last = self.first, self.last
  self.first, self.last, self.n = 1, 0, 0
  for i = first, last do
    local task = self[i]
    self[i] = nil
    if task then
      task.list, task.slot = nil, nil
      fn(task, value)
    end
  end
end

return Waiters
