--- Coroutines in a process with limits: which one runs. Only there, and only
-- where each coroutine has a hook of its own (not LuaJIT).
-- @module suitkaise.processing.coroutines

local coroutines = {}

local create, resume, running =
  coroutine.create, coroutine.resume, coroutine.running

-- What came of a resume, with the one before running again.
local function back(channel, before, ...)
  channel:running(before)
  return ...
end

local function unwrap(ok, ...)
  if ok then return ... end
  error((...), 0)
end

--- Follow coroutine.resume and coroutine.wrap from now on.
-- @param channel of the process
function coroutines.follow(channel)
  local function followed(co, ...)
    local before, is_main = running()
    channel:running(type(co) == "thread" and co or before)
    return back(channel, not is_main and before or nil, resume(co, ...))
  end
  rawset(coroutine, "resume", followed)
  rawset(coroutine, "wrap", function(fn)
    local co = create(fn)
    return function(...) return unwrap(followed(co, ...)) end
  end)
end

return coroutines
