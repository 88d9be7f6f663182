--- Whether one place of the code may put the same table under two names: it
-- may when it is in a loop, unless each turn of the loop has a table of its
-- own.
-- @module suitkaise.detect.fresh

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local aliases = require "suitkaise.detect.aliases"
local registers = require "suitkaise.detect.registers"

local fresh = {}

--- The innermost loop around an instruction: -> its first and last one; nil
-- when there is none.
function fresh.loop_around(proto, pc)
  local first, last
  for at = pc, #proto.code do
    local jump = proto.code[at].jump
    if jump and jump <= pc and (not first or at - jump < last - first) then
      first, last = jump, at
    end
  end
  return first, last
end

-- Does the code reach `to` only by way of `from`, or from between them?
local function is_straight(proto, from, to)
  for pc, ins in ipairs(proto.code) do
    local jump = ins.jump
    if jump and jump > from and jump <= to and (pc < from or pc > to) then
      return false
    end
  end
  return true
end

-- The instruction of the loop that gave a register what it has at `pc`.
local function definition(proto, first, pc, slot)
  for at = pc - 1, first, -1 do
    if registers.changes(proto.code[at], slot) then
      return is_straight(proto, at, pc) and at or nil
    end
  end
  return nil
end

-- Is the register one that the loop itself sets?
local function is_loop_variable(proto, first, last, pc, slot)
  local step = proto.code[last - 1]
  if proto.code[last].op ~= "ITERL" or step.op ~= "ITERC"
     and step.op ~= "ITERN" or slot < step.a
     or slot > step.a + step.b - 2 then
    return false
  end
  for at = first, pc - 1 do
    if registers.changes(proto.code[at], slot) then return false end
  end
  return true
end

local function is_set_meta(proto, first, pc)
  local call = proto.code[pc]
  local at = definition(proto, first, pc, call.a)
  local ins = at and proto.code[at]
  return ins and ins.op == "GGET"
    and proto.constants[ins.d] == "setmetatable"
end

-- The instruction that made what a register has at `pc`: a table, or the
-- results of a call.
local function maker(proto, first, pc, slot)
  local at = definition(proto, first, pc, slot)
  local op = at and proto.code[at].op
  if op == "TNEW" or op == "TDUP" or op == "FNEW" then return at end
  if op ~= "CALL" and op ~= "CALLM" then return nil end
  if op == "CALL" and proto.code[at].a == slot
     and is_set_meta(proto, first, at) then
    return maker(proto, first, at, slot + proto.frame) or at
  end
  return at
end

-- How the value of an instruction came to be: -> "each", one of what the loop
-- goes through; a pc, that of what made it: a table, or a call (`is_call`);
-- in the same turn of the loop; nil when that is not known.
local function origin(at, first, last)
  local unit, slot = at.unit, at.slot
  if slot == nil or unit.slots[slot] then return nil end
  local proto = unit.proto
  if last and is_loop_variable(proto, first, last, at.pc, slot) then
    return "each"
  end
  local pc = maker(proto, first, at.pc, slot)
  local op = pc and proto.code[pc].op
  return pc, op == "CALL" or op == "CALLM"
end

-- Was a thing, the result of a call that nothing else here has, not there
-- before the call?
local function is_of_call(heap, object, at, pc)
  if object.is_result then return true end
  if object.kind ~= "new" or object.is_kept
     or not registers.is_dead(at.unit.proto, at.pc, at.slot) then
    return false
  end
  local is_given = false
  heap:reach(at.unit.given[pc] or heap.u.nothing, function(other)
    is_given = is_given or other == object
  end)
  return not is_given
end

-- Is a thing another one each time that the place `at` is come to? Different
-- parts of an argument are different, and results of what is not known.
local function is_renewed(heap, object, at, first, last)
  local from, is_call = origin(at, first or 1, last)
  if from == "each" and object.kind == "outside" then
    return object.parent and object.step == "[]" or object.is_result
  end
  if aliases.is_lasting(object) then return false end
  if is_call then return is_of_call(heap, object, at, from) end
  if object.maker ~= at.unit or object.kind == "outside" then return false end
  return object.made_at == from
    or not first and not object.is_kept
end

-- Was it made for the table that it is in, at one place of the code?
local function comes_with(object, container)
  return object.keepers ~= nil and object.keepers[container]
    and not object.is_shared and not object.is_kept
end

--- A name for a place of the code.
function fresh.place(at) return at.unit.id .. ":" .. at.pc end

--- One for where a thing is that is in a container.
function fresh.place_in(object, container)
  if comes_with(object, container) then return object.kept_at end
  return "in " .. container.id
end

--- May the same thing be stored twice at one place, `heap.at`: `unit`, `pc`
-- and the register `slot`, if any? In a `container` it is as the container is.
function fresh.may_repeat(heap, object, container)
  local at = heap.at
  local first, last = fresh.loop_around(at.unit.proto, at.pc)
  if not first and not at.unit.is_many then
    return aliases.is_lasting(object)
  end
  if container and container.kind == "new" then
    return not comes_with(object, container)
  end
  return not is_renewed(heap, object, at, first, last)
end

--- A thing is put into a container that was made here. It comes with each new
-- one when it was made for it alone, else it `is_shared`. -> is that news?
function fresh.keep(heap, object, container)
  if object.kind ~= "new" and object.kind ~= "closure" or object.is_shared then
    return false
  end
  local at = heap.at
  local place = fresh.place(at)
  local from, is_call = origin(at, 1)
  local is_own = object.kept_at == nil or object.kept_at == place
  if is_call then is_own = is_own and is_of_call(heap, object, at, from)
  elseif object.maker ~= at.unit or object.made_at ~= from then
    is_own = false
  end
  object.keepers = object.keepers or {}
  local is_known = object.keepers[container] and is_own
  object.keepers[container], object.kept_at = true, place
  object.is_shared = not is_own
  return not is_known
end

--- Things may come back from where they have been put.
function fresh.read_back(heap, set)
  for _, object in ipairs(set.objects) do
    if object.kind == "new" or object.kind == "closure" then
      heap:mark(object, "is_kept")
    end
  end
end

return fresh
