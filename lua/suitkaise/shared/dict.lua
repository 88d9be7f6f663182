--- Dict: a table of a share with methods. `sk.Dict(t)` makes one, with a copy
-- of `t` in it if there is one.
--
-- `dict.key` reads, `dict.key = value` writes, `#dict` counts the pairs; a key
-- that is named like a method is for `get` and `set`. What every read and
-- write may raise: ShareError, and SerializationError for a value that no
-- other process can have.
-- @classmod suitkaise.shared.dict
-- @usage local dict = sk.Dict{ red = 1 }
-- dict.green = 2
-- dict:update{ blue = 3, red = 4 }
-- print(dict.red, #dict) --> 4 3

local collection = require "suitkaise.shared.collection"
local kinds = require "suitkaise.share.kinds"
local proxy = require "suitkaise.share.proxy"
local root = require "suitkaise.share.root"

local states = proxy.states

local Dict = collection.new_class("Dict", function(initial)
  return initial == nil and {}
    or collection.check_plain("Dict", "initial", initial)
end)
local dict = Dict.methods

local function state_of(self, method)
  return collection.state_of(Dict, self, method)
end

Dict.__index = proxy.indexer(function(st, key)
  local method = dict[key]
  if method then return method end
  return proxy.read(st, key)
end)

Dict.__newindex = proxy.metamethod(function(self, key, value)
  if dict[key] then
    collection.refuse_key(Dict, key,
      ('is a method; use :set("%s", value)'):format(key))
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
-- @param key
-- @param[opt] default for a key that there is not
-- @return the value
-- @raise ArgumentError
-- @usage local red = dict:get("red", 0)
function dict:get(key, default)
  local st = state_of(self, "get")
  local value = proxy.read(st, key)
  if dict[key] then st.cache[key] = nil end -- it would hide the method
  if value == nil then return default end
  return value
end

--- Set the value of a key, whatever its name.
-- @param key
-- @param value nil takes it out
-- @raise ArgumentError
-- @usage dict:set("keys", 3)
function dict:set(key, value)
  proxy.write(state_of(self, "set"), key, value)
end

--- Take a key out, in one step: no other process gets its value too.
-- @param key
-- @param[opt] default for a key that there is not
-- @return the value that it had
-- @raise ArgumentError
-- @usage local job = dict:pop(id)
function dict:pop(key, default)
  local st = state_of(self, "pop")
  proxy.check_key(st, key)
  local value = collection.apply(st, "pop", key)
  if value == nil then return default end
  return value
end

--- Set all pairs of a table, in one step.
-- @tparam table pairs plain, or of a share
-- @raise ArgumentError
-- @usage dict:update{ blue = 3, red = 4 }
function dict:update(pairs)
  local st = state_of(self, "update")
  collection.queue_entries(st, "update", "merge",
                           collection.check_plain("Dict:update", "pairs",
                                                  pairs))
end

--- The keys, in no order.
-- @treturn table array
-- @usage for _, key in ipairs(dict:keys()) do print(key) end
function dict:keys()
  return (proxy.entries(state_of(self, "keys")))
end

--- The values, in the order of the keys.
-- @treturn table array
-- @usage for _, value in ipairs(dict:values()) do print(value) end
function dict:values()
  return (select(2, proxy.entries(state_of(self, "values"))))
end

--- Keys and values together.
-- @treturn table array of `{ key, value }`
-- @usage for _, item in ipairs(dict:items()) do print(item[1], item[2]) end
function dict:items()
  local keys, values = proxy.entries(state_of(self, "items"))
  local items = {}
  for i, key in ipairs(keys) do items[i] = { key, values[i] } end
  return items
end

--- Is there such a key?
-- @param key
-- @treturn boolean
-- @raise ArgumentError
-- @usage if not dict:contains(id) then dict[id] = job end
function dict:contains(key)
  local st = state_of(self, "contains")
  proxy.check_key(st, key)
  return root.get(st.root, st.where, st.path, st.depth, key, 0)
    ~= kinds.ABSENT
end

--- Take out everything.
-- @usage dict:clear()
function dict:clear() collection.clear(state_of(self, "clear")) end

--- A plain copy, with the tables in it.
-- @treturn table
-- @usage local plain = dict:to_table()
function dict:to_table()
  return proxy.copy_table(state_of(self, "to_table"))
end

--- The same Dict for tasks of @{suitkaise.async}: what waits yields the task.
-- @usage sk.async.run(function() print(dict:asynced().red) end)
-- @function dict:asynced
-- @treturn Dict a view

return Dict
