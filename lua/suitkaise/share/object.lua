-- Proxies of objects: fields read like a table's, methods run in the
-- coordinator. Also of tables inside objects, which belong to a field.

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local kinds = require "suitkaise.share.kinds"
local meta = require "suitkaise.share.meta"
local proxy = require "suitkaise.share.proxy"
local root = require "suitkaise.share.root"
local values = require "suitkaise.share.values"

local getmetatable = debug.getmetatable -- a class may hide itself

local states = proxy.states
local SCALAR = { number = true, string = true, boolean = true }

local object = {}

-- ---- classes ----

-- What `class` gives for a key, without an object: a method or a constant.
-- A function as __index computes, and needs an object.
local function class_value(class, key)
  for _ = 1, 100 do
    if type(class) ~= "table" then return nil end
    local index = rawget(class, "__index")
    local value
    if type(index) == "table" then value = rawget(index, key) end
    if value == nil then value = rawget(class, key) end
    if value ~= nil then return value end
    if type(index) == "table" and index ~= class then
      class = getmetatable(index) and index or nil
    end
    local parent = class and getmetatable(class)
    local above = type(parent) == "table" and rawget(parent, "__index")
    if type(above) ~= "table" then return nil end
    class = above
  end
end

local function is_computing(class)
  for _ = 1, 100 do
    local index = type(class) == "table" and rawget(class, "__index")
    if type(index) == "function" then return true end
    local next_class = type(index) == "table" and getmetatable(index)
    if not next_class or next_class == class then return false end
    class = next_class
  end
  return false
end

-- ---- methods ----

-- class -> its stubs, which proxies hold: what they lead to may lead back to
-- the class.
local stubs = setmetatable({}, { __mode = "kv" })

local function plain_arguments(n, first, ...)
  if n == 0 then return end
  return values.to_plain(first), plain_arguments(n - 1, ...)
end

local function call(st, name, is_answered, ...)
  local about = meta.of(st.class, name)
  local where = st.where .. ":" .. tostring(name)
  local run = (is_answered or about.returns) and root.call or root.send
  local n = select("#", ...)
  if st.keys then -- inside another object
    return run(st.root, where, st.path, st.depth, st.writes, true,
               "inner_method", st.keys, name, plain_arguments(n, ...))
  end
  local keys = not st.is_whole and about.keys or nil
  return run(st.root, where, st.path, st.depth, keys, true, "method",
             keys or false, name, plain_arguments(n, ...))
end

-- What `obj.name` is: a function that runs the method in the coordinator when
-- it is given a proxy, and the method itself for any other object.
local function stub_of(proxy_state, name, method)
  local class = proxy_state.class
  local of_class = stubs[class] or {}
  stubs[class], proxy_state.stubs = of_class, of_class
  if not of_class[name] then
    local here = meta.local_method(class, name)
    of_class[name] = function(self, ...)
      local st = states[self]
      if not st then return method(self, ...) end
      if here then return here(self, ...) end
      return call(st, name, false, ...)
    end
  end
  return of_class[name]
end

--- Call any method, and wait for its end and its results.
function object.call(self, name, ...)
  local st = states[self]
  if not st or not st.class then
    errors.argument("call", "object", self, "a shared object", "caller")
  end
  return call(st, name, true, ...)
end

-- ---- reading ----

local FieldTable = { __name = "shared table" }
local FieldObject = { __name = "shared object" }
object.FieldTable, object.FieldObject = FieldTable, FieldObject

local function inner(st, keys, key, value)
  local class = getmetatable(value)
  local metatable = class and FieldObject or FieldTable
  local found = st.children[key]
  local child = found and states[found]
  if child and child.metatable == metatable and child.class == class then
    return found
  end
  found = proxy.make(metatable, {
    root = st.root, path = st.path, depth = st.depth,
    where = proxy.where(st.where, key), metatable = metatable, class = class,
    owner = st.owner or st, keys = keys, is_whole = st.is_whole,
    writes = not st.is_whole and core.share_path("", keys[1]) or nil,
  })
  st.children[key] = found
  return found
end

local function longer(keys, key)
  local all = {}
  for i, k in ipairs(keys or {}) do all[i] = k end
  all[#all + 1] = key
  return all
end

local function deep_copy(value, copies)
  if type(value) ~= "table" then return value end
  if copies[value] then return copies[value] end
  local copy = {}
  copies[value] = copy
  for k, v in each(value) do
    copy[deep_copy(k, copies)] = deep_copy(v, copies)
  end
  return setmetatable(copy, getmetatable(value))
end

-- What reading `key` of `owner`, a copy of what `st` stands for, gives: of a
-- table that is in there a proxy; what was computed is the reader's own.
local function wrap(st, key, owner)
  local value = rawget(owner, key)
  if value == nil then return deep_copy(owner[key], {}) end
  if type(value) ~= "table" then return value end
  return inner(st, longer(st.keys, key), key, value)
end

-- The decoded table of a field, the same as long as the field is.
local function field_table(st, key)
  local kept = st.tables and st.tables[key]
  if kept and st.root.handle:fresh(kept.seen) then return kept.value end
  local seen = root.new_seen()
  local _, value = root.get(st.root, proxy.where(st.where, key), st.path,
                            st.depth, key, 0, seen)
  st.tables = st.tables or {}
  st.tables[key] = { seen = seen, value = value }
  return value
end

local function from_fields(st, keys, stored)
  local fields = {}
  for i = 1, #keys do fields[keys[i]] = stored[i] end
  fields[kinds.CLASS_FIELD] = nil
  return setmetatable(fields, st.class)
end

-- How the object is stored may change while somebody holds its proxy: a
-- method makes its fields hang together. -> is it an object still?
local function look_again(st)
  local kind = root.get(st.root, st.where, st.path, st.depth, nil, 0)
  st.is_whole = kind == kinds.WHOLE
  return st.is_whole or kind == kinds.OBJECT
end

local function load_replica(st, seen)
  if st.is_whole then
    local kind, value = root.get(st.root, st.where, st.path, st.depth, nil,
                                 kinds.ENTRIES, seen)
    return kind == kinds.WHOLE and value or nil
  end
  local keys, stored = root.list(st.root, st.where, st.path, st.depth, seen)
  return keys and from_fields(st, keys, stored)
end

-- A copy of the whole object, as of one instant; not for the user.
local function replica(st)
  local kept = st.replica
  if kept and st.root.handle:fresh(kept.seen) then return kept.value end
  local seen = root.new_seen()
  local value = load_replica(st, seen)
  -- it may be stored in the other way again and again
  while value == nil and look_again(st) do value = load_replica(st, seen) end
  if value == nil then
    errors.raise("ShareError", st.where .. ": there is no such object any "
      .. "more", "caller")
  end
  st.replica = { seen = seen, value = value }
  return value
end

local function read_whole(st, key)
  return wrap(st, key, replica(st))
end

-- No such field, or for a moment it was stored in another way: what was there
-- at one instant decides.
local function read_instant(st, key)
  local found, copy = pcall(replica, st)
  if not found then
    if not errors.is(copy, "ShareError") or look_again(st) then
      error(copy, 0)
    end
    return class_value(st.class, key)
  end
  if rawget(copy, key) ~= nil then return wrap(st, key, copy) end
  local value = class_value(st.class, key)
  if value == nil and is_computing(st.class) then return wrap(st, key, copy) end
  return value
end

local function read_field(st, key)
  local value, kind = proxy.read(st, key)
  if kind == kinds.CERIAL and type(value) == "table" then
    value = field_table(st, key)
    if type(value) == "table" then return inner(st, { key }, key, value) end
  end
  if value ~= nil then return value end
  return read_instant(st, key)
end

-- A field cannot hide a method: then no call needs to look for one first.
local function miss(st, key)
  local of_class = st.stubs
  local stub = of_class and of_class[key]
  if stub then return stub end
  local method = class_value(st.class, key)
  if type(method) == "function" then
    return stub_of(st, key, method)
  end
  if st.is_whole then return read_whole(st, key) end
  return read_field(st, key)
end

-- ---- objects ----

local Object = { __name = "shared object" }
proxy.Object = Object

local function send_inside(st, key, value)
  root.send(st.root, proxy.where(st.where, key), st.path, st.depth, st.writes,
            true, "inside", st.keys or {}, "set", key, values.to_plain(value))
end

Object.__index = proxy.indexer(miss)

-- A class may refuse to have what it computes assigned.
local function check_assigned(st, self, key)
  local check = st.class and meta.local_method(st.class, "__newindex")
  if check then check(self, key) end
end

Object.__newindex = proxy.metamethod(function(self, key, value)
  local st = states[self]
  check_assigned(st, self, key)
  if key == kinds.CLASS_FIELD then
    errors.argument(st.where, "key", key, "a field's name", "caller")
  end
  if st.is_whole then send_inside(st, key, value)
  elseif SCALAR[type(value)] or value == nil then proxy.write(st, key, value)
  else proxy.write(st, key, values.leaf(values.to_plain(value))) end
end)

function Object.__call(self, ...)
  return call(states[self], "__call", false, ...)
end

Object.__tostring = proxy.tostring
Object.__eq = proxy.equal

Object.__len = proxy.metamethod(function(self)
  return #replica(states[self])
end)

values.plain[Object] = function(self)
  return deep_copy(replica(states[self]), {})
end

-- ---- tables inside objects ----

-- What the proxy stands for now: not for the user to change.
local function target(st)
  local owner, key = st.owner, st.keys[1]
  local value
  if not owner.is_whole then value = field_table(owner, key) end
  -- it may have come to be stored as a whole
  if type(value) ~= "table" then value = replica(owner)[key] end
  for i = 2, #st.keys do
    if type(value) ~= "table" then break end
    value = value[st.keys[i]]
  end
  if type(value) ~= "table" then
    errors.raise("ShareError", st.where .. ": there is no such table any more",
                 "caller")
  end
  return value
end

local inner_index = proxy.metamethod(function(self, key)
  local st = states[self]
  if st.class then
    local method = class_value(st.class, key)
    if type(method) == "function" then
      return stub_of(st, key, method)
    end
  end
  return wrap(st, key, target(st))
end)

local inner_newindex = proxy.metamethod(function(self, key, value)
  check_assigned(states[self], self, key)
  send_inside(states[self], key, value)
end)

for _, metatable in ipairs { FieldTable, FieldObject } do
  metatable.__index = inner_index
  metatable.__newindex = inner_newindex
  metatable.__tostring = proxy.tostring
  metatable.__eq = rawequal
  metatable.__len = proxy.metamethod(function(self)
    return #target(states[self])
  end)
  values.plain[metatable] = function(self)
    return deep_copy(target(states[self]), {})
  end
end

--- Pairs of what an object's or inner table's proxy stands for, as reads give
-- them.
function object.entries(self)
  local st = states[self]
  local value = st.keys and target(st) or replica(st)
  local keys, wrapped = {}, {}
  for k in each(value) do
    keys[#keys + 1] = k
    wrapped[#keys] = wrap(st, k, value)
  end
  return keys, wrapped
end

local function apply(st, where, how, ...)
  return root.call(st.root, where, st.path, st.depth, st.writes, true,
                   "inside", st.keys or {}, how, ...)
end

--- Do something of lists.plain to what the proxy stands for -> its results.
function object.apply(self, how, ...)
  local st = states[self]
  return apply(st, st.where, how, ...)
end

--- The same to one entry of it.
function object.apply_at(self, key, how, ...)
  local st = states[self]
  return apply(st, proxy.where(st.where, key), how, key, ...)
end

return object
