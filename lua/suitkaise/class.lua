--- Classes for those who have none.
-- `local Dog = class("Dog", Animal)`, `function Dog:init(name) ... end`,
-- `local rex = Dog("rex")`. A class is the metatable of its objects; methods
-- and metamethods of the parent are inherited.
-- @module suitkaise.class

local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local identity = require "suitkaise.cerial.identity"
local is = require "suitkaise.is"

local class = {}

-- Children of each class, so that a metamethod that is defined after them
-- still reaches them. Lua looks metamethods up in the metatable itself only.
local children = setmetatable({}, { __mode = "k" })

local OWN = { __index = true, __name = true }

local function is_metamethod(key)
  return type(key) == "string" and key:sub(1, 2) == "__" and not OWN[key]
end

-- ---- what a class does: the functions in its metatable ----
-- They are fields of the module so that a class can be serialized: its
-- functions go by reference.

--- Make an object: called by `Dog(...)`.
-- @tparam table self the class
-- @param ... for `init`
-- @treturn table the object
-- @usage local rex = Dog("rex")
function class.construct(self, ...)
  local object = setmetatable({}, self)
  local init = self.init
  if init then init(object, ...) end
  return object
end

--- Set a new field of a class; metamethods reach the children.
-- @local
function class.set_field(self, key, value)
  rawset(self, key, value)
  if not is_metamethod(key) then return end
  for child in each(children[self] or {}) do
    if rawget(child, key) == nil then class.set_field(child, key, value) end
  end
end

--- The text of a class: its kind and name.
-- @local
function class.describe(self)
  return "class " .. self.__name
end

-- ---- inheritance ----

local function inherit_metamethods(new, parent)
  for key, value in each(parent) do
    if is_metamethod(key) then rawset(new, key, value) end
  end
end

-- A parent with an __index of its own (computed fields) is asked after the
-- methods.
local function index_of(new, parent)
  local index = rawget(parent, "__index")
  if index == nil or index == parent then return new end
  return function(object, key)
    local value = new[key]
    if value ~= nil then return value end
    if type(index) == "function" then return index(object, key) end
    return index[key]
  end
end

local function make(name, parent)
  local new = { __name = name }
  new.__index = index_of(new, parent)
  inherit_metamethods(new, parent)
  children[parent] = children[parent] or setmetatable({}, { __mode = "k" })
  children[parent][new] = true
  identity.give(new) -- children that are forked later know it by that
  return setmetatable(new, {
    __index = parent,
    __call = class.construct,
    __newindex = class.set_field,
    __tostring = class.describe,
  })
end

--- The class above all classes: what every object can do.
class.Object = { __name = "Object" }

--- Is this an object of that class or of one below it?
-- @function Object:is_a
-- @tparam string|table of a class or its name
-- @treturn boolean
-- @usage assert(Dog("rex"):is_a "Animal")
class.Object.is_a = is

--- Make a class below this one.
-- @function Object:extend
-- @tparam string name
-- @treturn table the class
-- @usage local Puppy = Dog:extend "Puppy"
function class.Object:extend(name)
  if type(name) ~= "string" then
    errors.argument("extend", "name", name, "a string")
  end
  return make(name, self)
end

--- Make a class.
-- A metamethod (`__tostring`, `__call`, `__eq`, `__add` ...) may be defined
-- before or after the children are made. To change one later, set it in the
-- children too.
-- @function class
-- @tparam string name
-- @tparam[opt] table parent a class, of this module or any table that is
--   used as a metatable
-- @treturn table the class; calling it makes an object and calls `init`
-- @raise ArgumentError
-- @usage local Animal = sk.class "Animal"
-- local Dog = sk.class("Dog", Animal)
-- function Dog:init(name) self.name = name end
-- assert(Dog("rex"):is_a "Animal")
local function call(_, name, parent)
  if type(name) ~= "string" then
    errors.argument("class", "name", name, "a string")
  end
  if parent ~= nil and type(parent) ~= "table" then
    errors.argument("class", "parent", parent, "a class or nil")
  end
  return make(name, parent or class.Object)
end

return setmetatable(class, { __call = call })
