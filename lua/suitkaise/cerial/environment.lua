--- Private environments of functions.
--
-- One that is a plain table, or that falls back to the globals, travels by
-- value like any table. One with functions behind it (the sandbox of a test
-- runner or a host) may lead anywhere: of that a function gets what it names.
-- @module suitkaise.cerial.environment
-- @local

local each = require "suitkaise.each"

local globals = _G
local has_util, util = pcall(require, "jit.util")

local environment = {}

-- Names in the constants of a function and of those inside it. Too many is
-- no harm: they are only looked up.
local function add_constants(fn, found)
  local n = -1
  local constant = util.funck(fn, n)
  while constant ~= nil do
    if type(constant) == "string" then
      found[constant] = true
    elseif type(constant) == "proto" then
      add_constants(constant, found)
    end
    n = n - 1
    constant = util.funck(fn, n)
  end
end

local function names_of(fn)
  local found = {}
  if has_util then
    add_constants(fn, found)
  else
    for name in string.dump(fn):gmatch "[%a_][%w_]*" do found[name] = true end
  end
  return found
end

local function is_sandbox(env)
  local meta = debug.getmetatable(env)
  if type(meta) ~= "table" then return false end
  return type(rawget(meta, "__index")) == "function"
    or rawget(meta, "__newindex") ~= nil
end

local function read(env, name)
  local ok, value = pcall(function() return env[name] end)
  if ok then return value end
end

--- What is sent as the environment of a function.
-- @tparam function fn
-- @tparam table env
-- @treturn table env itself, or a table with what fn names of it, above the
--   globals of the receiver
function environment.narrow(fn, env)
  if env == globals or not is_sandbox(env) then return env end
  local fields = {}
  for name in each(names_of(fn)) do
    local value = read(env, name)
    if value ~= nil and value ~= globals[name] then fields[name] = value end
  end
  return setmetatable(fields, { __index = globals })
end

return environment
