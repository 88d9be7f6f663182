--- Functions of Lua's own library whose effects are known.
-- @module suitkaise.detect.library

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local class = require "suitkaise.class"
local is = require "suitkaise.is"

local library = { functions = {} }

-- Each entry: `name`; `effect(flow, args, pc, unit)`, which returns a pack of
-- results, or nil when this call is as good as unknown; none: the function
-- touches no table and returns scalars. `is_impure`: its result depends on
-- more than its arguments, or the world changes; `blocks`: it may wait.

local functions = library.functions
local NONE = { n = 0 }

local function resolve(path)
  local value = _G
  for name in path:gmatch "[^.]+" do
    value = type(value) == "table" and rawget(value, name) or nil
  end
  return type(value) == "function" and value or nil
end

local function define(paths, entry)
  for path in paths:gmatch "%S+" do
    local fn = resolve(path)
    if fn then
      functions[fn] = {
        name = path, effect = entry.effect, is_impure = entry.is_impure,
        blocks = entry.blocks,
      }
    end
  end
end

local function one(set) return { n = 1, set } end

local function first(flow, args) return one(flow:at(args, 1)) end

--- The tables of Lua's own library: constants, as far as anybody cares.
library.tables = {}
for _, name in ipairs { "math", "string", "table", "io", "os", "coroutine",
                        "bit", "debug", "package", "jit", "utf8" } do
  local t = rawget(_G, name)
  if type(t) == "table" then library.tables[t] = true end
end

-- ---- nothing but values ----

define([[
  type rawequal tonumber rawlen
  math.abs math.acos math.asin math.atan math.atan2 math.ceil math.cos
  math.cosh math.deg math.exp math.floor math.fmod math.frexp math.ldexp
  math.log math.log10 math.max math.min math.modf math.pow math.rad math.sin
  math.sinh math.sqrt math.tan math.tanh
  string.byte string.char string.find string.gmatch string.len string.lower
  string.match string.rep string.reverse string.sub string.upper
  bit.tobit bit.bnot bit.band bit.bor bit.bxor bit.lshift bit.rshift
  bit.arshift bit.rol bit.ror bit.bswap bit.tohex
]], {})

-- An iterator over a string is no table; what it returns are strings.
functions[string.gmatch].effect = function(flow)
  return one(flow.u:outside(string.len, "string.len"))
end

define([[
  math.random math.randomseed os.time os.clock os.date os.getenv os.difftime
  os.tmpname collectgarbage coroutine.running coroutine.isyieldable
]], { is_impure = true })

define("os.execute os.remove os.rename os.exit",
       { is_impure = true, blocks = true })

define([[
  io.open io.close io.read io.lines io.popen io.input io.output io.flush
  io.tmpfile
]], {
  is_impure = true, blocks = true,
  effect = function(flow, _, pc, unit)
    local made = unit and flow:site(unit, pc, "outside", "io.file").alone
      or flow.u:unknown "io.file"
    return { n = 0, rest = flow.u:union(made, flow.u.scalar) }
  end,
})

-- ---- text: a class may have a __tostring ----

local function to_text(flow, args)
  flow:metamethod("__tostring", flow:all_of(args))
  return NONE
end

define("tostring string.format", { effect = to_text })
define("print io.write", { effect = to_text, is_impure = true })
functions[io.write].blocks = true

define("string.gsub", {
  effect = function(flow, args, pc, unit)
    local by = flow:at(args, 3)
    local given = { n = 0, rest = flow.u.scalar }
    for _, object in ipairs(by.objects) do
      if object.kind == "self" then return nil end
      if object.kind == "field" or object.kind == "part"
         or object.kind == "new" then
        flow.heap:load_any(object.alone)
      else
        flow:call_often(object.alone, given, pc, unit)
      end
    end
    return NONE
  end,
})

-- ---- what goes through ----

define("assert", {
  effect = function(flow, args)
    flow:raise(flow:at(args, 2))
    return args
  end,
})

define("error", {
  effect = function(flow, args)
    flow:raise(flow:at(args, 1))
    return NONE
  end,
})

define("select", {
  effect = function(flow, args)
    local rest = flow:all_of(args, 2)
    return { n = 0, rest = flow.u:union(rest, flow.u.scalar) }
  end,
})

local function protect(flow, args, from, pc, unit)
  local given = { n = math.max(0, args.n - from + 1), rest = args.rest }
  for i = from, args.n do given[i - from + 1] = args[i] end
  local results = flow:call(flow:at(args, 1), given, pc, unit)
  local set = flow.u:union(flow:all_of(results), flow.heap.raised)
  return { n = 1, flow.u.scalar, rest = flow.u:union(set, flow.u.scalar) }
end

define("pcall", {
  effect = function(flow, args, pc, unit)
    return protect(flow, args, 2, pc, unit)
  end,
})

define("xpcall", {
  effect = function(flow, args, pc, unit)
    local results = protect(flow, args, 3, pc, unit)
    local raised = flow.u:union(flow.heap.raised, flow.u.scalar)
    local handled = flow:call(flow:at(args, 2), { n = 1, raised }, pc, unit)
    results.rest = flow.u:union(results.rest, flow:all_of(handled))
    return results
  end,
})

-- ---- tables ----

local function content(flow, args)
  local set = flow.heap:load_any(flow:at(args, 1))
  return { n = 0, rest = set }
end

define("next unpack table.unpack", { effect = content })

-- Iterators that leave the table itself to the loop.
local function iterate(event, step)
  return function(flow, args)
    local set = flow:at(args, 1)
    for _, object in ipairs(set.objects) do
      if object.kind == "self" and flow:class_event(event) then return nil end
    end
    return { n = 3, flow.u:outside(step, "next"), set, flow.u.scalar }
  end
end

local next_index = ipairs {}
functions[next_index] = { name = "next", effect = content }
define("pairs", { effect = iterate("__pairs", next) })
define("ipairs", { effect = iterate("__ipairs", next_index) })

define("rawget", {
  effect = function(flow, args)
    local set, key = flow:at(args, 1), flow:at(args, 2)
    local only = #key.objects == 1 and key.objects[1]
    if not only or only.kind ~= "key" then return content(flow, args) end
    local result = flow.u.scalar
    for _, object in ipairs(set.objects) do
      if object.kind == "self" then
        result = flow.u:union(result, flow.heap:load_own(only.value))
      else
        result = flow.u:union(result, flow:index(object.alone, only.value,
                                                 key))
      end
    end
    return one(result)
  end,
})

define("rawset", {
  effect = function(flow, args)
    local key = flow:at(args, 2)
    local only = #key.objects == 1 and key.objects[1]
    local is_known = only and only.kind == "key"
    flow.heap:store(flow:at(args, 1), is_known and only.value or nil,
                    flow:at(args, 3), not is_known and key or nil)
    return first(flow, args)
  end,
})

define("table.insert", {
  effect = function(flow, args)
    flow.heap:load_any(flow:at(args, 1))
    flow.heap:store(flow:at(args, 1), nil, flow:all_of(args, 2))
    return NONE
  end,
})

define("table.remove", {
  effect = function(flow, args)
    flow.heap:store(flow:at(args, 1), nil, flow.u.scalar)
    return content(flow, args)
  end,
})

define("table.sort", {
  effect = function(flow, args, pc, unit)
    local set = flow:at(args, 1)
    flow.heap:store(set, nil, flow.u.scalar)
    local item = flow.heap:load_any(set)
    if args[2] or args.rest then
      flow:call_often(flow:at(args, 2), { n = 2, item, item }, pc, unit)
    end
    return NONE
  end,
})

define("table.concat table.getn table.maxn", {
  effect = function(flow, args)
    flow.heap:load_any(flow:at(args, 1))
    return NONE
  end,
})

-- ---- classes of this library ----

functions[is] = { name = "is" }

-- Only a class is extended: its objects are left alone.
functions[class.Object.extend] = {
  name = "extend", effect = function(flow, _, pc, unit)
    return one(unit and flow:site(unit, pc, "outside", "extend()").alone
      or flow.u:unknown "extend()")
  end,
}

-- ---- modules ----

-- The module that a call of require names, if it is one.
local function module_of(flow, args)
  local only = flow:at(args, 1).objects
  local name = #only == 1 and only[1].kind == "key" and only[1].value
  return type(name) == "string" and name or nil
end

-- One that is loaded is there; to load one may do anything, but what that
-- gives is known by the module's name.
define("require", {
  effect = function(flow, args, pc, unit)
    local name = module_of(flow, args)
    if not name or not unit then return nil end
    local module = package.loaded[name]
    flow:depend("field", package.loaded, name, module)
    if type(module) == "table" or type(module) == "function" then
      return one(flow.u:outside(module, name))
    end
    flow:note_call "require"
    local made = flow:site(unit, pc, "outside", name).alone
    made = flow.u:union(made, flow.u.scalar)
    return { n = 0, rest = flow.u:union(made, flow.heap.leaked) }
  end,
})

-- ---- metatables ----

local function set_meta(flow, object, metas)
  if object.kind == "field" then
    flow.heap:store(object.alone, nil, metas)
  elseif object.kind ~= "new" then
    flow.heap:escape(object.alone)
  end
  for _, meta in ipairs(metas.objects) do
    if meta.kind == "self" then flow.has_made_object = true end
    if object.kind == "new" and type(meta.value) == "table" then
      object.metas = object.metas or {}
      flow.heap:mark(object.metas, meta.value)
      flow:made_instance(object, meta.value)
    elseif meta.kind ~= "scalar" then
      flow.heap:escape(object.alone)
      flow.heap:escape(metas)
    end
  end
end

define("setmetatable", {
  effect = function(flow, args)
    local set, metas = flow:at(args, 1), flow:at(args, 2)
    for _, object in ipairs(set.objects) do set_meta(flow, object, metas) end
    return one(set)
  end,
})

define("getmetatable", {
  effect = function(flow, args)
    local result = flow.u.scalar
    for _, object in ipairs(flow:at(args, 1).objects) do
      if object.kind == "self" and flow.class then
        result = flow.u:union(result, flow.u:outside(flow.class, "class"))
      elseif object.kind == "self" then
        result = flow.u:union(result, flow.u:unknown "class")
      else
        result = flow.u:union(result, object.alone)
      end
    end
    return one(result)
  end,
})

return library
