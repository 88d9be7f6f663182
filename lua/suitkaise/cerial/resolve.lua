--- What names and states in the bytes stand for: called by the C decoder.
-- @module suitkaise.cerial.resolve
-- @local

local cdata = require "suitkaise.cerial.cdata"
local failure = require "suitkaise.cerial.failure"
local identity = require "suitkaise.cerial.identity"
local kinds = require "suitkaise.cerial.kinds"
local names = require "suitkaise.cerial.names"
local registry = require "suitkaise.cerial.registry"
local walk = require "suitkaise.cerial.walk"
local each = require "suitkaise.each"

local resolve = {}

--- The class of a name that a namer gave (see src/lua/cerial.h): it begins
-- with "\1". Replaced by who gives such names.
function resolve.token()
  return nil, "the class is in a share, and shares are not loaded here"
end

local function resolve_class(name, trusted)
  local class = registry.values[name]
  if class then return class end
  if not trusted then
    return nil, ("class %q is not registered here; use cerial.register, or "
                 .. "{ trusted = true }"):format(name)
  end
  local found, why
  if name:sub(1, 1) == "\1" then found, why = resolve.token(name)
  else found, why = names.find(name) end
  if found == nil then return nil, why end
  if type(found) ~= "table" then
    return nil, ("%q is no class but a %s"):format(name, type(found))
  end
  return found
end

--- A name: -> the value; or nil, reason.
function resolve.name(kind, name, trusted)
  if kind == kinds.CLASS then return resolve_class(name, trusted) end
  if not trusted then
    return nil, ("%q by name in bytes that are not trusted: use "
                 .. "{ trusted = true }"):format(name)
  end
  if kind == kinds.GLOBALS then return _G end
  local value, why = names.find(name)
  if kind == kinds.REFERENCE and type(value) == "table" then
    return nil, ("%q is no function here"):format(name)
  end
  return value, why
end

-- ---- hooks ----

-- `stand_in` was handed out for `object` before that existed: it becomes it.
local function become(stand_in, object)
  if stand_in == object then return object end
  for k, v in each(object) do
    if rawequal(k, object) then k = stand_in end
    if rawequal(v, object) then v = stand_in end
    rawset(stand_in, k, v)
  end
  debug.setmetatable(stand_in, debug.getmetatable(object))
  return stand_in
end

--- A table for what refers to a hooked object while its state is read.
-- @tparam table record class, state, stand-in
function resolve.stand_in(record)
  if not record[3] then
    local class = record[1]
    record[3] = {}
    if class and not registry.is_handle(class) then
      debug.setmetatable(record[3], class)
    end
  end
  return record[3]
end

local function deserializer(class)
  if registry.is_handle(class) then return class.deserialize end
  return registry.field(class, "__deserialize")
end

--- The object of a record: -> object, or object and the stand-in that has to
-- be replaced by it; or nil, reason, cause.
function resolve.revive(record)
  local class, state, stand_in = record[1], record[2], record[3]
  local deserialize = deserializer(class)
  if deserialize == nil then
    return nil, "the class of an object has no __deserialize here"
  end
  local ok, object = pcall(deserialize, state)
  if not ok then
    return nil, "its __deserialize raised an error: " .. tostring(object),
           object
  end
  if object == nil then return nil, "its __deserialize returned nil" end
  if not stand_in then return object end
  if type(object) == "table" then return become(stand_in, object) end
  return object, stand_in
end

--- Put objects in the place of their stand-ins.
-- @param root
-- @tparam table list stand-in, object, stand-in, object ...
function resolve.replace(root, list)
  local by_stand_in = {}
  for i = 1, #list, 2 do by_stand_in[list[i]] = list[i + 1] end
  return walk.replace(root, function(value)
    return by_stand_in[value]
  end)
end

resolve.build = cdata.build

--- Raise the DeserializationError.
function resolve.refuse(...)
  identity.doubt()
  return failure.deserialization(...)
end

return resolve
