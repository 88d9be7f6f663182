--- Pipe: two ends that send each other any value, each end in one process.
--
-- The anchor stays with the process that made the pipe. The point may be
-- handed to another one, and belongs to the process that last received it.
-- @classmod suitkaise.pipe
-- @usage local anchor, point = sk.Pipe.pair()
-- local Echo = sk.Skprocess:extend "Echo"
-- function Echo:init(point) self.point, self.config.runs = point, 1 end
-- function Echo:__run__() self.point:send(self.point:recv()) end
-- Echo(point):start()
-- anchor:send "hello"
-- print(anchor:recv()) --> hello

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local handing = require "suitkaise.pipe.handing"
local options = require "suitkaise.options"
local views = require "suitkaise.views"
local wait = require "suitkaise.async.wait"

local Pipe = {}

local RING_BYTES = 256 * 1024 -- on the way in each direction
local SLICE_SECONDS = 0.05    -- a task looks that often for the other process

local Anchor = { __name = "Pipe anchor", name = "anchor" }
local Point = { __name = "Pipe point", name = "point" }

local SPEC = { one_way = { type = "boolean", default = false } }

-- ---- errors ----

local WRONG_WAY = {
  anchor = "the anchor of a one-way pipe only sends",
  point = "the point of a one-way pipe only receives",
}

local FOREIGN = {
  anchor = "the anchor belongs to the process that made the pipe",
  point = "the point belongs to another process, which has received it",
}

local reasons = {}

function reasons.SKE_FOREIGN(self)
  return "Error", FOREIGN[self.name]
end

function reasons.SKE_CLOSED(self)
  local ok = self._end:own()
  if not ok then return "PipeClosedError", "this end is closed" end
  return "PipeClosedError", "the other end is closed, or its process has ended"
end

function reasons.SKE_INVAL(self)
  return "Error", WRONG_WAY[self.name]
end

function reasons.SKE_BUSY()
  return "Error", "its owner does not let go of it: is that process stopped?"
end

-- Raise what a method of core's end returned: nil, message, code.
local function refuse(self, verb, message, code)
  local class, text = "Error", message
  if reasons[code] then class, text = reasons[code](self) end
  errors.raise(class, {
    message = ("%s:%s: %s"):format(self.name, verb, text),
  }, "caller")
end

local function check_self(self, verb)
  local class = getmetatable(self)
  if (class == Anchor or class == Point) and rawget(self, "_end") then
    return
  end
  errors.argument("Pipe:" .. verb, "self", self,
                  "an end of a pipe (call it with a colon)", "caller")
end

local function check_timeout(self, verb, timeout)
  if timeout ~= nil and not views.is_seconds(timeout) then
    errors.argument(self.name .. ":" .. verb, "timeout", timeout,
                    "a number of seconds of at least 0", "caller")
  end
end

-- ---- making one ----

local function new_end(class, core_end, waiter)
  local new = setmetatable({ _end = core_end, _waiter = waiter }, class)
  if class == Point then handing.add(new) end
  return new
end

local function make(opts, waiter)
  local checked = options.check("Pipe.pair", opts, SPEC, "caller")
  local anchor, point = core.pipe(checked.one_way, RING_BYTES)
  if not anchor then
    errors.raise("Error", { message = "Pipe.pair: " .. point }, "caller")
  end
  return new_end(Anchor, anchor, waiter), new_end(Point, point, waiter)
end

--- Make a pipe.
-- @tparam[opt] table opts
-- @tparam[opt=false] boolean opts.one_way the anchor only sends, the point
--   only receives
-- @treturn Anchor the end that stays here
-- @treturn Point the end that may be handed to another process
-- @raise ArgumentError; Error when the system has no more memory
-- @usage local anchor, point = sk.Pipe.pair{ one_way = true }
function Pipe.pair(opts)
  return make(opts, wait.blocking)
end

--- Ends whose waits yield the task: `sk.async.Pipe.pair`.
-- @local
function Pipe.async_pair(opts)
  return make(opts, wait.yielding())
end

-- ---- waiting ----

local function seconds_left(self, deadline)
  local left = deadline and deadline - core.now() or math.huge
  if self._waiter ~= wait.blocking then
    left = math.min(left, SLICE_SECONDS)
  end
  return left < math.huge and math.max(left, 0) or nil
end

-- Until there may be something, or the deadline: -> in time?, is it closed?
-- A task only hears that something is new, so it looks itself what, and for
-- the other process.
local function await(self, raw, deadline)
  local waiter = self._waiter
  local ready, why
  repeat
    ready, why = waiter.cell(raw, self._end, seconds_left(self, deadline))
    if waiter ~= wait.blocking then
      ready, why = raw.wait(self._end, 0)
    end
  until ready or deadline and core.now() >= deadline
  return ready, why == "closed"
end

-- Another task that uses the same end goes first.
local function wait_for_turn(self, verb, deadline)
  while self._end:is_busy() do
    if self._waiter == wait.blocking then
      errors.raise("Error", {
        message = ("%s:%s: it is in use already"):format(self.name, verb),
      }, "caller")
    end
    if deadline and core.now() >= deadline then return false end
    self._waiter.sleep(1e-3)
  end
  return true
end

-- ---- sending ----

local function send_rest(self, timeout)
  local e, deadline = self._end, timeout and core.now() + timeout
  local ok, message, code = false, nil, nil
  while ok == false do
    local done, in_time, is_closed = self._waiter.pcall(
      await, self, core.pipe_room, deadline)
    if not done or not in_time then e:drop() end -- then none of it was sent
    if not done then error(in_time, 0) end
    if not in_time then return nil, "timeout" end
    if is_closed then e:drop() refuse(self, "send", nil, "SKE_CLOSED") end
    ok, message, code = e:flush()
  end
  if not ok then refuse(self, "send", message, code) end
  return true
end

local function send(self, value, timeout)
  check_self(self, "send")
  check_timeout(self, "send", timeout)
  if not wait_for_turn(self, "send", timeout and core.now() + timeout) then
    return nil, "timeout"
  end
  local ok, message, code = self._end:post(value)
  if ok == true then return true end
  if ok == false then return send_rest(self, timeout) end
  if ok == "raised" then errors.reraise(message) end
  return refuse(self, "send", message, code)
end

-- ---- receiving ----

-- What core's end gave: found?, value.
local function check_received(self, found, value, code)
  if found == "raised" then errors.reraise(value) end
  if found == nil then refuse(self, "recv", value, code) end
  return found, value
end

local function recv(self, timeout, found, value, code)
  check_self(self, "recv")
  check_timeout(self, "recv", timeout)
  local e, deadline = self._end, timeout and core.now() + timeout
  found, value = check_received(self, found, value, code)
  while not found do
    local in_time, is_closed = await(self, core.pipe_message, deadline)
    if not in_time then return nil, "timeout" end
    found, value = check_received(self, e:next())
    if not found and is_closed then
      refuse(self, "recv", nil, "SKE_CLOSED")
    end
  end
  return value
end

-- ---- both ends ----

local methods = {}

--- Send any value. Waits while the pipe is full.
-- @function Anchor:send
-- @param value
-- @tparam[opt] number timeout seconds that it may wait
-- @treturn boolean true; or nil and `"timeout"`: then it was not sent
-- @raise PipeClosedError; Error when the end is another process's;
--   SerializationError
-- @usage anchor:send{ "any", value = true }
function methods:send(value, timeout)
  local e = type(self) == "table" and rawget(self, "_end")
  if e and not e:is_busy() then
    local ok, message, code = e:post(value)
    if ok == true then return true end
    if ok == nil then refuse(self, "send", message, code) end
    if ok == "raised" then errors.reraise(message) end
    check_timeout(self, "send", timeout)
    return send_rest(self, timeout)
  end
  return send(self, value, timeout)
end

--- Get the next value that the other end sent.
-- @function Anchor:recv
-- @tparam[opt] number timeout seconds; 0 only looks
-- @return the value; or nil and `"timeout"`
-- @raise PipeClosedError when all that was sent has been received and the
--   other end is closed or its process has ended; Error when the end is
--   another process's
-- @usage local value, why = point:recv(5)
function methods:recv(timeout)
  local e = type(self) == "table" and rawget(self, "_end")
  if not e then return recv(self, timeout) end
  local found, value, code = e:next()
  if found == true then return value end
  return recv(self, timeout, found, value, code)
end

--- Close this end: the other one reads what was sent, then hears of it.
-- Closing twice, or what belongs to another process by now, does nothing.
-- @function Anchor:close
-- @usage anchor:close()
function methods:close()
  check_self(self, "close")
  self._end:close()
end

--- The same end, with waits that yield the task; see @{suitkaise.async}.
-- @function Anchor:asynced
-- @usage point:asynced():recv()
function methods:asynced()
  check_self(self, "asynced")
  return new_end(getmetatable(self), self._end, wait.yielding())
end

for _, class in ipairs { Anchor, Point } do
  class.__index = class
  for name, method in each(methods) do class[name] = method end
  class.__close = methods.close
  function class:__tostring()
    local ok, _, code = self._end:own()
    return self.__name .. (ok and "" or code == "SKE_CLOSED" and ", closed"
                           or ", of another process")
  end
end

-- ---- travelling ----

function Anchor.__serialize()
  errors.raise("Error", {
    message = "the anchor of a pipe stays with its process; hand the point on",
  }, "caller")
end

function Point:__serialize()
  if self._end:is_locked() then handing.refuse_locked() end
  local place, message, code = self._end:where()
  if not place then refuse(self, "serialize", message, code) end
  handing.note(self)
  return { place = place, is_copy = handing.is_sync }
end

function Point.__deserialize(state)
  local core_end, message, code = core.pipe_attach(state.place,
                                                   not state.is_copy)
  if not core_end then
    local is_gone = code == "SKE_UNKNOWN" or code == "SKE_ABSENT"
    errors.raise(is_gone and "PipeClosedError" or "Error", {
      message = is_gone and "point: the pipe's processes have ended"
        or "point: " .. tostring(message),
    }, 0)
  end
  return new_end(Point, core_end, wait.blocking)
end

--- Keep the point in this process: handing it on is an error until `unlock`.
-- @function Point:lock
-- @usage point:lock()
-- point:send(1) -- it can be used, and not be handed on
function Point:lock()
  check_self(self, "lock")
  local ok, message, code = self._end:own()
  if not ok then refuse(self, "lock", message, code) end
  self._end:lock(true)
end

--- Let the point be handed on again.
-- @function Point:unlock
-- @usage point:unlock()
-- process:tell(point)
function Point:unlock()
  check_self(self, "unlock")
  self._end:lock(false)
end

Pipe.Anchor, Pipe.Point = Anchor, Point

return Pipe
