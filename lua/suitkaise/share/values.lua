-- What becomes of a value that is put into a share, and the classes of the
-- objects in it: by name, or by value, once for the whole share.

local core = require "suitkaise.core"
local describe_name = require "suitkaise.cerial.describe".name
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local kinds = require "suitkaise.share.kinds"
local names = require "suitkaise.cerial.names"
local registry = require "suitkaise.cerial.registry"
local resolve = require "suitkaise.cerial.resolve"
local root = require "suitkaise.share.root"

local getmetatable = debug.getmetatable -- a class may hide itself

local CLASS = require("suitkaise.cerial.kinds").CLASS

local values = {}

--- metatable of a proxy -> function(proxy) that gives the plain value of what
-- it stands for; proxies themselves cannot be stored.
values.plain = setmetatable({}, { __mode = "k" })

-- A wrapper: its value goes in as it is, and is read as a whole.
local Leaf = {}

--- Let `value` be stored as one item, whatever it is.
function values.leaf(value)
  return setmetatable({ value }, Leaf)
end

-- ---- copies ----

-- Is a proxy somewhere in `value`?
local function has_proxy(value, seen)
  local kind = type(value)
  if kind == "userdata" then
    return values.plain[debug.getmetatable(value)] ~= nil
  end
  if kind ~= "table" or seen[value] then return false end
  seen[value] = true
  for k, v in each(value) do
    if has_proxy(k, seen) or has_proxy(v, seen) then return true end
  end
  return false
end

local function copy_plain(value, copies)
  local kind = type(value)
  if kind == "userdata" then
    local plain = values.plain[debug.getmetatable(value)]
    return plain and plain(value) or value
  end
  if kind ~= "table" then return value end
  local copy = copies[value]
  if copy then return copy end
  copy = {}
  copies[value] = copy
  for k, v in each(value) do
    copy[copy_plain(k, copies)] = copy_plain(v, copies)
  end
  return setmetatable(copy, debug.getmetatable(value))
end

--- A plain deep copy of anything, of proxies too.
function values.copy(value)
  return copy_plain(value, {})
end

--- `value` with a plain copy in place of each proxy in it; itself when there
-- is none.
function values.to_plain(value)
  local kind = type(value)
  if kind ~= "table" and kind ~= "userdata" then return value end
  return has_proxy(value, {}) and copy_plain(value, {}) or value
end

-- ---- classes ----

local function put_class(self, token, class)
  if self.handle:is_serving() then
    self.handle:change_set("", kinds.PRIVATE, token, values.leaf(class))
    self.new_classes[class] = token
  else
    root.set(self, "class", "", kinds.PRIVATE, token, values.leaf(class))
  end
end

-- A class is stored with all that it holds, its own metatable too. In the
-- coordinator that is part of what the running call changes.
local function store_class(self, token, class)
  self.is_storing = true
  local ok, err = pcall(put_class, self, token, class)
  self.is_storing = nil
  if not ok then error(err, 0) end
end

--- Nothing was kept of the running call: neither were its classes.
function values.forget_new(self)
  for class, token in each(self.new_classes) do
    self.tokens[class], self.classes[token] = nil, nil
  end
  self.new_classes = {}
end

local function new_token(self, class)
  if self.name then
    errors.raise("SerializationError", {
      message = "the class of an object has no name, and in a named share "
        .. "classes go by name only; make it a field of a module or use "
        .. "cerial.register",
    }, "caller")
  end
  local token
  -- no two processes make the same one, not even with the same number
  repeat
    token = ("v%x.%.0f.%x"):format(core.getpid(), core.now() * 1e6,
                                 self.classes_made)
    self.classes_made = self.classes_made + 1
  until not self.classes[token]
  store_class(self, token, class)
  return token
end

--- The text that stands for a class in this share.
function values.token(self, class)
  local token = self.tokens[class]
  if token then return token end
  local kind, name = describe_name(class)
  if kind == nil then
    names.refresh()
    kind, name = describe_name(class)
  end
  token = kind == CLASS and "n" .. name or new_token(self, class)
  self.tokens[class] = token
  self.classes[token] = class
  return token
end

local function load_class(self, where, token)
  if token:sub(1, 1) == "n" then
    local class, why = resolve.name(CLASS, token:sub(2), true)
    if class then return class end
    errors.raise("DeserializationError", where .. ": " .. why, "caller")
  end
  local _, class = root.get(self, where, "", kinds.PRIVATE, token, 0)
  if type(class) ~= "table" then
    errors.raise("DeserializationError", where
      .. ": the class of the object is not in the share", "caller")
  end
  return class
end

--- The class that a token stands for.
function values.class(self, where, token)
  local class = self.classes[token]
  if not class then
    class = load_class(self, where, token)
    self.classes[token] = class
    self.tokens[class] = token
  end
  return class
end

--- For the binding: the name of a class that has none of its own; nil: it goes
-- by value. What a failed call says cannot name classes that it has stored.
function values.namer(self)
  return function(class)
    if self.name or self.is_storing then return nil end
    if self.has_failed
       and (not self.tokens[class] or self.new_classes[class]) then
      return nil
    end
    local token = values.token(self, class)
    return token:sub(1, 1) == "v" and "\1" .. self.id .. token or nil
  end
end

function resolve.token(name)
  local self = root.by_id[name:sub(2, 17)]
  if not self then return nil, "the class is in a share that is not here" end
  local ok, class = pcall(values.class, self, "class", name:sub(18))
  if ok then return class end
  return nil, errors.is(class, "Error") and class.message or tostring(class)
end

-- ---- objects ----

local SIMPLE = { number = true, string = true, boolean = true }
-- values that have no parts which another field could have too
local ALONE = { number = true, string = true, boolean = true, cdata = true }

-- Is nothing in `value` also in another field, or the object itself? `owners`:
-- table -> field.
local function is_separate(value, field, owners)
  if ALONE[type(value)] then return true end
  if type(value) == "userdata" then return true end
  if type(value) ~= "table" then return false end -- a closure may hold self
  if owners[value] then return owners[value] == field end
  owners[value] = field
  local meta = getmetatable(value)
  if meta ~= nil and registry.field(meta, "__serialize") then return true end
  for k, v in each(value) do
    if not (is_separate(k, field, owners) and is_separate(v, field, owners))
    then
      return false
    end
  end
  return true
end

--- Can each field of the object be stored by itself?
function values.has_fields(object)
  local owners = { [object] = object }
  for k, v in each(object) do
    if not SIMPLE[type(k)] or k == kinds.CLASS_FIELD
       or not is_separate(v, k, owners) then
      return false
    end
  end
  return true
end

local function describe_object(self, object, meta)
  if registry.field(meta, "__serialize") or not values.has_fields(object) then
    return "whole", object
  end
  local fields = {}
  for k, v in each(object) do fields[k] = values.to_plain(v) end
  return "object", values.token(self, meta), fields
end

--- For the binding: how a value that is no plain one is stored.
function values.describer(self)
  return function(value)
    local meta = debug.getmetatable(value)
    if type(meta) ~= "table" or type(value) == "cdata"
       or type(value) == "string" then
      return "leaf", value
    end
    if meta == Leaf then return "leaf", value[1] end
    local plain = values.plain[meta]
    if plain then
      value = plain(value)
      meta = getmetatable(value)
      if type(value) ~= "table" then return "leaf", value end
      if not meta then return "table", value end
    end
    if type(value) == "table" and not registry.metatables[meta] then
      return describe_object(self, value, meta)
    end
    return "leaf", value
  end
end

return values
