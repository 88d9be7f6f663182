--- A walk over everything a value holds: tables, metatables, upvalues.
-- @module suitkaise.cerial.walk
-- @local

local each = require "suitkaise.each"

local walk = {}

-- Replace in one table; `push` schedules what was found for a visit.
local function visit_table(t, replace, push)
  local renamed
  for k, v in each(t) do
    local new = replace(v, k)
    if new ~= nil then
      rawset(t, k, new)
      v = new
    end
    push(v)
    local key = replace(k, nil)
    if key ~= nil then
      renamed = renamed or {}
      renamed[k] = key
    else
      push(k)
    end
  end
  for old, key in each(renamed or {}) do
    local v = rawget(t, old)
    rawset(t, old, nil)
    rawset(t, key, v)
  end
  push(debug.getmetatable(t))
end

local function visit_function(fn, replace, push)
  local i = 1
  while true do
    local name, v = debug.getupvalue(fn, i)
    if not name then break end
    local new = replace(v, name)
    if new ~= nil then
      debug.setupvalue(fn, i, new)
      v = new
    end
    push(v)
    i = i + 1
  end
  if debug.getfenv then push(debug.getfenv(fn)) end
end

-- What the sources of this library begin with.
local LIBRARY = debug.getinfo(1, "S").source:match "^(.*)cerial/walk%.lua$"
  or "\0"

-- A class inherits functions of the library, which hold what is of all objects.
local function is_ours(fn)
  return debug.getinfo(fn, "S").source:sub(1, #LIBRARY) == LIBRARY
end

-- What belongs to the program rather than to the value.
local function program()
  local seen = { [_G] = true, [package.loaded] = true }
  for _, module in each(package.loaded) do
    if type(module) == "table" then seen[module] = true end
  end
  return seen
end

--- Replace values wherever `root` holds them.
-- @param root
-- @tparam function replace (value, name of the field or upvalue) -> another
--   value, or nil to keep it
-- @return root, or what replaces it
function walk.replace(root, replace)
  local new = replace(root, nil)
  if new ~= nil then return new end
  local seen, todo, n = program(), {}, 0
  local function push(v)
    local kind = type(v)
    if (kind == "table" or kind == "function") and not seen[v] then
      seen[v] = true
      if kind == "function" and is_ours(v) then return end
      n = n + 1
      todo[n] = v
    end
  end
  push(root)
  while n > 0 do
    local v = todo[n]
    todo[n], n = nil, n - 1
    if type(v) == "table" then visit_table(v, replace, push)
    else visit_function(v, replace, push) end
  end
  return root
end

return walk
