--- Indexing, assigning and calling as the VM does them, for sets: methods of
-- self's class, known library functions, other Lua functions, and what is not
-- known.
-- @module suitkaise.detect.calls

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local blocking = require "suitkaise.detect.blocking"
local bytecode = require "suitkaise.detect.bytecode"
local fresh = require "suitkaise.detect.fresh"
local library = require "suitkaise.detect.library"
local each = require "suitkaise.each"

local calls = {}

-- ---- the class ----

--- What self's class has under a name: a value, or nil and an __index
-- function and whose it is.
function calls:class_field(name)
  local class = self.class
  if not class then return nil end
  local index = rawget(class, "__index")
  self:depend("field", class, "__index", index)
  if type(index) == "function" then return nil, index end
  return self:look_up(index or class, name)
end

--- A metamethod of self's class.
function calls:class_event(event)
  if not self.class then return nil end
  local value = rawget(self.class, event)
  self:depend("field", self.class, event, value)
  return value
end

local function has_kind(set, kind)
  for _, object in ipairs(set and set.objects or {}) do
    if object.kind == kind then return true end
  end
  return false
end

--- An operator is applied: a method of self's class may do the work.
function calls:metamethod(event, a, b)
  if not has_kind(a, "self") and not has_kind(b, "self") then return end
  local fn = self:class_event(event)
  if fn ~= nil then
    self:call(self.u:outside(fn, event), {
      n = 2, a or self.u.scalar, b or self.u.scalar,
    })
  end
end

-- ---- indexing ----

-- A field of self by its name: its own, or what its class has.
local function index_self(self, key)
  local value, index, owner = self:class_field(key)
  if type(value) == "function" then
    local set = self.u:outside(value, "self:" .. tostring(key))
    if self.heap.writes[key] then
      set = self.u:union(set, self.heap:load_own(key))
    end
    return set
  end
  local set = self.heap:load_own(key)
  if type(value) == "table" then
    local default = self.u:outside(value, "class." .. tostring(key))
    self.heap:place(default, key)
    set = self.u:union(set, default)
  end
  if index then
    local base = owner and self.u:outside(owner, "class") or self.u.self
    local found = self:call(self.u:outside(index, "__index"), {
      n = 2, base, self.u:key(key),
    })
    set = self.u:union(set, self:at(found, 1))
  end
  return set
end

-- Any field of self.
local function index_self_anywhere(self, key_set)
  local set = self.heap:load_any(self.u.self)
  set = self.u:union(set, self.u:unknown "self.[]")
  local index = self:class_event "__index"
  if type(index) == "function" then
    local found = self:call(self.u:outside(index, "__index"), {
      n = 2, self.u.self, key_set,
    })
    set = self.u:union(set, self:at(found, 1))
  end
  return set
end

-- A field of a table that was there before.
local function index_known(self, object, key)
  local value, index, owner = self:look_up(object.value, key)
  local label = object.label .. "." .. tostring(key)
  local kind = type(value)
  local set = self.u.nothing
  if kind == "function" or kind == "table" or kind == "userdata"
     or kind == "cdata" then
    set = self.u:outside(value, label)
    self.heap:inherit(object, set)
  end
  if kind ~= "function" and not library.tables[object.value]
     or object.is_written then
    self.heap:mark(self.heap.outside_reads, label)
    self.heap:mark(self.mutable_reads, label)
  end
  if kind ~= "function" then set = self.u:union(set, self.u.scalar) end
  if kind == "nil" or object.is_written then
    set = self.u:union(set, self.heap:load_outside(object, key))
  end
  if index then
    local found = self:call(self.u:outside(index, "__index"), {
      n = 2, self.u:outside(owner, object.label), self.u:key(key),
    })
    set = self.u:union(set, self:at(found, 1))
  end
  return set
end

local function index_outside(self, object, key)
  if type(object.value) == "table" and key ~= nil then
    return index_known(self, object, key)
  end
  local set = self.heap:load_outside(object, key)
  if not object.is_result then
    self.heap:mark(self.mutable_reads, object.label)
  end
  return self.u:union(set, self.u.scalar)
end

-- What a loop goes over while it may get more.
local function copy(set)
  local names = {}
  for name in each(set or {}) do names[name] = true end
  return names
end

-- A table that was made here may have a metatable, of which methods come.
local function index_new(self, object, key, key_set)
  local set = self.heap:load_new(object, key)
  for meta in each(copy(object.metas)) do
    local index = rawget(meta, "__index")
    self:depend("field", meta, "__index", index)
    if type(index) == "function" then
      local found = self:call(self.u:outside(index, "__index"), {
        n = 2, object.alone, key_set,
      })
      set = self.u:union(set, self:at(found, 1))
    elseif type(index) == "table" then
      set = self.u:union(set, self:index(
        self.u:outside(index, "class"), key, key_set))
    end
  end
  return set
end

local function index_string(self, key)
  local value = type(key) == "string" and string[key]
  if not value then return self.u.nothing end
  return self.u:outside(value, "string." .. key)
end

--- The value of a key. `key` is nil when it is not known.
function calls:index(set, key, key_set)
  local result = self.u.nothing
  for _, object in ipairs(set.objects) do
    local kind = object.kind
    local found
    if kind == "self" and key ~= nil then found = index_self(self, key)
    elseif kind == "self" then found = index_self_anywhere(self, key_set)
    elseif kind == "new" then found = index_new(self, object, key, key_set)
    elseif kind == "outside" then found = index_outside(self, object, key)
    elseif kind == "scalar" or kind == "key" then
      found = index_string(self, key)
    else
      found = self.u:union(self.heap:load_any(object.alone), self.u.scalar)
    end
    result = self.u:union(result, found)
  end
  return result
end

-- ---- assigning ----

local function call_newindex(self, meta, object, key_set, value)
  local fn = rawget(meta, "__newindex")
  self:depend("field", meta, "__newindex", fn)
  if fn == nil then return end
  if type(fn) == "function" then
    self:call(self.u:outside(fn, "__newindex"), {
      n = 3, object.alone, key_set, value,
    })
  else
    self.heap:store(self.u:outside(fn, "__newindex"), nil, value)
  end
end

--- `set[key] = value`
function calls:assign(set, key, key_set, value)
  for _, object in ipairs(set.objects) do
    if object.kind == "self" and self.class then
      call_newindex(self, self.class, object, key_set, value)
    elseif object.kind == "outside" and self.heap:is_class(object.value) then
      -- A field of the class is what objects have that have none.
      if key == nil then self.heap:write_everything()
      else self.heap:rebind(key) end
      self.heap:set_default(key, value)
    elseif object.kind == "outside" and type(object.value) == "table" then
      local meta = debug.getmetatable(object.value)
      self:depend("metatable", object.value, nil, meta)
      if meta then call_newindex(self, meta, object, key_set, value) end
    end
    for meta in each(copy(object.metas)) do
      call_newindex(self, meta, object, key_set, value)
    end
  end
  self.heap:store(set, key, value, key == nil and key_set or nil)
end

-- ---- calling ----

local NONE = { n = 0 }

-- Something that is not known gets these arguments.
local function call_unknown(self, label, args, pc, unit, fn)
  self:note_call(label, nil, fn)
  local given = self:all_of(args)
  self.heap:mix(given)
  self.heap:escape(given, given)
  local result = unit and self:site(unit, pc, "outside", label .. "()")
    or self.u:unknown("result of " .. label).objects[1]
  local set = self.u:union(given, result.alone)
  set = self.u:union(set, self.u.scalar)
  return { n = 0, rest = self.u:union(set, self.heap.leaked) }
end

--- Remember a call of something that was not followed.
-- @param entry of the library
function calls:note_call(label, entry, fn)
  self.called[#self.called + 1] = { label = label, entry = entry, fn = fn }
end

local function call_function(self, object, args, pc, unit)
  local fn, label = object.value, object.label
  local known = library.functions[fn]
  if known then
    self:note_call(known.name, known, fn)
    if not known.effect then return NONE end
    local results = known.effect(self, args, pc, unit)
    if results then return results end
    return call_unknown(self, known.name, args, pc, unit)
  end
  local waits = blocking.of(fn)
  if waits then
    self:note_call(waits, { name = waits, blocks = true, is_impure = true })
    return { n = 0, rest = self.u.scalar }
  end
  local followed = bytecode.of(fn) and self:unit_of(fn)
  if followed then return self:run(followed, args) end
  return call_unknown(self, label, args, pc, unit, fn)
end

-- A table that can be called: a class, say.
local function call_table(self, object, args, pc, unit)
  local meta = debug.getmetatable(object.value)
  local fn = type(meta) == "table" and rawget(meta, "__call") or nil
  self:depend("metatable", object.value, nil, meta)
  if meta then self:depend("field", meta, "__call", fn) end
  local more = { n = args.n + 1, rest = args.rest, object.alone }
  for i = 1, args.n do more[i + 1] = args[i] end
  if type(fn) == "function" then
    return self:call(self.u:outside(fn, object.label), more, pc, unit)
  end
  return call_unknown(self, object.label, more, pc, unit)
end

local function call_self(self, args, pc, unit)
  local fn = self:class_event "__call"
  if fn == nil then return NONE end
  local more = { n = args.n + 1, rest = args.rest, self.u.self }
  for i = 1, args.n do more[i + 1] = args[i] end
  return self:call(self.u:outside(fn, "__call"), more, pc, unit)
end

-- A function that hangs on self. As a method of the very thing it was found
-- in it has that; else nothing says what it knows of self.
local function call_field(self, object, args, pc, unit, from)
  local is_method = from and object.kind == "field" and args[1] == from
    and not has_kind(from, "self")
  if not is_method then self.heap:lose_self() end
  return call_unknown(self, tostring(object.name or "[]"), args, pc, unit)
end

-- An object that was made here with a class of which not all is known.
local function call_new(self, object, args, pc, unit)
  local more = { n = args.n + 1, rest = args.rest, object.alone }
  for i = 1, args.n do more[i + 1] = args[i] end
  local result = NONE
  for meta in each(copy(object.metas)) do
    local fn = rawget(meta, "__call")
    self:depend("field", meta, "__call", fn)
    if fn ~= nil then
      result = self:call(self.u:outside(fn, "__call"), more, pc, unit)
    end
  end
  return result
end

local function call_object(self, object, args, pc, unit, from)
  local kind = object.kind
  if kind == "closure" then return self:run(object.unit, args) end
  if kind == "self" then return call_self(self, args, pc, unit) end
  if kind == "new" then return call_new(self, object, args, pc, unit) end
  if kind == "field" or kind == "part" then
    return call_field(self, object, args, pc, unit, from)
  end
  if kind ~= "outside" then return NONE end
  local value = type(object.value)
  if value == "function" then
    return call_function(self, object, args, pc, unit)
  end
  if value == "table" then
    return call_table(self, object, args, pc, unit)
  end
  self.heap:escape_outside(object)
  return call_unknown(self, object.name or object.label, args, pc, unit)
end

--- Call everything that a set may be: -> a pack of results
-- @param from the set of which `callee` was taken by a key, if it was
function calls:call(callee, args, pc, unit, from)
  if #callee.objects == 1 then
    return call_object(self, callee.objects[1], args, pc, unit, from)
  end
  local all = { n = 0 }
  for _, object in ipairs(callee.objects) do
    local results = call_object(self, object, args, pc, unit, from)
    for i = 1, math.max(all.n, results.n) do
      all[i] = self.u:union(all[i] or all.rest or self.u.nothing,
                            results[i] or results.rest)
    end
    all.n = math.max(all.n, results.n)
    all.rest = self.u:union(all.rest or self.u.nothing, results.rest)
  end
  return all
end

--- The same for what calls it again and again.
function calls:call_often(callee, args, pc, unit)
  local before = self.is_repeating
  self.is_repeating = true
  local results = self:call(callee, args, pc, unit)
  self.is_repeating = before
  return results
end

--- A closure is where something unknown may call it, with `given`. It is
-- called at the end of each round: what it returns may hold closures again,
-- and itself.
function calls:let_escape(object, given)
  self.heap:add(object, "given", given or self.u.nothing)
  if object.has_escaped then return end
  object.has_escaped = true
  self.escaped[#self.escaped + 1] = object
end

-- What it returns may come back from where it was called.
local function run_escaped(self, object)
  local any = self.u:union(object.given, self.u.scalar)
  any = self.u:union(any, self.u:unknown "argument of a callback")
  local results = self:run(object.unit, { n = 0, rest = any }, true)
  local returned = self:all_of(results)
  self.heap:add(self.heap, "leaked", returned)
  fresh.read_back(self.heap, returned)
  self.heap:escape(returned, object.given)
end

--- Call every closure that escaped; more may escape meanwhile.
function calls:run_all_escaped()
  for _, object in ipairs(self.escaped) do run_escaped(self, object) end
end

return calls
