--- A time limit for a call in this process: a debug hook looks at the clock
-- every so many instructions, and raises when it is late.
--
-- LuaJIT calls no hook in compiled code. So its compiler is off while the call
-- lasts, and compiled code of the functions that it probably calls is thrown
-- away before.
-- @module suitkaise.skfunction.interrupt

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local reach = require "suitkaise.skfunction.reach"

local interrupt = {}

local COUNT = 1000         -- instructions between two looks at the clock
local GRACE_SECONDS = 0.1  -- for what catches the error to clean up
local FRESH_SECONDS = 1    -- how long a list of functions is used
local MAX_LEVEL = 20       -- calls of the library in one another

local jit = rawget(_G, "jit")
local sethook, gethook = debug.sethook, debug.gethook
local running, status = coroutine.running, coroutine.status
local resume = coroutine.resume

local active = nil -- the innermost call that has a limit

-- ---- compiled code ----

local lists = setmetatable({}, { __mode = "k" })

local function functions_of(fn, now, ...)
  local kept = lists[fn]
  local meta = getmetatable((...))
  if not kept or now - kept.since > FRESH_SECONDS or kept.meta ~= meta then
    local functions = setmetatable(reach.from(fn, ...), { __mode = "v" })
    kept = { since = now, functions = functions, count = #functions,
             meta = meta }
    lists[fn] = kept
  end
  return kept
end

local function stop_compiler(call, fn, now, ...)
  if not jit then return end
  call.was_compiling = jit.status()
  if not call.was_compiling then return end
  jit.off()
  local kept = functions_of(fn, now, ...)
  for i = 1, kept.count do
    local reached = kept.functions[i]
    if reached then jit.flush(reached) end
  end
end

-- ---- the hook ----

-- `thread` is nil for the main one of Lua 5.1 and LuaJIT.
local function set_hook(thread, hook, mask, count)
  if thread then return sethook(thread, hook, mask, count) end
  sethook(hook, mask, count)
end

local function is_suspended(call)
  return call.owner ~= nil and status(call.owner) == "suspended"
end

-- Put back what was there before a call.
local function restore(call)
  if call.is_over then return end
  call.is_over = true
  set_hook(call.thread, call.hook, call.mask, call.count)
  if call.was_compiling then jit.on() end
end

-- The outermost call that is late. One whose coroutine was left with a yield
-- has no limit any more that could be enforced: its hook would hit others.
local function find_late(now)
  local call, late = active, nil
  while call do
    if is_suspended(call) then
      if call == active then
        active = call.outer
        restore(call)
      end
    elseif now >= call.deadline then
      late = call
    end
    call = call.outer
  end
  return late
end

local function late_error(call)
  call.error = call.error or errors.new("FunctionTimeoutError", {
    message = string.format("%s took longer than %g s", call.name,
                            call.seconds),
    timeout = call.seconds,
  })
  return call.error
end

-- The code of an event loop must not be left by an error: libuv would end the
-- program. A call that turns it is hit in a task, or when that is over.
local function is_turning()
  local loop = package.loaded["suitkaise.async.loop"]
  return loop and loop.is_turning(), loop
end

local function is_in_loop(call)
  if call.is_turned then return false end
  local is_on, loop = is_turning()
  return is_on and not loop.current()
end

local OWN = debug.getinfo(1, "S").source
local check

-- Is the hook called in this file? A call that has ended is about to put the
-- hook away.
local function is_leaving()
  return debug.getinfo(3, "S").source == OWN
end

local LIBRARY = OWN:match "^(.*)skfunction[/\\]interrupt.lua$" or OWN
local ASYNC = LIBRARY .. "async"

-- Is the hook called in the midst of what the scheduler of tasks does? Left
-- there, its queues would not be whole. Only where it waits it is not.
local function is_scheduling()
  local runs = package.loaded["suitkaise.async.run"]
  if not runs then return false end
  for level = 3, MAX_LEVEL do
    local info = debug.getinfo(level, "Sf")
    if not info or info.func == runs.turn then return false end
    if info.what ~= "C" then
      if info.source:sub(1, #LIBRARY) ~= LIBRARY then return false end
      local rest = info.source:sub(#ASYNC + 1)
      if info.source:sub(1, #ASYNC) == ASYNC and rest:find "^[/\\]" then
        return true
      end
    end
  end
  return false
end

-- Code that catches the error has the grace time to clean up. Then it is hit
-- at its very next instruction, and the next, so that no loop can catch all.
check = function()
  local now = core.now()
  if active and now < active.deadline and not active.outer
     and not is_suspended(active) then
    return
  end
  local late = find_late(now)
  if not late or is_leaving() or is_in_loop(late) then return end
  if late.generation ~= core.generation() then return interrupt.forget() end
  if is_scheduling() then
    sethook(check, "", 1) -- until it is through
    return
  end
  late.since = late.since or now
  if now > late.since then
    if now - late.since < GRACE_SECONDS then return end
    sethook(check, "", 1) -- where it runs now
  end
  error(late_error(late), 0)
end

--- Is it the error of a call that is not over yet, and will raise it itself?
function interrupt.is_pending(err)
  local call = active
  while call do
    if call.error ~= nil and call.error == err then return true end
    call = call.outer
  end
  return false
end

--- A forked child is in none of the calls that its parent was in.
function interrupt.forget()
  while active do
    restore(active)
    active = active.outer
  end
end

-- ---- a call ----

local function begin(call, fn, ...)
  local owner, is_main = running()
  if not is_main then call.owner = owner end
  call.thread = call.thread or owner
  if call.thread then
    call.hook, call.mask, call.count = gethook(call.thread)
  else
    call.hook, call.mask, call.count = gethook()
  end
  stop_compiler(call, fn, core.now(), ...)
  active = call
  set_hook(call.thread, check, "", COUNT)
end

-- Calls inside this one are over, however they ended.
local function leave(call)
  if active == call then active = call.outer end
  restore(call)
end

local function finish(call, ok, ...)
  leave(call)
  local is_late = call.since ~= nil or core.now() >= call.deadline
  if ok and not is_late then return ... end
  local err = (...)
  if not is_late then error(err, 0) end
  local late = late_error(call)
  if not ok and err ~= late then
    if errors.is(err, "FunctionTimeoutError") then error(err, 0) end
    late.original_error = err
  end
  errors.raise(getmetatable(late), late, "caller")
end

local function new_call(name, seconds)
  return {
    deadline = core.now() + seconds, outer = active, name = name,
    seconds = seconds, generation = core.generation(),
    is_turned = (is_turning()),
  }
end

--- Call `fn(...)`, for `seconds` at most.
-- @tparam string name of the function, for the message
-- @tparam number seconds
-- @tparam function fn
-- @param ... its arguments
-- @return its results
-- @raise its error; FunctionTimeoutError (`timeout`)
function interrupt.call(name, seconds, fn, ...)
  local call = new_call(name, seconds)
  begin(call, fn, ...)
  return finish(call, pcall(fn, ...))
end

--- Resume a coroutine, for `seconds` at most.
-- @param co the coroutine
-- @tparam function fn its function
-- @return what `coroutine.resume` does, but an error is raised
function interrupt.resume(name, seconds, co, fn, ...)
  local call = new_call(name, seconds)
  call.thread = co
  begin(call, fn, ...)
  return finish(call, resume(co, ...))
end

if jit then jit.off(true, true) end

return interrupt
