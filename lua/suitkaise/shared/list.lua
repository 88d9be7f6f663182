--- List: an array of a share with methods. `sk.List(items)` makes one, with
-- copies of the items if there are any.
--
-- `list[i]` reads, `list[i] = value` writes (at most one place behind the
-- end), `#list` is its length. What every read and write may raise:
-- ShareError, and SerializationError for a value that no other process can
-- have.
-- @classmod suitkaise.shared.list
-- @usage local list = sk.List{ "b", "c" }
-- list:insert(1, "a")
-- list:append("d")
-- print(#list, list:pop()) --> 4 d

local each = require "suitkaise.each"
local collection = require "suitkaise.shared.collection"
local errors = require "suitkaise.errors"
local options = require "suitkaise.options"
local proxy = require "suitkaise.share.proxy"
local values = require "suitkaise.share.values"

local apply = collection.apply
local states = proxy.states

local List = collection.new_class("List", function(initial)
  local items = collection.plain_or_empty("List", initial)
  for key in each(items) do
    if type(key) ~= "number" or key < 1 or key > #items or key % 1 ~= 0 then
      errors.argument("List", "initial", initial, "an array: it has the key "
                      .. errors.show(key), "caller")
    end
  end
  return items
end)
local list = List.methods

local function state_of(self, method)
  return collection.state_of(List, self, method)
end

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
  if value == nil then
    collection.refuse(List, method, "value", value, "a value")
  end
  return values.to_plain(value)
end

local function check_position(method, position)
  if not is_position(position) then
    collection.refuse(List, method, "position", position,
                      "a whole number of at least 1")
  end
end

--- Add an item at the end. Does not wait.
-- @param value
-- @raise ArgumentError
-- @usage list:append{ url = url }
function list:append(value)
  collection.queue(state_of(self, "append"), "insert", nil,
                   check_value("append", value))
end

--- Append all items of an array, in one step. Does not wait.
-- @tparam table items plain, or of a share
-- @raise ArgumentError
-- @usage list:extend{ "e", "f" }
function list:extend(items)
  collection.queue(state_of(self, "extend"), "extend",
                   collection.check_plain("List:extend", "items", items))
end

--- Put an item before the one of that position.
-- @tparam int position
-- @param value
-- @raise ArgumentError
-- @usage list:insert(1, "first")
function list:insert(position, value)
  local st = state_of(self, "insert")
  check_position("insert", position)
  apply(st, "insert", position, check_value("insert", value))
end

--- Take an item out, in one step: no other process gets it too.
-- @tparam[opt] int position the last one, if it is left out
-- @return the item; nil when there is none
-- @raise ArgumentError
-- @usage local oldest = list:pop(1)
function list:pop(position)
  local st = state_of(self, "pop")
  if position ~= nil then check_position("pop", position) end
  return (apply(st, "remove", position))
end

--- Remove the first item that equals a value.
-- @param value
-- @treturn boolean was there one?
-- @raise ArgumentError
-- @usage list:remove "b"
function list:remove(value)
  return (apply(state_of(self, "remove"), "remove_value",
                check_value("remove", value)))
end

--- Take out everything.
-- @usage list:clear()
function list:clear() collection.clear(state_of(self, "clear")) end

--- A plain copy, with the tables in it.
-- @treturn table
-- @usage table.sort(list:to_table())
function list:to_table()
  return proxy.copy_table(state_of(self, "to_table"))
end

--- The same List for tasks of @{suitkaise.async}: what waits yields the task.
-- @usage sk.async.run(function() print(list:asynced():pop()) end)
-- @function list:asynced
-- @treturn List a view

return List
