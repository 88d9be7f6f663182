--- Is a value of a class? One answer for errors, objects and shared types.
-- @module suitkaise.is

local MAX_DEPTH = 100 -- a chain of parents that is longer is a cycle

-- The table in which a lookup that fails in `class` goes on.
local function next_table(class)
  local index = rawget(class, "__index")
  if type(index) == "table" and index ~= class then return index end
  local meta = getmetatable(class)
  local parent = type(meta) == "table" and rawget(meta, "__index")
  return type(parent) == "table" and parent or nil
end

-- A table that others look fields up in; its own metatable is for that too.
local function is_class(value)
  return type(value) == "table" and rawget(value, "__index") ~= nil
end

local function refuse(class)
  -- errors itself loads this module
  local errors = require "suitkaise.errors"
  errors.argument("is", "class", class, "a class or the name of one", 3)
end

--- Is `value` an object of `class` or of a class below it?
-- Works for errors, for objects of `sk.class` and of other classes that are
-- metatables, and for shared types. A class has a name when it has a string
-- in its field `__name`. Any value may be asked about; a class itself is of
-- no class.
-- @param value anything
-- @tparam string|table class a class or its name
-- @treturn boolean
-- @raise ArgumentError when `class` is neither
-- @usage sk.is(err, "ProcessError"); sk.is(dog, Animal)
-- @function is
return function(value, class)
  local by_name = type(class) == "string"
  if not by_name and type(class) ~= "table" then refuse(class) end
  local at = not is_class(value) and getmetatable(value)
  for _ = 1, MAX_DEPTH do
    if type(at) ~= "table" then return false end
    if by_name and rawget(at, "__name") == class or at == class then
      return true
    end
    at = next_table(at)
  end
  return false
end
