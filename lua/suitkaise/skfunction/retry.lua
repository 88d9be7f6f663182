--- Calls again what failed.
-- @module suitkaise.skfunction.retry

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"

local MAX_DELAY = 1e9 -- seconds: backoff overflows no clock

local unpack = rawget(_G, "unpack") or table.unpack

-- Ctrl-C, ours and that of the standalone interpreter, and the end of a task
-- are no failures.
local function is_interrupt(err)
  return errors.is(err, "Interrupted") or errors.is(err, "CancelledError")
    or type(err) == "string" and err:find "interrupted!$" ~= nil
end

-- The predicate sees what the function raised, wherever that was.
local function is_worth_it(how, err, attempt)
  if attempt >= how.times or is_interrupt(err) then return false end
  if not how.only then return true end
  if errors.is(err, "TaskError") then err = err.original_error end
  return how.only(err, attempt)
end

-- The n-th wait, with the jitter around it.
local function delay_of(how, n)
  local delay = math.min(how.delay * how.backoff_factor ^ (n - 1), MAX_DELAY)
  if how.jitter == 0 then return delay end
  return delay * (1 + how.jitter * (2 * math.random() - 1))
end

local ours = setmetatable({}, { __mode = "k" }) -- arrays that are from here

-- The last error keeps the earlier ones, where there is a place for them: an
-- object that is raised again and again has those of the last call.
local function raise(err, earlier)
  if type(err) == "table" then
    local before = rawget(err, "attempts")
    if before == nil and earlier or ours[before or err] then
      rawset(err, "attempts", earlier)
      if earlier then ours[earlier] = true end
    end
  end
  error(err, 0)
end

-- What came of an attempt; after an error the next one.
local function finish(how, call, waiter, args, attempt, earlier, ok, ...)
  if ok then return ... end
  local err = (...)
  if not is_worth_it(how, err, attempt) then raise(err, earlier) end
  earlier = earlier or {}
  earlier[attempt] = err
  waiter.pause(core.now() + delay_of(how, attempt))
  return finish(how, call, waiter, args, attempt + 1, earlier,
                waiter.pcall(call, unpack(args, 1, args.n)))
end

--- A function that calls `call` at most `how.times` times.
-- @tparam table how `times`, `delay`, `backoff_factor`, `jitter`, `only`
-- @tparam function call
-- @tparam table waiter see suitkaise.async.wait
-- @treturn function
return function(how, call, waiter)
  return function(...)
    local args = { n = select("#", ...), ... }
    return finish(how, call, waiter, args, 1, nil, waiter.pcall(call, ...))
  end
end
