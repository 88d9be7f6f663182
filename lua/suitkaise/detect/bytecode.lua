--- What a Lua function consists of, on LuaJIT: its instructions as they were
-- compiled, its constants and where its upvalues are.
--
-- The names of opcodes are looked up in jit.vmdef, so that they are those of
-- the VM that runs. Instructions come from string.dump, which writes them as
-- they were before the JIT compiler patched them; the rest comes from
-- jit.util. Whether all of this fits together is tried once on a known
-- function: when it does not, there is no bytecode (`is_available`).
-- @module suitkaise.detect.bytecode

-- Each function is analysed once: compiled code would only take the place of
-- the host's.
if rawget(_G, "jit") then jit.off(true, true) end

local bytecode = { is_available = false }

local byte, dump = string.byte, string.dump

local HEAD = "\27LJ"
local BIG_ENDIAN, STRIPPED, FR2 = 1, 2, 8 -- flags of a dump
local LOCAL, IMMUTABLE = 0x8000, 0x4000   -- flags of an upvalue
local JUMP_BIAS = 0x7fff                  -- a jump's D, less this, is relative

local util, names -- jit.util; opcode number -> name

local JUMPS = {
  JMP = true, UCLO = true, ISNEXT = true, FORI = true, FORL = true,
  ITERL = true, LOOP = true,
}

-- ---- reading a dump ----

-- An unsigned LEB128 number at `at`: -> it, and what comes after
local function uleb(text, at)
  local value, scale = 0, 1
  while true do
    local b = byte(text, at)
    at = at + 1
    if b < 128 then return value + b * scale, at end
    value, scale = value + (b - 128) * scale, scale * 128
  end
end

-- Where the prototypes begin, and the flags; nil for a dump of another kind.
local function read_head(text)
  if text:sub(1, 3) ~= HEAD then return nil end
  local version = byte(text, 4)
  if version ~= 1 and version ~= 2 then return nil end
  local flags, at = uleb(text, 5)
  local is_stripped = math.floor(flags / STRIPPED) % 2 == 1
  if not is_stripped then
    local n
    n, at = uleb(text, at)
    at = at + n
  end
  return at, flags, is_stripped
end

local function read_instructions(text, at, n, is_big)
  local list = {}
  for pc = 1, n do
    local b1, b2, b3, b4 = byte(text, at, at + 3)
    if is_big then b1, b2, b3, b4 = b4, b3, b2, b1 end
    list[pc] = { op = names[b1], a = b2, c = b3, b = b4, d = b3 + 256 * b4 }
    at = at + 4
  end
  return list, at
end

local function read_upvalues(text, at, n, is_big)
  local list = {}
  for i = 1, n do
    local low, high = byte(text, at, at + 1)
    if is_big then low, high = high, low end
    local value = low + 256 * high
    local is_local = value >= LOCAL
    list[i] = {
      is_local = is_local,
      is_immutable = is_local and value % LOCAL >= IMMUTABLE,
      index = value % IMMUTABLE,
    }
    at = at + 2
  end
  return list
end

-- One prototype of a dump that begins at `at` and is `size` bytes long.
local function read_proto(text, at, is_stripped, is_big)
  local proto = { params = byte(text, at + 1) }
  local vararg = math.floor(byte(text, at) / 2) % 2 == 1
  local frame_size, upvalue_count = byte(text, at + 2, at + 3)
  local count, debug_size
  at = select(2, uleb(text, at + 4)) -- gc constants
  at = select(2, uleb(text, at))     -- numbers
  count, at = uleb(text, at)         -- instructions
  if not is_stripped then
    debug_size, at = uleb(text, at)
    if debug_size > 0 then
      at = select(2, uleb(text, at)) -- first line
      at = select(2, uleb(text, at)) -- lines
    end
  end
  proto.is_vararg, proto.slots = vararg, frame_size
  proto.code, at = read_instructions(text, at, count, is_big)
  proto.upvalues = read_upvalues(text, at, upvalue_count, is_big)
  return proto
end

-- All prototypes of a function: children come before their parent.
local function read_dump(text)
  local at, flags, is_stripped = read_head(text)
  if not at then return nil end
  local is_big = flags % 2 == BIG_ENDIAN
  local frame = math.floor(flags / FR2) % 2 == 1 and 2 or 1
  local protos = {}
  local size
  size, at = uleb(text, at)
  while size > 0 do
    local proto = read_proto(text, at, is_stripped, is_big)
    proto.frame = frame -- slots between a called function and its arguments
    protos[#protos + 1] = proto
    size, at = uleb(text, at + size)
  end
  return protos
end

-- ---- constants ----

local function set_jumps(proto)
  for pc, ins in ipairs(proto.code) do
    if JUMPS[ins.op] then ins.jump = pc + 1 + ins.d - JUMP_BIAS - 1 end
  end
end

-- Copied, so that a prototype does not keep its function alive.
local function copy_details(proto, target)
  proto.numbers = {}
  for i = 0, util.funcinfo(target).nconsts - 1 do
    proto.numbers[i] = util.funck(target, i)
  end
  for i, upvalue in ipairs(proto.upvalues) do
    upvalue.name = util.funcuvname(target, i - 1)
  end
end

-- Give each prototype its constants, in the order in which they were dumped.
local function attach(target, protos, next_one)
  local count = util.funcinfo(target).gcconsts
  local constants, children = {}, {}
  for i = 1, count do
    local constant = util.funck(target, -i)
    local kind = type(constant)
    if kind == "proto" then
      children[i - 1], next_one = attach(constant, protos, next_one)
    elseif kind == "string" then
      constants[i - 1] = constant
    end
  end
  local proto = protos[next_one]
  proto.constants, proto.children = constants, children
  copy_details(proto, target)
  set_jumps(proto)
  return proto, next_one + 1
end

local function decode(fn)
  local protos = read_dump(dump(fn))
  if not protos or #protos == 0 then return nil end
  local proto, after = attach(fn, protos, 1)
  if after ~= #protos + 1 then return nil end
  local info = util.funcinfo(fn)
  if info.params ~= proto.params or info.bytecodes - 1 ~= #proto.code then
    return nil
  end
  proto.loc = info.loc
  return proto
end

local decoded = setmetatable({}, { __mode = "k" })

--- The prototype of a Lua function.
-- @tparam function fn
-- @treturn ?table `code` (array of instructions: `op`, `a`, `b`, `c`, `d`,
--   `jump`), `params`, `is_vararg`, `frame`, `constants` (from 0; strings),
--   `children` (from 0; prototypes of closures), `numbers` (from 0),
--   `upvalues` (`name`, `is_local`, `is_immutable`, `index`); nil for a C
--   function and where there is no bytecode
function bytecode.of(fn)
  if not bytecode.is_available then return nil end
  local proto = decoded[fn]
  if proto == nil then
    local ok, result = pcall(decode, fn)
    proto = ok and result or false
    decoded[fn] = proto
  end
  return proto or nil
end

-- ---- the trial ----

local function sample(self, x)
  local captured = x
  self.field = function() return captured end
  for i = 1, x do self[i] = i end
end

local EXPECTED = "MOV FNEW TSETS KSHORT MOV KSHORT FORI TSETV FORL UCLO RET0"

local function try()
  local proto = decode(sample)
  if not proto then return false end
  local ops = {}
  for i, ins in ipairs(proto.code) do ops[i] = ins.op end
  if table.concat(ops, " ") ~= EXPECTED then return false end
  local code, child = proto.code, proto.children[proto.code[2].d]
  return proto.constants[code[3].c] == "field" and proto.params == 2
    and code[7].jump == 10 and code[9].jump == 8
    and type(child) == "table" and #child.upvalues == 1
    and child.upvalues[1].is_local and child.upvalues[1].is_immutable
    and child.upvalues[1].index == 2
end

local function set_up()
  local ok, vmdef
  ok, util = pcall(require, "jit.util")
  if not ok then return false end
  ok, vmdef = pcall(require, "jit.vmdef")
  if not ok or type(vmdef.bcnames) ~= "string" then return false end
  names = {}
  for i = 0, #vmdef.bcnames / 6 - 1 do
    names[i] = vmdef.bcnames:sub(6 * i + 1, 6 * i + 6):gsub(" ", "")
  end
  return try()
end

if rawget(_G, "jit") and dump then
  local ok, works = pcall(set_up)
  bytecode.is_available = ok and works
end

return bytecode
