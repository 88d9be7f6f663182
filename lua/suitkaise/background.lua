-- Run a function in a process of its own, forked from this one.
--
-- The child has the function and its arguments as they are; only what comes
-- back is serialized.

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local Future = require "suitkaise.future"
local wait = require "suitkaise.async.wait"
local worker = require "suitkaise.pool.worker"

local background = {}

local DOWN_BYTES = 4 * 1024  -- ring of the one order to begin
local UP_BYTES = 64 * 1024   -- ring of the results
local END_SECONDS = 1        -- a child that has sent its result is given to end
local JOB, ITEM = 1, 1       -- the one piece of work of such a child

local function pack(...)
  return { n = select("#", ...), ... }
end

-- ---- the child ----

-- In the child; it ends when this returns.
local function serve(link, fn, args)
  local unpack = rawget(_G, "unpack") or table.unpack
  local interrupt = package.loaded["suitkaise.skfunction.interrupt"]
  if interrupt then interrupt.forget() end
  local function body() return pack(fn(unpack(args, 1, args.n))) end
  link:await()
  link:peek()
  link:run(body, false, false, worker.describe, worker.reduce)
end

-- ---- the source of the future ----

local Source = {}
Source.__index = Source

local function died_error(self, code, signal)
  local how = signal and "was killed by " .. core.signal_name(signal)
    or code and "ended with exit code " .. code
    or "ended; its exit status was taken by the program"
  return errors.new("WorkerDiedError", {
    message = "process " .. self.pid .. " " .. how,
    pid = self.pid, signal = signal, exit_code = code,
  })
end

-- The child is let end by itself, so that what it printed is not lost.
local function let_end(self, waiter)
  self.deadline = self.deadline or core.now() + END_SECONDS
  while not select(3, self.process:poll()) do
    local left = self.deadline - core.now()
    if left <= 0 or self.process:stopped() then break end
    waiter.events(self, "eager", math.min(left, 0.05))
    if self.is_over then return end
  end
end

local function close(self)
  self.is_over, self.links, self.processes = true, {}, {}
  wait.finish(self)
  self.process:close() -- kills it
  self.link:close()
end

local function failure(self, details)
  return errors.new("TaskError", {
    message = self.name .. " failed in process " .. self.pid,
    original_error = details.error, traceback = details.traceback,
    pid = details.pid or self.pid,
  })
end

-- What the child sent: -> nil when there is nothing yet, true and the values,
-- or false and the error.
local function take(self)
  local kind = self.link:peek()
  if not kind then return nil end
  if kind == "done" then
    local values = {}
    local _, why, index = self.link:collect(JOB, values, nil, 0)
    if not index then return true, values[ITEM] end
    return false, failure(self, { error = why })
  end
  local ok, details = self.link:take_value()
  if not ok then details = { error = details } end
  return false, failure(self, details)
end

-- -> { did it go well, values or error }, or nil
local function take_outcome(self)
  local code, signal, has_ended = self.process:poll()
  local ok, what = take(self)
  if ok == nil and not has_ended then return nil end
  if ok == nil then what = died_error(self, code, signal) end
  return { ok or false, what }
end

-- See Future. While this waits another task may do the same.
function Source:poll(future, waiter)
  self.taken = self.taken or take_outcome(self)
  if not self.taken then return end
  let_end(self, waiter)
  if self.is_over then return end
  close(self)
  local ok, what = self.taken[1], self.taken[2]
  if not ok then return future:reject(what) end
  local unpack = rawget(_G, "unpack") or table.unpack
  future:resolve(unpack(what, 1, what.n))
end

function Source:wait(seconds, waiter)
  waiter.events(self, "eager", seconds)
end

function Source:cancel()
  close(self)
end

local function refuse(name, why)
  errors.raise("Error", {
    message = name .. ": cannot start a process: " .. why,
  }, "caller")
end

-- Call `fn(...)` in a new process.
-- The process is killed when the future is cancelled, or when nobody has the
-- future any more.
-- @tparam string name of the function, for messages
-- @tparam function fn
-- @param ... its arguments, as they are
-- @treturn Future its results; raises TaskError (`original_error`,
--   `traceback`, `pid`) or WorkerDiedError (`signal` or `exit_code`, `pid`)
-- @raise Error when the system has no more processes or memory
function background.start(name, fn, ...)
  local link, why = core.link(DOWN_BYTES, UP_BYTES)
  if not link then refuse(name, why) end
  link:put_work(JOB, { true }, ITEM, ITEM)
  local process, message = core.fork(serve, link, fn, pack(...))
  if not process then
    link:close()
    refuse(name, message)
  end
  return Future.new(setmetatable({
    name = name, link = link, process = process, pid = process:pid(),
    links = { link }, processes = { process }, -- for waiters
  }, Source))
end

return background
