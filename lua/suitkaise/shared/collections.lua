-- Dict, List and Results: tables of a share with methods. Made by themselves
-- they live in a share of the library's, which starts with the first of them.

local core = require "suitkaise.core"
local errors = require "suitkaise.errors"
local kinds = require "suitkaise.share.kinds"
local options = require "suitkaise.options"
local proxy = require "suitkaise.share.proxy"
local root = require "suitkaise.share.root"
local Share = require "suitkaise.share"
local travel = require "suitkaise.share.travel"
local values = require "suitkaise.share.values"

local states = proxy.states

local collections = {}

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
  proxy.write(st, key, content)
  return proxy.make(metatable, {
    root = st.root, path = core.share_path("", key), depth = 1,
    where = metatable.__name, metatable = metatable,
  })
end

local function refuse(class, method, argument, value, expected)
  errors.argument(class.__name .. ":" .. method, argument, value, expected,
                  "caller")
end

local function state_of(class, self, method)
  local st = states[self]
  if not st or st.metatable ~= class then
    refuse(class, method, "self", self, "a " .. class.__name)
  end
  return st
end

local function apply(st, how, ...)
  return root.call(st.root, st.where, st.path, st.depth, nil, false, "list",
                   how, ...)
end

local function queue(st, how, ...)
  root.send(st.root, st.where, st.path, st.depth, nil, false, "list", how,
            ...)
end

local function clear(st)
  root.clear(st.root, st.where, st.path, st.depth)
end

-- A class whose proxies are called by their methods first.
local function new_class(name, content_of)
  local class = { __name = name, methods = {} }
  -- the same one for tasks of sk.async: what waits yields the task
  function class.methods.asynced(self)
    local st = states[self]
    if not st or st.metatable ~= class then
      refuse(class, "asynced", "self", self, "a " .. name)
    end
    return proxy.asynced(st)
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

-- The plain table of an argument.
local function check_plain(fname, argument, value)
  local st = states[value]
  if st and not st.class then
    return st.keys and values.copy(value) or proxy.copy_table(st)
  end
  if type(value) ~= "table" or getmetatable(value) then
    errors.argument(fname, argument, value, "a plain table", "caller")
  end
  return values.to_plain(value)
end

local function plain_or_empty(class, initial)
  return initial == nil and {} or check_plain(class, "initial", initial)
end

-- ---- Dict ----

local Dict = new_class("Dict", function(initial)
  return plain_or_empty("Dict", initial)
end)
collections.Dict = Dict
local dict = Dict.methods

Dict.__index = proxy.indexer(function(st, key)
  local method = dict[key]
  if method then return method end
  return proxy.read(st, key)
end)

Dict.__newindex = proxy.metamethod(function(self, key, value)
  if dict[key] then
    errors.raise("ArgumentError", {
      message = ('Dict: "%s" is a method; use :set("%s", value)')
        :format(key, key), argument = key,
    }, "caller")
  end
  proxy.write(states[self], key, value)
end)

local function count(st)
  local kind, n = root.get(st.root, st.where, st.path, st.depth, nil,
                           kinds.ENTRIES)
  return kind == kinds.TABLE and n or 0
end

Dict.__len = proxy.metamethod(function(self) return count(states[self]) end)

--- The value of a key, whatever its name.
function dict.get(self, key, otherwise)
  local st = state_of(Dict, self, "get")
  local value = proxy.read(st, key)
  if dict[key] then st.cache[key] = nil end -- it would hide the method
  if value == nil then return otherwise end
  return value
end

--- Set the value of a key, whatever its name.
function dict.set(self, key, value)
  proxy.write(state_of(Dict, self, "set"), key, value)
end

--- Take a key out, in one step.
function dict.pop(self, key, otherwise)
  local st = state_of(Dict, self, "pop")
  proxy.check_key(st, key)
  local value = apply(st, "pop", key)
  if value == nil then return otherwise end
  return value
end

--- Set all pairs of a table, in one step.
function dict.update(self, t)
  local st = state_of(Dict, self, "update")
  queue(st, "merge", check_plain("Dict:update", "pairs", t))
end

function dict.keys(self)
  return (proxy.entries(state_of(Dict, self, "keys")))
end

function dict.values(self)
  return (select(2, proxy.entries(state_of(Dict, self, "values"))))
end

--- Pairs: an array of { key, value }.
function dict.items(self)
  local keys, of = proxy.entries(state_of(Dict, self, "items"))
  local items = {}
  for i, key in ipairs(keys) do items[i] = { key, of[i] } end
  return items
end

function dict.contains(self, key)
  local st = state_of(Dict, self, "contains")
  proxy.check_key(st, key)
  return root.get(st.root, st.where, st.path, st.depth, key, 0)
    ~= kinds.ABSENT
end

function dict.clear(self) clear(state_of(Dict, self, "clear")) end

function dict.to_table(self)
  return proxy.copy_table(state_of(Dict, self, "to_table"))
end

-- ---- List ----

local List = new_class("List", function(initial)
  local items = plain_or_empty("List", initial)
  for key in pairs(items) do
    if type(key) ~= "number" or key < 1 or key > #items or key % 1 ~= 0 then
      errors.argument("List", "initial", initial, "an array: it has the key "
                      .. errors.show(key), "caller")
    end
  end
  return items
end)
collections.List = List
local list = List.methods

local function is_position(key)
  return type(key) == "number" and key >= 1 and key % 1 == 0
end

List.__index = proxy.indexer(function(st, key)
  local method = list[key]
  if method then return method end
  if is_position(key) then return proxy.read(st, key) end
  if type(key) == "number" then return nil end
  errors.raise("ArgumentError", {
    message = "List has no field " .. errors.show(key)
      .. options.hint(key, options.names(list)), argument = key,
  }, "caller")
end)

List.__newindex = proxy.metamethod(function(self, key, value)
  if not is_position(key) then
    errors.argument("List", "position", key, "a whole number of at least 1",
                    "caller")
  end
  apply(states[self], "set", key, values.to_plain(value))
end)

List.__len = proxy.metamethod(function(self)
  return proxy.length(states[self])
end)

local function check_value(method, value)
  if value == nil then refuse(List, method, "value", value, "a value") end
  return values.to_plain(value)
end

local function check_position(method, position)
  if not is_position(position) then
    refuse(List, method, "position", position, "a whole number of at least 1")
  end
end

function list.append(self, value)
  queue(state_of(List, self, "append"), "insert", nil,
        check_value("append", value))
end

--- Append all items of an array, in one step.
function list.extend(self, items)
  queue(state_of(List, self, "extend"), "extend",
        check_plain("List:extend", "items", items))
end

function list.insert(self, position, value)
  local st = state_of(List, self, "insert")
  check_position("insert", position)
  apply(st, "insert", position, check_value("insert", value))
end

--- Take an item out: the last one, if no position is given.
function list.pop(self, position)
  local st = state_of(List, self, "pop")
  if position ~= nil then check_position("pop", position) end
  return (apply(st, "remove", position))
end

--- Remove the first item that equals `value`: was there one?
function list.remove(self, value)
  return (apply(state_of(List, self, "remove"), "remove_value",
                check_value("remove", value)))
end

function list.clear(self) clear(state_of(List, self, "clear")) end

function list.to_table(self)
  return proxy.copy_table(state_of(List, self, "to_table"))
end

-- ---- Results ----

local Results = new_class("Results", function(n)
  if type(n) ~= "number" or n < 1 or n % 1 ~= 0 then
    errors.argument("Results", "n", n, "a whole number of at least 1",
                    "caller")
  end
  return { n = n }
end)
collections.Results = Results
local results = Results.methods

Results.__index = proxy.indexer(function(_, key)
  local method = results[key]
  if method then return method end
  errors.raise("ArgumentError", {
    message = "Results has no field " .. errors.show(key)
      .. options.hint(key, options.names(results)), argument = key,
  }, "caller")
end)

function Results.__newindex(_, key)
  errors.raise("ArgumentError", {
    message = "Results: use :set(worker, value)", argument = key,
  }, "caller")
end

local function size(st) return (proxy.read(st, "n")) end

Results.__len = proxy.metamethod(function(self) return size(states[self]) end)

local function check_worker(st, method, worker)
  local n = size(st)
  if type(worker) ~= "number" or worker < 1 or worker > n or worker % 1 ~= 0
  then
    refuse(Results, method, "worker", worker, "a whole number from 1 to " .. n)
  end
end

--- Leave the result of one worker: any value, read back as a copy.
function results.set(self, worker, value)
  local st = state_of(Results, self, "set")
  check_worker(st, "set", worker)
  value = values.to_plain(value)
  proxy.write(st, worker, value ~= nil and values.leaf(value) or nil)
end

function results.get(self, worker)
  local st = state_of(Results, self, "get")
  check_worker(st, "get", worker)
  return (proxy.read(st, worker))
end

--- All results: an array with nil where there is none yet, and its size `n`.
function results.collect(self)
  local st = state_of(Results, self, "collect")
  local keys, of = proxy.entries(st)
  local all = {}
  for i, key in ipairs(keys) do all[key] = of[i] end
  return all
end

return collections
