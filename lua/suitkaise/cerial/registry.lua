--- Classes and types that are known by a name of their own.
-- @module suitkaise.cerial.registry
-- @local

local registry = {}

--- class, metatable -> name (also the C encoder's list of named tables).
registry.names = setmetatable({}, { __mode = "k" })
--- name -> class, metatable or handle.
registry.values = {}
--- id of a ctype -> handle.
registry.ctypes = {}
--- id of a ctype -> the name it was registered under.
registry.ctype_names = {}
--- metatable of a userdata -> handle.
registry.metatables = setmetatable({}, { __mode = "k" })

local Handle = {}
Handle.__index = Handle

--- Is this what `handle` registered, rather than a class?
function registry.is_handle(value)
  return getmetatable(value) == Handle
end

--- Register a class under a name.
function registry.add(name, class)
  registry.values[name] = class
  registry.names[class] = name
  -- middleclass: the metatable of objects is a table beside the class
  local instances = rawget(class, "__instanceDict")
  if type(instances) == "table" then
    registry.values[name .. "#instances"] = instances
    registry.names[instances] = name .. "#instances"
  end
end

--- Register a ctype of LuaJIT: its values go as their bytes.
function registry.add_ctype(name, ctype)
  registry.values[name] = ctype
  registry.ctype_names[tonumber(ctype)] = name
end

--- Register a type whose values are handles to something shared: they travel
-- as the state that `serialize` returns, on trusted and untrusted bytes.
-- @tparam string name the same in every process
-- @tparam table handle `match`: a ctype of LuaJIT or the metatable of a
--   userdata; `serialize(value) -> state`; `deserialize(state) -> value`
function registry.handle(name, handle)
  local known = setmetatable({
    name = name, serialize = handle.serialize,
    deserialize = handle.deserialize,
  }, Handle)
  registry.values[name] = known
  if type(handle.match) == "table" then
    registry.metatables[handle.match] = known
  else
    registry.ctypes[tonumber(handle.match)] = known
  end
end

local function field_of(t, name) return t[name] end

--- A field of a class, inherited or not; never raises.
function registry.field(class, name)
  local value = rawget(class, name)
  if value ~= nil then return value end
  local ok, found = pcall(field_of, class, name)
  if ok and found ~= nil then return found end
  local index = rawget(class, "__index")
  if type(index) ~= "table" then return nil end
  ok, found = pcall(field_of, index, name)
  return ok and found or nil
end

return registry
