--- The meaning of each instruction for the sets in the registers.
-- @module suitkaise.detect.steps

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local fresh = require "suitkaise.detect.fresh"
local each = require "suitkaise.each"

local steps = {}

-- Beside a register: the set from which its value was taken by a key, so that
-- `a.b:c()` can be told from `a.b.c()`.
local FROM = 1000

local does = {} -- opcode -> function(frame, ins, pc); true: control is given on

-- ---- frames ----

local Frame = {}
Frame.__index = Frame

function Frame:get(slot)
  local set = self.regs[slot] or self.u.nothing
  return self.u:union(set, self.unit.cell_sets[slot])
end

function Frame:set(slot, set)
  self.regs[slot] = set
  self.regs[slot + FROM] = nil
  if self.unit.slots[slot] then
    self.flow.heap:add(self.unit.cells, slot, set)
    fresh.read_back(self.flow.heap, set)
  end
end

-- Keep in mind where a table may be stored, and from which register.
local VALUE_IN_A = { TSETV = true, TSETS = true, TSETB = true, TSETR = true }

function Frame:come_to(ins, pc)
  self.flow.heap.at = {
    unit = self.unit, pc = pc, slot = VALUE_IN_A[ins.op] and ins.a or nil,
  }
end

function Frame:constant(index) return self.proto.constants[index] end

-- Control may go on at pc, with the registers as they are.
function Frame:to(pc)
  local there = self.states[pc]
  if not there then
    there = {}
    for slot, set in each(self.regs) do there[slot] = set end
    self.states[pc] = there
    self.queue[#self.queue + 1] = pc
    return
  end
  local changed = false
  for slot, set in each(self.regs) do
    local both = self.u:union(there[slot] or self.u.nothing, set)
    if both ~= there[slot] then
      there[slot] = both
      changed = true
    end
  end
  if changed then self.queue[#self.queue + 1] = pc end
end

function Frame:fresh(pc, kind)
  return self.flow:site(self.unit, pc, kind or "new", "result").alone
end

-- ---- constants, moves, operators ----

function does.MOV(f, ins) f:set(ins.a, f:get(ins.d)) end
function does.KSTR(f, ins) f:set(ins.a, f.u:key(f:constant(ins.d))) end
function does.KNUM(f, ins) f:set(ins.a, f.u:key(f.proto.numbers[ins.d])) end
function does.KPRI(f, ins) f:set(ins.a, f.u.scalar) end
does.KCDATA, does.NOT = does.KPRI, does.KPRI

function does.KSHORT(f, ins)
  f:set(ins.a, f.u:key(ins.d >= 32768 and ins.d - 65536 or ins.d))
end

function does.KNIL(f, ins)
  for slot = ins.a, ins.d do f:set(slot, f.u.scalar) end
end

-- Operators give new values; a method of self's class that does the work is
-- followed.
local function operate(f, ins, pc, name, a, b)
  f.flow:metamethod(name, a, b, pc, f.unit)
  local result = f:fresh(pc, "outside")
  result.objects[1].is_number = true
  f:set(ins.a, f.u:union(result, f.u.scalar))
end

function does.LEN(f, ins)
  f.flow:metamethod("__len", f:get(ins.d), nil)
  f:set(ins.a, f.u.scalar)
end

function does.UNM(f, ins, pc)
  operate(f, ins, pc, "__unm", f:get(ins.d), nil)
end

for _, name in ipairs { "ADD", "SUB", "MUL", "DIV", "MOD" } do
  local event = "__" .. name:lower()
  does[name .. "VN"] = function(f, ins, pc)
    operate(f, ins, pc, event, f:get(ins.b), f.u.scalar)
  end
  does[name .. "NV"] = does[name .. "VN"]
  does[name .. "VV"] = function(f, ins, pc)
    operate(f, ins, pc, event, f:get(ins.b), f:get(ins.c))
  end
end

function does.POW(f, ins, pc)
  operate(f, ins, pc, "__pow", f:get(ins.b), f:get(ins.c))
end

function does.CAT(f, ins, pc)
  local set = f.u.nothing
  for slot = ins.b, ins.c do set = f.u:union(set, f:get(slot)) end
  operate(f, ins, pc, "__concat", set, set)
end

-- ---- tests and jumps ----

-- A test is followed by its jump, or by what comes after that.
local function test(f, _, pc)
  f:to(pc + 1)
  f:to(pc + 2)
  return true
end

local function compare(event)
  return function(f, ins, pc)
    f.flow:metamethod(event, f:get(ins.a), f:get(ins.d))
    return test(f, ins, pc)
  end
end

does.ISLT, does.ISGE = compare "__lt", compare "__lt"
does.ISLE, does.ISGT = compare "__le", compare "__le"
does.ISEQV, does.ISNEV = compare "__eq", compare "__eq"

for _, name in ipairs { "ISEQS", "ISNES", "ISEQN", "ISNEN", "ISEQP",
                        "ISNEP" } do
  does[name] = test
end

-- Is it neither nil nor false, whatever it is?
local TRUE = { self = true, new = true, closure = true }

local function is_true(set)
  for _, object in ipairs(set.objects) do
    local kind = type(object.value)
    if not TRUE[object.kind]
       and not (object.kind == "outside"
                and (kind == "table" or kind == "function")) then
      return false
    end
  end
  return #set.objects > 0
end

-- `x or {}` leaves an x that is there.
function does.IST(f, ins, pc)
  f:to(pc + 1)
  if not is_true(f:get(ins.d)) then f:to(pc + 2) end
  return true
end

function does.ISF(f, ins, pc)
  if not is_true(f:get(ins.d)) then f:to(pc + 1) end
  f:to(pc + 2)
  return true
end

function does.ISTC(f, ins, pc)
  if not is_true(f:get(ins.d)) then f:to(pc + 2) end
  f:set(ins.a, f:get(ins.d))
  f:to(pc + 1)
  return true
end

function does.ISFC(f, ins, pc)
  f:to(pc + 2)
  f:set(ins.a, f:get(ins.d))
  f:to(pc + 1)
  return true
end

function does.JMP(f, ins)
  f:to(ins.jump)
  return true
end
does.UCLO, does.ISNEXT = does.JMP, does.JMP

function does.LOOP() end
does.ISTYPE, does.ISNUM = does.LOOP, does.LOOP

function does.FORI(f, ins, pc)
  f:to(ins.jump)
  f:set(ins.a + 3, f.u.scalar)
  f:to(pc + 1)
  return true
end

function does.FORL(f, ins, pc)
  f:set(ins.a, f.u.scalar)
  f:to(pc + 1)
  f:set(ins.a + 3, f.u.scalar)
  f:to(ins.jump)
  return true
end

function does.ITERL(f, ins, pc)
  f:to(pc + 1)
  f:set(ins.a - 1, f:get(ins.a))
  f:to(ins.jump)
  return true
end

-- ---- variables ----

function does.UGET(f, ins)
  f:set(ins.a, f.flow:upvalue(f.unit, ins.d + 1))
end

function does.USETV(f, ins)
  f.flow:set_upvalue(f.unit, ins.a + 1, f:get(ins.d))
end

function does.USETS(f, ins)
  f.flow:set_upvalue(f.unit, ins.a + 1, f.u.scalar)
end
does.USETN, does.USETP = does.USETS, does.USETS

function does.GGET(f, ins)
  f:set(ins.a, f.flow:global(f.unit, f:constant(ins.d)))
end

function does.GSET(f, ins)
  f.flow:set_global(f.unit, f:constant(ins.d), f:get(ins.a))
end

function does.FNEW(f, ins, pc)
  f:set(ins.a, f.flow:closure(f.unit, pc, f.proto.children[ins.d]))
end

-- ---- tables ----

function does.TNEW(f, ins, pc) f:set(ins.a, f:fresh(pc)) end
does.TDUP = does.TNEW

local function get_key(f, ins, pc, key, key_set)
  local base = f:get(ins.b)
  f:set(ins.a, f.flow:index(base, key, key_set, pc, f.unit))
  f.regs[ins.a + FROM] = base
end

local function set_key(f, ins, key, key_set)
  f.flow:assign(f:get(ins.b), key, key_set, f:get(ins.a))
end

-- The keys that a set may be; nil when it may be anything.
local function known_keys(set)
  if #set.objects == 0 then return nil end
  for _, object in ipairs(set.objects) do
    if object.kind ~= "key" then return nil end
  end
  return set.objects
end

function does.TGETV(f, ins, pc)
  local key_set = f:get(ins.c)
  local keys = known_keys(key_set)
  if not keys then return get_key(f, ins, pc, nil, key_set) end
  local base, result = f:get(ins.b), f.u.nothing
  for _, object in ipairs(keys) do
    local found = f.flow:index(base, object.value, object.alone, pc, f.unit)
    result = f.u:union(result, found)
  end
  f:set(ins.a, result)
  f.regs[ins.a + FROM] = base
end

function does.TGETS(f, ins, pc)
  local key = f:constant(ins.c)
  get_key(f, ins, pc, key, f.u:key(key))
end

function does.TGETB(f, ins, pc) get_key(f, ins, pc, ins.c, f.u:key(ins.c)) end
function does.TGETR(f, ins, pc) get_key(f, ins, pc, nil, f.u.scalar) end

function does.TSETV(f, ins)
  local key_set = f:get(ins.c)
  local keys = known_keys(key_set)
  if not keys then return set_key(f, ins, nil, key_set) end
  for _, object in ipairs(keys) do
    set_key(f, ins, object.value, object.alone)
  end
end

function does.TSETS(f, ins)
  local key = f:constant(ins.c)
  set_key(f, ins, key, f.u:key(key))
end

function does.TSETB(f, ins) set_key(f, ins, ins.c, f.u:key(ins.c)) end
function does.TSETR(f, ins) set_key(f, ins, nil, f.u.scalar) end

function does.TSETM(f, ins)
  f.flow:assign(f:get(ins.a - 1), nil, f.u.scalar, f.regs.multiple)
end

-- ---- calls and returns ----

local function arguments(f, first, count, has_more)
  local pack = { n = count }
  for i = 1, count do pack[i] = f:get(first + i - 1) end
  if has_more then pack.rest = f.regs.multiple end
  return pack
end

local function call(f, ins, pc, count, has_more)
  local args = arguments(f, ins.a + f.proto.frame, count, has_more)
  f.flow.heap:add(f.unit.given, pc, f.u:union(f:get(ins.a),
                                              f.flow:all_of(args)))
  return f.flow:call(f:get(ins.a), args, pc, f.unit,
                     f.regs[ins.a + FROM])
end

local function put_results(f, ins, results)
  if ins.b == 0 then
    f.regs.multiple = f.flow:all_of(results)
    return
  end
  for i = 1, ins.b - 1 do
    f:set(ins.a + i - 1, f.flow:at(results, i))
  end
end

function does.CALL(f, ins, pc)
  put_results(f, ins, call(f, ins, pc, ins.c - 1))
end

function does.CALLM(f, ins, pc)
  put_results(f, ins, call(f, ins, pc, ins.c, true))
end

local function give_back(f, pack)
  f.flow:add_results(f.results, pack)
  return true
end

function does.CALLT(f, ins, pc)
  return give_back(f, call(f, ins, pc, ins.d - 1))
end

function does.CALLMT(f, ins, pc)
  return give_back(f, call(f, ins, pc, ins.d, true))
end

function does.ITERC(f, ins, pc)
  local args = { n = 2, f:get(ins.a - 2), f:get(ins.a - 1) }
  put_results(f, ins, f.flow:call(f:get(ins.a - 3), args, pc, f.unit))
end
does.ITERN = does.ITERC

function does.VARG(f, ins)
  put_results(f, ins, { n = 0, rest = f.varargs })
end

function does.RET0(f) return give_back(f, { n = 0 }) end
function does.RET1(f, ins) return give_back(f, arguments(f, ins.a, 1)) end
function does.RET(f, ins)
  return give_back(f, arguments(f, ins.a, ins.d - 1))
end
function does.RETM(f, ins)
  return give_back(f, arguments(f, ins.a, ins.d, true))
end

-- ---- running ----

local function leaders(proto)
  if proto.leaders then return proto.leaders end
  local found = {}
  for _, ins in ipairs(proto.code) do
    if ins.jump then found[ins.jump] = true end
  end
  proto.leaders = found
  return found
end

local function run_block(frame, pc, starts)
  local code = frame.proto.code
  frame.regs = {}
  for slot, set in each(frame.states[pc]) do frame.regs[slot] = set end
  while true do
    frame.flow:step()
    local ins = code[pc]
    frame:come_to(ins, pc)
    local action = does[ins.op]
    if not action then frame.flow:give_up() end
    if action(frame, ins, pc) then return end
    pc = pc + 1
    if starts[pc] then return frame:to(pc) end
  end
end

--- Run a unit with arguments; adds what it returns to `results`.
function steps.run(flow, unit, args, results)
  local proto = unit.proto
  local frame = setmetatable({
    flow = flow, u = flow.u, unit = unit, proto = proto, results = results,
    states = {}, queue = {}, regs = {},
    varargs = flow:all_of(args, proto.params + 1),
  }, Frame)
  for i = 1, proto.params do frame:set(i - 1, flow:at(args, i)) end
  frame:to(1)
  local starts = leaders(proto)
  while #frame.queue > 0 do
    run_block(frame, table.remove(frame.queue), starts)
  end
end

return steps
