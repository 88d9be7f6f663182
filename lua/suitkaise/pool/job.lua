--- A job: one call of map or one loop of imap. Knows its items, which of them
-- are to be sent, and what has come back.
-- @module suitkaise.pool.job

local errors = require "suitkaise.errors"

local Job = {}
Job.__index = Job

local MAX_CHUNK = 4096      -- items that travel in one message
local CHUNK_SECONDS = 5e-4  -- how long a chunk is meant to take
local GROWTH = 8            -- a chunk is at most so many times the last one
local MAX_ITEMS = 0x7fffffff -- of an array, and of a chunk

-- ---- items ----

--- How many items an array has: its field n if that is a number, else what
-- `#` and `__len` say (which LuaJIT and 5.1 do not ask for a table).
-- @return a number, or nil and what was found instead
function Job.count(items)
  local n = rawget(items, "n")
  if type(n) ~= "number" then
    local meta = getmetatable(items)
    local len = type(meta) == "table" and rawget(meta, "__len")
    if len then n = len(items) else n = #items end
  end
  if type(n) == "number" and n >= 0 and n <= MAX_ITEMS and n % 1 == 0 then
    return math.floor(n) -- an integer, where there are integers
  end
  return nil, n
end

-- Items are sent raw, so those that a metatable provides are copied.
local function plain(items, n)
  if not getmetatable(items) then return items end
  local copy = {}
  for i = 1, n do copy[i] = items[i] end
  return copy
end

--- Make a job.
-- @tparam int id
-- @tparam table|function items an array or an iterator
-- @tparam ?int total how many items an array has
-- @tparam table how `star`, `chunk`, `max_chunk`, `retries`, `on_error`,
--   `progress`, `item_timeout`, `pcall` (for the iterator), `mode`: "map",
--   "unordered_map", "imap" or "unordered_imap"
function Job.new(id, items, total, how)
  local self = setmetatable({
    id = id, how = how, mode = how.mode,
    total = total,      -- nil until the iterator has ended
    next = 1,           -- the first item that was never sent
    returned = {},      -- { first, last } ranges to be sent again
    sent = 0,           -- items in a worker's hands
    done = 0,           -- items with a result or an error
    chunk = 1,
    deaths = {},        -- item -> workers that it cost
    keys = {}, values = {}, head = 0, tail = 0, -- what came back, in order
    failed = {},        -- item -> its error
    ready = {},         -- imap: item -> result, until its turn
  }, Job)
  if total then
    self.items = plain(items, total)
  else
    self.items, self.pull, self.pulled = {}, items, 0
  end
  return self
end

-- Take items from the iterator until there is one of that number; false at
-- its end. An error of the iterator ends it too, and is kept for the
-- consumer: but not the cancellation of the task that happens to pull. An
-- iterator that itself uses the pool finds it as it was.
local function pull_to(self, index)
  while not self.total and not self.pulling and self.pulled < index do
    self.pulling = true
    local ok, item = (self.how.pcall or pcall)(self.pull)
    self.pulling = false
    if not ok and errors.is(item, "CancelledError") then error(item, 0) end
    if not ok then self.source_error, item = { item }, nil end
    if item == nil then
      self.total = self.pulled
    else
      self.pulled = self.pulled + 1
      self.items[self.pulled] = item
    end
  end
  return index <= (self.pulled or self.total)
end

--- How many items a message should hold now.
function Job:chunk_size(workers)
  if self.how.chunk ~= "auto" then
    return math.min(self.how.chunk, self.how.max_chunk or MAX_ITEMS)
  end
  local size = self.chunk
  if self.total then
    -- towards the end smaller ones, so that all workers finish together
    local left = self.total - self.next + 1
    size = math.min(size, math.max(1, math.ceil(left / (2 * workers))))
  end
  return size
end

--- Learn from items that took `seconds` in all.
function Job:learn(items, seconds)
  if items <= 0 then return end
  local mean = seconds / items
  self.mean = self.mean and 0.5 * (self.mean + mean) or mean
  local size = math.floor(CHUNK_SECONDS / math.max(self.mean, 1e-8))
  self.chunk = math.max(1, math.min(size, self.chunk * GROWTH,
                                    self.how.max_chunk or MAX_CHUNK))
end

-- A range that was sent before, or nil.
local function take_returned(self, n)
  local back = self.returned[#self.returned]
  if not back then return nil end
  local first, last = back[1], math.min(back[2], back[1] + n - 1)
  back[1] = last + 1
  if back[1] > back[2] then self.returned[#self.returned] = nil end
  return first, last
end

-- The last item of those that may be sent now, at most n new ones.
local function last_new(self, n)
  local last = self.next + n - 1
  if self.limit then last = math.min(last, self.limit) end
  return math.min(last, self.pulled or self.total)
end

--- May there be items that were not sent yet?
function Job:has_more()
  return not self.total or self.next <= self.total or self.returned[1] ~= nil
end

--- See that take_range(n) has something to take, if there is anything: this
-- is where the iterator is called, which may do anything to the pool.
-- @return is there?
function Job:prepare(n)
  if self.cancelled then return false end
  if self.returned[1] then return true end
  local last = self.next + n - 1
  if self.limit then last = math.min(last, self.limit) end
  pull_to(self, last)
  return last_new(self, n) >= self.next
end

--- The next range of at most `n` prepared items, or nil. It counts as sent.
function Job:take_range(n)
  if self.cancelled then return nil end
  local first, last = take_returned(self, n)
  if not first then
    first, last = self.next, last_new(self, n)
    if last < first then return nil end
    self.next = last + 1
  end
  self.sent = self.sent + (last - first + 1)
  return first, last
end

--- Items first .. last were not begun after all: send them again.
function Job:give_back(first, last)
  if last < first then return end
  self.sent = self.sent - (last - first + 1)
  if not self.cancelled then
    self.returned[#self.returned + 1] = { first, last }
  end
end

--- Is there nothing more to wait for?
function Job:is_finished()
  return self.broken ~= nil or self.total ~= nil and self.done >= self.total
end

--- What engine.run waits for, unless it is told otherwise: the end. Shows the
-- progress on the way there.
function Job:has_ended()
  self:show()
  return self:is_finished()
end

--- Is there something that the consumer waits for?
function Job:has_news()
  if self:is_finished() then return true end
  if self.mode == "unordered_imap" then return self.head < self.tail end
  local index = self.head + 1
  return self.mode == "imap"
    and (self.ready[index] ~= nil or self.failed[index] ~= nil)
end

--- Stop because of an error that is not one item's: the consumer raises it.
function Job:break_off(err)
  self.broken = self.broken or { err }
  self.cancelled = true
end

-- ---- results ----

--- Take what a link has for this job.
-- @return how many results, and of one that cannot be rebuilt here, which ends
--   it, the error and the item's number
function Job:collect(link)
  local keys, at = self.keys, self.tail
  if self.mode == "map" then keys, at = nil, 0 end
  local n, why, index = link:collect(self.id, self.values, keys, at)
  if keys then self.tail = at + n end
  if self.mode == "imap" then self:place(n) end
  self.sent = self.sent - n
  self.done = self.done + n
  return n, why, index
end

-- imap: from the order of arrival to the place of the item.
function Job:place(n)
  local keys, values, ready = self.keys, self.values, self.ready
  for i = self.tail - n + 1, self.tail do
    local value = values[i]
    if value == nil then value = false end
    ready[keys[i]] = value
    keys[i], values[i] = nil, nil
  end
  self.tail = self.tail - n
end

--- An item ended well, in this process.
function Job:succeed(index, value)
  self.sent = self.sent - 1
  self.done = self.done + 1
  if self.mode == "map" then
    self.values[index] = value
  elseif self.mode == "imap" then
    if value == nil then value = false end
    self.ready[index] = value
  else
    self.tail = self.tail + 1
    self.keys[self.tail], self.values[self.tail] = index, value
  end
end

--- An item ended in an error.
function Job:fail(index, err)
  self.sent = self.sent - 1
  self.done = self.done + 1
  self.failed[index] = err
  self.first_failed = math.min(self.first_failed or index, index)
  if self.mode == "map" then
    if self.how.on_error == "collect" then self.values[index] = err end
  elseif self.mode ~= "imap" then
    self.tail = self.tail + 1
    self.keys[self.tail], self.values[self.tail] = index, err
  end
end

--- Show the progress, if that was asked for.
function Job:show(at_end)
  local show = self.how.progress
  if not show then return end
  local is_news = self.done ~= self.shown
  self.shown = self.done
  if show ~= true then
    if is_news then show(self.done, self.total) end
    return
  end
  if not self.bar then
    self.bar = require "suitkaise.shared.bar".new(io.stderr, self.total)
  end
  if is_news then self.bar:update(self.done) end
  if at_end then self.bar:finish() end
end

--- The error for an item: what fn raised, or what happened to its worker.
function Job:task_error(index, details)
  local item = self.items[index]
  return errors.new("TaskError", {
    message = "item " .. index .. " (" .. errors.show(item) .. ") failed",
    index = index, item = item, original_error = details.error,
    traceback = details.traceback, pid = details.pid,
  })
end

return Job
