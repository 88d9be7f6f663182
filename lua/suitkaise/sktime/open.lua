-- Open measurements: what was started and not stopped yet.
--
-- They are kept here and not in the timer: they belong to one coroutine (or
-- task, which may run in several) of one process, and what a timer carries to
-- another process must not hold them. The key is the timer or whatever stands
-- for it: a proxy of a Share is as good, because stop gives seconds that are
-- then sent with timer:add_time.

local each = require "suitkaise.each"
local clock = require "suitkaise.sktime.clock"

local now, generation = clock.now, clock.generation
local running = coroutine.running

local MAIN = "main" -- coroutine.running is nil there in 5.1

-- A level of a stack is four values: when it began, how long it was paused,
-- since when it is paused (or false), the block that it is of (or false).
local SIZE = 4

local open = {}

local loop = package.loaded["suitkaise.async.loop"]
local current = loop and loop.current

--- Called when there are tasks: `current_task()` is the one that runs.
function open.follow(current_task)
  current = current_task
end

-- Whose measurements those that begin now are.
local function owner()
  return current and current() or running() or MAIN
end

local WEAK = { __mode = "k" }
local stacks = setmetatable({}, WEAK) -- key -> owner -> stack
local held = setmetatable({}, WEAK)   -- owner -> key -> true
local born = generation()

-- In a child: what the parent had open is not ours to stop.
local function forget_parent()
  for _, by_thread in each(stacks) do
    for _, stack in each(by_thread) do stack.n = 0 end
  end
  stacks = setmetatable({}, WEAK)
  held = setmetatable({}, WEAK)
  born = generation()
end

local function be_in_this_process()
  if generation() ~= born then forget_parent() end
end

-- The stack of this coroutine; nil when there was none yet.
local function find(key)
  be_in_this_process()
  local by_thread = stacks[key]
  return by_thread and by_thread[owner()]
end

local function make(key)
  local by_thread = stacks[key]
  if not by_thread then
    by_thread = setmetatable({}, WEAK)
    stacks[key] = by_thread
  end
  local stack = { n = 0 }
  by_thread[owner()] = stack
  return stack
end

local function push(key, block)
  local stack = find(key) or make(key)
  local n = stack.n
  stack.n = n + SIZE
  stack[n + 2], stack[n + 3], stack[n + 4] = 0, false, block
  stack[n + 1] = now()
  return stack
end

-- Seconds measured and seconds paused of the level above `n`, until `at`.
local function measure(stack, n, at)
  local began, paused, since = stack[n + 1], stack[n + 2], stack[n + 3]
  local seconds = (since or at) - began - paused
  if since then paused = paused + (at - since) end
  return seconds > 0 and seconds or 0, paused
end

--- Begin a measurement inside those that are open.
function open.start(key)
  push(key, false)
end

--- End the innermost: -> seconds, seconds paused; nil when there is none.
function open.stop(key, at)
  local stack = find(key)
  local n = stack and stack.n - SIZE or -1
  if n < 0 then return nil end
  stack.n = n
  return measure(stack, n, at)
end

--- The same, and go on measuring from here.
function open.lap(key, at)
  local stack = find(key)
  local n = stack and stack.n - SIZE or -1
  if n < 0 then return nil end
  local seconds, paused = measure(stack, n, at)
  stack[n + 1], stack[n + 2] = at, 0
  stack[n + 3] = stack[n + 3] and at
  return seconds, paused
end

--- Leave out the time from here; nil when there is none to pause.
function open.pause(key, at)
  local stack = find(key)
  if not stack or stack.n == 0 then return nil end
  stack[stack.n - 1] = stack[stack.n - 1] or at
  return true
end

--- Go on; nil when there is nothing open.
function open.resume(key, at)
  local stack = find(key)
  if not stack or stack.n == 0 then return nil end
  local n = stack.n - SIZE
  local since = stack[n + 3]
  if since then
    stack[n + 2], stack[n + 3] = stack[n + 2] + (at - since), false
  end
  return true
end

--- Drop all that is open for the key, in every coroutine of this process.
function open.forget(key)
  if generation() ~= born then forget_parent() end
  for _, stack in each(stacks[key] or {}) do stack.n = 0 end
  stacks[key] = nil
end

-- ---- blocks: a measurement that knows its own end ----

--- Begin a block; -> what leave wants.
function open.enter(key)
  local block = {}
  block.stack = push(key, block)
  block.level = block.stack.n
  return block
end

--- End a block and all that was started in it and not stopped: -> seconds,
-- seconds paused; nil when it was ended before, or is another process's.
function open.leave(block, at)
  if generation() ~= born then forget_parent() end
  local stack, level = block.stack, block.level
  if stack.n < level or stack[level] ~= block then return nil end
  stack.n = level - SIZE
  stack[level] = false
  return measure(stack, level - SIZE, at)
end

-- ---- keys that nobody else keeps ----

--- Keep a key while something is open for it: proxies come and go.
function open.hold(key)
  be_in_this_process()
  local thread = owner()
  held[thread] = held[thread] or {}
  held[thread][key] = true
end

--- Keep it no longer if nothing is open for it here.
function open.release(key)
  local stack = find(key)
  local keys = held[owner()]
  if keys and not (stack and stack.n > 0) then keys[key] = nil end
end

return open
