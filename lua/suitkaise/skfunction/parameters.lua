--- Names of a function's parameters, and arguments bound to them.
-- @module suitkaise.skfunction.parameters

local each = require "suitkaise.each"
local errors = require "suitkaise.errors"
local options = require "suitkaise.options"

local getinfo, getlocal = debug.getinfo, debug.getlocal

local parameters = {}

local function is_name(name)
  return type(name) == "string" and name:sub(1, 1) ~= "("
end

-- ---- what the VM tells ----

local function from_prototype(fn, count)
  local names = {}
  for i = 1, count do
    local name = getlocal(fn, i)
    if not is_name(name) then break end
    names[i] = name
  end
  return names
end

-- `getlocal` of a function, where there is that
local can_ask = pcall(getlocal, function() end, 1)

-- -> names, how many there are, is there a vararg
local function ask(fn)
  if not can_ask then return require "suitkaise.skfunction.dump"(fn) end
  local info = getinfo(fn, "u")
  return from_prototype(fn, info.nparams), info.nparams, info.isvararg
end

local function find(fn)
  if type(fn) ~= "function" then
    return nil, "an object that can be called has no names"
  end
  if getinfo(fn, "S").what == "C" then
    return nil, "a C function has no names"
  end
  local names, count, is_vararg = ask(fn)
  if #names < count then return nil, "its names are not in its bytecode" end
  return { names = names, count = count, is_vararg = is_vararg }
end

local found = setmetatable({}, { __mode = "k" })

--- The parameters of a function.
-- @tparam function fn
-- @treturn ?table `names`, `count`, `is_vararg`; nil and why not when they
--   have no names
function parameters.of(fn)
  local known = found[fn]
  if not known then
    local result, why = find(fn)
    known = result or { why = why }
    found[fn] = known
  end
  if known.why then return nil, known.why end
  return known
end

-- ---- binding ----

--- Check names against a function's parameters.
-- @tparam string owner for messages
-- @tparam function fn
-- @tparam table values by name
-- @treturn table the parameters
-- @raise ArgumentError at the caller's line
function parameters.check(owner, fn, values)
  local known, why = parameters.of(fn)
  if not known then
    errors.raise("ArgumentError", {
      message = owner .. ": cannot bind arguments by name: " .. why,
    }, "caller")
  end
  local set = {}
  for _, name in ipairs(known.names) do set[name] = true end
  for name in each(values) do
    if not set[name] then
      errors.raise("ArgumentError", {
        message = owner .. ": the function has no parameter "
          .. errors.show(name) .. options.hint(name, known.names),
        argument = name,
      }, "caller")
    end
  end
  return known
end

-- A function whose text has the bound arguments in their places, so that it is
-- as quick as one written by hand: function(p1, p3, ...) return fn(p1, b2, p3,
-- ...) end
local function source_of(known, bound)
  local free, all = {}, {}
  for i = 1, known.count do
    if bound[known.names[i]] ~= nil then
      all[i] = "b[" .. i .. "]"
    else
      free[#free + 1] = "p" .. i
      all[i] = "p" .. i
    end
  end
  free[#free + 1], all[#all + 1] = "...", "..."
  return "local fn, b = ... return function(" .. table.concat(free, ", ")
    .. ") return fn(" .. table.concat(all, ", ") .. ") end"
end

--- Fill in what is bound; the other arguments go to the other parameters, in
-- order.
-- @tparam table known see @{of}
-- @tparam table bound by name
-- @tparam function fn
-- @treturn function
function parameters.bind(known, bound, fn)
  local values = {}
  for i, name in ipairs(known.names) do values[i] = bound[name] end
  local compile = rawget(_G, "loadstring") or load
  return assert(compile(source_of(known, bound), "=bound"))(fn, values)
end

--- Arguments by name as an array for a call.
-- @tparam table known see @{of}
-- @tparam table values by name
-- @treturn table array
-- @treturn int how many
function parameters.in_order(known, values)
  local all = {}
  for i, name in ipairs(known.names) do all[i] = values[name] end
  return all, known.count
end

return parameters
