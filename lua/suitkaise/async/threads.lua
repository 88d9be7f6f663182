-- Coroutines that have no task just now. Making one and collecting it costs
-- more than all else that a short task does, so they are used again. Each
-- collection of garbage takes half of them: a burst of tasks leaves no more
-- than what the next seconds use.

local on_collect = require "suitkaise.on_collect"

local threads = {}

local MIN_SPARE = 16 -- so many stay

local spares, n_spares = {}, 0

-- ---- what belongs to a coroutine besides its stack ----

-- Lua 5.1 and LuaJIT: an environment. PUC: a hook; LuaJIT has one for all. A
-- new coroutine has the environment of its maker, and its hook if that is one
-- of C, a debugger's: one that is used again has to be like that.
local gethook = not rawget(_G, "jit") and debug.gethook
local getfenv = rawget(_G, "getfenv")
local environment_of = debug.getfenv
local environment = getfenv and getfenv(0)

local function is_plain_here()
  return (not gethook or gethook() == nil)
    and (not getfenv or getfenv(0) == environment)
end

local function is_plain(thread)
  return (not gethook or gethook(thread) == nil)
    and (not getfenv or environment_of(thread) == environment)
end

--- One of them; nil when there is none, or none like a new one.
function threads.take()
  if n_spares == 0 or not is_plain_here() then return nil end
  local thread = spares[n_spares]
  spares[n_spares] = nil
  n_spares = n_spares - 1
  return thread
end

--- Keep one; it holds nothing of the task that it ran.
function threads.give(thread)
  if not is_plain(thread) then return end
  n_spares = n_spares + 1
  spares[n_spares] = thread
end

--- How many there are.
function threads.count()
  return n_spares
end

local function drop_half()
  local left = math.max(math.floor(n_spares / 2), MIN_SPARE)
  for i = left + 1, n_spares do spares[i] = nil end
  n_spares = math.min(n_spares, left)
end

local function at_next_collection()
  on_collect(function()
    drop_half()
    at_next_collection()
  end)
end

at_next_collection()

return threads
