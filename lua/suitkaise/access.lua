--- Functions on what is shared: what Lua's own table functions cannot do to
-- it, and what has to happen in one step. They take a Share, a table or an
-- object in it, a Dict or a List, and most of them a plain table as well.
-- @module suitkaise.access
-- @usage sk.increment(share, "hits")
-- for k, v in sk.pairs(share.config) do print(k, v) end

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local lists = require "suitkaise.share.lists"
local object = require "suitkaise.share.object"
local proxy = require "suitkaise.share.proxy"
local root = require "suitkaise.share.root"
local values = require "suitkaise.share.values"

local states = proxy.states

local access = {}

-- ---- arguments ----

local function refuse(fname, value)
  errors.argument(fname, "table", value, "a shared table or object, or a "
                  .. "plain table", "caller")
end

local function check_table(fname, value)
  if not states[value] and type(value) ~= "table" then refuse(fname, value) end
end

local function shared_state(fname, value)
  local st = states[value]
  if not st then
    errors.argument(fname, "table", value, "a Share, or a table or object in "
                    .. "one", "caller")
  end
  return st
end

local function check_key(fname, key)
  local kind = type(key)
  if kind ~= "string" and kind ~= "boolean"
     and (kind ~= "number" or key ~= key) then
    errors.argument(fname, "key", key, "a string, a number or a boolean",
                    "caller")
  end
end

-- Something of lists.plain, done to a plain table.
local function apply_plain(fname, how, ...)
  local ok, result = pcall(lists.plain[how], ...)
  if ok then return result end
  root.refuse(fname, result)
  error(result, 0)
end

-- ---- in one step ----

--- Add to a number in one step: no update of any process is lost.
-- @tparam Share|table t
-- @tparam string|number key
-- @tparam[opt=1] number n
-- @treturn number the new value
-- @raise ShareError when there is no number
-- @usage share.hits = 0
-- print(sk.increment(share, "hits"), sk.increment(share, "hits", 5)) --> 1 6
function access.increment(t, key, n)
  if n == nil then n = 1 end
  if type(n) ~= "number" then
    errors.argument("increment", "n", n, "a number", "caller")
  end
  local st = states[t]
  if not st then
    check_table("increment", t)
    return apply_plain("increment", "increment", t, key, n)
  end
  check_key("increment", key)
  if st.keys or st.is_whole then
    return object.apply_at(t, key, "increment", n)
  end
  return root.add(st.root, st, st.path, st.depth, key, n)
end

--- Read, change and write back in one step, in the coordinator. `change` gets
-- a plain copy of the value and returns the new one; what it captured goes
-- with it as a copy. In a named Share it must be a function of a module.
-- @tparam Share|table t
-- @tparam string|number key
-- @tparam function change
-- @param ... further arguments of `change`
-- @raise ShareCallError what `change` raised; nothing is changed then
-- @usage sk.update(share, "config", function(c) c.fps = 30 return c end)
function access.update(t, key, change, ...)
  if type(change) ~= "function" then
    errors.argument("update", "change", change, "a function", "caller")
  end
  check_key("update", key)
  local st = shared_state("update", t)
  if st.keys or st.class then
    object.apply_at(t, key, "update", change, ...)
    return
  end
  root.call(st.root, proxy.where(st.where, key),
            core.share_path(st.path, key), st.depth + 1, nil, false, "update",
            change, ...)
end

--- Call a method of a shared object and wait for its end, whatever it
-- returns.
-- @param t the object
-- @tparam string method
-- @param ... arguments
-- @return its results
-- @raise ShareCallError what it raised
-- @usage local worst = sk.call(share.stats, "record", 16.6)
function access.call(t, method, ...)
  if type(method) ~= "string" then
    errors.argument("call", "method", method, "a string", "caller")
  end
  return object.call(t, method, ...)
end

local function equals(t, key, wanted) return t[key] == wanted end
local function passes(t, key, predicate) return predicate(t[key]) end

--- Sleep until an entry has a value, or until a predicate of it is true.
-- @tparam Share|table t
-- @tparam string|number key
-- @param wanted the value; or a function of the value that returns true
-- @tparam[opt] number timeout seconds; nil waits for ever, 0 only looks
-- @treturn boolean false when the time ran out
-- @usage sk.wait_for(share, "done", true, 5)
function access.wait_for(t, key, wanted, timeout)
  local st = shared_state("wait_for", t)
  check_key("wait_for", key)
  if timeout ~= nil and (type(timeout) ~= "number" or not (timeout >= 0)) then
    errors.argument("wait_for", "timeout", timeout,
                    "a number of seconds of at least 0", "caller")
  end
  local is_it = type(wanted) == "function" and passes or equals
  return root.wait_until(st.root, timeout, is_it, t, key, wanted)
end

-- ---- looking at all of it ----

-- -> keys, values as reads give them
local function entries(t)
  local st = states[t]
  if st.keys or st.class then return object.entries(t) end
  return proxy.entries(st)
end

--- Iterate over the entries, as they are when the loop begins: each as fresh
-- as a single read, but not all of one instant. Those of an object are.
-- @param t
-- @treturn function iterator
-- @usage for k, v in sk.pairs(share.config) do print(k, v) end
function access.pairs(t)
  check_table("pairs", t)
  if not states[t] then return pairs(t) end
  local keys, read = entries(t)
  local i = 0
  return function()
    i = i + 1
    return keys[i], read[i]
  end, t
end

--- Iterate over the items of an array.
-- @param t
-- @treturn function iterator
-- @usage for i, tag in sk.ipairs(share.config.tags) do print(i, tag) end
function access.ipairs(t)
  check_table("ipairs", t)
  if not states[t] then return ipairs(t) end
  local keys, read = entries(t)
  local items = {}
  for i, key in ipairs(keys) do items[key] = read[i] end
  return ipairs(items)
end

--- How many items an array has; the same as `#t`.
-- @param t
-- @treturn int
-- @usage print(sk.len(share.config.tags))
function access.len(t)
  check_table("len", t)
  return #t
end

--- A plain deep copy; of an object, with its class. Shared types stay what
-- they are.
-- @param t
-- @return the copy
-- @usage local config = sk.snapshot(share.config)
-- for name, value in pairs(config) do print(name, value) end
function access.snapshot(t)
  check_table("snapshot", t)
  local st = states[t]
  -- a Dict or List inside another value stays one
  if st and not values.plain[st.metatable] then return proxy.copy_table(st) end
  return values.copy(t)
end

-- ---- arrays ----

local function apply(t, how, ...)
  local st = states[t]
  if st.keys or st.class then return object.apply(t, how, ...) end
  return root.call(st.root, st.where, st.path, st.depth, nil, false, "list",
                   how, ...)
end

local function check_position(fname, position)
  if type(position) ~= "number" or position % 1 ~= 0 then
    errors.argument(fname, "position", position, "a whole number", "caller")
  end
end

--- Insert into an array in one step, like table.insert.
-- @param t
-- @tparam[opt] int position at the end, if left out
-- @param value
-- @usage sk.insert(share.queue, "last")
-- sk.insert(share.queue, 1, "first")
function access.insert(t, ...)
  check_table("insert", t)
  local position, value = nil, ...
  if select("#", ...) > 1 then
    position, value = ...
    check_position("insert", position)
  end
  if value == nil then
    errors.argument("insert", "value", value, "anything but nil", "caller")
  end
  if states[t] then
    apply(t, "insert", position, values.to_plain(value))
  else
    apply_plain("insert", "insert", t, position, value)
  end
end

--- Remove from an array in one step, like table.remove.
-- @param t
-- @tparam[opt] int position the last, if left out
-- @return what was there
-- @usage local last, first = sk.remove(share.queue), sk.remove(share.queue, 1)
function access.remove(t, position)
  check_table("remove", t)
  if position ~= nil then check_position("remove", position) end
  if states[t] then return apply(t, "remove", position) end
  return apply_plain("remove", "remove", t, position)
end

return access
