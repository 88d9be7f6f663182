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

local collection = require "suitkaise.shared.collection"
local errors = require "suitkaise.errors"
local proxy = require "suitkaise.share.proxy"

local apply = collection.apply
local states = proxy.states

local List = collection.new_class("List", function(initial)
  return initial == nil and {}
    or collection.check_array("List", "initial", initial)
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
  collection.no_field(List, key)
end)

List.__newindex = proxy.metamethod(function(self, key, value)
  if list[key] then
    collection.refuse_key(List, key, "is a method and cannot be assigned")
  elseif not is_position(key) then
    errors.argument("List", "position", key, "a whole number of at least 1",
                    "caller")
  end
  local st = states[self]
  apply(st, "set", key, collection.plain_item(st, "", value))
end)

List.__len = proxy.metamethod(function(self)
  return proxy.length(states[self])
end)

local function check_value(st, method, value)
  if value == nil then
    collection.refuse(List, method, "value", value, "anything but nil")
  end
  return collection.plain_item(st, ":" .. method, value)
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
  local st = state_of(self, "append")
  collection.queue(st, "insert", nil, check_value(st, "append", value))
end

--- Append all items of an array, in one step. Does not wait.
-- @tparam table items plain, or of a share
-- @raise ArgumentError
-- @usage list:extend{ "e", "f" }
function list:extend(items)
  collection.queue_entries(state_of(self, "extend"), "extend", "extend",
                           collection.check_array("List:extend", "items",
                                                  items))
end

--- Put an item before the one of that position.
-- @tparam int position
-- @param value
-- @raise ArgumentError
-- @usage list:insert(1, "first")
function list:insert(position, value)
  local st = state_of(self, "insert")
  check_position("insert", position)
  apply(st, "insert", position, check_value(st, "insert", value))
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
  local st = state_of(self, "remove")
  return (apply(st, "remove_value", check_value(st, "remove", value)))
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
