--- Which registers an instruction reads and changes.
-- @module suitkaise.detect.registers

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local registers = {}

local function set_of(text)
  local set = {}
  for op in text:gmatch "%S+" do set[op] = true end
  return set
end

-- Instructions that leave register A as it is.
local KEEP = set_of "JMP UCLO ISNEXT LOOP GSET ISTYPE ISNUM"

-- Those that change more registers than A: opcode -> the first and last.
local function from_a(ins) return ins.a, math.huge end
local function loop_registers(ins) return ins.a, ins.a + 3 end
local MANY = {
  CALL = from_a, CALLM = from_a, VARG = from_a, ITERC = from_a,
  ITERN = from_a, FORI = loop_registers, FORL = loop_registers,
  KNIL = function(ins) return ins.a, ins.d end,
  CAT = function(ins) return math.min(ins.a, ins.b), math.max(ins.a, ins.c) end,
  ITERL = function(ins) return ins.a - 1, ins.a end,
}

local function starts(op, ...)
  for _, text in ipairs { ... } do
    if op:sub(1, #text) == text then return true end
  end
  return false
end

local function is_test(op)
  return starts(op, "IS") and op ~= "ISTC" and op ~= "ISFC"
end

--- Does an instruction give a register another value?
function registers.changes(ins, slot)
  local many = MANY[ins.op]
  if many then
    local low, high = many(ins)
    return slot >= low and slot <= high
  end
  return ins.a == slot and not KEEP[ins.op] and not is_test(ins.op)
    and not starts(ins.op, "TSET", "USET", "RET")
end

local READS_NOTHING = set_of [[
  JMP UCLO LOOP ISNEXT KSHORT KSTR KNUM KPRI KNIL KCDATA UGET GGET FNEW TNEW
  TDUP RET0 USETS USETN USETP VARG
]]

-- The registers that others read: opcode -> the first and last.
local function only_a(ins) return ins.a, ins.a end
local function only_b(ins) return ins.b, ins.b end
local function only_d(ins) return ins.d, ins.d end
local function step_registers(ins) return ins.a - 3, ins.a - 1 end
local READS = {
  CAT = function(ins) return ins.b, ins.c end,
  CALL = function(ins) return ins.a, ins.a + ins.c end,
  RET = function(ins) return ins.a, ins.a + ins.d - 2 end,
  RET1 = only_a, GSET = only_a, ITERL = only_a, FORI = loop_registers,
  FORL = loop_registers, ITERC = step_registers, ITERN = step_registers,
  TGETS = only_b, TGETB = only_b, MOV = only_d, NOT = only_d,
  USETV = only_d, IST = only_d, ISF = only_d, ISTC = only_d, ISFC = only_d,
  ISEQS = only_a, ISNES = only_a, ISEQN = only_a, ISNEN = only_a,
  ISEQP = only_a, ISNEP = only_a,
}

--- May an instruction read a register? True where that is not clear.
function registers.reads(ins, slot)
  local op = ins.op
  if READS_NOTHING[op] then return false end
  local reads = READS[op]
  if reads then
    local low, high = reads(ins)
    return slot >= low and slot <= high
  end
  if op == "TGETV" or op == "TGETR" then
    return ins.b == slot or ins.c == slot
  end
  if starts(op, "TSET") and op ~= "TSETM" then
    return ins.a == slot or ins.b == slot or ins.c == slot
  end
  return slot >= math.min(ins.a - 3, ins.b, ins.c, ins.d)
end

-- The instructions that may come after one.
local function successors(code, pc)
  local ins = code[pc]
  local op = ins.op
  if starts(op, "RET") or op == "CALLT" or op == "CALLMT" then return nil end
  if op == "JMP" or op == "UCLO" or op == "ISNEXT" then return ins.jump end
  if op == "FORI" or op == "FORL" or op == "ITERL" then
    return pc + 1, ins.jump
  end
  if starts(op, "IS") and op ~= "ISTYPE" and op ~= "ISNUM" then
    return pc + 1, pc + 2
  end
  return pc + 1
end

--- Is what a register has after an instruction never read again?
function registers.is_dead(proto, pc, slot)
  local seen, queue = {}, {}
  local function go_on(from)
    local a, b = successors(proto.code, from)
    queue[#queue + 1] = a
    queue[#queue + 1] = b
  end
  go_on(pc)
  while #queue > 0 do
    local at = table.remove(queue)
    local ins = proto.code[at]
    if ins and not seen[at] then
      seen[at] = true
      if registers.reads(ins, slot) then return false end
      if not registers.changes(ins, slot) then go_on(at) end
    end
  end
  return true
end

return registers
