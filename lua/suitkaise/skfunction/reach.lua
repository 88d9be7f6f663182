--- Which functions a function probably calls: by the names in its code, in its
-- upvalues, its globals and the classes of its arguments. LuaJIT only.
-- @module suitkaise.skfunction.reach

local has_util, util = pcall(require, "jit.util")

local MAX_FUNCTIONS = 200
local MAX_CHAIN = 10 -- classes above a class

local reach = { is_available = has_util }

-- ---- names ----

local function add_names(target, names)
  for i = 1, util.funcinfo(target).gcconsts or 0 do
    local constant = util.funck(target, -i)
    if type(constant) == "string" then
      names[#names + 1] = constant
    elseif type(constant) == "proto" then
      add_names(constant, names)
    end
  end
end

-- ---- the walk ----

local function add_function(walk, fn)
  if walk.seen[fn] or #walk.list >= MAX_FUNCTIONS then return end
  walk.seen[fn] = true
  if util.funcinfo(fn).bytecodes then walk.list[#walk.list + 1] = fn end
end

-- What the names lead to in a table, and in tables in it.
local function look_into(walk, t, names, depth)
  for _ = 1, MAX_CHAIN do
    if type(t) ~= "table" then return end
    for _, name in ipairs(names) do
      local value = rawget(t, name)
      if type(value) == "function" then
        add_function(walk, value)
      elseif type(value) == "table" and depth > 1 then
        look_into(walk, value, names, depth - 1)
      end
    end
    local meta = debug.getmetatable(t)
    if type(meta) ~= "table" then return end
    local call = rawget(meta, "__call")
    if type(call) == "function" then add_function(walk, call) end
    t = rawget(meta, "__index")
    if type(t) == "function" then add_function(walk, t) end
  end
end

local function visit(walk, fn)
  local names = {}
  add_names(fn, names)
  local i = 1
  local name, value = debug.getupvalue(fn, i)
  while name do
    if type(value) == "function" then add_function(walk, value)
    elseif type(value) == "table" then look_into(walk, value, names, 2) end
    i = i + 1
    name, value = debug.getupvalue(fn, i)
  end
  look_into(walk, debug.getfenv(fn), names, 2)
  for _, argument in ipairs(walk.arguments) do
    look_into(walk, argument, names, 2)
  end
end

--- @tparam function fn
-- @param ... its arguments
-- @treturn {function,...} Lua functions, `fn` among them
function reach.from(fn, ...)
  local walk = { list = {}, seen = {}, arguments = {} }
  for i = 1, select("#", ...) do
    local argument = select(i, ...)
    if type(argument) == "function" then add_function(walk, argument)
    elseif type(argument) == "table" then
      walk.arguments[#walk.arguments + 1] = argument
    end
  end
  add_function(walk, fn)
  local done = 0
  while done < #walk.list do
    done = done + 1
    visit(walk, walk.list[done])
  end
  return walk.list
end

return reach
