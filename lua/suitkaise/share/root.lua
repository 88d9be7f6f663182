-- What a process knows of one share, and how it waits: every command and
-- every read of its proxies goes through here.
--
-- A path is a string of keys as core.share_path makes it; a depth is the
-- number of its keys, plus kinds.ROOT times the number of its root.

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local kinds = require "suitkaise.share.kinds"
local quick = require "suitkaise.share.quick"
local serialize = require("suitkaise.cerial").serialize


local MAX_WAIT = 3600 -- seconds that the core is asked to wait at once

local root = {}

--- id -> root, of all shares that this process can reach.
root.by_id = setmetatable({}, { __mode = "v" })

--- The fast path, or nil.
root.quick = quick.load()

-- ---- how a wait is spent ----

local SLICE = 0.1 -- seconds that the core waits at once

--- A root for tasks: the same share, but waits yield the task that
-- makes them. Outside of tasks they block.
function root.asynced(self)
  if self.is_async then return self end
  self.twin = self.twin or setmetatable({ is_async = true }, {
    __index = self, __newindex = self,
  })
  return self.twin
end

-- Lua 5.1 cannot yield in a metamethod; see proxy.lua.
root.metamethods = 0

-- suitkaise.async.shares, if whoever waits is a task that is to yield; or nil.
local function task_waits(self)
  if not self.is_async or root.metamethods > 0 then return nil end
  local shares = package.loaded["suitkaise.async.shares"]
  if not shares then
    if not package.loaded["suitkaise.async"] then return nil end
    shares = require "suitkaise.async.shares"
  end
  return shares.current() and shares or nil
end

-- Call look(seconds, ...) until its first result is not nil or it fails with
-- another code than a timeout. -> what it returned. It is no closure: code that
-- LuaJIT compiled would keep that, and the share with it, from being collected.
local function insist(self, timeout, look, ...)
  local shares = task_waits(self)
  local holder = shares and shares.current() or self
  local deadline, n = nil, 0
  local slice = shares and 0 or SLICE
  while true do
    local first, second, code, more = look(math.min(slice, timeout or slice),
                                           ...)
    if first ~= nil or code ~= "SKE_TIMEOUT" then
      return first, second, code, more
    end
    if self.handle:is_serving() then return nil, "", "SKE_SERVING" end
    local now = core.now()
    deadline = deadline or now + (timeout or math.huge)
    local before = holder.read_until
    if before and deadline > before then deadline = before end
    local left = deadline - now
    if left <= 0 then return nil, second, "SKE_TIMEOUT" end
    n = n + 1
    if shares and shares.rest(self.handle, n, left) then shares.deliver() end
  end
end

local function reached(_, handle, wants) return handle:reached(wants) end

-- In a task, before a read: wait for what it has to see. The writes are those
-- of now: later ones do not prolong it. -> true, or nil, message, code
local function settle(self, timeout, ...)
  local handle = self.handle
  local wants, message, code = handle:wants(...)
  if not wants then return code == nil or nil, message, code end
  return insist(self, timeout, reached, handle, wants)
end

-- ---- errors ----

local CLASSES = {
  SKE_FULL = "ShareFullError", SKE_STOPPED = "ShareStoppedError",
  SKE_TIMEOUT = "ShareTimeoutError", SKE_DOWN = "ShareDownError",
  SKE_MANY = "TooManyProcessesError", SKE_RAISED = "ShareCallError",
  SKE_POISON = "ShareCallError",
}

local TEXTS = {
  SKE_FULL = "the value does not fit: max_bytes is used up",
  SKE_STOPPED = "the share is stopped and a write to this is queued; start it",
  SKE_TIMEOUT = "not served in time",
  SKE_DOWN = "its coordinator cannot be kept running",
  SKE_MANY = "more processes use the share than max_processes",
  SKE_ABSENT = "there is no table for it",
  SKE_TYPE = "it is in no table, or not of that type",
  SKE_POISON = "the call ended the coordinator too often and was dropped",
  SKE_FOREIGN = "its file or folder is not this user's alone",
  SKE_VERSION = "it was made by another version of suitkaise",
  SKE_CORRUPT = "it is damaged",
  SKE_SERVING = "a method or function that runs in the coordinator can read "
    .. "its own share, but neither write to it, nor call, nor wait; change "
    .. "self, or return what the caller is to write",
}

-- What a raised value says, if it says anything.
local function text_of(err)
  if type(err) == "table" and err.message ~= nil then err = err.message end
  local meta = debug.getmetatable(err)
  if type(err) == "table" and not (meta and rawget(meta, "__tostring"))
  then
    return "it raised a table"
  end
  local ok, text = pcall(tostring, err)
  return ok and text or errors.show(err)
end

--- The error of a call that raised: `report` is what serve.lua made of it.
function root.call_error(where, report)
  if type(report) ~= "table" or errors.is(report, "Error") then
    report = { error = report }
  end
  local original = report.error
  return errors.new("ShareCallError", {
    message = (where or report.call or "share") .. ": " .. text_of(original),
    original_error = original, traceback = report.traceback,
    pid = report.pid, call = report.call,
  })
end

--- "share.config" and "fps" -> "share.config.fps".
function root.where(where, key)
  if key == nil then return where end
  if type(key) == "string" and key:match "^[%a_][%w_]*$" then
    return where .. "." .. key
  end
  return where .. "[" .. errors.show(key) .. "]"
end

-- The name of a place: a string; or a state, which makes no string for a key
-- as long as nothing goes wrong there.
local function name_of(place, key)
  return type(place) == "table" and root.where(place.where, key) or place
end

--- What is wrong with a value that is to be incremented.
function root.no_number(value)
  local text = "there is no number to add to: it is " .. errors.show(value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "boolean" then return text end
  return text .. ", a " .. kind
end

--- The error of a code of the core's.
function root.to_error(where, message, code)
  return errors.new(CLASSES[code] or "ShareError", {
    message = where .. ": " .. (TEXTS[code] or message), code = code,
  })
end

--- Raise what lists.lua refused as if it had been refused here; nothing else.
function root.refuse(where, err)
  if type(err) == "table" and err.is_refusal then
    err.message, err.is_refusal = where .. ": " .. err.message, nil
    errors.reraise(err)
  end
end

--- Raise what went wrong at `where`, at the line of whoever called us.
function root.fail(where, message, code, report)
  if code == "SKE_RAISED" then
    root.refuse(where, type(report) == "table" and report.error)
    errors.reraise(root.call_error(where, report))
  end
  errors.reraise(root.to_error(where, message, code))
end

-- ---- reading ----

-- A read that could not be served at once: look(seconds, handle, is_applied,
-- path, depth, key, how, seen) until it is. A task waits first for the writes
-- that the read has to see.
local function look_later(self, look, path, depth, key, how, seen)
  local is_applied = task_waits(self) ~= nil
  if is_applied then
    local is_ready, message, code = settle(self, self.read_timeout, path,
                                           depth, key, how)
    if not is_ready then return nil, message, code end
  end
  return insist(self, self.read_timeout, look, self.handle, is_applied, path,
                depth, key, how, seen)
end

local function get_again(seconds, handle, is_applied, path, depth, key, how,
                         seen)
  if is_applied then how = how + kinds.APPLIED end
  return handle:get(path, depth, key, how, seconds, seen)
end

--- -> kind, value; kinds.ABSENT when there is none. Of a table or object the
-- value is its size. `seen` (root.new_seen) is filled.
function root.get(self, where, path, depth, key, how, seen)
  local handle = self.handle
  local kind, value = handle:get(path, depth, key, how, 0, seen)
  if kind ~= nil then return kind, value end
  if handle:is_serving() then return handle:change_get(path, depth, key) end
  local code
  kind, value, code = look_later(self, get_again, path, depth, key, how, seen)
  if kind == nil then root.fail(name_of(where, key), value, code) end
  return kind, value
end

-- root.list in one of the share's own calls, which sees what it has changed.
local function list_in_call(handle, path, depth)
  if handle:change_get(path, depth) == kinds.ABSENT then return nil end
  return handle:change_list(path, depth)
end

local function list_again(seconds, handle, is_applied, path, depth, _, _, seen)
  return handle:list(path, depth, seconds, seen, is_applied)
end

--- -> arrays of keys and values, and a table of the kinds of those values
-- that are more than plain ones; nil when there is no such table.
function root.list(self, where, path, depth, seen)
  local handle = self.handle
  local keys, values, rest = handle:list(path, depth, 0, seen)
  if keys == nil and rest == "SKE_TIMEOUT" then
    if handle:is_serving() then return list_in_call(handle, path, depth) end
    keys, values, rest = look_later(self, list_again, path, depth, nil,
                                    kinds.ENTRIES, seen)
  end
  if keys ~= nil then return keys, values, rest end
  if rest == "SKE_ABSENT" or rest == "SKE_TYPE" then return nil end
  root.fail(where, values, rest)
end

function root.new_seen()
  return core.share_seen()
end

-- ---- writing ----

-- The place of the first value in a table that cannot be serialized.
local function find_culprit(where, value, seen)
  if type(value) ~= "table" or getmetatable(value) or seen[value] then
    return not pcall(serialize, value) and where or nil
  end
  seen[value] = true
  for k, v in each(value) do
    local found = find_culprit(root.where(where, k), v, seen)
    if found then return found end
  end
end

-- A value that cannot be serialized is named by where it was to go.
local function raise_for(where, value, err)
  if errors.is(err, "SerializationError") and not err.share_path then
    err.share_path = value ~= nil and find_culprit(where, value, {}) or where
    err.message = err.share_path .. ": " .. tostring(err.message)
    errors.reraise(err)
  end
  error(err, 0)
end

-- What pcall returned without its first; false, the error and RAISED when it
-- failed.
local RAISED = {}

local function shift(ok, first, ...)
  if not ok then return false, first, RAISED end
  return first, ...
end

local function try_put(_, put, ...)
  return shift(pcall(put, 0, ...))
end

-- Queue a command by put(seconds, handle, ...); where a task can wait, a full
-- lane is waited for without blocking. -> what pcall(put) returned
local function queue(self, put, ...)
  if not task_waits(self) then
    return pcall(put, self.read_timeout, self.handle, ...)
  end
  local first, second, code, what = insist(self, self.read_timeout, try_put,
                                           put, self.handle, ...)
  if code == RAISED then return false, second end
  return true, first, second, code, what
end

local function put_value(seconds, handle, path, depth, key, value)
  return handle:set(path, depth, key, value, seconds)
end

local function put_sum(seconds, handle, path, depth, key, n)
  return handle:add(path, depth, key, n, seconds)
end

local function put_call(seconds, handle, path, depth, writes, is_inside,
                        is_answered, ...)
  return handle:call(path, depth, writes, is_inside, is_answered, seconds, ...)
end

local function put_clear(seconds, handle, path, depth)
  return handle:clear(path, depth, nil, seconds)
end

-- The first try of a command: tasks go on with `queue` when it was too early.
local function first_timeout(self)
  return self.is_async and 0 or self.read_timeout
end

local function is_early(self, code)
  return code == "SKE_TIMEOUT" and self.is_async
end

--- Queue: the value of `key` is this one from now on; nil deletes it.
function root.set(self, where, path, depth, key, value)
  local handle = self.handle
  local ok, done, message, code, what =
    pcall(handle.set, handle, path, depth, key, value, first_timeout(self))
  if ok and is_early(self, code) then
    ok, done, message, code, what =
      queue(self, put_value, path, depth, key, value)
  end
  if done and ok then return end
  where = name_of(where, key)
  if not ok then raise_for(where, value, done) end
  if what == "value" then
    errors.raise("SerializationError", {
      message = where .. message .. code, path = where .. message,
    }, "caller")
  end
  root.fail(where, message, code)
end

local WHAT = {
  [kinds.TABLE] = "a table", [kinds.OBJECT] = "an object",
  [kinds.WHOLE] = "an object",
}

-- There was no number when it was added to: raise what there is now.
local function fail_sum(self, where, receipt, code)
  if code ~= "SKE_ABSENT" and code ~= "SKE_TYPE" then return end
  local kind, value = root.get(self, where, receipt.path, receipt.depth,
                               receipt.key, 0)
  local text = root.no_number(value)
  if WHAT[kind] then text = "there is no number to add to: it is " .. WHAT[kind]
  elseif type(value) == "number" then text = "there was no number to add to" end
  errors.raise("ShareError", { message = where .. ": " .. text, code = code },
               "caller")
end

-- What came of a call; waits on while there is nothing.
local function finish(self, where, receipt, rests, done, ...)
  if done then return ... end
  local message, code, report = ...
  local handle, sent, reply = self.handle, receipt[1], receipt[2]
  if code ~= "SKE_TIMEOUT" then
    if receipt.path then fail_sum(self, where, receipt, code) end
    root.fail(where, message, code, report)
  elseif core.now() >= receipt[3] then
    handle:forget(sent, reply)
    root.fail(where, message, code)
  end
  local shares = task_waits(self)
  if shares and shares.rest(handle, rests, receipt[3] - core.now()) then
    handle:forget(sent, reply)
    shares.deliver()
  end
  return finish(self, where, receipt, rests + 1,
                handle:answer(sent, reply, shares and 0 or SLICE))
end

local function answer(self, where, ok, sent, reply, code)
  if not ok then raise_for(where, nil, sent) end
  if sent == nil then root.fail(where, reply, code) end
  return finish(self, where, { sent, reply, core.now() + self.read_timeout },
                1, self.handle:answer(sent, reply, 0))
end

--- Add to a number -> the new one. `where` is a state, too.
function root.add(self, where, path, depth, key, n)
  local handle, _ = self.handle, nil
  local sent, reply, code =
    handle:add(path, depth, key, n, first_timeout(self))
  if is_early(self, code) then
    _, sent, reply, code = queue(self, put_sum, path, depth, key, n)
  end
  if sent == nil then root.fail(name_of(where, key), reply, code) end
  local done, sum, why, report = handle:answer(sent, reply, 0)
  if done then return sum end
  return finish(self, name_of(where, key), {
    sent, reply, core.now() + self.read_timeout, path = path, depth = depth,
    key = key,
  }, 1, done, sum, why, report)
end

-- Queue a call -> what pcall(handle.call) returns.
local function queue_call(self, is_answered, path, depth, writes, is_inside,
                          ...)
  local handle = self.handle
  if not self.is_async then
    return pcall(handle.call, handle, path, depth, writes, is_inside,
                 is_answered, self.read_timeout, ...)
  end
  return queue(self, put_call, path, depth, writes, is_inside, is_answered, ...)
end

--- Run something in the coordinator: what follows `is_inside` is for
-- serve.lua. `writes`: keys of the entries that it may change, as
-- core.share_path("", key) makes them, one after another; nil: any.
-- `is_inside`: the value at the path stays what it is.
function root.call(self, where, path, depth, writes, is_inside, ...)
  return answer(self, where, queue_call(self, true, path, depth, writes,
                                        is_inside, ...))
end

--- The same without waiting; errors go to share:errors().
function root.send(self, where, path, depth, writes, is_inside, ...)
  local ok, done, message, code =
    queue_call(self, false, path, depth, writes, is_inside, ...)
  if not ok then raise_for(where, nil, done) end
  if not done then root.fail(where, message, code) end
end

--- Queue: a table is empty from now on.
function root.clear(self, where, path, depth)
  local _, done, message, code = queue(self, put_clear, path, depth)
  if not done then root.fail(where, message, code) end
end

--- In a task: wait until all that was queued is applied, if it is in time.
function root.settle(self, timeout)
  if task_waits(self) then settle(self, timeout) end
end

local function flush_again(seconds, handle) return handle:flush(seconds) end

--- Wait until all that was queued is applied.
function root.flush(self, where, timeout)
  local handle = self.handle
  local done, message, code
  if task_waits(self) and not handle:is_serving() then
    done, message, code = settle(self, timeout)
  else
    done, message, code = insist(self, timeout, flush_again, handle)
  end
  if not done then root.fail(where, message, code) end
end

local GRACE = 0.25 -- seconds that a read may take when a wait is over

-- look(...), which does not wait for reads much longer than until `deadline`.
local function look_until(self, deadline, look, ...)
  if not deadline then return look(...) end
  local shares = task_waits(self)
  local holder = shares and shares.current() or self
  local before = holder.read_until
  holder.read_until = deadline + GRACE
  local ok, found = (shares and shares.pcall or pcall)(look, ...)
  holder.read_until = before
  if ok then return found end
  if core.now() >= deadline and errors.is(found, "ShareTimeoutError") then
    return false
  end
  error(found, 0)
end

--- Wait until look(...) is true or the time is over -> is it? It is called
-- after every change of the share.
function root.wait_until(self, timeout, look, ...)
  local handle = self.handle
  local deadline = timeout and core.now() + timeout
  local before, rests = handle:await(0, 0), 0
  while not look_until(self, deadline, look, ...) do
    if handle:is_serving() then
      root.fail("wait_for", nil, "SKE_SERVING")
    end
    local shares = task_waits(self)
    local left = deadline and deadline - core.now() or MAX_WAIT
    if left <= 0 then return false end
    local slice = shares and 0 or SLICE
    local now = handle:await(before, math.min(slice, left))
    rests = now == before and rests + 1 or 0
    before = now
    if shares and rests > 0 and shares.rest(handle, rests, left) then
      shares.deliver()
    end
  end
  return true
end

return root
