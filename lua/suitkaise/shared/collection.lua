-- What Dict, List and Results are made of: tables of a share with methods.
-- Made by themselves they live in a share of the library's, which starts with
-- the first of them.

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local kinds = require "suitkaise.share.kinds"
local options = require "suitkaise.options"
local proxy = require "suitkaise.share.proxy"
local root = require "suitkaise.share.root"
local Share = require "suitkaise.share"
local travel = require "suitkaise.share.travel"
local values = require "suitkaise.share.values"

local states = proxy.states

local collection = {}

-- ---- where they live ----

local default, made = nil, 0

local function default_state()
  if not default then default = Share() end
  return states[default]
end

-- A new table of the default share, that a proxy of `metatable` stands for.
local function new_table(metatable, content)
  local st = default_state()
  made = made + 1
  local key = ("%s:%x.%x"):format(metatable.__name, core.getpid(), made)
  root.set(st.root, metatable.__name, "", st.depth, key, content)
  return proxy.make(metatable, {
    root = st.root, path = core.share_path("", key), depth = 1,
    where = metatable.__name, metatable = metatable,
  })
end

-- ---- what methods begin with ----

--- Refuse an argument of a method, at the user's line.
function collection.refuse(class, method, argument, value, expected)
  errors.argument(class.__name .. ":" .. method, argument, value, expected,
                  "caller")
end

--- The state of `self`, which must be one of the class.
function collection.state_of(class, self, method)
  local st = states[self]
  if not st or st.metatable ~= class then
    collection.refuse(class, method, "self", self, "a " .. class.__name
                      .. " (call it with a colon)")
  end
  return st
end

--- Have something done in the coordinator, in one step -> its results.
function collection.apply(st, how, ...)
  return root.call(st.root, st.where, st.path, st.depth, nil, false, "list",
                   how, ...)
end

--- The same, without waiting for it.
function collection.queue(st, how, ...)
  root.send(st.root, st.where, st.path, st.depth, nil, false, "list", how,
            ...)
end

function collection.clear(st)
  root.clear(st.root, st.where, st.path, st.depth)
end

-- What is wrong with a table, its name does not tell.
local function refuse_table(fname, argument, expected)
  errors.raise("ArgumentError", {
    message = ("%s: %s must be %s"):format(fname, argument, expected),
    argument = argument,
  }, "caller")
end

--- The plain table of an argument.
function collection.check_plain(fname, argument, value)
  local st = states[value]
  if st and not st.class then
    return st.keys and values.copy(value) or proxy.copy_table(st)
  end
  if type(value) ~= "table" then
    errors.argument(fname, argument, value, "a plain table", "caller")
  elseif getmetatable(value) then
    refuse_table(fname, argument, "a plain table: it has a metatable")
  end
  return values.to_plain(value)
end

--- The same of one that must be an array.
function collection.check_array(fname, argument, value)
  local items = collection.check_plain(fname, argument, value)
  local n, found = #items, 0
  for key in each(items) do
    if type(key) ~= "number" or key < 1 or key > n or key % 1 ~= 0 then
      refuse_table(fname, argument, "an array: it has the key "
                   .. errors.show(key))
    end
    found = found + 1
  end
  if found < n then refuse_table(fname, argument, "an array without holes") end
  return items
end

local MAX_DEPTH = 99 -- of tables in a share

-- What is queued is stored when nobody waits for its errors any more.
local function check_storable(where, value, depth)
  if type(value) ~= "table" or getmetatable(value) then return end
  local trouble = depth > MAX_DEPTH and "it is nested too deep for a share, or "
    .. "contains itself"
  for key, inner in each(value) do
    local kind = type(key)
    if trouble then break end
    if kind ~= "string" and kind ~= "number" and kind ~= "boolean" then
      trouble = "a key of a shared table must be a string, a number or a "
        .. "boolean, got " .. errors.show(key)
    else
      check_storable(where, inner, depth + 1)
    end
  end
  if trouble then
    errors.raise("SerializationError", where .. ": " .. trouble, "caller")
  end
end

--- Have something done later that stores the entries of `value`.
function collection.queue_entries(st, method, how, value)
  check_storable(st.where .. ":" .. method, value, st.depth % kinds.ROOT)
  collection.queue(st, how, value)
end

--- An item that can be stored, plain.
function collection.plain_item(st, method, value)
  local plain = values.to_plain(value)
  check_storable(st.where .. method, plain, st.depth % kinds.ROOT + 1)
  return plain
end

--- An entry cannot be assigned.
function collection.refuse_key(class, key, why)
  errors.raise("ArgumentError", {
    message = ("%s: %s %s"):format(class.__name, errors.show(key), why),
    argument = key,
  }, "caller")
end

--- There is no such field.
function collection.no_field(class, key, hint)
  errors.raise("ArgumentError", {
    message = ("%s has no field %s%s"):format(class.__name, errors.show(key),
      hint or options.hint(key, options.names(class.methods))),
    argument = key,
  }, "caller")
end

-- ---- classes ----

--- A class whose proxies are called by their methods first.
-- @tparam string name
-- @tparam function content_of(...) -> the table that a new one begins with
-- @treturn table the class; its `methods`
function collection.new_class(name, content_of)
  local class = { __name = name, methods = {} }
  -- the same one for tasks of sk.async: what waits yields the task
  function class.methods.asynced(self)
    return proxy.asynced(collection.state_of(class, self, "asynced"))
  end
  class.__tostring = proxy.tostring
  class.__eq = proxy.equal
  travel.add("suitkaise.shared.collections", name, class, travel.describe,
             travel.restore(class))
  return setmetatable(class, {
    __call = function(_, ...) return new_table(class, content_of(...)) end,
    __tostring = function() return "class " .. name end,
  })
end

return collection
