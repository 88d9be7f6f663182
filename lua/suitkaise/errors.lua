--- Errors as objects: classes with parents, a message and named fields.
-- An error is a plain table whose metatable is its class. `tostring(e)` is
-- one line that says where and what, followed by its cause.
-- @module suitkaise.errors

local is = require "suitkaise.is"

local getinfo = debug.getinfo

local MAX_CAUSES = 8   -- lines that tostring shows of a chain of causes
local MAX_STRING = 60  -- characters of a string that a message shows

local errors = {}

--- Every class by its name; each is the metatable of its errors.
errors.classes = {}
local classes = errors.classes

--- Is `value` an error of this class or of one below it? The same as `sk.is`.
-- @function is
-- @param value anything
-- @tparam string|table class
-- @treturn boolean
-- @usage local ok, err = pcall(share.flush, share)
-- if errors.is(err, "ShareTimeoutError") then retry() end
errors.is = is

-- ---- what is shown ----

local function show_number(n)
  local short = string.format("%.14g", n)
  if tonumber(short) == n or n ~= n then
    return math.type and math.type(n) == "integer" and tostring(n) or short
  end
  return string.format("%.17g", n)
end

local function show_string(s)
  local cut = #s > MAX_STRING and s:sub(1, MAX_STRING) .. "..." or s
  return '"' .. cut:gsub("[%c\"\\]", function(c)
    return c:match "[\"\\]" and "\\" .. c or string.format("\\%d", c:byte())
  end) .. '"'
end

--- A value in a few words, for messages: never long, never calls a
-- `__tostring`, never raises.
-- @param value anything
-- @treturn string
-- @usage errors.show("a\nb") --> "a\10b" (with the quotes)
function errors.show(value)
  local kind = type(value)
  if kind == "number" then return show_number(value) end
  if kind == "string" then return show_string(value) end
  if kind == "nil" or kind == "boolean" then return tostring(value) end
  local meta = getmetatable(value)
  local name = type(meta) == "table" and rawget(meta, "__name")
  return type(name) == "string" and name or kind
end

-- One line for any value that was raised, whatever its __tostring does.
local function describe(value)
  local ok, text = pcall(tostring, value)
  return ok and type(text) == "string" and text or errors.show(value)
end

local function headline(e)
  local text = getmetatable(e).__name .. ": " .. describe(e.message)
  if e.where then text = tostring(e.where) .. ": " .. text end
  return text
end

local function to_string(e)
  local lines = { headline(e) }
  local cause = e.original_error
  while cause ~= nil and #lines <= MAX_CAUSES do
    local known = is(cause, classes.Error)
    lines[#lines + 1] = "caused by: "
      .. (known and headline(cause) or describe(cause))
    cause = known and cause.original_error or nil
  end
  return table.concat(lines, "\n  ")
end

-- ---- classes ----

local is_ours = {} -- classes that were made here

local function add_class(name, parent)
  local class = { name = name, __name = name, __tostring = to_string }
  class.__index = class
  is_ours[class] = true
  classes[name] = setmetatable(class, { __index = parent })
  return class
end

add_class("Error").message = "error"

local TREE = {
  Error = {
    "ArgumentError", "SerializationError", "DeserializationError",
    "TaskError", "WorkerDiedError", "ResultTimeoutError", "ClosedError",
    "ShareError", "TooManyProcessesError", "ProcessError", "QueueFullError",
    "PipeClosedError", "FunctionTimeoutError", "CircuitBrokenError",
    "Interrupted",
  },
  ShareError = {
    "ShareFullError", "ShareStoppedError", "ShareTimeoutError",
    "ShareDownError",
  },
  ProcessError = {
    "PreRunError", "RunError", "PostRunError", "OnFinishError", "ResultError",
    "ErrorHandlerError", "ProcessTimeoutError", "ProcessDiedError",
  },
}

local function add_children(parent)
  for _, name in ipairs(TREE[parent] or {}) do
    add_class(name, classes[parent])
    add_children(name)
  end
end

add_children("Error")

-- "file:line" of the function at `level` above the caller, as error does.
local function position(level)
  local info = level > 0 and getinfo(level + 1, "Sl")
  if not info or info.currentline <= 0 then return nil end
  return info.short_src .. ":" .. info.currentline
end

-- What the sources of this library begin with; no source begins with a zero.
local LIBRARY = getinfo(1, "S").source:match "^(.*)errors%.lua$" or "\0"

--- Where the innermost function is that is not of this library: whoever
-- called it, through however many of its functions.
-- @tparam int level the first that may be it; 1 is who calls this
-- @treturn ?string "file:line"
-- @usage local where = errors.caller(2)
function errors.caller(level)
  level = level + 1
  local info = getinfo(level, "Sl")
  while info do
    if info.currentline > 0
       and info.source:sub(1, #LIBRARY) ~= LIBRARY then
      return info.short_src .. ":" .. info.currentline
    end
    level = level + 1
    info = getinfo(level, "Sl")
  end
  return nil
end
local caller = errors.caller

local function find_class(class, level)
  local found = type(class) == "table" and class or classes[class]
  if is_ours[found] then return found end
  if not is(setmetatable({}, found), classes.Error) then
    errors.argument("errors", "class", class, "an error class or its name",
                    level + 1)
  end
  return found
end

--- Make an error without raising it.
-- @tparam string|table class a class or its name
-- @tparam table|string fields at least `message`; the table becomes the
--   error. A string is the message.
-- @treturn table the error
-- @raise ArgumentError when there is no such class
-- @usage local err = errors.new("ClosedError", "log: it is closed")
function errors.new(class, fields)
  local found = find_class(class, 2)
  if type(fields) ~= "table" then fields = { message = fields } end
  return setmetatable(fields, found)
end

--- Make an error and raise it. Its field `where` is the position that
-- `error` would put in front of a message: the tostring shows it there.
-- @tparam string|table class a class or its name
-- @tparam table|string fields see @{new}
-- @tparam[opt=1] int|string level 1: where raise is called; 2: the caller of
--   that function; 0: nowhere; "caller": whoever called the library
-- @raise the error
-- @usage errors.raise("QueueFullError", "pipe: 300 messages wait", 2)
function errors.raise(class, fields, level)
  level = level or 1
  local e = setmetatable(
    type(fields) == "table" and fields or { message = fields },
    find_class(class, 2))
  if e.where == nil then
    if level == "caller" then
      e.where = caller(2)
    elseif level > 0 then
      e.where = position(level + 1)
    end
  end
  error(e, 0)
end

--- Raise any value: an error of ours learns where it is raised, if it does
-- not know.
-- @param err
-- @raise err
-- @usage local ok, err = pcall(work)
-- release()
-- if not ok then errors.reraise(err) end
function errors.reraise(err)
  if is(err, classes.Error) then
    errors.raise(getmetatable(err), err, "caller")
  end
  error(err, 0)
end

--- Refuse an argument: raises an ArgumentError that names the function, the
-- argument and its value and says what was expected.
-- @tparam string fname the function, as its user writes it
-- @tparam string|int argument its name or number
-- @param value what was given
-- @tparam string expected "a whole number", "a function", ...
-- @tparam[opt=2] int level as for @{raise}
-- @raise ArgumentError (`argument`)
-- @usage errors.argument("Counter", "initial", 1.5, "a whole number")
--   --> Counter: initial must be a whole number, got 1.5
function errors.argument(fname, argument, value, expected, level)
  local name = type(argument) == "number" and "argument " .. argument
    or tostring(argument)
  errors.raise("ArgumentError", {
    message = fname .. ": " .. name .. " must be " .. expected .. ", got "
      .. errors.show(value),
    argument = argument,
  }, level == "caller" and level or (level or 2) + 1)
end

--- Add a class.
-- @tparam string name
-- @tparam[opt="Error"] string parent name of a class
-- @treturn table the class; the one that is there when it was added before
-- @raise ArgumentError when the name is taken or the parent is unknown
-- @usage errors.define("QuotaError", "ArgumentError")
function errors.define(name, parent)
  if type(name) ~= "string" then
    errors.argument("define", "name", name, "a string")
  end
  local above = find_class(parent or "Error", 2)
  local class = classes[name]
  if not class then return add_class(name, above) end
  if getmetatable(class).__index ~= above then
    errors.argument("define", "name", name, "new")
  end
  return class
end

return errors
