-- Proxies: what reads like a table and lives in a share. One for each path
-- that is looked at; it holds no value of its own, only what it saw last.
--
-- A proxy is a userdata, for in 5.1 a table's `#` and collection cannot be
-- followed. Its state is a table that is found through it.

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local kinds = require "suitkaise.share.kinds"
local root = require "suitkaise.share.root"
local values = require "suitkaise.share.values"

local TABLE, OBJECT, WHOLE = kinds.TABLE, kinds.OBJECT, kinds.WHOLE
local MAX_CACHED = 1024 -- values that a proxy remembers

local quick = root.quick

local proxy = {}

--- proxy -> state: root, path, depth, where, cache, children; what else there
-- is belongs to the kind of proxy.
proxy.states = setmetatable({}, { __mode = "k" })
local states = proxy.states

local new_seen = quick and quick.new_seen or root.new_seen

-- ---- metamethods ----

-- Lua 5.1 cannot yield in one: what waits in it blocks there.
local can_yield = _VERSION ~= "Lua 5.1" or rawget(_G, "jit") ~= nil

local function leave(ok, ...)
  root.metamethods = root.metamethods - 1
  if not ok then error((...), 0) end
  return ...
end

--- A metamethod, or what one calls with a proxy or a state.
function proxy.metamethod(fn)
  if can_yield then return fn end
  return function(self, ...)
    local st = states[self] or self
    if not st.root.is_async then return fn(self, ...) end
    root.metamethods = root.metamethods + 1
    return leave(pcall(fn, self, ...))
  end
end

-- ---- keys ----

proxy.where = root.where

local function refuse_key(st, key)
  errors.argument(st.where, "key", key, "a string, a number or a boolean",
                  "caller")
end

local function check_key(st, key)
  local kind = type(key)
  if kind ~= "string" and kind ~= "boolean"
     and (kind ~= "number" or key ~= key) then
    refuse_key(st, key)
  end
end
proxy.check_key = check_key

-- ---- making them ----

--- A new proxy with that state. The state may not lead to the proxy: `states`
-- would keep both for ever, for 5.1 knows no ephemerons.
function proxy.make(metatable, st)
  local made = core.share_proxy(metatable)
  st.cache, st.cached = {}, 0
  st.children = setmetatable({}, { __mode = "v" })
  st.pointer = st.root.pointer
  states[made] = st
  return made
end

--- A proxy for the entry `key` of `st`, as long as it is of that class.
function proxy.child(st, key, metatable, class)
  local found = st.children[key]
  if found then
    local child = states[found]
    if child.metatable == metatable and child.class == class then
      return found
    end
  end
  found = proxy.make(metatable, {
    root = st.root, path = core.share_path(st.path, key),
    depth = st.depth + 1, where = proxy.where(st.where, key),
    metatable = metatable, class = class,
  })
  st.children[key] = found
  return found
end

--- The same place, for tasks: its waits yield.
function proxy.asynced(st)
  return proxy.make(st.metatable, {
    root = root.asynced(st.root), path = st.path, depth = st.depth,
    where = st.where, metatable = st.metatable,
  })
end

-- ---- reading ----

-- A place to remember a value; not more of them than fit a fast table.
local function new_entry(st, key)
  if st.cached >= MAX_CACHED then
    st.cache, st.cached, st.held = {}, 0, nil
  end
  local entry = { seen = new_seen(), value = nil }
  st.cache[key] = entry
  st.cached = st.cached + 1
  return entry
end

local WEAK = { __mode = "v" }

-- Remember a proxy, but do not keep it: a share nobody uses would be collected
-- one level a time, for a proxy's state is held until the proxy is gone.
local function weaken(st, key, entry)
  st.held = st.held or {}
  st.held[key] = entry.seen
  return setmetatable(entry, WEAK)
end

local function path_of(st, key)
  local child = st.children[key]
  return child and states[child].path or core.share_path(st.path, key)
end

local function class_of(st, key)
  local path = path_of(st, key)
  local field = kinds.CLASS_FIELD
  local kind, token
  if quick then
    kind, token = quick.get(st.pointer, path, st.depth + 1, field, 0)
  end
  if kind == nil then
    kind, token = root.get(st.root, st.where, path, st.depth + 1, field, 0)
  end
  if kind ~= kinds.STRING then return nil end
  return st.root.classes[token]
         or values.class(st.root, proxy.where(st.where, key), token)
end

--- What a read of that kind gives: a proxy, or the value itself.
function proxy.wrap(st, key, kind, value)
  if kind == TABLE then return proxy.child(st, key, proxy.Table) end
  if kind ~= OBJECT and kind ~= WHOLE then return value end
  local class
  if kind == OBJECT then class = class_of(st, key)
  else class = debug.getmetatable(value) end
  if not class then -- it has become something else since
    kind, value = root.get(st.root, st, st.path, st.depth, key, 0)
    return proxy.wrap(st, key, kind, value)
  end
  local child = proxy.child(st, key, proxy.Object, class)
  states[child].is_whole = kind == WHOLE
  return child
end

local function read_slowly(st, key, seen)
  return root.get(st.root, st, st.path, st.depth, key, 0, seen)
end

-- Values that are tables of their own would be changed behind our back.
local function may_keep(kind, value)
  return kind ~= kinds.CERIAL or type(value) ~= "table"
end

--- Read an entry: -> value, kind.
function proxy.read(st, key)
  check_key(st, key)
  local entry = st.cache[key] or new_entry(st, key)
  local seen = entry.seen
  local kind, value
  if quick then
    kind, value = quick.get(st.pointer, st.path, st.depth, key, 0, seen)
    if kind == nil then seen.off = 0 end -- never fresh
    if value == nil and kind ~= kinds.ABSENT then
      kind, value = read_slowly(st, key)
    end
  else
    kind, value = read_slowly(st, key, seen)
  end
  if kind == kinds.ABSENT then
    st.cache[key] = nil
    return nil, kind
  end
  value = proxy.wrap(st, key, kind, value)
  if not may_keep(kind, value) then st.cache[key] = nil
  elseif type(value) == "userdata" then weaken(st, key, entry).value = value
  else entry.value = value end
  return value, kind
end
local read = proxy.read

--- -> __index of a kind of proxy: the remembered value, if it is fresh, else
-- `miss(st, key)`.
function proxy.indexer(miss)
  miss = proxy.metamethod(miss)
  if not quick then
    return function(self, key)
      local st = states[self]
      local entry = st.cache[key]
      local value = entry and entry.value
      if value ~= nil and st.root.handle:fresh(entry.seen) then return value end
      return (miss(st, key))
    end
  end
  -- A function with "..." is always inlined and never compiled by itself: if it
  -- were, by reads that missed, no loop could be compiled across it any more.
  local fresh = quick.fresh
  return function(self, key, ...) -- luacheck: ignore 212
    local st = states[self]
    local entry = st.cache[key]
    local value = entry and entry.value
    if value ~= nil and fresh(st.pointer, entry.seen) then return value end
    return (miss(st, key))
  end
end

-- ---- writing ----

--- Queue: entry `key` is `value` from now on.
function proxy.write(st, key, value)
  if quick and quick.set(st.pointer, st.path, st.depth, key, value) then
    return
  end
  check_key(st, key)
  root.set(st.root, st, st.path, st.depth, key, value)
end
local write = proxy.write

-- ---- tables ----

local Table = { __name = "shared table" }
proxy.Table = Table
Table.__index = proxy.indexer(read)

Table.__newindex = proxy.metamethod(function(self, key, value)
  write(states[self], key, value)
end)

-- The last index with a value, as `#` finds one: there is none after it.
local function border(st, n)
  local function has(i) return read_slowly(st, i) ~= kinds.ABSENT end
  if n == 0 or not has(1) then return 0 end
  if has(n) then return n end
  local low, high = 1, n
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if has(middle) then low = middle else high = middle end
  end
  return low
end

--- How many items the array at a state's path has.
function proxy.length(st)
  local self = st.root
  local kind, n = root.get(self, st.where, st.path, st.depth, nil,
                           kinds.ENTRIES)
  return kind == TABLE and border(st, n) or 0
end

Table.__len = proxy.metamethod(function(self)
  return proxy.length(states[self])
end)

function proxy.tostring(self)
  return states[self].where
end
Table.__tostring = proxy.tostring

--- Two proxies of one path are the same.
function proxy.equal(a, b)
  local x, y = states[a], states[b]
  return x ~= nil and y ~= nil and x.root.id == y.root.id and x.path == y.path
    and x.depth == y.depth and x.metatable == y.metatable
end
Table.__eq = proxy.equal

-- ---- whole tables ----

--- Every entry of a table: arrays of keys and of values as reads give them.
function proxy.entries(st)
  local keys, stored, kinds_of = root.list(st.root, st.where, st.path,
                                           st.depth)
  if not keys then return {}, {} end
  for i, kind in each(kinds_of) do
    stored[i] = proxy.wrap(st, keys[i], kind, stored[i])
  end
  return keys, stored
end

--- A plain copy of a table and all that is in it.
function proxy.copy_table(st)
  local keys, stored = proxy.entries(st)
  local copy = {}
  for i = 1, #keys do copy[keys[i]] = proxy.copy(stored[i]) end
  return copy
end

--- A plain copy of what a read gave.
function proxy.copy(value)
  local st = states[value]
  if not st then return value end
  local copy = values.plain[getmetatable(value)]
  return copy and copy(value) or value
end

values.plain[Table] = function(self) return proxy.copy_table(states[self]) end

return proxy
