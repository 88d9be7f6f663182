--- Skfunctions whose body yields: a call returns an iterator. The time limit
-- and the rate are those of each step.
-- @module suitkaise.skfunction.generator

local wait = require "suitkaise.async.wait"

local resume, status = coroutine.resume, coroutine.status

local function raise_or_return(ok, ...)
  if ok then return ... end
  error((...), 0)
end

-- What the body returns at its end is no item.
local function items(co, ...)
  if status(co) == "dead" then return nil end
  return ...
end

-- The function that goes one step on.
local function stepper(co, fn, how)
  if not how.seconds then
    return function(...) return items(co, raise_or_return(resume(co, ...))) end
  end
  local interrupt = require "suitkaise.skfunction.interrupt"
  return function(...)
    return items(co, interrupt.resume(how.name, how.seconds, co, fn, ...))
  end
end

--- @param self the Skfunction
-- @tparam table how `name`, `reserve`, `seconds`, `bind`, `waiter`
-- @treturn function that makes iterators
return function(self, how)
  local fn = self._base.fn
  local body = fn
  if self._bound then body = how.bind(self, fn) end
  local waiter = wait.can_yield_in_loops and how.waiter or wait.blocking
  local unpack = rawget(_G, "unpack") or table.unpack
  return function(...)
    local co = coroutine.create(body)
    local step = stepper(co, fn, how)
    local args = { n = select("#", ...), ... }
    return function()
      if status(co) == "dead" then return nil end
      if how.reserve then waiter.pause(how.reserve()) end
      local given = args
      args = { n = 0 }
      return step(unpack(given, 1, given.n))
    end
  end
end
