-- The classes Counter, Flag and Progress: their functions in C or FFI and
-- what is common to both. A class is the metatable of its userdata.

local core = require "suitkaise.core"
local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local options = require "suitkaise.options"
local add_progress = require "suitkaise.shared.progress"
local add_wait = require "suitkaise.shared.wait"
local whole = require "suitkaise.shared.whole"

local classes = {}

-- Names of what a user may write after the colon or dot.
local function public_names(class, fields)
  local all = {}
  for name in each(class) do
    if type(name) == "string" and name:sub(1, 2) ~= "__" then
      all[name] = true
    end
  end
  for name in each(fields) do all[name] = true end
  return options.names(all)
end

local function no_such_field(class, fields, key, level)
  errors.raise("ArgumentError", {
    message = class.__name .. " has no field " .. errors.show(key)
      .. options.hint(key, public_names(class, fields)),
    argument = key,
  }, level + 1)
end

-- Called from C and from ffi.lua, always by the function that the user
-- called: the error is at level 3.
local function make_hooks(class, fields)
  local name = class.__name
  local hooks = { join = whole.join, split = whole.split }

  function hooks.refuse(method, argument, value, expected)
    if expected == "a whole number" and type(value) == "number"
       and value == math.floor(value) then
      expected = "a whole number of 64 bits"
    end
    errors.argument(method and name .. ":" .. method or name, argument, value,
                    expected or "a " .. name, 3)
  end

  function hooks.fail(_, message, code)
    errors.raise("Error", { message = name .. ": " .. message, code = code },
                 3)
  end

  -- A field that is neither the value nor in the class. Names that begin
  -- with two underscores are nil: libraries look for metamethods.
  function hooks.missing(self, key)
    local read = fields[key]
    if type(read) == "function" then return read(self) end
    if type(key) ~= "string" or key:sub(1, 2) ~= "__" then
      no_such_field(class, fields, key, 3)
    end
  end

  return hooks
end

local function add_refusals(class, fields)
  function class.__newindex(_, key)
    if fields[key] == nil and class[key] == nil then
      no_such_field(class, fields, key, 2)
    end
    errors.raise("ArgumentError", {
      message = class.__name .. ": " .. key .. " cannot be assigned"
        .. (class.set and "; use :set" or ""),
      argument = key,
    }, 2)
  end
end

-- What arrives in another process: the handle made by __serialize.
local function add_deserialize(class, raw)
  function class.__deserialize(handle)
    local found = type(handle) == "string" and raw.find(handle)
    if not found then
      errors.raise("DeserializationError", class.__name .. ": handle "
        .. errors.show(handle) .. " is of another program or of a process"
        .. " that shares no memory with this one", 2)
    end
    return found
  end
end

local function make_class(name, fields, fast)
  local class = { __name = name }
  local hooks = make_hooks(class, fields)
  local raw = core.cell_class(name, class, hooks)
  add_refusals(class, fields)
  add_deserialize(class, raw)
  if fast then fast[name](class, hooks, raw) end
  setmetatable(class, {
    __call = raw.new,
    __tostring = function() return "class " .. name end,
  })
  return class, raw, hooks
end

local function make_flag(fast)
  local Flag, raw, hooks = make_class("Flag", { value = true }, fast)
  add_wait(Flag, raw, hooks)
  function Flag.__tostring(self) return tostring(self.value) end
  return Flag
end

local function make_progress(fast)
  local fields = { completed = true }
  local Progress, raw, hooks = make_class("Progress", fields, fast)
  add_progress(Progress, raw, hooks, fields)
  return Progress
end

-- For what is written in Lua: Counter class -> function(counter, seen, n) that
-- sets it to n if it still is `seen`, and says whether it did.
classes.replace = setmetatable({}, { __mode = "k" })

local function make_counter(fast)
  local Counter, raw = make_class("Counter", { value = true }, fast)
  classes.replace[Counter] = raw.replace
  return Counter
end

-- A set of classes. `fast` replaces functions that are written in C: what
-- ffi.lua gives, or nil.
function classes.make(fast)
  return {
    Counter = make_counter(fast),
    Flag = make_flag(fast),
    Progress = make_progress(fast),
  }
end

return classes
