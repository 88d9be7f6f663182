--- The analysis: runs the instructions of a function over sets of what each
-- register may hold, until nothing changes, and follows calls.
-- @module suitkaise.detect.flow

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local aliases = require "suitkaise.detect.aliases"
local bytecode = require "suitkaise.detect.bytecode"
local calls = require "suitkaise.detect.calls"
local fresh = require "suitkaise.detect.fresh"
local Heap = require "suitkaise.detect.heap"
local library = require "suitkaise.detect.library"
local steps = require "suitkaise.detect.steps"
local each = require "suitkaise.each"

local Flow = setmetatable({}, { __index = calls })
Flow.__index = Flow

local MAX_STEPS = 30000 -- instructions in all before it gives up
local MAX_DEPTH = 24     -- calls inside calls that are followed
local MAX_ROUNDS = 30
local MAX_RESULTS = 8    -- results that are told apart
local MAX_CHAIN = 20     -- classes above a class

local GIVE_UP = {}

-- ---- packs: arguments and results ----
-- An array of sets with `n` of them, and in `rest` what may follow.

function Flow:at(pack, i)
  return pack[i] or pack.rest or self.u.scalar
end

function Flow:all_of(pack, from)
  local set = pack.rest or self.u.nothing
  for i = from or 1, pack.n do set = self.u:union(set, pack[i]) end
  return set
end

local function add_results(self, kept, pack)
  for i = 1, math.min(math.max(pack.n, kept.n), MAX_RESULTS) do
    self.heap:add(kept, i, pack[i] or pack.rest or self.u.nothing)
    if i > kept.n then
      kept.n = i
      self.heap:add(kept, i, kept.rest or self.u.nothing)
    end
  end
  local rest = pack.rest
  if pack.n > MAX_RESULTS then rest = self:all_of(pack, MAX_RESULTS + 1) end
  if rest then self.heap:add(kept, "rest", rest) end
end
Flow.add_results = add_results

-- ---- units: functions with what they capture ----

local Unit = {}
Unit.__index = Unit

-- Everything that a closure can reach of the functions around it.
function Unit:captured()
  local set = self.flow.u.nothing
  if self.fn then return set end
  for i in ipairs(self.proto.upvalues) do
    set = self.flow.u:union(set, self.flow:upvalue(self, i, true))
  end
  return set
end

local function captured_slots(proto)
  local slots = {}
  for _, child in each(proto.children) do
    for _, upvalue in ipairs(child.upvalues) do
      if upvalue.is_local then slots[upvalue.index] = true end
    end
  end
  return slots
end

local function new_unit(self, proto, fn, parent)
  self.unit_count = self.unit_count + 1
  return setmetatable({
    flow = self, proto = proto, fn = fn, parent = parent, sites = {},
    id = self.unit_count, cells = {}, cell_sets = {}, contexts = {},
    given = {},
    slots = captured_slots(proto),
  }, Unit)
end

function Flow:unit_of(fn)
  local unit = self.units[fn]
  if unit == nil then
    local proto = bytecode.of(fn)
    unit = proto and new_unit(self, proto, fn) or false
    self.units[fn] = unit
    if unit then self:scan_assignments(unit) end
  end
  return unit
end

--- The thing that is made at one place of the code.
function Flow:site(unit, pc, kind, name)
  local object = unit.sites[pc]
  if object then return object end
  if kind == "outside" then
    local label = "result " .. unit.id .. ":" .. pc
    object = self.u:unknown(label).objects[1]
    object.name, object.is_result = name, true
  else
    object = self.u:object(kind, {
      contents = self.u.nothing, dynamic = self.u.nothing, keyed = {},
    })
  end
  object.maker, object.made_at = unit, pc
  unit.sites[pc] = object
  return object
end

function Flow:closure(unit, pc, proto)
  local object = self:site(unit, pc, "closure")
  object.unit = object.unit or new_unit(self, proto, nil, unit)
  return object.alone
end

-- ---- what was there before: upvalues, globals, tables ----

-- Remember what a name led to: the answer holds as long as it does.
function Flow:depend(kind, where, key, value)
  local deps = self.deps
  deps[#deps + 1] = { kind, where, key, value }
end

-- Names that the code assigns may hold something else than now. Closures
-- inside are part of it.
function Flow:scan_assignments(unit)
  local function scan(proto, names)
    for _, ins in ipairs(proto.code) do
      if ins.op == "GSET" then
        self.heap:mark(self.assigned, proto.constants[ins.d])
      elseif ins.op:sub(1, 4) == "USET" and names[ins.a + 1] then
        self.heap:mark(self.assigned, names[ins.a + 1])
      end
    end
    for _, child in each(proto.children) do
      local inner = {}
      for i, upvalue in ipairs(child.upvalues) do
        if not upvalue.is_local then inner[i] = names[upvalue.index + 1] end
      end
      scan(child, inner)
    end
  end
  local ids = {}
  for i in ipairs(unit.proto.upvalues) do
    ids[i] = debug.upvalueid(unit.fn, i)
  end
  scan(unit.proto, ids)
end

-- What a variable holds that holds something else now.
local function unknown_variable(self, label, name)
  local set = self.u:unknown(label)
  set.objects[1].source = name
  return set
end

-- `name` identifies the variable among those that are assigned.
function Flow:variable(value, label, name, is_constant)
  local kind = type(value)
  local set = self.u.scalar
  if kind ~= "function" and not library.tables[value or false] then
    self.heap:mark(self.heap.outside_reads, label)
    if is_constant == false then self.heap:mark(self.mutable_reads, label)
    elseif is_constant == nil then self.has_unsure_reads = true end
  end
  if kind == "string" or kind == "number" and value == value then
    set = self.u:key(value)
  elseif kind == "nil" then
    set = self.u:union(set, unknown_variable(self, label, name))
  elseif kind ~= "boolean" and kind ~= "number" then
    set = self.u:outside(value, label)
  end
  local kept = aliases.kept_at(self.heap.aliases, name, "") or {}
  for field in each(kept) do
    set = self.u:union(set, self.u:field(field))
  end
  if not self.assigned[name] then return set end
  set = self.u:union(set, unknown_variable(self, label, name))
  return self.u:union(set, self.stored[name])
end

function Flow:upvalue(unit, i, only_captured)
  local info = unit.proto.upvalues[i]
  if not unit.fn then
    if info.is_local then
      return unit.parent.cells[info.index] or self.u.nothing
    end
    return self:upvalue(unit.parent, info.index + 1, only_captured)
  end
  if only_captured then return self.u.nothing end
  local name, value = debug.getupvalue(unit.fn, i)
  self:depend("upvalue", unit.fn, i, value)
  local is_constant = nil -- of a function further out: not known
  if info.is_local then is_constant = info.is_immutable end
  return self:variable(value, name ~= "" and name or "upvalue " .. i,
                       debug.upvalueid(unit.fn, i), is_constant)
end

-- Somebody else sees what is put into a variable of the functions around.
local function store_variable(self, label, name, set)
  self.heap:mark(self.heap.outside_writes, label)
  self.heap:mark(self.assigned, name)
  self.heap:add(self.stored, name, set)
  fresh.read_back(self.heap, set)
  self.heap:keep_in_variable(name, set)
  self.heap:escape(set)
end

function Flow:set_upvalue(unit, i, set)
  local info = unit.proto.upvalues[i]
  if unit.fn then
    local name = debug.getupvalue(unit.fn, i)
    store_variable(self, name ~= "" and name or "upvalue " .. i,
                   debug.upvalueid(unit.fn, i), set)
  elseif info.is_local then
    self.heap:add(unit.parent.cells, info.index, set)
    self.heap:add(unit.parent.cell_sets, info.index, set)
    fresh.read_back(self.heap, set)
  else
    self:set_upvalue(unit.parent, info.index + 1, set)
  end
end

local function environment(unit)
  while not unit.fn do unit = unit.parent end
  return debug.getfenv(unit.fn)
end

-- An environment may have an __index of any kind: it is asked as the function
-- itself asks it.
local function get(t, key) return t[key] end

function Flow:global(unit, name)
  local env = environment(unit)
  local ok, value = pcall(get, env, name)
  if not ok then value = nil end -- strict about names
  self:depend("global", env, name, value)
  return self:variable(value, name, name, false)
end

function Flow:set_global(_, name, set)
  store_variable(self, name, name, set)
end

--- Look a key up as Lua does, without calling anything.
-- -> the value, or nil and an __index function and whose it is
function Flow:look_up(t, key)
  for _ = 1, MAX_CHAIN do
    if type(t) ~= "table" then return nil end
    local value = rawget(t, key)
    self:depend("field", t, key, value)
    if value ~= nil then return value end
    local meta = debug.getmetatable(t)
    self:depend("metatable", t, nil, meta)
    if not meta then return nil end
    local index = rawget(meta, "__index")
    self:depend("field", meta, "__index", index)
    if type(index) == "function" then return nil, index, t end
    t = index
  end
  return nil
end

-- ---- following calls ----

function Flow:step()
  self.step_count = self.step_count + 1
  if self.step_count > MAX_STEPS then error(GIVE_UP, 0) end
end

local function signature(args)
  local parts = {}
  for i = 1, args.n do parts[i] = args[i].text end
  return table.concat(parts, ",") .. (args.rest and "|" .. args.rest.text
                                      or "")
end

--- A unit is run once at most for each call of the method, unless it is called
-- from two places, from a loop (`is_repeated`: by something that is one), or
-- from what is run more than once.
function Flow:note_caller(unit, is_repeated)
  if unit.is_many then return end
  local at = self.heap.at
  local caller = at and at.unit.id .. ":" .. at.pc or "nobody"
  if is_repeated or self.is_repeating or unit.caller and unit.caller ~= caller
     or at and (at.unit.is_many or fresh.loop_around(at.unit.proto, at.pc)) then
    self.heap:mark(unit, "is_many")
  end
  unit.caller = caller
end

--- Run a unit with arguments: -> its results as far as they are known. Each
-- kind of call is run once in a round.
function Flow:run(unit, args, is_repeated)
  self:note_caller(unit, is_repeated)
  local name = signature(args)
  local context = unit.contexts[name]
  if not context then
    context = { results = { n = 0 }, round = 0 }
    unit.contexts[name] = context
    self.heap.changed = true
  end
  if context.round == self.round or self.depth > MAX_DEPTH then
    if self.depth > MAX_DEPTH then error(GIVE_UP, 0) end
    return context.results
  end
  context.round = self.round
  local at = self.heap.at
  self.depth = self.depth + 1
  steps.run(self, unit, args, context.results)
  self.depth = self.depth - 1
  self.heap.at = at
  return context.results
end

--- Too much or too strange.
function Flow:give_up() error(GIVE_UP, 0) end -- luacheck: ignore 212

function Flow:raise(set)
  self.heap:add(self.heap, "raised", set)
  fresh.read_back(self.heap, set)
  self.heap:hand_out(set)
end

--- A table that was made here got a class for its metatable.
function Flow:made_instance(object, class)
  if not rawequal(class, self.class) then return end
  self.has_made_instance = true
  if not self.is_class_wide or object.is_instance then return end
  self.heap:mark(object, "is_instance")
  table.insert(self.heap.instances, object)
end

-- ---- the whole ----

--- @param class, shared see Heap.new
function Flow.new(class, shared)
  local self = setmetatable({
    heap = Heap.new(class, shared), class = class, units = {},
    unit_count = 0, deps = {}, assigned = {}, stored = {}, mutable_reads = {},
    called = {}, escaped = {}, step_count = 0, depth = 0, round = 0,
  }, Flow)
  self.u = self.heap.u
  self.heap.let_escape = function(object, given)
    self:let_escape(object, given)
  end
  return self
end

--- Repeat `pass` until nothing changes any more: -> false when that takes too
-- long, or something is so strange that it raises.
function Flow:settle(pass)
  return (pcall(function()
    repeat
      self.round = self.round + 1
      if self.round > MAX_ROUNDS then error(GIVE_UP, 0) end
      self.heap.changed = false
      self.depth, self.called, self.heap.at = 0, {}, nil
      pass()
      self:run_all_escaped()
      self.heap:close_instances()
    until not self.heap.changed
  end))
end

return Flow
